"""What a review writes into the segments, and how it is taken back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from SegmentPropagateLib.errors import InputError
from SegmentPropagateSlicer.Review.Keys import Keys, Place
from SegmentPropagateSlicer.Runs.Run import Run
from SegmentPropagateSlicer.Scene.Finished import finishedBeside
from SegmentPropagateSlicer.Scene.Held import Held, asLongAsUntouched
from SegmentPropagateSlicer.Scene.Kept import Kept
from SegmentPropagateSlicer.Scene.Labelmaps import Labelmap
from SegmentPropagateSlicer.Scene.PromptReader import PromptReader
from SegmentPropagateSlicer.Scene.SegmentWriter import Prepared, SegmentWriter, Steps
from SegmentPropagateSlicer.Scene.SliceGrid import SliceGrid
from SegmentPropagateSlicer.Values.Pieces import asPart
from SegmentPropagateSlicer.Values.Proposal import Proposal, proposalOfMask
from SegmentPropagateSlicer.Values.Words import tr as _

if TYPE_CHECKING:
    import slicer

    from SegmentPropagateSlicer.Runs.RunController import Nodes


@dataclass(frozen=True)
class Draft:
    """Outlines that are going to be written where nobody has drawn.

    Args:
        prepared: the write.
        outlines: `(segmentId, slice)` -> what the segment will hold there, where that is something.
    """

    prepared: Prepared
    outlines: Mapping[tuple[str, int], Proposal]


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
        self._ofStrokes: set[Place] = set()  # keys that were made of what was drawn on the proposal
        self._erased: set[Place] = set()  # keys whose outline was erased since the run began
        self._held: Held | None = None  # what the segments held when the run began, and what was lent to them since
        self.setEditor, self.undo, self.redo = writer.setEditor, writer.undo, writer.redo
        self.inOneStep = writer.inOneStep

    @property
    def allowsOverlap(self) -> bool:
        """Whether the editor lets segments overlap."""
        return self._writer.allowsOverlap

    @property
    def isUndone(self) -> bool:
        """Whether nothing is left of what was written last."""
        return self._writer.isUndone

    def checkUnlocked(self, segmentId: str, plane: str, sliceIndex: int) -> None:
        """Raise InputError for a slice that the user has locked."""
        key = self._keys.find(segmentId, plane, sliceIndex)
        if key is not None and key.confirmed:
            raise InputError(_("Slice {index} is locked: unlock it to change it.").format(index=sliceIndex))

    def begin(self, segmentationNode: slicer.vtkMRMLSegmentationNode) -> None:
        """A run begins; where another waits for review, what was drawn since that one still counts."""
        if self._held is None:
            self._held = Held(segmentationNode)

    def edit(self, nodes: Nodes, grid: SliceGrid, place: tuple[str, int], proposal: Proposal | None) -> None:
        """Lend a slice as the user has asked for; Discard brings back what was there.

        Args:
            nodes: `(volumeNode, segmentationNode)`.
            grid: `SliceGrid`.
            place: `(segmentId, sliceIndex)`.
            proposal: what to lend; None for a slice that the segment holds already.
        """
        self.checkUnlocked(place[0], grid.plane, place[1])
        self._remember(nodes, grid, place[1])
        if proposal is not None:
            self.lend(nodes, (grid, {place[1]: proposal}), (place[0], grid, place[1]), isAsked=True)

    def drafting(
        self, nodes: Nodes, grid: SliceGrid, outlines: Mapping[str, Mapping[int, Proposal]]
    ) -> Generator[float, None, Draft]:
        """Prepare to write outlines where nobody has drawn: what any segment holds stays, and is not theirs.

        Left out are slices on which the segment itself holds something, or which it has locked. Nothing is changed.

        Args:
            nodes: `(volumeNode, segmentationNode)`.
            grid: `SliceGrid`.
            outlines: segmentId, or what stands for a segment that is yet to be made -> slice -> `Proposal`; where two
                overlap, the first one has it.
        """
        reader, present = PromptReader(grid), nodes[1].GetSegmentation().GetSegmentIDs()
        left: dict[str, dict[int, Proposal]] = {}
        indices = sorted({index for slices in outlines.values() for index in slices})
        for number, index in enumerate(indices, start=1):  # the reader reads a slice once for all segments
            taken = reader.heldMask(nodes[1], index)
            for segmentId, own in outlines.items():
                if index in own and (segmentId not in present or self._isFree(nodes, reader, (segmentId, index))):
                    outline = own[index]
                    box = outline.box & ~taken[outline.place]
                    taken[outline.place] |= box
                    left.setdefault(segmentId, {})[index] = replace(outline, box=box)
            yield 0.4 * number / len(indices)
        locked = self._keys.slices(grid.geometry, lockedOnly=True)
        preparing = self._writer.preparing(nodes[::-1], grid, left, Kept(locked, overwrites=False))
        prepared = yield from asPart(preparing, 0.4, 0.8)
        places = [(i, index) for i in prepared.changes for index in left[i]]
        reading = _readingOutlines(nodes[1], grid, places, prepared.composition.labelmap)
        found = yield from asPart(reading, 0.8, 1.0)
        return Draft(prepared, found)

    def putDraft(self, nodes: Nodes, draft: Draft, made: Mapping[str, str]) -> Mapping[tuple[str, int], Proposal]:
        """Write a draft; `made` has the segments in place of what stood for them.

        Returns:
            mapping: `(segmentId, slice)` -> what the segment holds there now, where that is something.
        """
        self._writer.put(nodes[1], draft.prepared, made)
        found = draft.outlines.items()
        return {(made.get(segmentId, segmentId), index): outline for (segmentId, index), outline in found}

    def _isFree(self, nodes: Nodes, reader: PromptReader, place: tuple[str, int]) -> bool:
        """Whether a segment holds nothing on a slice, and has not locked it."""
        key = self._keys.find(place[0], reader.grid.plane, place[1])
        return not (key is not None and key.confirmed) and not reader.segmentMask(nodes[1], *place).any()

    def put(self, nodes: Nodes, grid: SliceGrid, place: tuple[str, int], outline: Proposal) -> None:
        """Write an outline while nothing is in review; other segments give way as the editor has it."""
        self.checkUnlocked(place[0], grid.plane, place[1])
        self._writer.write(*nodes[::-1], grid, {place[0]: {place[1]: outline}}, self._kept(grid))

    def lend(
        self,
        nodes: Nodes,
        stack: tuple[SliceGrid, Mapping[int, Proposal]],
        place: tuple[str, SliceGrid, int],
        isAsked: bool = False,
    ) -> None:
        """Put what is proposed on a slice of any plane into a segment, to be drawn upon; see `SegmentWriter.lend`."""
        if stack[1]:
            self._writer.lend(nodes, stack, place, self._kept(stack[0]), isAsked)

    def giveBack(self, everything: bool = False) -> None:
        """Take back what was lent unasked and not drawn upon; everything that was lent where that is wanted."""
        held = self._held
        if held is None:
            return
        for segmentId in held.segmentIds:
            for name, loan in reversed(held.loans(segmentId).items()):
                if everything or not (loan.asked or held.drawn(segmentId, loan.lattice).any()):
                    self._writer.takeBack(held.segmentationNode, segmentId, loan)
                    held.noteReturn(segmentId, name)

    def isDrawn(self, grid: SliceGrid, place: tuple[str, int]) -> bool:
        """Whether the user has drawn on a slice since the run began."""
        return self._held is not None and self._held.isDrawn(grid, *place)

    def findingDrawn(
        self, nodes: Nodes, grid: SliceGrid, segmentIds: Iterable[str]
    ) -> Generator[None, None, dict[str, Sequence[int]]]:
        """segmentId -> slices that the user has drawn on since the run began, ascending; found a piece at a time."""
        found: dict[str, Sequence[int]] | None = None
        while found is None and self._held is not None:  # what is drawn meanwhile is looked for as well
            found = yield from asLongAsUntouched(nodes[1], self._finding(self._held, grid, segmentIds))
        return found or {}

    @staticmethod
    def _finding(
        held: Held, grid: SliceGrid, segmentIds: Iterable[str]
    ) -> Generator[None, None, dict[str, Sequence[int]]]:
        found: dict[str, Sequence[int]] = {}
        for segmentId in segmentIds:
            found[segmentId] = yield from held.findingDrawn(grid, segmentId)
        return found

    def checkNotErased(self, nodes: Nodes, grid: SliceGrid, place: tuple[str, int]) -> None:
        """Raise InputError for a slice on which the user has left nothing of the proposal."""
        if self.isDrawn(grid, place) and not self.outline(nodes, grid, place).area:
            text = _("Nothing is left on slice {index}: lock it to keep it empty, or outline the object there.")
            raise InputError(text.format(index=place[1]))

    def makeKey(self, nodes: Nodes, grid: SliceGrid, place: tuple[str, int]) -> None:
        """Make a slice that was drawn upon a key; one on which nothing is left is locked as empty.

        Such a key goes when the drawing is undone, or the proposal is discarded.
        """
        key, full = self._keys.find(place[0], grid.plane, place[1]), (place[0], grid.plane, place[1])
        if key is not None and key.confirmed and (key.areaMm2 or full not in self._ofStrokes):
            return  # the user has locked it: it stays as it is
        if key is None:
            self._ofStrokes.add(full)
        elif key.confirmed:
            self._keys.unlock(full)
        if self.outline(nodes, grid, place).area:
            self._keys.add(grid, *place)
        elif full in self._ofStrokes:
            self._keys.lock(grid, *place)
        else:
            self._keys.sleep(full)  # an outline of her own that she has erased
            self._erased.add(full)

    def withdrawKeys(self, grid: SliceGrid, segmentId: str, drawn: Collection[int]) -> None:
        """Forget the keys of a segment that were made of drawings which have been undone; `drawn` are still there.

        Those whose outline had been erased are keys again.
        """
        for place in [place for place in self._erased if place[:2] == (segmentId, grid.plane)]:
            if not self.isDrawn(grid, (segmentId, place[2])):
                self._erased.remove(place)
                self._keys.add(grid, segmentId, place[2])
        loans = self._held.loans(segmentId).values() if self._held is not None else ()
        asked = {loan.asked for loan in loans}
        for place in [place for place in self._ofStrokes if place[:2] == (segmentId, grid.plane)]:
            if place[2] not in drawn and place[1:] not in asked:
                self._ofStrokes.remove(place)
                self._keys.remove(place)

    def noteKey(self, place: Place) -> None:
        """A key is about to be made in review of an outline that was asked for: it goes when that is undone."""
        if self._keys.find(*place) is None:
            self._ofStrokes.add(place)

    def accepting(self, nodes: Nodes, grid: SliceGrid, review: Run) -> Steps:
        """Write the proposal of a `Run`, in steps; see `SegmentWriter.writing`."""
        present = nodes[1].GetSegmentation().GetSegmentIDs()
        self.giveBack()
        yield 0.0
        slices = {i: self._acceptable(grid, review, i) for i in review.segmentIds if i in present}
        slices = {i: found for i, found in slices.items() if found}
        kept, finished = self._kept(grid), dict[str, Collection[str]]()
        for segmentId in slices:
            yield 0.0
            given = kept.given.get(segmentId, ())
            finished[segmentId] = finishedBeside(nodes[1], segmentId, given) - slices.keys()
        changed = yield from self._writer.writing(*nodes[::-1], grid, slices, replace(kept, finished=finished))
        self._keys.settle(grid.geometry)
        self._end()
        return changed

    def discard(self, segmentationNode: slicer.vtkMRMLSegmentationNode) -> tuple[int, ...]:
        """Bring back what the slices held before they were edited, and forget the keys that were made of them.

        Returns:
            tuple: slices that stay as they were edited, as the segments are stored in another way now.
        """
        self._keys.unpin()
        self.giveBack(everything=True)
        snapshots, ofStrokes = dict(self._snapshots), set(self._ofStrokes)
        self._end()
        isBack = self._writer.restore(segmentationNode, [snapshot for snapshot, _places in snapshots.values()])
        for key in tuple(self._keys):
            edited = snapshots.get((key.plane, key.sliceIndex))
            if key.place in ofStrokes or (edited is not None and key.place not in edited[1]):
                self._keys.remove(key.place)
        return () if isBack else tuple(sorted({index for _plane, index in snapshots}))

    def forget(self) -> None:
        """The review has ended otherwise."""
        self.giveBack()
        self._end()

    def _end(self) -> None:
        self._keys.unpin()
        self._snapshots.clear()
        self._ofStrokes.clear()
        self._erased.clear()
        held, self._held = self._held, None
        if held is not None:
            held.forgetLoans()

    def _remember(self, nodes: Nodes, grid: SliceGrid, sliceIndex: int) -> None:
        if (grid.plane, sliceIndex) not in self._snapshots:
            snapshot = self._writer.snapshot(*nodes[::-1], grid, sliceIndex)
            for segmentId, (lattice, voxels) in snapshot.items():
                loans = self._held.loans(segmentId) if self._held is not None else {}
                for loan in reversed(loans.values()):
                    loan.applyTo(voxels, lattice.extent, back=True)
            self._snapshots[grid.plane, sliceIndex] = snapshot, {key.place for key in self._keys}

    @staticmethod
    def outline(nodes: Nodes, grid: SliceGrid, place: tuple[str, int]) -> Proposal:
        """What a segment holds on a slice."""
        return proposalOfMask(PromptReader(grid).segmentMask(nodes[1], *place))

    def _kept(self, grid: SliceGrid) -> Kept:
        locked, given = self._keys.slices(grid.geometry, lockedOnly=True), self._keys.slices(grid.geometry)
        return Kept(locked, given, held=self._held)

    def _acceptable(self, grid: SliceGrid, review: Run, segmentId: str) -> Mapping[int, Proposal]:
        """Slices that Accept writes: no key, of locked ones the pinned. What was drawn is kept voxel by voxel."""
        plane, locked = grid.plane, self._keys.confirmed(segmentId, grid.plane)
        found = {
            index: proposal
            for index, proposal in review.proposals[segmentId].items()
            if (segmentId, index) not in review.keys and index not in locked
        }
        pinned = {
            place[2]: proposal for place, proposal in self._keys.pinned.items() if place[:2] == (segmentId, plane)
        }
        return {**found, **pinned}


def _readingOutlines(
    segmentationNode: slicer.vtkMRMLSegmentationNode,
    grid: SliceGrid,
    places: Sequence[tuple[str, int]],
    labelmapOf: Callable[[str], Labelmap],
) -> Generator[float, None, dict[tuple[str, int], Proposal]]:
    """What labelmaps hold at `(segmentId, slice)` places, where that is something; a slice at a time."""
    reader, found = PromptReader(grid), dict[tuple[str, int], Proposal]()
    for number, (segmentId, index) in enumerate(places, start=1):
        outline = proposalOfMask(reader.labelmapMask(segmentationNode, labelmapOf(segmentId), index))
        if outline.area:
            found[segmentId, index] = outline
        yield number / len(places)
    return found
