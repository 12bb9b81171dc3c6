"""Writing slices into segments: the segments' own grid, masking and overwrite mode obeyed, one undo step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray

from SegmentPropagateSlicer.Scene.Held import Loan
from SegmentPropagateSlicer.Scene.Kept import Kept, leaveOut
from SegmentPropagateSlicer.Scene.Labelmaps import arrayOf, labelmapOf
from SegmentPropagateSlicer.Scene.Lattice import (
    Lattice,
    effectiveExtent,
    extentOfProposals,
    extentOfSlab,
    holdersOf,
    indexOfExtent,
    intersectionOfExtents,
    isStoredOn,
    placesInVolume,
    readVoxels,
    sampleProposals,
    slabsOf,
    unionOfExtents,
    voxelsOfSlices,
)
from SegmentPropagateSlicer.Scene.SliceGrid import SliceGrid
from SegmentPropagateSlicer.Scene.VolumeReader import VolumeReader, worldFromLocal
from SegmentPropagateSlicer.Scene.Voxels import Change, Voxels
from SegmentPropagateSlicer.Values.Proposal import Proposal

EDIT_EVERYWHERE = 0
"""vtkMRMLSegmentationNode.EditAllowedEverywhere"""

Snapshot = dict[str, tuple[Lattice, NDArray[np.bool_]]]
"""segmentId -> what it held on a slice, in its own grid."""


class SegmentWriter:
    """The only place that changes the user's segments.

    What changes is written as voxels to add and voxels to remove. The Segment Editor's own
    `ModifySegmentByLabelmap` would not do: setting with an extent replaces the whole segment, overwriting would cut
    other segments where this one has voxels outside the range, and removing under a mask "inside single segment"
    ignores the mask and adds to the mask segment.
    """

    def __init__(self) -> None:
        self._history = slicer.vtkSegmentationHistory()
        self._editorNode: slicer.vtkMRMLSegmentEditorNode | None = None
        self._saveState: Callable[[], object] | None = None
        self._isInStep = False

    def setEditor(
        self,
        editorNode: slicer.vtkMRMLSegmentEditorNode | None,
        saveStateForUndo: Callable[[], object] | None = None,
    ) -> None:
        """Whose masking and overwrite mode to obey, and who keeps the undo history; see `SegmentPropagateLogic`."""
        self._editorNode, self._saveState = editorNode, saveStateForUndo

    @property
    def allowsOverlap(self) -> bool:
        """Whether the editor lets segments overlap."""
        node = self._editorNode
        return node is not None and node.GetOverwriteMode() == node.OverwriteNone

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
        changes: dict[str, Change] = {}
        for segmentId, proposals in slices.items():
            lattice = self._around(segmentationNode, volumeNode, grid, segmentId, proposals)
            if lattice is None:
                continue
            changes[segmentId] = Change(lattice)
            isMasked = self._editorNode is not None and self._editorNode.GetMaskMode() != EDIT_EVERYWHERE
            for part in [lattice] if isMasked else slabsOf(lattice, grid):  # Slicer makes a mask of all segments
                nodes, stack = (volumeNode, segmentationNode), (grid, proposals)
                changes[segmentId].note(part, *self._changes(nodes, stack, segmentId, part, kept or Kept()))
        counts = {segmentId: changes[segmentId].count if segmentId in changes else 0 for segmentId in slices}
        if any(counts.values()):
            with self.inOneStep(segmentationNode), Voxels(segmentationNode) as voxels:
                voxels.makeRoom({segmentId: change.lattice for segmentId, change in changes.items()})
                for segmentId, change in changes.items():
                    lattice, added = change.lattice, change.added
                    voxels.remove(segmentId, lattice, change.removed)
                    if kept is None or kept.overwrites:
                        voxels.giveWay(self._overwritten(segmentationNode, segmentId), lattice, added)
                    voxels.add(segmentId, lattice, added)
        return counts

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
        old, (new, inSlices) = readVoxels(image, label, extent), sampleProposals(lattice, *stack)
        free = self._editable(segmentationNode, volumeNode, stack[0], segmentId, lattice, inSlices)
        leaveOut(free, kept.fixed(segmentId, lattice))
        added, removed, asked = new & ~old & free, old & ~new & free, (across.plane, index) if isAsked else None
        loans = {segmentId: Loan(lattice, added, removed, asked)}
        if isAsked:  # as Accept would write it
            leaveOut(added, self._fixedByOthers(segmentationNode, segmentId, lattice, added, kept))
        overwritten = self._overwritten(segmentationNode, segmentId)
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
        if isUndoable and self._saveState is not None:
            self._saveState()
        elif isUndoable:
            self._history.SetSegmentation(segmentationNode.GetSegmentation())
            self._history.SaveState()
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

    def _changes(
        self,
        nodes: tuple[slicer.vtkMRMLScalarVolumeNode, slicer.vtkMRMLSegmentationNode],
        stack: tuple[SliceGrid, Mapping[int, Proposal]],
        segmentId: str,
        lattice: Lattice,
        kept: Kept,
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Where the segment would grow and shrink on a lattice: bool `(k, j, i)` twice."""
        old = readVoxels(*labelmapOf(nodes[1], segmentId), lattice.extent)
        new, inSlices = sampleProposals(lattice, *stack)
        self._editable(nodes[1], nodes[0], stack[0], segmentId, lattice, inSlices)
        leaveOut(inSlices, kept.fixed(segmentId, lattice))
        added, removed = new > old, old > new
        added &= inSlices
        removed &= inSlices
        leaveOut(added, self._fixedByOthers(nodes[1], segmentId, lattice, added, kept))
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
        image, label = labelmapOf(segmentationNode, segmentId)
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
            image, segmentation = slicer.vtkOrientedImageData(), segmentationNode.GetSegmentation()
            parameter = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
            if not segmentation.GetConversionParameter(parameter):
                segmentationNode.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
            geometry = segmentation.GetConversionParameter(parameter)
            slicer.vtkSegmentationConverter.DeserializeImageGeometry(geometry, image, False)
        image.GetImageToWorldMatrix(matrix)
        return worldFromLocal(segmentationNode) @ slicer.util.arrayFromVTKMatrix(matrix), matrix

    def _editable(
        self,
        segmentationNode: slicer.vtkMRMLSegmentationNode,
        volumeNode: slicer.vtkMRMLScalarVolumeNode,
        grid: SliceGrid,
        segmentId: str,
        lattice: Lattice,
        editable: NDArray[np.bool_],
    ) -> NDArray[np.bool_]:
        """Make those of a mask `(k, j, i)` False where the editor's masking allows no change; returns the mask."""
        node = self._editorNode
        if node is None:
            return editable
        if node.GetMaskMode() != EDIT_EVERYWHERE:
            geometry = slicer.vtkOrientedImageData()
            geometry.SetExtent(lattice.extent)
            geometry.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
            geometry.SetImageToWorldMatrix(lattice.matrix)
            forbidden = slicer.vtkOrientedImageData()
            segmentationNode.GenerateEditMask(
                forbidden, node.GetMaskMode(), geometry, segmentId, node.GetMaskSegmentID() or ""
            )
            editable &= arrayOf(forbidden) == 0
        if node.GetSourceVolumeIntensityMask():
            low, high = node.GetSourceVolumeIntensityMaskRange()
            stack = np.moveaxis(VolumeReader(node.GetSourceVolumeNode() or volumeNode).voxels, grid.axis, 0)
            for k, (places, _inside) in enumerate(placesInVolume(lattice, grid)):
                values = stack[tuple(places)]
                editable[k] &= (values >= low) & (values <= high)
        return editable

    def _fixedByOthers(
        self,
        segmentationNode: slicer.vtkMRMLSegmentationNode,
        segmentId: str,
        lattice: Lattice,
        added: NDArray[np.bool_],
        kept: Kept,
    ) -> NDArray[np.bool_] | None:
        """Of what is added, what others hold by the user's hand, on keys or drawn just now, and would lose."""
        found: NDArray[np.bool_] | None = None
        others = self._overwritten(segmentationNode, segmentId)
        for other, part, held in holdersOf(segmentationNode, others, lattice, added):
            fixed = voxelsOfSlices(part, kept.given.get(other, ()))
            if kept.held is not None:
                fixed |= kept.held.drawn(other, part)
            found = np.zeros(lattice.shape, dtype=bool) if found is None else found
            found[indexOfExtent(part.extent, lattice.extent)] |= fixed & held
        return found

    def _overwritten(self, segmentationNode: slicer.vtkMRMLSegmentationNode, segmentId: str) -> list[str]:
        """The other segments that give way to this one."""
        node = self._editorNode
        others = [i for i in segmentationNode.GetSegmentation().GetSegmentIDs() if i != segmentId]
        if node is None or node.GetOverwriteMode() == node.OverwriteAllSegments:
            return others
        if node.GetOverwriteMode() == node.OverwriteNone:
            return []
        display = segmentationNode.GetDisplayNode()
        return [i for i in others if display is None or display.GetSegmentVisibility(i)]
