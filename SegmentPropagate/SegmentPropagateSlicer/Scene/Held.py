"""What the segments held at a moment, to tell what was drawn since."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray

from SegmentPropagateSlicer.Scene.Labelmaps import Labelmap, arrayOf, distinct, labelmapOf, segmentOf, stampOf
from SegmentPropagateSlicer.Scene.Lattice import (
    Extent,
    Lattice,
    indexOfExtent,
    intersectionOfExtents,
    isOnGrid,
    placesInVolume,
    unionOfExtents,
    voxelsHeldBy,
)
from SegmentPropagateSlicer.Scene.PromptReader import PromptReader
from SegmentPropagateSlicer.Scene.SliceGrid import SliceGrid
from SegmentPropagateSlicer.Scene.VolumeReader import worldFromLocal
from SegmentPropagateSlicer.Values.Pieces import finished

SLAB = 16
"""Layers that are looked at together: one by one, asking where they lie takes longer than looking."""

FEW = 1 << 20
"""Voxels that are looked at sooner than it is found out which of the labelmap's are others."""

ATTEMPTS = 2
"""To do something in steps, before it is done in one: she may go on drawing for as long as she likes."""

LENT = "SegmentPropagate.Lent"
"""Tag of a segment that names its loans. Undo brings tags back with the voxels, so it always says which are there."""


Share = TypeVar("Share")
Result = TypeVar("Result")
Rows = dict[int, tuple[int, ...]]
"""Layer k -> first and last row."""


@dataclass(frozen=True, eq=False)
class Loan:
    """Voxels of a proposal that were put into a segment to be drawn upon.

    Args:
        lattice: where.
        added: bool `(k, j, i)`, voxels that the segment did not hold.
        removed: bool `(k, j, i)`, voxels that it held.
        asked: `(plane, slice)` where the user has asked for it; else it goes back when it is not drawn upon.
    """

    lattice: Lattice
    added: NDArray[np.bool_]
    removed: NDArray[np.bool_]
    asked: tuple[str, int] | None = None

    def applyTo(self, voxels: NDArray[np.bool_], extent: Extent, back: bool = False) -> None:
        """Change voxels of an extent of the same grid as the loan did, or as if it had been given back."""
        common = intersectionOfExtents(extent, self.lattice.extent)
        if common is None:
            return
        own = indexOfExtent(common, self.lattice.extent)
        added, removed = (self.removed[own], self.added[own]) if back else (self.added[own], self.removed[own])
        part = voxels[indexOfExtent(common, extent)]
        part |= added
        part &= ~removed


class Held:
    """A copy of a segmentation's labelmaps; those that segments share are copied once.

    What was lent to a segment since counts as held, as nobody has drawn it.

    Args:
        segmentationNode: vtkMRMLSegmentationNode, stored as labelmaps.
    """

    def __init__(self, segmentationNode: slicer.vtkMRMLSegmentationNode) -> None:
        self.segmentationNode = segmentationNode
        self._labelmaps: dict[str, Labelmap] = {}
        self._stamps: dict[str, tuple[object, ...]] = {}
        self._loans: dict[str, Loan] = {}
        self._compared: tuple[tuple[object, ...], Rows] | None = None  # see `_compare`
        copies: dict[slicer.vtkOrientedImageData, slicer.vtkOrientedImageData] = {}
        for segmentId in segmentationNode.GetSegmentation().GetSegmentIDs():
            image, label = labelmapOf(segmentationNode, segmentId)
            self._stamps[segmentId] = stampOf((image, label))
            if image is None:
                continue
            if image not in copies:
                copies[image] = slicer.vtkOrientedImageData()
                copies[image].DeepCopy(image)
            self._labelmaps[segmentId] = copies[image], label

    @property
    def segmentIds(self) -> tuple[str, ...]:
        """The segments that there were, and are still there."""
        return tuple(i for i in self.segmentationNode.GetSegmentation().GetSegmentIDs() if i in self._stamps)

    def isUntouched(self, segmentId: str) -> bool:
        """Whether nobody can have drawn on a segment; False where it is not certain."""
        return self._stamps.get(segmentId) == stampOf(labelmapOf(self.segmentationNode, segmentId))

    # ---- loans --------------------------------------------------------------------------------------------------

    def loans(self, segmentId: str) -> dict[str, Loan]:
        """Name -> loan of those that a segment has now, in the order they were given."""
        reference = vtk.reference("")
        segment = self.segmentationNode.GetSegmentation().GetSegment(segmentId)
        named = str(reference).split() if segment is not None and segment.GetTag(LENT, reference) else ()
        return {name: self._loans[name] for name in named if name in self._loans}

    def noteLoan(self, segmentId: str, loan: Loan) -> None:
        """A loan has been put into a segment."""
        name = uuid.uuid4().hex
        self._loans[name] = loan
        segmentOf(self.segmentationNode, segmentId).SetTag(LENT, " ".join([*self.loans(segmentId), name]))

    def noteReturn(self, segmentId: str, name: str) -> None:
        """A loan has been given back, or is the segment's own from now on."""
        left = [known for known in self.loans(segmentId) if known != name]
        segment = segmentOf(self.segmentationNode, segmentId)
        if left:
            segment.SetTag(LENT, " ".join(left))
        else:
            segment.RemoveTag(LENT)

    def forgetLoans(self) -> None:
        """What is lent still is the segments' own from now on."""
        for segmentId in self.segmentIds:
            for name in self.loans(segmentId):
                self.noteReturn(segmentId, name)

    # ---- what was drawn -----------------------------------------------------------------------------------------

    def drawn(self, segmentId: str, lattice: Lattice) -> NDArray[np.bool_]:
        """Where a segment holds something else than then, on a lattice: bool `(k, j, i)`."""
        found = np.zeros(lattice.shape, dtype=bool)
        if self.isUntouched(segmentId):
            return found
        labelmaps = labelmapOf(self.segmentationNode, segmentId), self._labelmaps.get(segmentId, (None, 0))
        if found.size <= FEW or not all(isOnGrid(labelmap, lattice) for labelmap in labelmaps):
            return self._drawnIn(segmentId, lattice)
        for box in self._changed(segmentId):
            common = intersectionOfExtents(box.extent, lattice.extent)
            if common is not None:
                found[indexOfExtent(common, lattice.extent)] = self._drawnIn(segmentId, replace(box, extent=common))
        return found

    def _drawnIn(self, segmentId: str, lattice: Lattice) -> NDArray[np.bool_]:
        """The same, voxel by voxel."""
        now, then = labelmapOf(self.segmentationNode, segmentId), self._labelmaps.get(segmentId, (None, 0))
        before = voxelsHeldBy(self.segmentationNode, then, lattice)
        for loan in self.loans(segmentId).values():
            if np.allclose(loan.lattice.worldFromIndex, lattice.worldFromIndex, rtol=0, atol=1e-6):
                loan.applyTo(before, lattice.extent)
        return voxelsHeldBy(self.segmentationNode, now, lattice) ^ before

    def isDrawn(self, grid: SliceGrid, segmentId: str, sliceIndex: int) -> bool:
        """Whether a segment holds something else than then on a slice."""
        if self.isUntouched(segmentId):
            return False
        if self.loans(segmentId):
            return sliceIndex in self.drawnSlices(grid, segmentId)
        reader = PromptReader(grid)
        now = reader.segmentMask(self.segmentationNode, segmentId, sliceIndex)
        before = reader.labelmapMask(self.segmentationNode, self._labelmaps.get(segmentId, (None, 0)), sliceIndex)
        return not np.array_equal(now, before)

    def drawnSlices(self, grid: SliceGrid, segmentId: str) -> Sequence[int]:
        """Slices that a segment holds something else on than then, ascending."""
        return finished(self.findingDrawn(grid, segmentId))

    def findingDrawn(self, grid: SliceGrid, segmentId: str) -> Generator[None, None, Sequence[int]]:
        """The same a piece at a time, as all of the labelmap is looked at."""
        found: set[int] = set()
        if not self.isUntouched(segmentId):
            yield from self._compare(segmentId)
        for lattice in self._changed(segmentId):
            drawn = self._drawnIn(segmentId, lattice)
            for k in np.flatnonzero(drawn.any(axis=(1, 2))):
                layer = replace(lattice, extent=(*lattice.extent[:4], *[lattice.extent[4] + int(k)] * 2))
                (s, _row, _column), inside = next(placesInVolume(layer, grid))
                found.update(distinct(np.broadcast_to(s, drawn[k].shape)[drawn[k] & inside]))
            yield
        return sorted(found)

    def _changed(self, segmentId: str) -> Iterator[Lattice]:
        """Boxes that hold all of a segment's labelmap that is not as it was then."""
        now, label = labelmapOf(self.segmentationNode, segmentId)
        then, labelThen = self._labelmaps.get(segmentId, (None, 0))
        image = now or then
        if image is None or self.isUntouched(segmentId):
            return
        matrix = vtk.vtkMatrix4x4()
        image.GetImageToWorldMatrix(matrix)
        world = worldFromLocal(self.segmentationNode) @ slicer.util.arrayFromVTKMatrix(matrix)
        extent = unionOfExtents(image.GetExtent(), then.GetExtent() if then is not None else None) or ()
        if now is not None and then is not None and label == labelThen:
            boxes = [(*extent[:2], *rows, k, k) for k, rows in finished(self._compare(segmentId)).items()]
        else:  # stored otherwise than then: each voxel is asked
            firsts = range(extent[4], extent[5] + 1, SLAB)
            boxes = [(*extent[:4], k, min(k + SLAB - 1, extent[5])) for k in firsts]
        boxes += [loan.lattice.extent for loan in self.loans(segmentId).values()]  # erased: as it was then, yet drawn
        for box in boxes:
            yield Lattice(world, matrix, box)

    def _compare(self, segmentId: str) -> Generator[None, None, Rows]:
        """On which rows its labelmap is not as it was then, where both have one value for it; kept for others in it."""
        (now, label), (then, labelThen) = (
            labelmapOf(self.segmentationNode, segmentId),
            self._labelmaps.get(segmentId, (None, 0)),
        )
        if now is None or then is None or label != labelThen:
            return {}
        stamp = (now.GetAddressAsString(""), now.GetMTime(), then.GetAddressAsString(""))
        if self._compared is None or self._compared[0] != stamp:
            rows = yield from findingChangedRows(now, then)
            self._compared = stamp, rows
        return self._compared[1]


def findingChangedRows(
    now: slicer.vtkOrientedImageData, then: slicer.vtkOrientedImageData
) -> Generator[None, None, Rows]:
    """First and last row on which two images of one grid differ, by layer k; 0 is what is beyond an image."""
    found: Rows = {}
    extents = now.GetExtent(), then.GetExtent()
    common, whole = intersectionOfExtents(*extents), unionOfExtents(*extents) or ()
    parts = [
        arrayOf(i)[indexOfExtent(common, e)] if common else None for i, e in zip((now, then), extents, strict=True)
    ]
    if common is not None and parts[0] is not None and parts[1] is not None:
        for k, (one, other) in enumerate(zip(*parts, strict=True), start=common[4]):
            if not _areSame(one, other):
                rows = np.flatnonzero((one != other).any(axis=1))
                found[k] = common[2] + int(rows[0]), common[2] + int(rows[-1])
            yield
    for image, extent, part in zip((now, then), extents, parts, strict=True):
        if extent == common:
            continue
        for k, layer in enumerate(arrayOf(image), start=extent[4]):
            inside = part[k - common[4]] if part is not None and common and common[4] <= k <= common[5] else layer[:0]
            if inside.shape != layer.shape and np.count_nonzero(layer) != np.count_nonzero(inside):
                found[k] = whole[2:4]
            yield
    return found


def _areSame(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Whether two layers are equal; eight bytes at a time where that can be, as all of both are looked at."""
    isWhole = all(layer.flags.c_contiguous and layer.nbytes % 8 == 0 for layer in (one, other))
    if isWhole and one.dtype == other.dtype:
        return np.array_equal(one.reshape(-1).view(np.uint64), other.reshape(-1).view(np.uint64))
    return np.array_equal(one, other)


def stampOfSegments(segmentationNode: slicer.vtkMRMLSegmentationNode) -> tuple[object, ...]:
    """What is equal as long as nobody can have changed what the segments hold."""
    ids = segmentationNode.GetSegmentation().GetSegmentIDs()
    return tuple((i, *stampOf(labelmapOf(segmentationNode, i))) for i in ids)


def asLongAsUntouched(
    segmentationNode: slicer.vtkMRMLSegmentationNode, steps: Generator[Share, None, Result]
) -> Generator[Share, None, Result | None]:
    """Go through steps; returns what they return, or None as soon as a segment has changed between two of them."""
    stamp = stampOfSegments(segmentationNode)
    while stamp == stampOfSegments(segmentationNode):
        try:
            share = next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        yield share
    return None


def undisturbed(
    segmentationNode: slicer.vtkMRMLSegmentationNode, begin: Callable[[], Generator[Share, None, Result]]
) -> Generator[Share, None, Result]:
    """Go through steps, and begin anew where a segment has changed between two of them; the last time all at once."""
    for _attempt in range(ATTEMPTS):
        found = yield from asLongAsUntouched(segmentationNode, begin())
        if found is not None:
            return found
    return finished(begin())
