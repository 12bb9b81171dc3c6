"""A carried label on the voxels of the volume: as exact as its templates' outlines are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SegmentPropagateLib.prompting.atlas.fusion import Carried
from SegmentPropagateLib.prompting.atlas.grid import Lattice
from SegmentPropagateLib.prompting.atlas.sampling import Corners, on_slice, warped
from SegmentPropagateLib.volumes.geometry import Geometry

_SURE = 1e-3  # a soft mask nearer to 0 or 1 needs no second look
_SLIVER = 0.1  # of the largest part: smaller ones are what a bad fit tears off
_EXACT = 0.5  # trust from which on even a small part is the template's own

Image = NDArray[np.float32]
Box = tuple[slice, ...]


def draw(carried: Carried, lattice: Lattice, geometry: Geometry) -> tuple[NDArray[np.bool_], Box]:
    """The label's voxels, bool, within a box of the volume's array; the box may be empty.

    The grid's soft mask decides away from the surface. Near it the templates' own voxels are looked up, so that a
    template that fits exactly gives its own outline.
    """
    soft = _without_slivers(carried)
    settled = soft - (carried.weights * carried.each).sum(axis=0)  # what growth has changed
    start = np.array([span.start for span in carried.box])
    matrix, offset = lattice.to_voxels(geometry)
    box = _voxels_over(carried.box, matrix, offset, geometry.shape_kji)
    back = np.linalg.inv(matrix)
    looked_up = _LookedUp(carried, settled)
    mask = np.zeros([span.stop - span.start for span in box], dtype=bool)
    rows, columns = (np.arange(span.start, span.stop, dtype=np.float64) for span in box[1:])
    for k, plane in enumerate(mask, start=box[0].start):
        index = np.stack(np.broadcast_arrays(float(k), rows[:, None], columns)) - offset[:, None, None]
        points = (np.tensordot(back, index, 1) - start[:, None, None]).astype(np.float32)
        value = on_slice(soft[None], points)[0]
        plane[...] = value > 0.5
        unsure = (value > _SURE) & (value < 1 - _SURE)
        if unsure.any():
            plane[unsure] = looked_up.at(points[:, unsure]) > 0.5
    return mask, box


class _LookedUp:
    """The weighted mean of the templates' voxels, and what growth has changed of it.

    Args:
        carried: the label.
        settled: what growth has changed, float32, of the carried box.
    """

    def __init__(self, carried: Carried, settled: Image) -> None:
        self._carried, self._settled = carried, settled[..., None]
        self._fields = [
            np.stack([*(axis[carried.box] for axis in start.deformed.points), weight], axis=-1)
            for start, weight in zip(carried.starts, carried.weights, strict=True)
        ]

    def at(self, points: Image) -> Image:
        """At points of the carried box, float32 `(3, N)`."""
        corners = Corners.around(points, self._settled.shape[:3])
        total = corners.of(self._settled)[:, 0]
        for start, outline, field in zip(self._carried.starts, self._carried.outlines, self._fields, strict=True):
            matrix, offset = start.body.lattice.to_voxels(outline.geometry)
            *there, weight = corners.of(field).T
            voxels = (matrix @ np.stack(there) + offset[:, None]).astype(np.float32)
            total += weight * warped(outline.mask.view(np.uint8), voxels, "grid-constant")
        return total


def _without_slivers(carried: Carried) -> Image:
    parts, count = ndimage.label(carried.soft > 0.5)
    if count < 2:
        return carried.soft
    numbers = np.arange(1, count + 1)
    sizes = ndimage.sum_labels(np.ones_like(parts), parts, numbers)
    torn = numbers[(sizes < _SLIVER * sizes.max()) & (ndimage.mean(carried.trust, parts, numbers) < _EXACT)]
    around = ndimage.grey_dilation(np.where(np.isin(parts, torn), parts, 0), (3, 3, 3)) > 0
    return np.where(around & ~np.isin(parts, np.setdiff1d(numbers, torn)), 0, carried.soft)


def _voxels_over(box: Box, matrix: NDArray[np.float64], offset: NDArray[np.float64], shape: tuple[int, ...]) -> Box:
    """The voxels over a box of the lattice, and a point further: the field of view may end between two points."""
    faces = [(span.start - 1.0, float(span.stop)) for span in box]
    corners = np.stack([axis.ravel() for axis in np.meshgrid(*faces)])
    voxels = matrix @ corners + offset[:, None]
    low = np.clip(np.ceil(voxels.min(axis=1)), 0, shape).astype(int)
    high = np.clip(np.floor(voxels.max(axis=1)) + 1, low, shape).astype(int)
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
