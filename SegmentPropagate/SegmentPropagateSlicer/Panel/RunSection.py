"""Estimate, the button that propagates or cancels, progress."""

from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from SegmentPropagateLib.errors import InputError
from SegmentPropagateSlicer.Panel.Context import Context, planeTitle
from SegmentPropagateSlicer.Panel.Progress import Progress
from SegmentPropagateSlicer.Panel.RangeControls import RangeControls
from SegmentPropagateSlicer.Runs.Run import canLearn
from SegmentPropagateSlicer.Scene.SliceGrid import rangeEnds, unionOfEnds
from SegmentPropagateSlicer.Values.Amounts import byteSize, duration
from SegmentPropagateSlicer.Values.State import State

WORTH_SAYING_BYTES = 50e6


class RunSection:
    """Tells what a run would take, runs it, and shows how far it is.

    Args:
        context: `Context`.
        rangeControls: `RangeControls`.
    """

    def __init__(self, context: Context, rangeControls: RangeControls) -> None:
        self.context, self.rangeControls = context, rangeControls
        self._notices: list[str] = []  # of the run, shown again at its end
        self._state = State.IDLE
        self._downloads = False  # a model is being downloaded, for a run or for an outline
        ui, logic = context.ui, context.logic
        self._progress = Progress(ui.progressBar)
        self._icon = qt.QIcon(context.icon("propagate"))
        ui.propagateButton.connect("clicked()", context.status.guarded(self.toggle))
        ui.adaptCheckBox.connect("clicked()", context.status.guarded(self._takeAdapt))
        logic.stateChanged.connect(self._onState)
        logic.progressChanged.connect(self._progress.showSlices)
        logic.writingProgressed.connect(self._progress.showWriting)
        logic.downloadProgressed.connect(self._onDownload)
        logic.suggestions.progressed.connect(self._onSuggesting)
        logic.statusChanged.connect(context.status.say)
        logic.noticeGiven.connect(self._onNotice)
        logic.errorOccurred.connect(context.status.complain)
        logic.logReceived.connect(context.status.log)

    def toggle(self) -> None:
        """Propagate, or cancel the run that is going on."""
        logic = self.context.logic
        if logic.state == State.CANCELLING:
            return
        if logic.state in State.BUSY:
            logic.cancel()
            return
        if logic.suggestions.isAsking:
            logic.cancel()
            return
        if self._downloads:
            logic.cancel()
            self.context.status.say(_("The download was stopped; what has arrived is kept for the next time."))
            return
        problem = self.problem()
        if problem:
            raise InputError(problem)
        self.context.status.clear()
        parameters = self.context.parameters
        logic.setSettings(parameters.runSettings(self.context.plane()))
        ends = self.rangeControls.givenOf(self.segmentIdsWithKeys())
        first, last = unionOfEnds(list(ends.values()))
        if len(set(ends.values())) > 1:
            logic.startSession(list(ends), first, last, ends)
        else:
            logic.startSession(list(ends), first, last)

    def segmentIdsWithKeys(self) -> list[str]:
        """The chosen segments that have a key in the plane of the chosen view; one locked as empty is none."""
        plane = self.context.plane()
        keyed = {key.segmentId for key in self.context.logic.keys if key.plane == plane and key.areaMm2}
        return [segmentId for segmentId in self.context.segmentIds() if segmentId in keyed]

    def _takeAdapt(self) -> None:
        self.context.parameters.adapt = "stack" if self.context.ui.adaptCheckBox.checked else "off"
        slicer.app.userSettings().setValue("SegmentPropagate/adapt", self.context.parameters.adapt)

    def problem(self) -> str:
        """What is missing before a run can start, in one sentence; empty when nothing is."""
        parameters = self.context.parameters
        if parameters.volume is None:
            return _("Choose an image.")
        if parameters.segmentation is None:
            return _("Choose a segmentation, or create one.")
        if not self.context.segmentIds():
            return _("Choose a segment.")
        try:
            plane, _index = self.context.planeAndSlice()
            keyed = self.segmentIdsWithKeys()
            self.context.logic.checkNothingLost(keyed)
        except InputError as error:
            return str(error)
        if not keyed:
            return _("Outline the object on one {plane} slice and use it as key.").format(plane=planeTitle(plane))
        count = self.context.logic.sliceCount(plane)
        for ends in self.rangeControls.givenOf(keyed).values():
            first, last = rangeEnds(ends, count)
            if first > last:
                return _("The first slice ({first}) lies after the last slice ({last}).").format(first=first, last=last)
        return ""

    def _keyPlaces(self) -> list[tuple[str, int]]:
        plane, ids = self.context.plane(), self.context.segmentIds()
        keys = [key for key in self.context.logic.keys if key.plane == plane and key.segmentId in ids]
        return [(key.segmentId, key.sliceIndex) for key in keys]

    # ---- showing ------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Show the state of the logic and the estimate."""
        ui, state = self.context.ui, self.context.logic.state
        busy = state in State.BUSY or self._downloads or self.context.logic.suggestions.isAsking
        problem = "" if busy else self.problem()
        if state == State.CANCELLING:
            ui.propagateButton.text = _("Cancelling...")
        else:
            ui.propagateButton.text = _("Cancel") if busy else _("Propagate")
        ui.propagateButton.setIcon(qt.QIcon() if busy else self._icon)
        ui.propagateButton.enabled = state != State.CANCELLING and not problem
        ui.adaptCheckBox.setChecked(self.context.parameters.adapt == "stack")
        ui.adaptCheckBox.enabled = not busy
        ui.adaptCheckBox.setVisible(canLearn(self._keyPlaces()))
        ui.progressBar.setVisible(busy)
        ui.estimateLabel.setVisible(not busy)
        if not busy:
            ui.estimateLabel.text = problem or self._estimate()

    def _estimate(self) -> str:
        settings = self.context.parameters.runSettings(self.context.plane())
        ids = self.segmentIdsWithKeys()
        first, last = self.rangeControls.range(ids)
        return estimateText(self.context.logic.estimate(ids, first, last, settings))

    def _onState(self, state: str) -> None:
        before, self._state, self._downloads = self._state, state, False
        if state == State.STARTING:
            self._notices = []
            self._progress.showSlices(0, 0)
        elif state == State.REVIEW and before == State.RUNNING:
            logic, text = self.context.logic, " ".join([self._ready(), *self._notices])
            self.context.status.follow(lambda: text if logic.state == State.REVIEW else "")

    def _ready(self) -> str:
        place = self.context.logic.nextSuspicious()
        if place is None:
            return _("The proposal is ready: look through it, then accept or discard it.")
        text = _("The proposal is ready: look at slice {number} of {name} first, then accept or discard it.")
        return text.format(number=place[1], name=self.context.segmentName(place[0]))

    def _onNotice(self, sentence: str) -> None:
        self._notices.append(sentence)
        self.context.status.say(sentence)

    def _onSuggesting(self, done: int, total: int) -> None:
        self._progress.show(done, total, _("%v of %m steps"))

    def _onDownload(self, done: int, total: int) -> None:
        self._progress.show(done >> 20, total >> 20, _("%v of %m MB"))
        if self._downloads != bool(done or total):
            self._downloads = not self._downloads
            self.refresh()


def estimateText(found: dict[str, Any]) -> str:
    """The estimate of `SegmentPropagateLogic.estimate` as one line, with its warning where there is one."""
    slices = _("{count} slices").format(count=found["slices"])
    objects = _("1 segment") if found["objects"] == 1 else _("{count} segments").format(count=found["objects"])
    parts = [slices, objects]
    if found["seconds"] is None:
        parts.append(_("time not measured yet on this machine"))
    else:
        parts.append(_("about {time}").format(time=duration(found["seconds"])))
    if found["memoryBytes"] >= WORTH_SAYING_BYTES:
        parts.append(_("{size} of memory").format(size=byteSize(found["memoryBytes"])))
    text = ", ".join(parts) + "."
    return f"{text} {found['warning']}" if found["warning"] else text
