"""What can be done with a proposal: look through it, correct and lock slices, accept or discard it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from SegmentPropagateLib.errors import InputError
from SegmentPropagateSlicer.Review import Suspicion
from SegmentPropagateSlicer.Review.Keys import Keys
from SegmentPropagateSlicer.Review.ReviewWriter import ReviewWriter
from SegmentPropagateSlicer.Runs.Run import Run
from SegmentPropagateSlicer.Runs.RunController import RunController
from SegmentPropagateSlicer.Scene.SliceGrid import SliceGrid
from SegmentPropagateSlicer.Values.State import State
from SegmentPropagateSlicer.Values.Words import tr as _

if TYPE_CHECKING:
    import slicer

    from SegmentPropagateSlicer.Review.Suspicion import Score
    from SegmentPropagateSlicer.Runs.RunController import Nodes


class Reviewer:
    """Acts on the proposal of the `RunController`; keeps nothing of its own.

    Args:
        control: has the proposal.
        keys: the key slices.
        writer: writes into the segments.
    """

    def __init__(self, control: RunController, keys: Keys, writer: ReviewWriter) -> None:
        self._control, self._keys, self._writer = control, keys, writer

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
        return Suspicion.scores(run, segmentId, self._keys.confirmed(segmentId, run.grid.plane)) if run else []

    def nextSuspicious(self, segmentIds: Iterable[str], after: tuple[str, int] | None) -> tuple[str, int] | None:
        """`(segmentId, sliceIndex)` that is worth correcting next, or next after such a place; None when none is."""
        return Suspicion.nextSuspicious({segmentId: self.scores(segmentId) for segmentId in segmentIds}, after)

    def checkNothingLost(
        self, segmentIds: Iterable[str], segmentationNode: slicer.vtkMRMLSegmentationNode | None
    ) -> None:
        """InputError where a run of these segments would replace a proposal that waits for others."""
        review = self._control.review
        if review is None or segmentationNode is None:
            return
        for segmentId in review.segmentIds:
            segment = segmentationNode.GetSegmentation().GetSegment(segmentId)
            if segment is not None and segmentId not in segmentIds:
                text = _("The proposal for '{name}' waits for review: accept or discard it first.")
                raise InputError(text.format(name=segment.GetName()))

    def confirm(
        self, nodes: Nodes, grid: SliceGrid, segmentId: str, sliceIndices: Iterable[int], confirmed: bool
    ) -> None:
        """Lock slices of a segment, or unlock them; see `SegmentPropagateLogic.confirmSlices`."""
        review = self._control.review
        proposals = review.proposals.get(segmentId, {}) if review and review.grid.plane == grid.plane else {}
        if confirmed and review is not None:
            review.checkWhereabouts()
        for index in sliceIndices:
            grid.checkIndex(index)
            if confirmed:
                self._merge(nodes, grid, (segmentId, index))
                drawn = self._writer.isEdited(nodes, grid, (segmentId, index))
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
        self._writer.copy(nodes, review.grid, place, None if isKey else proposal)

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
        proposal = review.proposals.get(place[0], {}).get(place[1]) if review else None
        if review is None or proposal is None or place in review.keys or review.grid.plane != grid.plane:
            return
        if self._writer.isDrawn(grid, place):
            self._writer.copy(nodes, grid, place, proposal)

    def accept(self, nodes: Nodes, grid: SliceGrid) -> dict[str, int]:
        """Write the proposal; `grid` is that of the volume as it is now. Returns segmentId -> voxels changed."""
        review = self.review
        review.checkWhereabouts()
        changed = self._writer.accept(nodes, grid, review)
        self._control.endReview()
        return changed

    def discard(self, segmentationNode: slicer.vtkMRMLSegmentationNode | None) -> tuple[int, ...]:
        """Drop the proposal; returns the slices that stay as they were edited. InputError where there is nothing."""
        left: tuple[int, ...] = ()
        if self.review and segmentationNode is not None:  # a review ends with its segmentation
            left = self._writer.discard(segmentationNode)
            self._control.endReview()
        return left
