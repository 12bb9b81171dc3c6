"""Whether a template lies in a volume as it is, or only with ends exchanged: then the header of one of them is wrong.

Every template can be bent onto every body, and the starts may well agree on it: of five organs found in one of two CT
volumes, mirrored from left to right, from the other four were other organs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SegmentPropagateLib.prompting.atlas.grid import Body
from SegmentPropagateLib.prompting.atlas.placement import best_scores

EXCHANGES = ((2,), (1,), (1, 2))
"""Axes S, A, R whose ends are exchanged: mirrored bodies, and bodies turned by half about their long axis. Head and
feet are left out: a stretch of a body looks much the same either way where another stretch is the template."""
CLEARLY = 0.02
"""How much better a template must fit so, of a correlation. In two CT volumes, each from the other, and eight pairs of
copies of them templates fit better as they are, by .028 or more, and in 30 of 32 pairs of drawn bodies whose fields of
view are others none fits so much better otherwise."""

_ENDS = {1: "front and back", 2: "left and right"}
_HALF = 2  # grid points per point: whole bodies show their orientation well enough


def exchanged(volume: Body, template: Body) -> str:
    """Which ends of the template must be exchanged to fit clearly better, in words; empty where it lies right."""
    mine, other = _halved(volume), _halved(template)
    as_it_is, *scores = best_scores(mine, [other, *(_flipped(other, axes) for axes in EXCHANGES)])
    best = int(np.argmax(scores))
    if scores[best] < as_it_is + CLEARLY:
        return ""
    return ", ".join(_ENDS[axis] for axis in EXCHANGES[best])


def _halved(body: Body) -> Body:
    def means(values: NDArray[Any]) -> NDArray[np.float32]:
        smooth = ndimage.uniform_filter(values.astype(np.float32), _HALF, mode="nearest")
        return np.ascontiguousarray(smooth[(slice(None, None, _HALF),) * 3])

    inside, within = means(body.inside) >= 0.5, means(body.body) >= 0.5
    return replace(body, gray=means(body.gray), wide=means(body.wide), inside=inside, body=within)


def _flipped(body: Body, axes: tuple[int, ...]) -> Body:
    def flipped(values: NDArray[Any]) -> NDArray[Any]:
        return np.ascontiguousarray(np.flip(values, axes))

    gray, wide, inside, within = map(flipped, (body.gray, body.wide, body.inside, body.body))
    return replace(body, gray=gray, wide=wide, inside=inside, body=within)
