"""The section Review: look at the proposal, correct it, accept or discard it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import qt
from slicer.i18n import tr as _

from SegmentPropagateLib.errors import InputError
from SegmentPropagateSlicer.Panel.Context import Context, planeTitle
from SegmentPropagateSlicer.Panel.DriftStrip import DriftStrip
from SegmentPropagateSlicer.Panel.Writing import Writing
from SegmentPropagateSlicer.Review.Suspicion import Score
from SegmentPropagateSlicer.Values.State import State


class ReviewSection:
    """Drift strip, suspicious slices, correction, locks, Accept and Discard.

    Args:
        context: `Context`.
        writing: writes what is accepted.
    """

    def __init__(self, context: Context, writing: Writing) -> None:
        self.context, self._writing = context, writing
        ui, guarded = context.ui, context.status.guarded
        self.strip = DriftStrip(ui.driftHolder.layout(), self.goTo)
        self._scores: list[Score] = []
        self._isOpen = False
        ui.correctButton.setIcon(qt.QIcon(context.icon("correct")))
        ui.lockButton.setIcon(qt.QIcon(context.icon("lock")))
        ui.nextButton.connect("clicked()", guarded(self.nextSuspicious))
        ui.lockButton.connect("clicked()", guarded(self.lock))
        ui.editButton.connect("clicked()", guarded(self.edit))
        ui.correctButton.connect("clicked()", guarded(self.correct))
        ui.acceptButton.connect("clicked()", guarded(self.accept))
        ui.discardButton.connect("clicked()", guarded(self.discard))

    # ---- which segment ------------------------------------------------------------------------------------------

    def segmentIds(self) -> list[str]:
        """The segments of the proposal that still exist."""
        proposed, node = self.context.logic.proposed, self.context.parameters.segmentation
        known = node.GetSegmentation().GetSegmentIDs() if node else ()
        return [segmentId for segmentId in proposed[0] if segmentId in known] if proposed else []

    def segmentId(self) -> str:
        """The one whose slices the strip shows, and which is edited, corrected and locked: the Segment Editor's.

        Raises:
            InputError: there is no proposal.
        """
        ids, chosen = self.segmentIds(), self.context.selectedSegmentId()
        if not ids:
            raise nothingToReview()
        return chosen if chosen in ids else ids[0]

    def _proposed(self) -> tuple[tuple[str, ...], str, int, int]:
        """Segments, plane, first and last slice of the proposal; InputError without one."""
        proposed = self.context.logic.proposed
        if proposed is None:
            raise nothingToReview()
        return proposed

    def choose(self, segmentId: str) -> None:
        """Show the slices of a segment, and take it in the Segment Editor."""
        self.context.ui.segmentEditor.setCurrentSegmentID(segmentId)
        self.refresh()

    # ---- actions ------------------------------------------------------------------------------------------------

    def goTo(self, sliceIndex: int) -> None:
        """Show a slice of the proposal."""
        self.context.status.guarded(lambda: self.context.jumpToSlice(sliceIndex, self._proposed()[1]))()

    def nextSuspicious(self) -> None:
        """Show the slice that is worth correcting next, of whichever segment."""
        try:
            here = self.segmentId(), self._current()
        except InputError:
            here = None  # another plane in the view
        found = self.context.logic.nextSuspicious(here)
        if found is None:
            self.context.status.say(_("No slice is in doubt: on each the overlap is expected to be good."))
            return
        segmentId, sliceIndex = found
        self.choose(segmentId)
        self.goTo(sliceIndex)
        if len(self.segmentIds()) > 1:
            text = _("Slice {number} of {name} is worth a look.")
        else:
            text = _("Slice {number} is worth a look.")
        self.context.sayOfSegment(text.format(number=sliceIndex, name=self.context.segmentName(segmentId)))

    def lock(self) -> None:
        """Confirm the slice in the view, or unlock it."""
        locked = self.context.ui.lockButton.checked
        try:
            segmentId, plane, index = self.segmentId(), self._proposed()[1], self._current()
            self.context.logic.confirmSlices(segmentId, [index], locked, plane)
            self.context.sayLocked((segmentId, plane, index), locked)
        finally:
            self.refresh()

    def edit(self) -> None:
        """Put the proposed outline into the segment and take the brush."""
        self.context.logic.editSlice(self.segmentId(), self._current())
        self.context.ui.segmentEditor.setCurrentSegmentID(self.segmentId())
        self.context.ui.segmentEditor.setActiveEffectByName("Paint")
        self.context.sayOfSegment(_("Correct the outline in the view, then press Correct."))

    def correct(self) -> None:
        """Make the corrected slice a key and compute again what it changes."""
        segmentId, index = self.segmentId(), self._current()
        self.context.logic.setSettings(self.context.parameters.runSettings(self.context.plane()))
        self.context.logic.correct(segmentId, index)

    def accept(self, then: Callable[[], object] | None = None) -> None:
        """Write the proposal into the segments, in pieces where it is large; `then` is done at the end."""
        self._writing.start(self.context.logic.acceptWithin, partial(self._onWritten, then))

    def acceptNow(self) -> None:
        """The same in one piece, for what cannot wait."""
        self._onWritten(None, self.context.logic.accept())

    def _onWritten(self, then: Callable[[], object] | None, changed: Mapping[str, int]) -> None:
        count = sum(changed.values())
        if count:
            text, hint = _("Accepted: {count} voxels changed."), _("Undo in the Segment Editor takes it back.")
            self.context.sayOfWritten(text.format(count=f"{count:,}"), changed, hint)
        else:  # Undo would take back something else
            text = _("Accepted: the segments hold what is proposed already, so nothing was changed.")
            self.context.sayOfSegment(text)
        if then is not None:
            then()

    def discard(self) -> None:
        """Drop the proposal."""
        left = self.context.logic.discard()
        if left:
            text = _(
                "Discarded. Slices {numbers} stay as they were edited: the segmentation is stored in another way now."
            )
            self.context.sayOfSegment(text.format(numbers=", ".join(map(str, left))))
        else:
            self.context.sayOfSegment(_("Discarded: the segment is as it was before the run."))

    def _current(self) -> int:
        """The slice in the view; InputError where the view has another plane than the proposal."""
        (plane, index), wanted = self.context.planeAndSlice(), self._proposed()[1]
        if plane != wanted:
            raise InputError(
                _(
                    "The chosen view shows {plane} slices, the proposal is {wanted}: choose a view of that plane."
                ).format(plane=planeTitle(plane), wanted=planeTitle(wanted))
            )
        return index

    # ---- showing ------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Show the proposal; nothing while there is none. Stays open while a correction starts."""
        ui, state = self.context.ui, self.context.logic.state
        ids = self.segmentIds()
        self._isOpen = self.context.logic.proposed is not None and (
            state in (State.REVIEW, State.RUNNING) or self._isOpen
        )
        ui.reviewSection.setVisible(self._isOpen)
        for button in (ui.nextButton, ui.lockButton, ui.editButton, ui.correctButton, ui.acceptButton,
                       ui.discardButton):  # fmt: skip
            button.enabled = state == State.REVIEW
        if not self._isOpen:
            self._scores = []
            return
        if not ids:
            for button in (ui.nextButton, ui.lockButton, ui.editButton, ui.correctButton):
                button.enabled = False
            self.strip.show((), ())
            ui.sliceInfo.text = str(segmentsRemoved())
            return
        self._scores = self.context.logic.reviewScores(self.segmentId())
        self.refreshCurrent()

    def refreshCurrent(self) -> None:
        """Show the slice in the view."""
        try:
            current = self._current()
        except InputError:
            current = None
        _ids, _plane, first, last = self._proposed()
        self.strip.show(self._scores, range(first, last + 1), current)
        score = next((s for s in self._scores if s["sliceIndex"] == current), None)
        ui = self.context.ui
        name = self.context.segmentName(self.segmentId())
        ui.sliceInfo.text = sliceText(name, score) if score else _("Click a bar to go to its slice.")
        ui.lockButton.setChecked(bool(score and score["confirmed"]))


def nothingToReview() -> InputError:
    """What is wrong when a proposal is needed and there is none."""
    return InputError(_("There is no proposal to review: propagate first."))


def segmentsRemoved() -> InputError:
    """What is wrong when no segment of a proposal is left."""
    return InputError(_("The segments of this proposal were removed: undo that, or discard it."))


def sliceText(name: str, score: Score) -> str:
    """One line about a slice of the proposal."""
    start = _("{name}, slice {number}: ").format(name=name, number=score["sliceIndex"])
    if score["source"] == "key":
        text = _("key slice, locked, {area}\u00a0mm².") if score["confirmed"] else _("key slice, {area}\u00a0mm².")
        return start + text.format(area=round(score["areaMm2"]))
    if score["source"] == "empty":
        if score["doubt"]:
            return start + _("the object ends abruptly here, worth a look.")
        return start + (_("locked as empty.") if score["confirmed"] else _("the object is not there."))
    parts = [_("presence {percent} %").format(percent=round(100 * score["presence"]))]
    if score["predictedIou"] is not None:
        parts.append(_("expected overlap {percent} %").format(percent=round(100 * score["predictedIou"])))
    parts.append(_("{area}\u00a0mm²").format(area=round(score["areaMm2"])))
    if score["doubt"]:
        parts.append(_("worth a look"))
    if score["confirmed"]:
        parts.append(_("locked"))
    return start + ", ".join(parts) + "."
