"""The course of a run: from Propagate to a proposal in review, or back to where it began."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from SegmentPropagateLib.worker.replies import (
    Cancelled,
    Done,
    Downloading,
    Failed,
    Preparing,
    Remote,
    Reply,
    SliceDone,
    Started,
)
from SegmentPropagateSlicer.Runs.Run import Run
from SegmentPropagateSlicer.Values.Signal import Signal
from SegmentPropagateSlicer.Values.State import State
from SegmentPropagateSlicer.Values.Words import tr as _

if TYPE_CHECKING:
    import slicer

    from SegmentPropagateSlicer.Runs.Estimates import Estimates
    from SegmentPropagateSlicer.Runs.Runner import Runner
    from SegmentPropagateSlicer.Scene.Preview import Preview

    Nodes = tuple[slicer.vtkMRMLScalarVolumeNode, slicer.vtkMRMLSegmentationNode]


class RunController:
    """One run at a time; a run that does not end well leaves the proposal that was in review before it.

    Args:
        runner: `Runner`.
        preview: `Preview`.
        estimates: `Estimates`.
    """

    def __init__(self, runner: Runner, preview: Preview, estimates: Estimates) -> None:
        self.stateChanged = Signal("state")
        self.progressChanged = Signal("slicesDone", "slicesTotal", "secondsLeft")
        self.writingProgressed = Signal("share")
        self.sliceUpdated = Signal("segmentId", "sliceIndex")
        self.noticeGiven = Signal("sentence")
        self.errorOccurred = Signal("sentence")
        self.state = State.IDLE
        self.run: Run | None = None  # what the worker is busy with
        self.review: Run | None = None  # whose proposal waits for Accept or Discard, or for the end of a correction
        self._requestId = 0  # of the run
        self._nodes: Nodes  # of the last run
        self._runner, self._preview, self._estimates = runner, preview, estimates
        self._handlers: Mapping[type[Reply], Callable[[Run, Any], None]] = {
            Downloading: self._onStage,
            Preparing: self._onStage,
            Remote: self._onStage,
            Started: self._onStarted,
            SliceDone: self._onSlice,
            Done: self._onDone,
            Cancelled: lambda run, _reply: self._revert(run, ""),
            Failed: lambda run, reply: self._revert(run, reply.sentence),
        }

    @property
    def shown(self) -> Run | None:
        """The `Run` whose slices are in the preview: the one going on, else the one in review; or None."""
        return self.run or self.review

    def start(self, run: Run, nodes: Nodes) -> None:
        """Begin a run.

        Args:
            run: `Run`.
            nodes: `(volumeNode, segmentationNode)`.

        Raises:
            SegmentPropagateError: the worker cannot be asked that; everything is as before.
        """
        request = run.request(self._runner.setup(nodes[0], run.grid, run.settings))
        self.run, self._nodes = run, nodes
        try:
            if not run.hasFrameOf(self.review):
                self._showRun(run)
            self._setState(State.STARTING)
            isRunning = self._runner.process.isRunning  # but it may be busy, importing PyTorch for one
            text = _("Waiting for the computing process...") if isRunning else _("Starting the computing process...")
            self._runner.statusChanged.emit(text)
            self._requestId = self._runner.ask(nodes[0], request, lambda reply: self._onReply(run, reply))
        except BaseException:
            self._revert(run, "")
            raise

    def cancel(self) -> None:
        """Ask the worker to stop; the state goes back when it has, or has been killed."""
        if self.state in (State.STARTING, State.RUNNING):
            self._setState(State.CANCELLING)
            self._runner.statusChanged.emit(_("Stopping..."))
            self._runner.process.cancel(self._requestId)

    def abandon(self, sentence: str) -> None:
        """End the run and the review at once, whatever the worker does; the sentence is shown if a run was going on."""
        run, self.run, self.review = self.run, None, None
        self._preview.end()
        if run is not None:
            self._runner.process.cancel(self._requestId)
        self._setState(State.IDLE)
        if run is not None and sentence:
            self.errorOccurred.emit(sentence)

    def noteWriting(self, share: float) -> None:
        """The proposal is being written, so much of it has been done."""
        self._setState(State.WRITING)
        self.writingProgressed.emit(share)

    def endWriting(self) -> None:
        """Nothing is written any more; a proposal that there still is waits again."""
        if self.state == State.WRITING:
            self._setState(State.IDLE if self.review is None else State.REVIEW)

    def tellCancelled(self) -> None:
        """Say that what was going on is not any more."""
        self._runner.statusChanged.emit(_("Cancelled: everything is as it was before."))

    def endReview(self) -> None:
        """The proposal was accepted or discarded."""
        self.review = None
        self._preview.end()
        self._setState(State.IDLE)

    def _onReply(self, run: Run, reply: Reply) -> None:
        if run is self.run:  # else of one that was abandoned
            self._handlers[type(reply)](run, reply)

    def _onStage(self, run: Run, reply: Downloading | Preparing | Remote) -> None:
        if isinstance(reply, Preparing) and reply.what == "model":
            run.progress.noteLoading()
        self._runner.tellStage(reply, run.settings)

    def _onStarted(self, run: Run, reply: Started) -> None:
        run.progress.start(reply.total)
        if self.state == State.STARTING:
            self._setState(State.RUNNING)
        self._runner.statusChanged.emit(_("Propagating..."))
        self.progressChanged.emit(0, reply.total, None)
        if run.settings.intensity == "auto":
            self.noticeGiven.emit(_("Intensities: auto chose '{preset}'.").format(preset=reply.preset))
        if reply.note:
            self.noticeGiven.emit(reply.note)

    def _onSlice(self, run: Run, reply: SliceDone) -> None:
        segmentId, index, proposal = run.take(reply)
        self._preview.show(segmentId, index, proposal)
        self.sliceUpdated.emit(segmentId, index)
        self.progressChanged.emit(run.progress.done, run.progress.total, run.progress.secondsLeft)

    def _onDone(self, run: Run, reply: Done) -> None:
        self.run, self.review = None, run
        self._runner.noteLoaded(run.settings)
        for number, sentence in reply.lessons:
            self.noticeGiven.emit(self._named(run.segmentIds[number - 1], sentence) if reply.lessons[1:] else sentence)
        self._setState(State.REVIEW)  # first: whatever follows, the panel is no longer busy
        self._estimates.record(run, self._nodes[0], reply.peak_mib)

    def _named(self, segmentId: str, sentence: str) -> str:
        segment = self._nodes[1].GetSegmentation().GetSegment(segmentId)
        return f"{segment.GetName() if segment is not None else segmentId}: {sentence}"

    def _revert(self, run: Run, sentence: str) -> None:
        """Back to the review before the run, or to nothing."""
        self.run, wasCancelled = None, self.state == State.CANCELLING
        try:
            self._showReview(run)
        finally:  # whatever the scene is like, the panel is no longer busy
            self._setState(State.IDLE if self.review is None else State.REVIEW)
            if wasCancelled:
                self.tellCancelled()
            if sentence:
                self.errorOccurred.emit(sentence)

    def _showReview(self, run: Run) -> None:
        """Show the proposal in review, or nothing, in place of a run's."""
        if self.review is None:
            self._preview.end()
        elif run.hasFrameOf(self.review):
            self._preview.showAgain(self.review.proposals, run.proposals)
        else:
            self._showRun(self.review)
            self._preview.showAgain(self.review.proposals, self.review.proposals)

    def _showRun(self, run: Run) -> None:
        volumeNode, segmentationNode = self._nodes
        self._preview.begin(volumeNode, run.grid, segmentationNode, run.segmentIds, run.first, run.last)

    def _setState(self, state: str) -> None:
        if state != self.state:
            self.state = state
            self.stateChanged.emit(state)
