"""Extreme points of an outline, the box that they span, and the parts of a long organ."""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SegmentPropagateLib.prompting.atlas.fusion import Outline
from SegmentPropagateLib.prompting.atlas.grid import MM, Lattice

PARTS = 6
"""Most parts of a long organ along the body, as MedLAM's sub-patch localization has them."""
PART_MM = 60.0
"""Length of a part: two extreme points that are further apart say little of what bends between them."""

_LONG = 2.0  # parts' lengths from which on an organ is long

Points = NDArray[np.float64]


def surface_of(outline: Outline, lattice: Lattice) -> tuple[Points, Points]:
    """Voxels on the surface of an outline as points of the lattice, `(N, 3)`, and how far a voxel reaches, `(3,)`."""
    mask = np.pad(outline.mask, 1)
    edge = (mask & ~ndimage.binary_erosion(mask))[1:-1, 1:-1, 1:-1]
    matrix, offset = lattice.to_voxels(outline.geometry)
    back = np.linalg.inv(matrix)
    return (np.argwhere(edge) - offset) @ back.T, np.abs(back).sum(axis=1) / 2


def extreme_points(surface: Points, reach: Any = 0.0) -> Points:
    """Six points `(6, 3)`: low and high end along S, A and R, each in the middle of what lies as far out.

    Args:
        surface: `(N, 3)`, not empty.
        reach: of a voxel from its center, along S, A and R.
    """
    reach = np.broadcast_to(reach, 3)
    ends = []
    for axis in range(3):
        along = surface[:, axis]
        for end, side in ((along.min(), -1), (along.max(), 1)):
            point = np.median(surface[np.abs(along - end) <= max(reach[axis], 1e-6)], axis=0)
            point[axis] = end + side * reach[axis]
            ends.append(point)
    return np.array(ends)


def box_of(points: NDArray[Any]) -> Points:
    """Low and high corner `(..., 2, 3)` of the box that extreme points `(..., 6, 3)` span; ends that crossed change."""
    ends = np.stack([points[..., 2 * axis : 2 * axis + 2, axis] for axis in range(3)], axis=-1)
    return np.sort(np.asarray(ends, dtype=np.float64), axis=-2)


def parts_for(lengths: list[float]) -> int:
    """Into how many parts an organ is cut whose outlines are so long along the body, in points of the lattice."""
    length = MM * float(np.mean(lengths))
    return min(PARTS, ceil(length / PART_MM)) if length >= _LONG * PART_MM else 1


def parts_of(surface: Points, count: int) -> list[Points]:
    """The surface in so many stretches of equal length along S, the lowest first; in one where a stretch is empty."""
    along = surface[:, 0]
    bounds = np.linspace(along.min(), along.max(), count + 1)
    places = np.clip(np.searchsorted(bounds, along, side="right") - 1, 0, count - 1)
    parts = [surface[places == number] for number in range(count)]
    return parts if all(len(part) for part in parts) else [surface]
