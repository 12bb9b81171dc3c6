"""What can be done with a proposal: look through it, correct and lock slices, accept or discard it."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from SegmentPropagateLib.errors import InputError
from SegmentPropagateSlicer.Review import Suspicion
from SegmentPropagateSlicer.Review.Keys import Keys
from SegmentPropagateSlicer.Review.ReviewWriter import ReviewWriter
from SegmentPropagateSlicer.Runs.Run import Run
from SegmentPropagateSlicer.Runs.RunController import RunController
from SegmentPropagateSlicer.Scene.SegmentWriter import Steps
from SegmentPropagateSlicer.Scene.SliceGrid import SliceGrid
from SegmentPropagateSlicer.Scene.VolumeReader import VolumeReader
from SegmentPropagateSlicer.Values.Pieces import doneWithin
from SegmentPropagateSlicer.Values.Proposal import Proposal
from SegmentPropagateSlicer.Values.State import State
from SegmentPropagateSlicer.Values.Words import tr as _

if TYPE_CHECKING:
    import slicer

    from SegmentPropagateSlicer.Review.Suspicion import Score
    from SegmentPropagateSlicer.Runs.RunController import Nodes


class Reviewer:
    """Acts on the proposal of the `RunController`; keeps nothing of its own but scores that are still right.

    Args:
        control: has the proposal.
        keys: the key slices.
        writer: writes into the segments.
    """

    def __init__(self, control: RunController, keys: Keys, writer: ReviewWriter) -> None:
        self._control, self._keys, self._writer = control, keys, writer
        self._taking: tuple[Run | None, Any] = None, iter(())  # of strokes on a proposal, a generator that is left off
        self._scores: dict[str, tuple[tuple[object, ...], list[Score]]] = {}  # segmentId -> what they are of, and they

    @property
    def review(self) -> Run:
        """The `Run` whose proposal waits for Accept or Discard; InputError while there is none."""
        if self._control.state != State.REVIEW or self._control.review is None:
            raise InputError(_("There is no proposal to review: propagate first."))
        return self._control.review

    @property
    def plane(self) -> str | None:
        """The plane of the proposal, also while a correction is computed; None without one."""
        return self._control.review.grid.plane if self._control.review else None

    @property
    def proposed(self) -> tuple[tuple[str, ...], str, int, int] | None:
        """`(segmentIds, plane, first, last)` of what is being computed or reviewed; None without it."""
        run = self._control.shown
        return (run.segmentIds, run.grid.plane, run.first, run.last) if run else None

    def scores(self, segmentId: str) -> list[Score]:
        """See `SegmentPropagateLogic.reviewScores`."""
        run = self._control.shown
        if run is None:
            self._scores.clear()
            return []
        confirmed = self._keys.confirmed(segmentId, run.grid.plane)
        stamp = run, run.progress.kept, *confirmed
        if self._scores.get(segmentId, ((),))[0] != stamp:
            self._scores[segmentId] = stamp, Suspicion.scores(run, segmentId, confirmed)
        return self._scores[segmentId][1]

    def nextSuspicious(self, segmentIds: Iterable[str], after: tuple[str, int] | None) -> tuple[str, int] | None:
        """`(segmentId, sliceIndex)` that is worth correcting next, or next after such a place; None when none is."""
        run = self._control.shown
        if run is None:
            return None
        locked = {i: self._keys.confirmed(i, run.grid.plane) for i in segmentIds}
        return Suspicion.nextSuspicious({i: Suspicion.seenOf(run, i, locked[i]) for i in locked}, after)

    def checkNothingLost(
        self, segmentIds: Collection[str], segmentationNode: slicer.vtkMRMLSegmentationNode | None
    ) -> None:
        """InputError where a run of these segments would replace a proposal that waits for others."""
        review = self._control.review
        checkNothingLost(review.segmentIds if review else (), segmentIds, segmentationNode)

    def confirm(
        self, nodes: Nodes, grid: SliceGrid, segmentId: str, sliceIndices: Iterable[int], confirmed: bool
    ) -> None:
        """Lock slices of a segment, or unlock them; see `SegmentPropagateLogic.confirmSlices`."""
        review = self._control.review
        proposals = review.proposals.get(segmentId, {}) if review and review.grid.plane == grid.plane else {}
        if confirmed and review is not None:
            review.checkWhereabouts()
        with self._keys.together():
            for index in sliceIndices:
                grid.checkIndex(index)
                if confirmed:
                    self._merge(nodes, grid, (segmentId, index))
                    drawn = self._writer.isDrawn(grid, (segmentId, index))
                    self._keys.lock(grid, segmentId, index, None if drawn else proposals.get(index))
                else:
                    self._keys.unlock((segmentId, grid.plane, index))
                self._control.sliceUpdated.emit(segmentId, index)

    def edit(self, nodes: Nodes, place: tuple[str, int]) -> None:
        """Copy the proposal of a `(segmentId, sliceIndex)` into the segment, where a key is already."""
        (segmentId, index), review = place, self.review
        review.checkWhereabouts()
        proposal = review.proposals.get(segmentId, {}).get(index)
        isKey = place in review.keys
        if proposal is None and not isKey:
            raise InputError(_("There is no proposal on slice {index}.").format(index=index))
        self._writer.edit(nodes, review.grid, place, None if isKey else proposal)

    def takeCorrection(self, nodes: Nodes, grid: SliceGrid, place: tuple[str, int]) -> None:
        """Make what the segment holds at a `(segmentId, sliceIndex)` a key, with the proposal under what was drawn."""
        self.review.checkWhereabouts()
        self._writer.checkUnlocked(place[0], grid.plane, place[1])
        self._merge(nodes, grid, place)
        self._writer.checkNotErased(nodes, grid, place)
        self._keys.add(grid, *place)

    def _merge(self, nodes: Nodes, grid: SliceGrid, place: tuple[str, int]) -> None:
        """Put the proposal of a slice under what the user has drawn there since the run began, if anything."""
        review = self._control.review
        if review is not None and review.grid.plane == grid.plane and self._writer.isDrawn(grid, place):
            self._lendSlice(nodes, grid, place, review)

    def _lendSlice(self, nodes: Nodes, grid: SliceGrid, place: tuple[str, int], review: Run) -> None:
        proposal = review.proposals.get(place[0], {}).get(place[1])
        if proposal is not None and place not in review.keys:
            self._writer.lend(nodes, (grid, {place[1]: proposal}), (place[0], grid, place[1]))

    def outline(self, nodes: Nodes, grid: SliceGrid, place: tuple[str, int]) -> Proposal | None:
        """What a `(segmentId, sliceIndex)` has in review: its key, or what is proposed; None where that is nothing."""
        review = self._control.review
        if review is None or review.grid.plane != grid.plane:
            return None
        found = review.proposals.get(place[0], {}).get(place[1])
        if self._keys.find(place[0], grid.plane, place[1]) is not None:
            found = self._writer.outline(nodes, grid, place)
        return found if found is not None and found.area else None

    # ---- drawing on the proposal --------------------------------------------------------------------------------

    def lend(self, nodes: Nodes, grid: SliceGrid, slab: SliceGrid, segmentId: str, sliceIndex: int) -> None:
        """Put what is proposed on a slice into its segment, to be drawn upon; nothing where nothing is proposed.

        Args:
            nodes: `(volumeNode, segmentationNode)`.
            grid: `SliceGrid` along the plane of the proposal.
            slab: `SliceGrid` along the plane of the view.
            segmentId: which segment.
            sliceIndex: which slice of the view's plane.
        """
        found: dict[int, Proposal] = {}
        for run in (self._control.review, self._control.run):
            found.update(run.proposals.get(segmentId, {}) if run is not None and run.grid.plane == grid.plane else {})
        free = {i: p for i, p in found.items() if self._keys.find(segmentId, grid.plane, i) is None}
        self._writer.lend(nodes, (grid, free), (segmentId, slab, sliceIndex))

    def takeStrokes(self, nodes: Nodes, grid: SliceGrid, seconds: float | None) -> bool | None:
        """Make keys of the slices of the proposal that were drawn upon, and forget those whose drawing was undone.

        Returns:
            whether the proposal is to be computed again: its keys are others than those it was made from; None where
            the seconds have passed, and there is more to do.
        """
        review, (begun, taking) = self.review, self._taking
        if begun is not review:
            taking = self._takingStrokes(nodes, grid)
        self._taking = None, iter(())
        isStale = doneWithin(taking, seconds)[1]
        if isStale is None:
            self._taking = review, taking
        return isStale

    def _takingStrokes(self, nodes: Nodes, grid: SliceGrid) -> Generator[None, None, bool]:
        review = self.review
        review.checkWhereabouts()
        present = [i for i in review.segmentIds if nodes[1].GetSegmentation().GetSegment(i) is not None]
        found = yield from self._writer.findingDrawn(nodes, grid, present)
        for segmentId, slices in found.items():
            drawn = [index for index in slices if review.covers(segmentId, index)]
            for index in drawn:
                yield
                self._lendSlice(nodes, grid, (segmentId, index), review)
                self._writer.makeKey(nodes, grid, (segmentId, index))
            self._writer.withdrawKeys(grid, segmentId, drawn)
        if not present:
            return False
        ranges = {i: review.ends.get(i, (review.first, review.last)) for i in present}
        keys, before = self._keys.outlines(grid, ranges), {**review.keys, **dict.fromkeys(review.absent)}
        now = {**keys, **dict.fromkeys(self._keys.absent(grid.plane) - set(keys))}
        isSame = all(
            _areEqual(now.get(place), before.get(place, review.proposals.get(place[0], {}).get(place[1])))
            for place in now
            if review.covers(*place)
        )
        return not isSame or any(place not in now for place in before if place[0] in present)

    def accepting(self, nodes: Nodes) -> Steps:
        """Write the proposal, in steps; InputError where there is none."""
        return self._accepting(nodes, self.review)

    def _accepting(self, nodes: Nodes, review: Run) -> Steps:
        grid = SliceGrid(VolumeReader(nodes[0]).geometry, review.grid.plane)  # of the volume as it is now
        changed = yield from self._writer.accepting(nodes, grid, review)
        self._control.endReview()
        return changed

    def discard(self, segmentationNode: slicer.vtkMRMLSegmentationNode | None) -> tuple[int, ...]:
        """Drop the proposal; returns the slices that stay as they were edited. InputError where there is nothing."""
        left: tuple[int, ...] = ()
        if self.review and segmentationNode is not None:  # a review ends with its segmentation
            left = self._writer.discard(segmentationNode)
            self._control.endReview()
        return left


def checkNothingLost(
    proposed: Iterable[str], segmentIds: Collection[str], segmentationNode: slicer.vtkMRMLSegmentationNode | None
) -> None:
    """InputError where something is proposed for a segment that there still is, and is not among some."""
    if segmentationNode is None:
        return
    for segmentId in proposed:
        segment = segmentationNode.GetSegmentation().GetSegment(segmentId)
        if segment is not None and segmentId not in segmentIds:
            text = _("The proposal for '{name}' waits for review: accept or discard it first.")
            raise InputError(text.format(name=segment.GetName()))


def _areEqual(one: Proposal | None, other: Proposal | None) -> bool:
    """Whether two outlines, of which None is an empty one, are the same."""
    if one is None or other is None or not (one.area and other.area):
        return not (one and one.area) and not (other and other.area)
    return one.area == other.area and np.array_equal(one.mask, other.mask)
