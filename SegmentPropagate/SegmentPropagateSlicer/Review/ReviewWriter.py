"""What a review writes into the segments, and how it is taken back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.errors import InputError
from SegmentPropagateSlicer.Review.Keys import Keys, Place
from SegmentPropagateSlicer.Runs.Run import Run
from SegmentPropagateSlicer.Scene.Held import Held
from SegmentPropagateSlicer.Scene.PromptReader import PromptReader
from SegmentPropagateSlicer.Scene.SegmentWriter import Kept, SegmentWriter
from SegmentPropagateSlicer.Scene.SliceGrid import SliceGrid
from SegmentPropagateSlicer.Values.Proposal import Proposal
from SegmentPropagateSlicer.Values.Words import tr as _

if TYPE_CHECKING:
    import slicer

    from SegmentPropagateSlicer.Runs.RunController import Nodes


class ReviewWriter:
    """Slices copied for correction, Accept and Discard; locked slices stay as they are, whatever is written.

    What the user has drawn or erased since the run began is a correction: it stays as well.

    Args:
        writer: `SegmentWriter`.
        keys: `Keys`.
    """

    def __init__(self, writer: SegmentWriter, keys: Keys) -> None:
        self._writer, self._keys = writer, keys
        # (plane, slice) -> what the segments held, and places of the keys that were there
        self._snapshots: dict[tuple[str, int], tuple[Any, set[Place]]] = {}
        # place -> mask that the segment held when it was given to the user to be corrected
        self._copies: dict[Place, NDArray[np.bool_]] = {}
        self._drawnBefore: set[Place] = set()  # copied slices that the user had drawn on before they were copied
        self._held: Held | None = None  # what the segments held when the run began
        self.setEditor, self.undo, self.redo = writer.setEditor, writer.undo, writer.redo
        self.inOneStep = writer.inOneStep

    @property
    def allowsOverlap(self) -> bool:
        """Whether the editor lets segments overlap."""
        return self._writer.allowsOverlap

    def checkUnlocked(self, segmentId: str, plane: str, sliceIndex: int) -> None:
        """Raise InputError for a slice that the user has locked."""
        key = self._keys.find(segmentId, plane, sliceIndex)
        if key is not None and key.confirmed:
            raise InputError(_("Slice {index} is locked: unlock it to change it.").format(index=sliceIndex))

    def begin(self, segmentationNode: slicer.vtkMRMLSegmentationNode) -> None:
        """A run begins; where another waits for review, what was drawn since that one still counts."""
        if self._held is None:
            self._held = Held(segmentationNode)

    def copy(
        self,
        nodes: Nodes,
        grid: SliceGrid,
        place: tuple[str, int],
        proposal: Proposal | None = None,
        inReview: bool = True,
    ) -> None:
        """Write one slice; in review, Discard brings back what was there.

        Args:
            nodes: `(volumeNode, segmentationNode)`.
            grid: `SliceGrid`.
            place: `(segmentId, sliceIndex)`.
            proposal: `Proposal`; None leaves what the segment holds.
            inReview: whether there is a review to be discarded.
        """
        segmentId, index = place
        self.checkUnlocked(segmentId, grid.plane, index)
        if self.isDrawn(grid, place):
            self._drawnBefore.add((segmentId, grid.plane, index))
        if inReview:
            self._remember(nodes, grid, index)
        if proposal is not None:
            self._write(nodes, grid, {segmentId: {index: proposal}})
        if inReview:
            self._copies[segmentId, grid.plane, index] = self._mask(nodes, grid, place)

    def isFree(self, nodes: Nodes, grid: SliceGrid, place: tuple[str, int]) -> bool:
        """Whether a segment holds nothing on a slice that is not locked."""
        key = self._keys.find(place[0], grid.plane, place[1])
        return not (key is not None and key.confirmed) and not self._mask(nodes, grid, place).any()

    def draft(self, nodes: Nodes, grid: SliceGrid, outlines: Mapping[str, tuple[int, Proposal]]) -> dict[str, int]:
        """Write outlines where nobody has drawn: what any segment holds stays, and is not theirs.

        Args:
            nodes: `(volumeNode, segmentationNode)`.
            grid: `SliceGrid`.
            outlines: segmentId -> slice and `Proposal`; where two overlap, the first one has it.

        Returns:
            dict: segmentId -> number of voxels written.
        """
        reader, slices = PromptReader(grid), {}
        taken = {index: reader.heldMask(nodes[1], index) for index, _outline in outlines.values()}
        for segmentId, (index, outline) in outlines.items():
            box = outline.box & ~taken[index][outline.place]
            taken[index][outline.place] |= box
            slices[segmentId] = {index: replace(outline, box=box)}
        locked = self._keys.slices(grid.geometry, lockedOnly=True)
        return self._writer.write(*nodes[::-1], grid, slices, Kept(locked, overwrites=False))

    def isEdited(self, nodes: Nodes, grid: SliceGrid, place: tuple[str, int]) -> bool:
        """Whether the user has drawn on a slice that was copied, and has not made it a key yet."""
        full = place[0], grid.plane, place[1]
        copied = self._copies.get(full)
        if copied is None:
            return False
        return full in self._drawnBefore or not np.array_equal(copied, self._mask(nodes, grid, place))

    def isDrawn(self, grid: SliceGrid, place: tuple[str, int]) -> bool:
        """Whether the user has drawn on a slice since the run began, and it has not been copied."""
        segmentId, index = place
        if self._held is None or (segmentId, grid.plane, index) in self._copies:
            return False
        return self._held.isDrawn(grid, segmentId, index)

    def checkNotErased(self, nodes: Nodes, grid: SliceGrid, place: tuple[str, int]) -> None:
        """Raise InputError for a slice that was copied and on which the user has left nothing."""
        if self.isEdited(nodes, grid, place) and not self._mask(nodes, grid, place).any():
            text = _("Nothing is left on slice {index}: lock it to keep it empty, or outline the object there.")
            raise InputError(text.format(index=place[1]))

    def accept(self, nodes: Nodes, grid: SliceGrid, review: Run) -> dict[str, int]:
        """Write the proposal of a `Run`; returns segmentId -> number of voxels changed."""
        present = nodes[1].GetSegmentation().GetSegmentIDs()
        slices = {i: self._acceptable(nodes, grid, review, i) for i in review.segmentIds if i in present}
        changed = self._write(nodes, grid, {i: found for i, found in slices.items() if found})
        self._keys.settle()
        self.forget()
        return changed

    def discard(self, segmentationNode: slicer.vtkMRMLSegmentationNode) -> tuple[int, ...]:
        """Bring back what the slices held before they were edited, and forget the keys that were made of them.

        Returns:
            tuple: slices that stay as they were edited, as the segments are stored in another way now.
        """
        self._keys.unpin()
        snapshots = dict(self._snapshots)
        self.forget()
        isBack = self._writer.restore(segmentationNode, [snapshot for snapshot, _places in snapshots.values()])
        for key in tuple(self._keys):
            edited = snapshots.get((key.plane, key.sliceIndex))
            if edited is not None and key.place not in edited[1]:
                self._keys.remove(key.place)
        return () if isBack else tuple(sorted({index for _plane, index in snapshots}))

    def forget(self) -> None:
        """The review has ended otherwise."""
        self._keys.unpin()
        self._snapshots.clear()
        self._copies.clear()
        self._drawnBefore.clear()
        self._held = None

    def _remember(self, nodes: Nodes, grid: SliceGrid, sliceIndex: int) -> None:
        if (grid.plane, sliceIndex) not in self._snapshots:
            snapshot = self._writer.snapshot(*nodes[::-1], grid, sliceIndex)
            self._snapshots[grid.plane, sliceIndex] = snapshot, {key.place for key in self._keys}

    @staticmethod
    def _mask(nodes: Nodes, grid: SliceGrid, place: tuple[str, int]) -> NDArray[np.bool_]:
        return PromptReader(grid).segmentMask(nodes[1], *place)

    def _write(self, nodes: Nodes, grid: SliceGrid, slices: Mapping[str, Mapping[int, Proposal]]) -> dict[str, int]:
        free: dict[str, list[int]] = {}
        for segmentId, plane, index in self._copies:  # what was copied there was not drawn
            if plane == grid.plane:
                free.setdefault(segmentId, []).append(index)
        locked, given = self._keys.slices(grid.geometry, lockedOnly=True), self._keys.slices(grid.geometry)
        kept = Kept(locked, given, self._held, free)
        return self._writer.write(*nodes[::-1], grid, slices, kept)

    def _acceptable(self, nodes: Nodes, grid: SliceGrid, review: Run, segmentId: str) -> Mapping[int, Proposal]:
        """Slices that Accept writes: no key, nothing that the user drew meanwhile, of locked ones the pinned."""
        plane, locked = grid.plane, self._keys.confirmed(segmentId, grid.plane)
        found = {
            index: proposal
            for index, proposal in review.proposals[segmentId].items()
            if (segmentId, index) not in review.keys
            and index not in locked
            and not self.isEdited(nodes, grid, (segmentId, index))
        }
        pinned = {
            place[2]: proposal for place, proposal in self._keys.pinned.items() if place[:2] == (segmentId, plane)
        }
        return {**found, **pinned}
