"""The course of a run: from Propagate to a proposal in review, or back to where it began."""

from SegmentPropagateSlicer.Values.Signal import Signal
from SegmentPropagateSlicer.Values.State import State
from SegmentPropagateSlicer.Values.Words import tr as _


class RunController:
    """One run at a time; a run that does not end well leaves the proposal that was in review before it.

    Args:
        runner: `Runner`.
        preview: `Preview`.
        estimates: `Estimates`.
    """

    def __init__(self, runner, preview, estimates):
        self.stateChanged = Signal("state")
        self.progressChanged = Signal("slicesDone", "slicesTotal", "secondsLeft")
        self.sliceUpdated = Signal("segmentId", "sliceIndex")
        self.noticeGiven = Signal("sentence")
        self.errorOccurred = Signal("sentence")
        self.state = State.IDLE
        self.run = None  # what the worker is busy with
        self.review = None  # the Run whose proposal waits for Accept or Discard
        self._nodes = None  # (volumeNode, segmentationNode)
        self._runner, self._preview, self._estimates = runner, preview, estimates

    @property
    def shown(self):
        """The `Run` whose slices are in the preview: the one going on, else the one in review; or None."""
        return self.run or self.review

    def start(self, run, nodes):
        """Begin a run.

        Args:
            run: `Run`.
            nodes: `(volumeNode, segmentationNode)`.
        """
        self.run, self._nodes = run, nodes
        if not run.sameFrame:
            self._showRun(run)
        self._setState(State.STARTING)
        if not self._runner.process.isRunning:
            self._runner.statusChanged.emit(_("Starting the worker..."))
        run.requestId = self._runner.ask(nodes[0], run, lambda message: self._onMessage(run, message), masks=run.masks)

    def cancel(self):
        """Ask the worker to stop; the state goes back when it has, or has been killed."""
        if self.state in (State.STARTING, State.RUNNING):
            self._setState(State.CANCELLING)
            self._runner.process.cancel(self.run.requestId)

    def abandon(self, sentence):
        """End the run and the review at once, whatever the worker does; the sentence is shown if a run was going on."""
        run, self.run, self.review = self.run, None, None
        self._preview.end()
        if run is not None:
            self._runner.process.cancel(run.requestId)
        self._setState(State.IDLE)
        if run is not None and sentence:
            self.errorOccurred.emit(sentence)

    def endReview(self):
        """The proposal was accepted or discarded."""
        self.review = None
        self._preview.end()
        self._setState(State.IDLE)

    def _onMessage(self, run, message):
        if run is not self.run:
            return  # of a run that was abandoned
        if message.type == "slice":
            segmentId, index, proposal = run.take(message)
            self._preview.show(segmentId, index, proposal)
            self.sliceUpdated.emit(segmentId, index)
            self.progressChanged.emit(run.done, run.total, run.secondsLeft)
        elif message.type == "stage":
            run.loadedModel |= message.header["stage"] == "model"
            self._runner.tellStage(message.header, run.settings)
        elif message.type == "started":
            run.start(int(message.header["total"]))
            if self.state == State.STARTING:
                self._setState(State.RUNNING)
            self._runner.statusChanged.emit(_("Propagating..."))
            self.progressChanged.emit(0, run.total, None)
            self._notify(run, message.header)
        elif message.type == "done":
            self._onDone(run, message.header)
        else:
            self._revert(run, message.header.get("sentence", ""))

    def _notify(self, run, header):
        if run.settings.intensity == "auto":
            self.noticeGiven.emit(_("Intensities: auto chose '{preset}'.").format(preset=header["preset"]))
        if header.get("note"):
            self.noticeGiven.emit(header["note"])

    def _onDone(self, run, header):
        self.run, self.review, run.previous = None, run, None
        self._runner.noteLoaded(run.settings)
        self._estimates.record(run, self._nodes[0], header.get("peak_mib"))
        self._setState(State.REVIEW)

    def _revert(self, run, sentence):
        """Back to the review before the run, or to nothing."""
        self.run, self.review = None, run.previous
        if self.review is None:
            self._preview.end()
            self._setState(State.IDLE)
        else:
            if run.sameFrame:
                self._preview.showAgain(self.review.proposals, run.proposals)
            else:
                self._showRun(self.review)
                self._preview.showAgain(self.review.proposals, self.review.proposals)
            self._setState(State.REVIEW)
        if sentence:
            self.errorOccurred.emit(sentence)

    def _showRun(self, run):
        volumeNode, segmentationNode = self._nodes
        self._preview.begin(volumeNode, run.grid, segmentationNode, run.segmentIds, run.first, run.last)

    def _setState(self, state):
        if state != self.state:
            self.state = state
            self.stateChanged.emit(state)
