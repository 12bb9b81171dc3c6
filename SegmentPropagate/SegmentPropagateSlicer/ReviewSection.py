"""The section Review: look at the proposal, correct it, accept or discard it."""

import qt
from slicer.i18n import tr as _

from SegmentPropagateLib.errors import InputError
from SegmentPropagateSlicer.DriftStrip import DriftStrip
from SegmentPropagateSlicer.Logic import State
from SegmentPropagateSlicer.Review import SUSPICIOUS


class ReviewSection:
    """Drift strip, suspicious slices, correction, locks, Accept and Discard.

    Args:
        context: `Context`.
    """

    def __init__(self, context):
        self.context = context
        ui, guarded = context.ui, context.status.guarded
        self.strip = DriftStrip(ui.driftHolder.layout(), self.goTo)
        self._scores = []
        ui.correctButton.setIcon(qt.QIcon(context.icon("correct")))
        ui.nextButton.connect("clicked()", guarded(self.nextSuspicious))
        ui.lockButton.connect("clicked()", guarded(self.lock))
        ui.editButton.connect("clicked()", guarded(self.edit))
        ui.correctButton.connect("clicked()", guarded(self.correct))
        ui.acceptButton.connect("clicked()", guarded(self.accept))
        ui.discardButton.connect("clicked()", guarded(self.discard))

    # ---- actions ------------------------------------------------------------------------------------------------

    def goTo(self, sliceIndex):
        """Show a slice in the chosen view."""
        self.context.status.guarded(lambda: self.context.jumpToSlice(sliceIndex))()

    def nextSuspicious(self):
        """Show the slice that is worth correcting next."""
        here = self._current()
        after = here if any(score["sliceIndex"] == here for score in self._scores) else None
        found = self.context.logic.nextSuspiciousSlice(self.context.currentSegmentId(), after)
        if found is None:
            self.context.status.say(_("No suspicious slice: area, position and confidence run smoothly."))
        else:
            self.context.jumpToSlice(found)
            self.context.status.say(_("Slice {number} is worth a look.").format(number=found))

    def lock(self):
        """Confirm the slice in the view, or unlock it."""
        self.context.logic.confirmSlices(
            self.context.currentSegmentId(), [self._current()], self.context.ui.lockButton.checked
        )
        self.refresh()

    def edit(self):
        """Put the proposed outline into the segment and take the brush."""
        self.context.logic.editSlice(self.context.currentSegmentId(), self._current())
        self.context.ui.segmentEditor.setActiveEffectByName("Paint")
        self.context.status.say(_("Correct the outline in the view, then press Correct."))

    def correct(self):
        """Make the corrected slice a key and compute again what it changes."""
        self.context.logic.correct(self.context.currentSegmentId(), self._current())

    def accept(self):
        """Write the proposal into the segments."""
        changed = self.context.logic.accept()
        self.context.status.say(
            _("Accepted: {count} voxels changed. Undo in the Segment Editor takes it back.").format(
                count=f"{sum(changed.values()):,}"
            )
        )

    def discard(self):
        """Drop the proposal."""
        self.context.logic.discard()
        self.context.status.say(_("Discarded: the segment is as it was before the run."))

    def _current(self):
        return self.context.planeAndSlice()[1]

    # ---- showing ------------------------------------------------------------------------------------------------

    def refresh(self):
        """Show the proposal of the current segment; nothing while there is none."""
        ui, state = self.context.ui, self.context.logic.state
        ui.reviewSection.setVisible(state in (State.REVIEW, State.RUNNING))
        inReview = state == State.REVIEW
        for button in (ui.nextButton, ui.lockButton, ui.editButton, ui.correctButton, ui.acceptButton,
                       ui.discardButton):  # fmt: skip
            button.enabled = inReview
        if state not in (State.REVIEW, State.RUNNING):
            self._scores = []
            return
        try:
            segmentId = self.context.currentSegmentId()
            self._scores = self.context.logic.reviewScores(segmentId)
        except InputError:
            self._scores = []
        self.refreshCurrent()

    def refreshCurrent(self):
        """Show the slice in the view; cheap, called whenever the view moves."""
        try:
            current = self._current()
        except InputError:
            current = None
        self.strip.show(self._scores, current)
        score = next((s for s in self._scores if s["sliceIndex"] == current), None)
        ui = self.context.ui
        ui.sliceInfo.text = self._describe(score) if score else _("Click a bar to go to its slice.")
        ui.lockButton.setChecked(bool(score and score["confirmed"]))

    def _describe(self, score):
        name = self.context.segmentName(self.context.currentSegmentId())
        return sliceText(name, score)


def sliceText(name, score):
    """One line about a slice of the proposal."""
    start = _("{name}, slice {number}: ").format(name=name, number=score["sliceIndex"])
    if score["source"] == "key":
        return start + _("key slice, {area}\u00a0mm².").format(area=round(score["areaMm2"]))
    if score["source"] == "empty":
        return start + _("the object is not there.")
    parts = [_("presence {percent} %").format(percent=round(100 * score["presence"]))]
    if score["predictedIou"] is not None:
        parts.append(_("predicted IoU {value}").format(value=f"{score['predictedIou']:.2f}"))
    parts.append(_("{area}\u00a0mm²").format(area=round(score["areaMm2"])))
    if score["suspicion"] >= SUSPICIOUS and not (score["areaJump"] or score["centerJump"]):
        parts.append(_("the model is unsure"))
    if score["areaJump"]:
        parts.append(_("the area jumps"))
    if score["centerJump"]:
        parts.append(_("the position jumps"))
    return start + ", ".join(parts) + "."
