"""The grid on which segments are written: proposals, locks and other segments sampled on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray

from SegmentPropagateLib.volumes.boxes import bounding_box, first_and_last
from SegmentPropagateSlicer.Scene.Labelmaps import (
    Labelmap,
    arrayOf,
    distinct,
    indexFromWorld,
    labelmapOf,
    nearestPlaces,
)
from SegmentPropagateSlicer.Scene.SliceGrid import SliceGrid
from SegmentPropagateSlicer.Scene.VolumeReader import worldFromLocal
from SegmentPropagateSlicer.Values.Proposal import Proposal

SLAB = 1 << 20
"""Voxels that are looked at in one step: 12 ms of a write."""
TILTED = 16
"""So many times as long a voxel takes where grids are tilted against each other."""
Extent = tuple[int, ...]
"""First and last index along i, j, k, as VTK has it."""


@dataclass(frozen=True, eq=False)
class Lattice:
    """A labelmap's grid in the coordinates of the segmentation node: matrix and a box of voxels."""

    worldFromIndex: NDArray[np.float64]
    matrix: vtk.vtkMatrix4x4
    extent: Extent

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(k, j, i)` of its box."""
        i0, i1, j0, j1, k0, k1 = self.extent
        return k1 - k0 + 1, j1 - j0 + 1, i1 - i0 + 1

    def part(self, box: tuple[slice, ...]) -> Lattice:
        """The same grid within a box, given as an index `(k, j, i)` of this one's arrays."""
        starts = zip(box[::-1], self.extent[::2], strict=True)
        return replace(self, extent=tuple(start + end for s, start in starts for end in (s.start, s.stop - 1)))

    def image(self, mask: NDArray[np.bool_]) -> slicer.vtkOrientedImageData:
        """A mask `(k, j, i)` that is not empty as a vtkOrientedImageData of zeros and ones, cut to its bounding box."""
        k, j, i = first_and_last(mask)
        extent = [start + index for start, ends in zip(self.extent[::2], (i, j, k), strict=True) for index in ends]
        image = slicer.vtkOrientedImageData()
        image.SetExtent(extent)
        image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
        image.SetImageToWorldMatrix(self.matrix)
        arrayOf(image)[...] = mask[tuple(slice(first, last + 1) for first, last in (k, j, i))]
        return image


def readVoxels(image: slicer.vtkOrientedImageData | None, label: int, extent: Extent) -> NDArray[np.bool_]:
    """Which voxels of an extent carry the label: bool `(k, j, i)`."""
    found = np.zeros([extent[2 * axis + 1] - extent[2 * axis] + 1 for axis in (2, 1, 0)], dtype=bool)
    if image is None:
        return found
    common = intersectionOfExtents(extent, image.GetExtent())
    if common is not None:
        found[indexOfExtent(common, extent)] = arrayOf(image)[indexOfExtent(common, image.GetExtent())] == label
    return found


def isStoredOn(segmentationNode: slicer.vtkMRMLSegmentationNode, segmentId: str, lattice: Lattice) -> bool:
    """Whether a segment is a labelmap on that grid, or empty."""
    if not segmentationNode.GetSegmentation().IsSourceRepresentationImageData():
        return False
    return isOnGrid(labelmapOf(segmentationNode, segmentId), lattice)


def isOnGrid(labelmap: Labelmap, lattice: Lattice) -> bool:
    """Whether a labelmap has the grid of a lattice, or is empty."""
    image, _label = labelmap
    if image is None:
        return True
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    own, its = slicer.util.arrayFromVTKMatrix(matrix), slicer.util.arrayFromVTKMatrix(lattice.matrix)
    return bool(np.abs(own - its).max() <= 1e-6)  # a quarter of the time of `allclose`, and asked often


def voxelsOfSlices(lattice: Lattice, stacks: Iterable[tuple[SliceGrid, Sequence[int]]]) -> NDArray[np.bool_]:
    """Which voxels of the lattice lie on slices, given as `(SliceGrid, slice indices)`: bool `(k, j, i)`."""
    found = np.zeros(lattice.shape, dtype=bool)
    for grid, indices in stacks:
        if not len(indices):
            continue
        wanted = np.zeros(grid.count, dtype=bool)
        wanted[list(indices)] = True
        for k, ((s, _row, _column), inside) in enumerate(placesInVolume(lattice, grid)):
            found[k] |= inside & wanted[s]
    return found


def voxelsHeldBy(
    segmentationNode: slicer.vtkMRMLSegmentationNode, labelmap: Labelmap, lattice: Lattice
) -> NDArray[np.bool_]:
    """What a labelmap, maybe with a grid of its own, holds on the lattice: bool `(k, j, i)`, nearest voxel."""
    image, label = labelmap
    if image is None:
        return np.zeros(lattice.shape, dtype=bool)
    return _valuesOn(segmentationNode, image, lattice) == label


def holdersOf(
    segmentationNode: slicer.vtkMRMLSegmentationNode,
    segmentIds: Iterable[str],
    lattice: Lattice,
    where: NDArray[np.bool_],
) -> Iterator[tuple[str, Lattice, NDArray[np.bool_]]]:
    """Which segments hold some of the voxels `where`, bool `(k, j, i)`: most hold none, and each labelmap is read once.

    Yields:
        segmentId, the part of the lattice around what the segment holds there, and that: bool `(k, j, i)`.
    """
    box = bounding_box(where)
    if box is None:
        return
    part = lattice.part(box)
    for image, labels in _sharers(segmentationNode, segmentIds).items():
        values = _valuesOn(segmentationNode, image, part)
        values *= where[box]
        present = set(distinct(values[values != 0]))
        for segmentId, label in labels:
            if label in present:
                held = values == label
                own = bounding_box(held) or ()
                yield segmentId, part.part(own), held[own]


def voxelsHeldByAny(
    segmentationNode: slicer.vtkMRMLSegmentationNode, segmentIds: Iterable[str], lattice: Lattice
) -> NDArray[np.bool_]:
    """What any of some segments holds on the lattice: bool `(k, j, i)`; each labelmap is read once."""
    found = np.zeros(lattice.shape, dtype=bool)
    for image, labels in _sharers(segmentationNode, segmentIds).items():
        found |= np.isin(_valuesOn(segmentationNode, image, lattice), [label for _segmentId, label in labels])
    return found


def _sharers(
    segmentationNode: slicer.vtkMRMLSegmentationNode, segmentIds: Iterable[str]
) -> dict[slicer.vtkOrientedImageData, list[tuple[str, int]]]:
    """Labelmap -> IDs and labels of those of the segments that it holds."""
    sharers: dict[slicer.vtkOrientedImageData, list[tuple[str, int]]] = {}
    for segmentId in segmentIds:
        image, label = labelmapOf(segmentationNode, segmentId)
        if image is not None:
            sharers.setdefault(image, []).append((segmentId, label))
    return sharers


def _valuesOn(
    segmentationNode: slicer.vtkMRMLSegmentationNode, image: slicer.vtkOrientedImageData, lattice: Lattice
) -> NDArray[Any]:
    """A labelmap's values on the lattice, 0 beyond it: `(k, j, i)`, nearest voxel where its grid is another one."""
    values = arrayOf(image)
    found = np.zeros(lattice.shape, dtype=values.dtype)
    if isOnGrid((image, 0), lattice):  # as a rule, and ten times as fast
        common = intersectionOfExtents(lattice.extent, image.GetExtent())
        if common is not None:
            found[indexOfExtent(common, lattice.extent)] = values[indexOfExtent(common, image.GetExtent())]
        return found
    matrix = indexFromWorld(segmentationNode, image) @ lattice.worldFromIndex
    matrix[:3, 3] -= image.GetExtent()[::2]
    i0, i1, j0, j1, k0, k1 = lattice.extent
    axes = np.arange(j0, j1 + 1)[:, None], np.arange(i0, i1 + 1)[None, :]
    for k in range(k0, k1 + 1):
        steps = np.c_[matrix[:3, 1], matrix[:3, 0], matrix[:3, 2] * k + matrix[:3, 3]]
        (i, j, slab), inside = nearestPlaces(steps, axes, values.shape[::-1])
        found[k - k0] = values[slab, j, i] * inside
    return found


def maskOn(
    segmentationNode: slicer.vtkMRMLSegmentationNode,
    image: slicer.vtkOrientedImageData,
    lattice: Lattice,
    mask: NDArray[np.bool_],
) -> tuple[Lattice, NDArray[np.bool_]] | None:
    """A mask of a lattice, bool `(k, j, i)`, on a labelmap's grid, nearest voxel; None where they do not meet."""
    box = bounding_box(mask)
    if box is None:
        return None
    part, matrix = lattice.part(box), vtk.vtkMatrix4x4()
    if isOnGrid((image, 0), lattice):
        common = intersectionOfExtents(part.extent, image.GetExtent())
        return (replace(part, extent=common), mask[indexOfExtent(common, lattice.extent)]) if common else None
    image.GetImageToWorldMatrix(matrix)
    world = worldFromLocal(segmentationNode) @ slicer.util.arrayFromVTKMatrix(matrix)
    ends = [(low - 0.5, high + 0.5) for low, high in zip(part.extent[::2], part.extent[1::2], strict=True)]
    around = _extentAround(np.linalg.inv(world) @ part.worldFromIndex, ends)
    common = intersectionOfExtents(around, image.GetExtent())
    if common is None:
        return None
    own = Lattice(world, matrix, common)
    return own, _valuesOn(segmentationNode, part.image(mask[box]), own) > 0


def placesInVolume(lattice: Lattice, grid: SliceGrid) -> Iterator[tuple[list[NDArray[np.int32]], NDArray[np.bool_]]]:
    """Per k of the lattice: slice, row and column, broadcasting to `(j, i)`, and where these are in the volume."""
    matrix = np.linalg.inv(grid.worldFromSlice) @ lattice.worldFromIndex
    i0, i1, j0, j1, k0, k1 = lattice.extent
    axes = np.arange(j0, j1 + 1)[:, None], np.arange(i0, i1 + 1)[None, :]
    for k in range(k0, k1 + 1):
        steps = np.c_[matrix[:3, 1], matrix[:3, 0], matrix[:3, 2] * k + matrix[:3, 3]]
        yield nearestPlaces(steps, axes, (grid.count, *grid.shape))


class Sampler:
    """Proposals of one segment, to be looked up on lattices, nearest voxel.

    Args:
        grid: the slices that they are on.
        proposals: slice index -> `Proposal`.
    """

    def __init__(self, grid: SliceGrid, proposals: Mapping[int, Proposal]) -> None:
        self._grid, self._proposals = grid, proposals

    def sample(self, lattice: Lattice) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """The mask on a lattice, and where there is a proposal at all: bool `(k, j, i)` twice."""
        new, inSlices = np.zeros(lattice.shape, dtype=bool), np.zeros(lattice.shape, dtype=bool)
        straight = _placesAlongAxes(lattice, self._grid)
        if straight is not None:
            _fillStraight((new, inSlices), straight, self._grid, self._proposals)
            return new, inSlices
        known = np.zeros(self._grid.count, dtype=bool)
        known[list(self._proposals)] = True
        (s0, row0, column0), stack = self._stack
        for k, ((s, row, column), inside) in enumerate(placesInVolume(lattice, self._grid)):
            inSlices[k] = inside & known[s]
            places, isIn = [s - s0, row - row0, column - column0], inSlices[k].copy()
            for place, size in zip(places, stack.shape, strict=True):
                isIn &= (place >= 0) & (place < size)
                np.clip(place, 0, size - 1, out=place)
            new[k] = stack[tuple(places)] & isIn
        return new, inSlices

    @cached_property
    def _stack(self) -> tuple[tuple[int, int, int], NDArray[np.bool_]]:
        """All of them in one array, no larger than what they hold, and where its first voxel is."""
        full = {index: proposal for index, proposal in self._proposals.items() if proposal.area}
        if not full:
            return (0, 0, 0), np.zeros((1, 1, 1), dtype=bool)
        first, places = min(full), [proposal.place for proposal in full.values()]
        starts = [min(place[axis].start for place in places) for axis in (0, 1)]
        sizes = [max(place[axis].stop for place in places) - starts[axis] for axis in (0, 1)]
        stack = np.zeros((max(full) + 1 - first, *sizes), dtype=bool)
        for index, proposal in full.items():
            rows, columns = (slice(s.start - n, s.stop - n) for s, n in zip(proposal.place, starts, strict=True))
            stack[index - first, rows, columns] = proposal.box
        return (first, starts[0], starts[1]), stack


def _fillStraight(
    arrays: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    straight: Sequence[tuple[int, NDArray[np.int64]]],
    grid: SliceGrid,
    proposals: Mapping[int, Proposal],
) -> None:
    """Fill the arrays of `Sampler.sample` where `_placesAlongAxes` is known: a proposal at a time, and no stack."""
    axes, (slices, *across) = zip(*straight, strict=True)
    new, inSlices = (array.transpose(axes) for array in arrays)
    within = [np.flatnonzero((p >= 0) & (p < size)) for p, size in zip(across, grid.shape, strict=True)]
    if not all(len(indices) for indices in within):
        return
    rows, columns = (_asSlice(p[indices]) for p, indices in zip(across, within, strict=True))
    inside = tuple(_asSlice(indices) for indices in within)
    layer = np.zeros(grid.shape, dtype=bool)
    for n, index in enumerate(slices.tolist()):
        proposal = proposals.get(index)
        if proposal is not None:
            inSlices[n][inside] = True
            layer[proposal.place] = proposal.box
            new[n][inside] = layer[rows][:, columns]
            layer[proposal.place] = False


def slabsOf(lattice: Lattice, grid: SliceGrid) -> list[Lattice]:
    """The lattice in pieces of `SLAB` voxels, one after another along k: new memory for all of it takes longest.

    Of fewer where the grids are tilted against each other: each voxel has to be looked up.
    """
    layers, rows, columns = lattice.shape
    size = SLAB // TILTED if _placesAlongAxes(lattice, grid) is None else SLAB
    step = max(1, size // (rows * columns))
    return [lattice.part((slice(k, min(k + step, layers)), slice(0, rows), slice(0, columns)))
            for k in range(0, layers, step)]  # fmt: skip


def _asSlice(indices: NDArray[np.int64]) -> slice | NDArray[np.int64]:
    """Indices as a slice where they follow one another: an array is indexed so many times as fast."""
    return slice(int(indices[0]), int(indices[-1]) + 1) if (np.diff(indices) == 1).all() else indices


def _placesAlongAxes(lattice: Lattice, grid: SliceGrid) -> list[tuple[int, NDArray[np.int64]]] | None:
    """Of slice, row and column: the axis of the lattice's arrays that it runs along, and its nearest index there.

    None where the grids are tilted against each other. An index may lie beyond the volume.
    """
    matrix = np.linalg.inv(grid.worldFromSlice) @ lattice.worldFromIndex
    runs = np.abs(matrix[:3, :3]) * lattice.shape[::-1] > 1e-6  # else rounding noise of a parallel grid
    if not ((runs.sum(axis=0) == 1).all() and (runs.sum(axis=1) == 1).all()):
        return None
    found = []
    for steps, column in zip(matrix[:3], runs.argmax(axis=1).tolist(), strict=True):
        indices = np.arange(lattice.extent[2 * column], lattice.extent[2 * column + 1] + 1)
        found.append((2 - column, np.floor(steps[column] * indices + steps[3] + 0.5).astype(np.int64)))
    return found


def extentOfProposals(world: NDArray[np.float64], grid: SliceGrid, proposals: Mapping[int, Proposal]) -> Extent | None:
    """Extent around all proposed pixels; None when every proposal is empty."""
    full = {index: proposal for index, proposal in proposals.items() if proposal.area}
    if not full:
        return None
    places = [proposal.place for proposal in full.values()]
    bounds = [(min(full), max(full))]
    bounds += [(min(p[axis].start for p in places), max(p[axis].stop for p in places) - 1) for axis in (0, 1)]
    return _extentOfBounds(world, grid, bounds)


def extentOfSlab(world: NDArray[np.float64], grid: SliceGrid, first: int, last: int) -> Extent:
    """Extent around the slices from first to last."""
    return _extentOfBounds(world, grid, [(first, last), (0, grid.shape[0] - 1), (0, grid.shape[1] - 1)])


def _extentOfBounds(world: NDArray[np.float64], grid: SliceGrid, bounds: Sequence[tuple[int, int]]) -> Extent:
    """Extent on a lattice of a box of `(slice, row, column)` voxels, borders included."""
    return _extentAround(np.linalg.inv(world) @ grid.worldFromSlice, [(low - 0.5, high + 0.5) for low, high in bounds])


def _extentAround(matrix: NDArray[np.float64], ends: Sequence[tuple[float, float]]) -> Extent:
    """Extent of the voxels whose centers lie in a box, given by its ends and a matrix from there to their indices."""
    corners = np.stack(np.meshgrid(*ends), -1).reshape(-1, 3)
    index = (np.c_[corners, np.ones(8)] @ matrix.T)[:, :3]
    low, high = np.ceil(index.min(axis=0) - 1e-6), np.floor(index.max(axis=0) + 1e-6)
    return tuple(int(value) for pair in zip(low, high, strict=True) for value in pair)


def effectiveExtent(image: slicer.vtkOrientedImageData, label: int, within: Extent | None) -> Extent | None:
    """Extent of the voxels that carry the label, looking within an extent; None when there are none."""
    if within is None:
        return None
    values = arrayOf(image)[indexOfExtent(within, image.GetExtent())]
    flat, planes = np.zeros(values.shape[1:], dtype=bool), np.zeros(len(values), dtype=bool)
    for k, plane in enumerate(values):  # a plane at a time: no second copy of a whole labelmap
        found = plane == label
        planes[k] = found.any()
        flat |= found
    used = [np.flatnonzero(axis) for axis in (flat.any(axis=0), flat.any(axis=1), planes)]  # i, j, k
    if not planes.any():
        return None
    return tuple(int(start + edge) for start, u in zip(within[::2], used, strict=True) for edge in (u[0], u[-1]))


def unionOfExtents(one: Extent | None, other: Extent | None) -> Extent | None:
    """Extent around both, of which one may be None."""
    if one is None or other is None:
        return one or other
    return tuple(f(a, b) for a, b, f in zip(one, other, (min, max) * 3, strict=True))


def intersectionOfExtents(one: Extent | None, other: Extent | None) -> Extent | None:
    """What two extents share; None when nothing."""
    if one is None or other is None:
        return None
    both = tuple(f(a, b) for a, b, f in zip(one, other, (max, min) * 3, strict=True))
    return both if all(both[2 * axis] <= both[2 * axis + 1] for axis in range(3)) else None


def indexOfExtent(extent: Extent, within: Extent) -> tuple[slice, slice, slice]:
    """Index `(k, j, i)` of an extent in an array that starts at the beginning of another."""
    k, j, i = (slice(extent[2 * a] - within[2 * a], extent[2 * a + 1] - within[2 * a] + 1) for a in (2, 1, 0))
    return k, j, i
