"""A second way to lay a template over a volume, pinned by labels of which the first pass was sure.

The first pass knows nothing of the organs: its starts differ where gray values look alike, such as one vertebra higher.
What it has found of large organs tells where the rest must be. A start that begins as these pins lie, and is bent with
them as further channels, is a second opinion on a label of which the first pass was unsure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SegmentPropagateLib.prompting.atlas.deformation import LEVELS, deform
from SegmentPropagateLib.prompting.atlas.fusion import Carried, Outline, Start
from SegmentPropagateLib.prompting.atlas.grid import MM, Body, resample
from SegmentPropagateLib.prompting.atlas.judgement import Agreement, agreement_of
from SegmentPropagateLib.prompting.atlas.placement import Place
from SegmentPropagateLib.prompting.source import Proposal
from SegmentPropagateLib.reports.metrics import dice
from SegmentPropagateLib.volumes.boxes import bounding_box
from SegmentPropagateLib.volumes.geometry import Plane
from SegmentPropagateLib.volumes.stack import array_of
from SegmentPropagateLib.volumes.volume import Volume

PINS = 4
"""The largest labels that were found; six found no more in eight pairs of copies, and take a fifth longer."""
LEAST_PINS = 2
"""With fewer a template lies no surer than before."""

_CUT_MM = 15.0  # from a pin's surface: what lies deeper or farther looks alike
_SCALES = (0.8, 1.25)  # of the place; a pin of which a slab shows little tells no more
_LEVELS = LEVELS[1:]  # the pins bring the template nearer than the first level's steps

Mask = NDArray[np.bool_]


class Pin(NamedTuple):
    """A label that was found.

    Args:
        mask: where it is, bool, on the volume's lattice.
        carried: how it came there.
    """

    mask: Mask
    carried: Carried


def pin_of(draft: Proposal, carried: Carried, body: Body, volume: Volume, plane: Plane) -> Pin:
    """What was found, with the slices that were drawn anew.

    Args:
        draft: of the label, found.
        carried: what it was made of.
        body: the volume on its lattice.
        volume: the image.
        plane: of the slices.
    """
    geometry, axis = volume.geometry, volume.geometry.plane_axis(plane)
    shape = geometry.shape_kji
    stack = np.zeros((shape[axis], *(size for other, size in enumerate(shape) if other != axis)), dtype=bool)
    for index, result in draft.slices.items():
        stack[index] = result.mask
    return Pin(resample(array_of(stack, axis), geometry, body.lattice, "grid-constant") > 0.5, carried)


def pinned(volume: Body, starts: Sequence[Start], pins: Sequence[tuple[Pin, Outline]]) -> Start | None:
    """One more start of a template; None where its starts carry none of the pins to where they are.

    Args:
        volume: what is looked at.
        starts: those of the first pass.
        pins: each with its outline in the template.
    """
    place = _place(starts, [pin for pin, _ in pins])
    if place is None:
        return None
    template = starts[0].body
    shape = template.gray.shape
    channels = [(_signed(pin.mask), _signed(_mask_of(outline, shape))) for pin, outline in pins]
    return Start(template, deform(volume, template, place.points(volume.gray.shape), _LEVELS, channels))


def compared(first: Carried, again: Carried, shape: tuple[int, ...], axis: int) -> Agreement:
    """How far both passes carry a label to one place: overall the DSC of their masks.

    Args:
        first: by the first pass.
        again: by the second.
        shape: of the volume's lattice.
        axis: of the lattice, across the slices.
    """
    one, other = (_laid_out(it, shape) for it in (first, again))
    each = np.stack([one[again.box], other[again.box]])
    both = replace(again, each=each, known=np.ones(each.shape, dtype=bool))
    # The network chooses the key slice; of a single start the lowest is asked about as well, as when it was measured.
    key = agreement_of(again, axis).key
    return agreement_of(both, axis)._replace(overall=dice(one > 0.5, other > 0.5), key=key)


def _laid_out(carried: Carried, shape: tuple[int, ...]) -> NDArray[np.float32]:
    soft = np.zeros(shape, np.float32)
    soft[carried.box] = carried.soft
    return soft


def _place(starts: Sequence[Start], pins: Sequence[Pin]) -> Place | None:
    """Scale and shift that fit best what the starts carry to the pins; every pin counts by the root of its size."""
    mine, other, weights = [], [], []
    for pin in pins:
        carried, box = pin.carried, pin.carried.box
        inside = pin.mask[box]
        for start, each, weight in zip(carried.starts, carried.each, carried.weights, strict=True):
            right = (each > 0.5) & inside
            if right.any() and any(start is it for it in starts):
                mine.append(np.argwhere(right) + [span.start for span in box])
                other.append(start.deformed.points[(slice(None), *box)][:, right].T)
                weights.append(weight[right] / np.sqrt(np.count_nonzero(inside)))
    if not mine:
        return None
    axes = zip(np.concatenate(mine).T, np.concatenate(other).T, strict=True)
    (s, to_s), (a, to_a), (r, to_r) = (_line(x, y, np.concatenate(weights)) for x, y in axes)
    return Place(0.0, (s, a, r), (to_s, to_a, to_r))


def _line(x: NDArray[np.int64], y: NDArray[np.float32], weights: NDArray[np.float32]) -> tuple[float, float]:
    """Slope and offset by weighted least squares."""
    middle, target = np.average(x, weights=weights), np.average(y, weights=weights)
    spread = np.average((x - middle) ** 2, weights=weights)
    slope = np.average((x - middle) * (y - target), weights=weights) / max(spread, 1e-6)
    slope = float(np.clip(slope, *_SCALES))
    return slope, float(target - slope * middle)


def _signed(mask: Mask) -> NDArray[np.float32]:
    """Distance from a mask's surface, -1..1, positive inside; the end of the lattice is no surface."""
    signed = np.full(mask.shape, -1, np.float32)
    box = bounding_box(mask)
    if box is not None:
        reach = int(_CUT_MM / MM) + 1
        near = tuple(slice(max(0, span.start - reach), span.stop + reach) for span in box)
        distance = ndimage.distance_transform_edt(mask[near]) - ndimage.distance_transform_edt(~mask[near])
        signed[near] = np.clip(distance * (MM / _CUT_MM), -1, 1)
    return signed


def _mask_of(outline: Outline, shape: tuple[int, ...]) -> Mask:
    mask = np.zeros(shape, dtype=bool)
    spans = (slice(start, start + size) for start, size in zip(outline.start, outline.share.shape, strict=True))
    mask[tuple(spans)] = outline.share > 0.5
    return mask
