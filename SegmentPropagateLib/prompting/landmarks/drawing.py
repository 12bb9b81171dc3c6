"""The outlines of finished cases, stretched to the box that was found: a box alone propagates badly, a mask well."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.prompting.atlas.deformation import OUTSIDE, Deformed
from SegmentPropagateLib.prompting.atlas.fusion import Carried, Start, carry
from SegmentPropagateLib.prompting.atlas.grid import Body
from SegmentPropagateLib.prompting.landmarks.supports import Shown

_FAR = 1e4  # points of the lattice, beyond any volume
_LEAST = 1.0  # points of the lattice, of a part's length

Boxes = NDArray[np.float64]


def carried_by(boxes: Boxes, shown: Sequence[Shown], body: Body) -> Carried | None:
    """What finished cases carry to the boxes of a label's parts `(parts, 2, 3)`; None where they lie beside the volume.

    Growth along gray values settles the surface, as for the source `atlas`.
    """
    starts = []
    for it in shown:
        points = stretched(boxes, it.boxes, body.gray.shape)
        starts.append(Start(it.body, Deformed(points, np.full_like(body.gray, OUTSIDE))))
    return carry([it.outline for it in shown], starts, body.gray)


def stretched(found: Boxes, given: Boxes, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The template's points under a lattice of that shape, float32 `(3, *shape)`.

    Args:
        found: boxes of the parts in the volume, `(parts, 2, 3)`, from low to high along S.
        given: the same in the template.
        shape: of the volume's lattice.
    """
    bounds, bounds_given = (_bounds(boxes) for boxes in (found, given))
    along = np.arange(shape[0], dtype=np.float64)
    axes = [np.interp(along, bounds, bounds_given)[:, None, None]]
    middles = found[:, :, 0].mean(axis=1)
    for axis in (1, 2):
        sizes = [np.maximum(boxes[:, 1, axis] - boxes[:, 0, axis], _LEAST) for boxes in (found, given)]
        scale = np.interp(along, middles, sizes[1] / sizes[0])[:, None, None]
        center, center_given = (
            np.interp(along, middles, boxes[:, :, axis].mean(axis=1))[:, None, None] for boxes in (found, given)
        )
        across = np.arange(shape[axis], dtype=np.float64).reshape([-1 if axis == 1 else 1, -1 if axis == 2 else 1])
        axes.append((across - center) * scale + center_given)
    return np.stack(np.broadcast_arrays(*axes)).astype(np.float32)


def _bounds(boxes: Boxes) -> NDArray[np.float64]:
    """Where parts begin and end along S, ascending; beyond them nothing is stretched."""
    lows, highs = boxes[:, 0, 0], boxes[:, 1, 0]
    inner = (highs[:-1] + lows[1:]) / 2
    bounds = np.array([lows[0], *inner, highs[-1]])
    for number in range(1, len(bounds)):
        bounds[number] = max(bounds[number], bounds[number - 1] + _LEAST)
    return np.array([bounds[0] - _FAR, *bounds, bounds[-1] + _FAR])
