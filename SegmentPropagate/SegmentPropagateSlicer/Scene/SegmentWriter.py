"""Writing slices into segments: the segments' own grid, masking and overwrite mode obeyed, one undo step."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray

from SegmentPropagateSlicer.Scene.Composition import Change, Composition
from SegmentPropagateSlicer.Scene.EditRules import EditRules
from SegmentPropagateSlicer.Scene.Held import Loan, undisturbed
from SegmentPropagateSlicer.Scene.Kept import Kept, leaveOut
from SegmentPropagateSlicer.Scene.Labelmaps import Labelmap, labelmapOf, referenceOf
from SegmentPropagateSlicer.Scene.Lattice import (
    Lattice,
    Sampler,
    effectiveExtent,
    extentOfProposals,
    extentOfSlab,
    holdersOf,
    indexOfExtent,
    intersectionOfExtents,
    isStoredOn,
    readVoxels,
    slabsOf,
    unionOfExtents,
)
from SegmentPropagateSlicer.Scene.SliceGrid import SliceGrid
from SegmentPropagateSlicer.Scene.VolumeReader import worldFromLocal
from SegmentPropagateSlicer.Scene.Voxels import Voxels
from SegmentPropagateSlicer.Scene.Written import Written
from SegmentPropagateSlicer.Values.Pieces import finished
from SegmentPropagateSlicer.Values.Proposal import Proposal

COMPARING = 0.6
"""Share of the time that it takes to find out what changes."""

Steps = Generator[float, None, dict[str, int]]
"""Yields how much is done, 0..1; returns segmentId -> number of voxels changed."""
Snapshot = dict[str, tuple[Lattice, NDArray[np.bool_]]]
"""segmentId -> what it held on a slice, in its own grid."""


@dataclass(frozen=True)
class Prepared:
    """What is going to be written.

    Args:
        changes: segmentId -> `Change`; none of them is empty.
        composition: the labelmaps that they make.
    """

    changes: Mapping[str, Change]
    composition: Composition


class SegmentWriter:
    """The only place that changes the user's segments.

    What changes is written as voxels to add and voxels to remove. The Segment Editor's own
    `ModifySegmentByLabelmap` would not do: setting with an extent replaces the whole segment, overwriting would cut
    other segments where this one has voxels outside the range, and removing under a mask "inside single segment"
    ignores the mask and adds to the mask segment.
    """

    def __init__(self) -> None:
        self._history = slicer.vtkSegmentationHistory()
        self._rules = EditRules()
        self._saveState: Callable[[], object] | None = None
        self._isInStep = False
        self._written: Written | None = None

    @property
    def isUndone(self) -> bool:
        """Whether nothing is left of what was written last."""
        return self._written is not None and not self._written.isThere

    def setEditor(
        self,
        editorNode: slicer.vtkMRMLSegmentEditorNode | None,
        saveStateForUndo: Callable[[], object] | None = None,
    ) -> None:
        """Whose masking and overwrite mode to obey, and who keeps the undo history; see `SegmentPropagateLogic`."""
        self._rules, self._saveState = EditRules(editorNode), saveStateForUndo

    @property
    def allowsOverlap(self) -> bool:
        """Whether the editor lets segments overlap."""
        return self._rules.allowsOverlap

    def write(
        self,
        segmentationNode: slicer.vtkMRMLSegmentationNode,
        volumeNode: slicer.vtkMRMLScalarVolumeNode,
        grid: SliceGrid,
        slices: Mapping[str, Mapping[int, Proposal]],
        kept: Kept | None = None,
    ) -> dict[str, int]:
        """Give segments these slices; every other voxel of theirs stays as it is.

        Args:
            segmentationNode: the segmentation.
            volumeNode: the volume that the slices belong to, whose intensities masking by intensity asks.
            grid: its `SliceGrid`.
            slices: segmentId -> slice index -> `Proposal`.
            kept: `Kept`; None keeps nothing but what lies elsewhere.

        Returns:
            dict: segmentId -> number of voxels changed. Where it is 0 for all, no undo step is made.

        Raises:
            InputError: before anything is changed.
        """
        return finished(self.writing(segmentationNode, volumeNode, grid, slices, kept))

    def writing(
        self,
        segmentationNode: slicer.vtkMRMLSegmentationNode,
        volumeNode: slicer.vtkMRMLScalarVolumeNode,
        grid: SliceGrid,
        slices: Mapping[str, Mapping[int, Proposal]],
        kept: Kept | None = None,
    ) -> Steps:
        """The same as `write`, in steps of some milliseconds, each of which yields how much is done, 0..1.

        Nothing is changed before the last one, so the generator may be closed. What is drawn between two steps counts
        as if it had been drawn before: then the work begins anew, and after some times is done in one step.
        """
        kept = kept or Kept()

        def preparing() -> Generator[float, None, Prepared]:
            present = {i: slices[i] for i in segmentationNode.GetSegmentation().GetSegmentIDs() if i in slices}
            return self.preparing((segmentationNode, volumeNode), grid, present, kept)

        prepared = yield from undisturbed(segmentationNode, preparing)
        self.put(segmentationNode, prepared)
        changes = prepared.changes
        return {segmentId: changes[segmentId].count if segmentId in changes else 0 for segmentId in slices}

    def preparing(
        self,
        nodes: tuple[slicer.vtkMRMLSegmentationNode, slicer.vtkMRMLScalarVolumeNode],
        grid: SliceGrid,
        slices: Mapping[str, Mapping[int, Proposal]],
        kept: Kept,
    ) -> Generator[float, None, Prepared]:
        """Find out what changes, and compose the labelmaps that this makes; nothing is changed.

        An ID that there is no segment of stands for one that is yet to be made; see `put`.
        """
        changes: dict[str, Change] = {}
        for number, (segmentId, proposals) in enumerate(slices.items()):
            lattice = self._around(nodes[0], nodes[1], grid, segmentId, proposals)
            if lattice is None:
                continue
            change, sampler = Change(lattice), Sampler(grid, proposals)
            for part in slabsOf(lattice, grid):
                change.note(part, *self._changes(nodes[::-1], (grid, sampler), segmentId, part, kept))
                yield COMPARING * (number + 0.5) / len(slices)
            if change.count:
                changes[segmentId] = change
        overwritten = {i: self._rules.overwritten(nodes[0], i) if kept.overwrites else [] for i in changes}
        composition = Composition(nodes[0], changes, overwritten)
        for share in composition.compose():
            yield COMPARING + (1 - COMPARING) * share
        return Prepared(changes, composition)

    def put(
        self,
        segmentationNode: slicer.vtkMRMLSegmentationNode,
        prepared: Prepared,
        made: Mapping[str, str] | None = None,
    ) -> None:
        """Change the segments; an undo step where anything changes.

        Slicer takes 130 ms to keep the state of 12 segments on 600 slices. Even so it is kept here and not in a step
        before: what is cancelled or begun anew between the two would leave an entry that takes nothing back.

        Args:
            segmentationNode: the segmentation, which has not changed since.
            prepared: what `preparing` returned.
            made: IDs that stood for segments -> those of the segments that have been made.
        """
        self._written = None
        if not prepared.changes:
            return
        with self.inOneStep(segmentationNode):
            prepared.composition.put(made or {})
        samples = {(made or {}).get(i, i): change.samples for i, change in prepared.changes.items()}
        self._written = Written(segmentationNode, samples)

    def snapshot(
        self,
        segmentationNode: slicer.vtkMRMLSegmentationNode,
        volumeNode: slicer.vtkMRMLScalarVolumeNode,
        grid: SliceGrid,
        sliceIndex: int,
    ) -> Snapshot:
        """What all segments hold on one slice, in their own grids, for `restore`."""
        kept = {}
        for segmentId in segmentationNode.GetSegmentation().GetSegmentIDs():
            image, label = labelmapOf(segmentationNode, segmentId)
            world, matrix = self._matrices(segmentationNode, volumeNode, image)
            extent = extentOfSlab(world, grid, sliceIndex, sliceIndex)
            kept[segmentId] = Lattice(world, matrix, extent), readVoxels(image, label, extent)
        return kept

    def restore(self, segmentationNode: slicer.vtkMRMLSegmentationNode, snapshots: Iterable[Snapshot]) -> bool:
        """Bring snapshots back, voxel by voxel, whatever the masking; one undo step.

        Returns:
            bool: whether all are back; not where segments are stored as surfaces now, or on another grid.
        """
        present = set(segmentationNode.GetSegmentation().GetSegmentIDs())
        taken = [(i, *rest) for snapshot in snapshots for i, rest in snapshot.items() if i in present]
        kept = [(i, lattice, old) for i, lattice, old in taken if isStoredOn(segmentationNode, i, lattice)]
        now = [readVoxels(*labelmapOf(segmentationNode, i), lattice.extent) for i, lattice, _old in kept]
        if all(np.array_equal(is_, was) for is_, (_i, _lattice, was) in zip(now, kept, strict=True)):
            return len(kept) == len(taken)
        with self.inOneStep(segmentationNode), Voxels(segmentationNode) as voxels:
            for is_, (segmentId, lattice, was) in zip(now, kept, strict=True):
                voxels.remove(segmentId, lattice, is_ & ~was)
            for is_, (segmentId, lattice, was) in zip(now, kept, strict=True):
                voxels.add(segmentId, lattice, was & ~is_)
        return len(kept) == len(taken)

    def lend(
        self,
        nodes: tuple[slicer.vtkMRMLScalarVolumeNode, slicer.vtkMRMLSegmentationNode],
        stack: tuple[SliceGrid, Mapping[int, Proposal]],
        place: tuple[str, SliceGrid, int],
        kept: Kept,
        isAsked: bool = False,
    ) -> None:
        """Put what is proposed on one slice into a segment, to be drawn upon.

        Other segments keep what they hold, unless the user has asked for the slice.

        Args:
            nodes: `(volumeNode, segmentationNode)`.
            stack: `(SliceGrid, {slice: Proposal})`, what is proposed.
            place: `(segmentId, SliceGrid, slice)`, which slice, maybe across those of the proposal.
            kept: `Kept`, in whose `held` it is noted.
            isAsked: whether the user has asked for it: then it is an undo step.
        """
        (volumeNode, segmentationNode), (segmentId, across, index) = nodes, place
        image, label = labelmapOf(segmentationNode, segmentId)
        world, matrix = self._matrices(segmentationNode, volumeNode, image)
        whole = extentOfProposals(world, *stack)
        whole = unionOfExtents(whole, image.GetExtent()) if image is not None else whole
        extent = intersectionOfExtents(whole, extentOfSlab(world, across, index, index))
        if extent is None:
            return
        lattice = Lattice(world, matrix, extent)
        old, (new, inSlices) = readVoxels(image, label, extent), Sampler(*stack).sample(lattice)
        free = self._rules.editable(segmentationNode, volumeNode, stack[0], segmentId, lattice, inSlices)
        leaveOut(free, kept.fixed(segmentId, lattice))
        added, removed, asked = new & ~old & free, old & ~new & free, (across.plane, index) if isAsked else None
        loans = {segmentId: Loan(lattice, added, removed, asked)}
        if isAsked:  # as Accept would write it
            leaveOut(added, self._rules.fixedByOthers(segmentationNode, segmentId, lattice, added, kept))
        overwritten = self._rules.overwritten(segmentationNode, segmentId)
        for other, part, held in holdersOf(segmentationNode, overwritten, lattice, added):
            if isAsked:
                loans[other] = Loan(part, np.zeros(part.shape, dtype=bool), held, asked)
            else:
                added[indexOfExtent(part.extent, lattice.extent)] &= ~held
        loans = {i: loan for i, loan in loans.items() if loan.added.any() or loan.removed.any()}
        if loans:
            with self.inOneStep(segmentationNode, isAsked), Voxels(segmentationNode) as voxels:
                for lentId, loan in loans.items():
                    if kept.held is not None:
                        kept.held.noteLoan(lentId, loan)
                    voxels.remove(lentId, loan.lattice, loan.removed)
                voxels.add(segmentId, lattice, added)

    def takeBack(self, segmentationNode: slicer.vtkMRMLSegmentationNode, segmentId: str, loan: Loan) -> None:
        """Take a loan back, as far as it is still there; no undo step, as giving it was none."""
        if segmentationNode.GetSegmentation().GetSegment(segmentId) is None:
            return
        if isStoredOn(segmentationNode, segmentId, loan.lattice):
            now = readVoxels(*labelmapOf(segmentationNode, segmentId), loan.lattice.extent)
            with self.inOneStep(segmentationNode, False), Voxels(segmentationNode) as voxels:
                voxels.remove(segmentId, loan.lattice, now & loan.added)
                voxels.add(segmentId, loan.lattice, loan.removed & ~now)

    @contextmanager
    def inOneStep(self, segmentationNode: slicer.vtkMRMLSegmentationNode, isUndoable: bool = True) -> Iterator[None]:
        """One entry in the undo history, one event for the views; what is written within is part of it."""
        if self._isInStep:
            yield
            return
        if isUndoable:
            self._keepState(segmentationNode)
        modifying = segmentationNode.StartModify()
        self._isInStep = True
        try:
            yield
        finally:
            self._isInStep = False
            segmentationNode.EndModify(modifying)

    def undo(self) -> None:
        """Take back the last write, where this writer keeps the history itself."""
        self._history.RestorePreviousState()

    def redo(self) -> None:
        """Repeat what was taken back."""
        self._history.RestoreNextState()

    def _keepState(self, segmentationNode: slicer.vtkMRMLSegmentationNode) -> None:
        """Make an entry in the undo history of how the segments are now."""
        if self._saveState is not None:
            self._saveState()
        else:
            self._history.SetSegmentation(segmentationNode.GetSegmentation())
            self._history.SaveState()

    def _changes(
        self,
        nodes: tuple[slicer.vtkMRMLScalarVolumeNode, slicer.vtkMRMLSegmentationNode],
        stack: tuple[SliceGrid, Sampler],
        segmentId: str,
        lattice: Lattice,
        kept: Kept,
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Where the segment would grow and shrink on a lattice: bool `(k, j, i)` twice."""
        old = readVoxels(*_labelmapNow(nodes[1], segmentId), lattice.extent)
        new, inSlices = stack[1].sample(lattice)
        self._rules.editable(nodes[1], nodes[0], stack[0], segmentId, lattice, inSlices)
        leaveOut(inSlices, kept.fixed(segmentId, lattice))
        added, removed = new > old, old > new
        added &= inSlices
        removed &= inSlices
        leaveOut(added, self._rules.fixedByOthers(nodes[1], segmentId, lattice, added, kept))
        return added, removed

    def _around(
        self,
        segmentationNode: slicer.vtkMRMLSegmentationNode,
        volumeNode: slicer.vtkMRMLScalarVolumeNode,
        grid: SliceGrid,
        segmentId: str,
        proposals: Mapping[int, Proposal],
    ) -> Lattice | None:
        """The lattice around everything that may change; None for nothing."""
        image, label = _labelmapNow(segmentationNode, segmentId)
        world, matrix = self._matrices(segmentationNode, volumeNode, image)
        extent = extentOfProposals(world, grid, proposals)
        if image is not None:
            slab = extentOfSlab(world, grid, min(proposals), max(proposals))
            extent = unionOfExtents(
                extent, effectiveExtent(image, label, intersectionOfExtents(image.GetExtent(), slab))
            )
        return Lattice(world, matrix, extent) if extent is not None else None

    def _matrices(
        self,
        segmentationNode: slicer.vtkMRMLSegmentationNode,
        volumeNode: slicer.vtkMRMLScalarVolumeNode,
        image: slicer.vtkOrientedImageData | None,
    ) -> tuple[NDArray[np.float64], vtk.vtkMatrix4x4]:
        """From a labelmap's index to the world (numpy), and to the segmentation node's own coordinates (VTK)."""
        matrix = vtk.vtkMatrix4x4()
        if image is None:
            if referenceOf(segmentationNode) is None:
                segmentationNode.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
            image = referenceOf(segmentationNode) or slicer.vtkOrientedImageData()
        image.GetImageToWorldMatrix(matrix)
        return worldFromLocal(segmentationNode) @ slicer.util.arrayFromVTKMatrix(matrix), matrix


def _labelmapNow(segmentationNode: slicer.vtkMRMLSegmentationNode, segmentId: str) -> Labelmap:
    """A segment's labelmap; none where the segment is yet to be made."""
    isThere = segmentationNode.GetSegmentation().GetSegment(segmentId) is not None
    return labelmapOf(segmentationNode, segmentId) if isThere else (None, 0)
