"""What the panel does, without the panel: keys, runs, review, accept. Knows MRML, no widgets."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from SegmentPropagateLib.errors import SegmentPropagateError
from SegmentPropagateSlicer import Scripting
from SegmentPropagateSlicer.Prompting import Prompting
from SegmentPropagateSlicer.Review.Ahead import Ahead
from SegmentPropagateSlicer.Review.Drafts import Drafts
from SegmentPropagateSlicer.Review.Keys import Keys
from SegmentPropagateSlicer.Review.PromptPreview import PromptPreview
from SegmentPropagateSlicer.Review.Reviewer import Reviewer
from SegmentPropagateSlicer.Review.ReviewWriter import ReviewWriter
from SegmentPropagateSlicer.Review.Suggestions import Suggestions
from SegmentPropagateSlicer.Review.Suspicion import Score
from SegmentPropagateSlicer.Review.Underway import Underway
from SegmentPropagateSlicer.Runs.Estimates import Estimates
from SegmentPropagateSlicer.Runs.ModelSummary import ModelInspector
from SegmentPropagateSlicer.Runs.Run import Run, checkedEnds
from SegmentPropagateSlicer.Runs.RunController import RunController
from SegmentPropagateSlicer.Runs.Runner import Runner
from SegmentPropagateSlicer.Runs.WorkerProcess import WorkerProcess
from SegmentPropagateSlicer.Scene.Preview import Preview
from SegmentPropagateSlicer.Scene.SegmentWriter import SegmentWriter
from SegmentPropagateSlicer.Scene.SliceGrid import Ends, unionOfEnds
from SegmentPropagateSlicer.Scene.VolumeReader import VolumeReader
from SegmentPropagateSlicer.Scene.Whereabouts import Whereabouts
from SegmentPropagateSlicer.Values.RunSettings import RunSettings
from SegmentPropagateSlicer.Values.Server import Server, chosenServer
from SegmentPropagateSlicer.Values.Signal import Signal
from SegmentPropagateSlicer.Values.State import State


class SegmentPropagateLogic(ScriptedLoadableModuleLogic, Prompting):
    """Propagate key slices of segments through a volume.

    The inputs are set once (`setInputs`); keys are added slice by slice; `startSession` computes a proposal that is
    shown in a preview and leaves the segments untouched; `accept` writes it in one undo step, `discard` drops it.

    Slice numbers are 0-based indices along the volume's array axis nearest to the normal of `settings.plane`.

    Signals: `stateChanged(state)`, `statusChanged(text)`, `progressChanged(slicesDone, slicesTotal, secondsLeft or
    None)`, `writingProgressed(share)`, `downloadProgressed(bytesDone, bytesTotal)` (0 where not known, both 0 when
    there is no download any more), `sliceUpdated(segmentId, sliceIndex)`, `keysChanged()`, `previewReady(segmentId,
    sliceIndex, areaMm2)`, `previewChanged()`, `modelInspected(summary)`, `accepted({segmentId: voxels changed})`,
    `noticeGiven(sentence)`, `errorOccurred(sentence)`, `logReceived(text)`.

    Args:
        process: what runs the worker; None makes a `WorkerProcess`. Anything with its methods will do.
        estimates: what runs took on this machine; None keeps them in Slicer's settings.
    """

    def __init__(self, process: WorkerProcess | None = None, estimates: Estimates | None = None) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        Prompting.__init__(self)
        self.process = process or WorkerProcess()
        self.preview = Preview()
        self._estimates = estimates or Estimates(slicer.app.userSettings())
        self._keys = Keys()
        self._writer = ReviewWriter(SegmentWriter(), self._keys)
        self._runner = runner = Runner(self.process)
        self._control = control = RunController(runner, self.preview, self._estimates)
        self._reviewer, self._underway = Reviewer(control, self._keys, self._writer), Underway(control)
        self._prompt = PromptPreview(runner, self.preview)
        self._inspector = ModelInspector(self.process)
        self.drafts, self._ahead = Drafts(runner, self._keys), Ahead(runner, self._keys)
        self.suggestions = Suggestions(runner, self.preview, self._keys, self._writer)
        for asking in (self._prompt, self._inspector, self.drafts, self.suggestions):
            asking.failed.connect(control.errorOccurred.emit)
        for signal in (self.suggestions.changed, self._prompt.changed, control.stateChanged):
            signal.connect(self._showSuggestions)
        self.stateChanged, self.progressChanged = control.stateChanged, control.progressChanged
        self.writingProgressed = control.writingProgressed
        self.statusChanged, self.sliceUpdated = runner.statusChanged, control.sliceUpdated
        self.downloadProgressed, self.keysChanged = runner.downloadProgressed, self._keys.changed
        self.noticeGiven, self.errorOccurred = control.noticeGiven, control.errorOccurred
        self.previewReady, self.previewChanged = self._prompt.ready, self._prompt.changed
        self.accepted = Signal("changed")
        self.modelInspected, self.logReceived = self._inspector.inspected, self.process.logReceived
        self.inputsLeft.connect(self._abandon)
        self.inputsTaken.connect(self._takeInputs)
        server = chosenServer(slicer.app.userSettings())
        if server is not None:
            self.computeOn(server)
        self.observeScene()

    # ---- the segment editor -------------------------------------------------------------------------------------

    def setSegmentEditor(
        self, editorNode: slicer.vtkMRMLSegmentEditorNode | None, saveStateForUndo: Callable[[], Any] | None = None
    ) -> None:
        """Obey this vtkMRMLSegmentEditorNode's masking and overwrite mode at Accept.

        Args:
            editorNode: vtkMRMLSegmentEditorNode; None uses the module's own (everywhere, overwrite all).
            saveStateForUndo: called once before each write, e.g. `qMRMLSegmentEditorWidget.saveStateForUndo`, so that
                the embedded editor's Undo takes it back; None keeps an own history (`undo`, `redo`).
        """
        self._writer.setEditor(editorNode, saveStateForUndo)

    def undo(self) -> None:
        """Take back the last Accept, where `setSegmentEditor` gave no other history."""
        self._writer.undo()

    def redo(self) -> None:
        """Repeat what `undo` took back."""
        self._writer.redo()

    @property
    def isUndone(self) -> bool:
        """Whether nothing is left in the segments of what was last accepted, or used as key."""
        return self._writer.isUndone

    # ---- runs ---------------------------------------------------------------------------------------------------

    def computeOn(self, server: Server | None) -> None:
        """Compute on a server, or None on this computer, from the next run on.

        Raises:
            InputError: the worker is busy.
        """
        self._checkNotBusy()
        self.process.computeOn(server)
        self._estimates.server = server.address if server else ""

    def inspectModel(self, model: str, imageSize: int | None = None) -> None:
        """Ask the worker what a checkpoint file is; `modelInspected` or `errorOccurred` follows."""
        self._inspector.ask(model, imageSize)

    def estimate(
        self, segmentIds: Sequence[str], first: int, last: int, settings: RunSettings | None = None
    ) -> dict[str, Any]:
        """What a run would take, before it runs, with these settings or the present ones.

        Returns:
            dict: "slices", "objects", "seconds" (None until this machine has measured that model), "memoryBytes",
            "warning" (a sentence, or "").
        """
        volumeNode, settings = VolumeReader(self.volumeNode).node, settings or self.settings
        warm = self._runner.isWarm(settings)
        return self._estimates.of(settings, volumeNode, len(segmentIds), last - first + 1, warm)

    def checkNothingLost(self, segmentIds: Collection[str]) -> None:
        """InputError where a run of these segments would replace a proposal that waits for others."""
        self._reviewer.checkNothingLost(segmentIds, self.segmentationNode)

    def startSession(
        self,
        segmentIds: Iterable[str],
        first: int | None = None,
        last: int | None = None,
        ends: Mapping[str, Ends] | None = None,
    ) -> None:
        """Compute a proposal for the range. States: starting, running, then review, or after an error as before.

        For a single segment a number tells the model that the object begins or ends on that slice; None leaves open
        where it does. Several segments need not all begin or end there; slices outside its own range, where `ends` has
        one for it (segmentId -> first and last slice, or None), are not changed.

        Raises:
            SegmentPropagateError: before anything is started; also where a proposal for others waits for review.
        """
        self._checkNotBusy()
        wanted = tuple(segmentIds)
        self.checkNothingLost(wanted)
        self._start({i: (ends or {}).get(i, (first, last)) for i in wanted}, self.settings)

    def propagate(
        self,
        volumeNode: slicer.vtkMRMLScalarVolumeNode,
        segmentationNode: slicer.vtkMRMLSegmentationNode,
        segmentIds: Sequence[str] | None = None,
        keys: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
        first: int | None = None,
        last: int | None = None,
        **options: Any,
    ) -> dict[str, int]:
        """One call for scripts: run, wait, accept. Returns `{segmentId: number of voxels changed}`.

        Args:
            volumeNode: the image.
            segmentationNode: holds the segments.
            segmentIds: None takes all segments that have keys.
            keys: slice numbers `[14]` for all segments, or `{segmentId: [14, 20]}`; None keeps the keys of `addKey`.
                Locked slices stay locked either way.
            first: first slice with the object; None leaves open where it begins.
            last: last slice with it; None leaves open where it ends.
            **options: fields of `RunSettings`; `wait=False` returns at once and leaves the proposal for review;
                `accept=False` waits but leaves the proposal for review.

        Raises:
            SegmentPropagateError: one sentence on what is wrong; also where the worker is silent for longer than
                `WorkerProcess(stallTimeoutMs=...)` allows.
        """
        self._checkNotBusy()
        self.setInputs(volumeNode, segmentationNode)
        self._nodes()
        return Scripting.propagate(self, segmentIds, keys, (first, last), options)

    def cancel(self) -> None:
        """Stop the run within one slice; nothing of it is kept. A worker that does not obey is killed.

        What is being written is not; a proposal waits again. Outside a run, stop the download that a previewed
        outline waits for, the check of a draft and the making of suggestions.
        """
        self.drafts.cancel()
        if self.suggestions.cancel() | self._underway.stop():
            self._control.tellCancelled()
        self._control.cancel()
        self._prompt.cancelDownload()

    # ---- review -------------------------------------------------------------------------------------------------

    @property
    def review(self) -> Run | None:
        """The run whose proposal waits for Accept or Discard; None without one."""
        return self._control.review

    @property
    def proposed(self) -> tuple[tuple[str, ...], str, int, int] | None:
        """`(segmentIds, plane, first, last)` of the proposal that is being computed or reviewed; None without one."""
        return self._reviewer.proposed

    def reviewScores(self, segmentId: str) -> list[Score]:
        """One dict per slice of the range, ascending.

        Keys: "sliceIndex", "source" ("key", "propagated", "empty"), "presence" (0..1), "predictedIou" (0..1 or None),
        "areaMm2", "confirmed", "doubt" (None, or why it is worth a look: "unsure" where little overlap with the truth
        is expected, "lost" where the object is gone at once), "suspicion" (0..1, larger is worse; 0 without doubt).
        """
        return self._reviewer.scores(segmentId)

    def nextSuspiciousSlice(self, segmentId: str, after: int | None = None) -> int | None:
        """The slice whose correction helps most, or next after a slice; None when none is in doubt."""
        found = self._reviewer.nextSuspicious((segmentId,), None if after is None else (segmentId, after))
        return found[1] if found else None

    def nextSuspicious(self, after: tuple[str, int] | None = None) -> tuple[str, int] | None:
        """The same over all segments of the proposal: `(segmentId, sliceIndex)`, next after such a place, or None."""
        return self._reviewer.nextSuspicious(self.proposed[0] if self.proposed else (), after)

    def editSlice(self, segmentId: str, sliceIndex: int) -> None:
        """Copy the proposal of one slice into the segment (one undo step), to be corrected with the Segment Editor.

        A key slice is in the segment already. Discard takes back what is then done to the slice.
        """
        self._reviewer.edit(self._nodes(), (segmentId, sliceIndex))

    def correct(self, segmentId: str, sliceIndex: int) -> None:
        """Make that slice a key and compute again only what that changes.

        What the segment holds there counts; the proposal too where the slice was drawn upon, but not `editSlice`d.
        """
        review, plane = self._reviewer.review, self._reviewer.review.grid.plane
        self._reviewer.takeCorrection(self._nodes(), self._grid(plane), (segmentId, sliceIndex))
        self._startAgain(review)

    def lend(self, segmentId: str, sliceIndex: int, plane: str) -> None:
        """Put what is proposed on a slice, along any plane, into the segment: it is about to be drawn upon.

        So the eraser has something to erase. What is not drawn upon counts as proposed still, and is taken out again
        by `giveBackLent`, Accept and Discard.
        """
        run = self._control.shown
        if run is not None and segmentId in run.segmentIds:
            grids = self._grid(run.grid.plane), self._grid(plane)
            self._reviewer.lend(self._nodes(), *grids, segmentId, sliceIndex)

    def giveBackLent(self) -> None:
        """Take out of the segments what was lent and not drawn upon, e.g. before they are saved."""
        self._writer.giveBack()

    def takeStrokes(self, seconds: float | None = None) -> bool | None:
        """Make corrections of what was drawn on the proposal, on any slices, and compute again what that changes.

        A slice on which nothing was left is locked as empty. Where drawing was undone, its correction goes too.

        Returns whether anything is computed; not where nothing was drawn since the last time. With a number of seconds
        it is left off after these, and None is returned: call it again.
        """
        review = self._reviewer.review
        isStale = self._reviewer.takeStrokes(self._nodes(), self._grid(review.grid.plane), seconds)
        if isStale:
            self._startAgain(review)
        return isStale

    def accept(self) -> dict[str, int]:
        """Write the proposal into the segments: one undo step, masking and overwrite mode obeyed.

        Key slices and locked slices keep what they hold, and so does what was drawn or erased since the run began.
        Segments that were removed meanwhile are left out.

        Returns:
            dict: segmentId -> number of voxels changed.
        """
        return dict(self.acceptWithin(None) or {})

    def acceptWithin(self, seconds: float | None) -> Mapping[str, int] | None:
        """The same, for so many seconds; None takes all it needs. Returns None, in state `WRITING`, with more to write.

        Before the end nothing is changed: `cancel` brings the review back. What is drawn meanwhile is kept.
        """
        if not self._underway.isGoingOn or self._control.review is None:
            steps, check = self._reviewer.accepting(self._nodes()), self._reviewer.review.checkWhereabouts
            self._underway.begin(steps, check, self._onAccepted)
        changed: Mapping[str, int] | None = self._underway.goOn(seconds)
        return changed

    def discard(self) -> tuple[int, ...]:
        """Drop the proposal; the segments hold what they held before the run.

        Returns:
            tuple: slices that stay as they were edited: the segmentation is stored in another way than before.
        """
        left = self._reviewer.discard(self.segmentationNode)
        self._prompt.drop()
        return left

    def shutdown(self) -> None:
        """End the worker and remove the preview: module reload, application exit."""
        self.removeObservers()
        self._abandon("")
        self.process.stop()

    # ---- inside -------------------------------------------------------------------------------------------------

    def _onAccepted(self, changed: Mapping[str, int]) -> None:
        self._prompt.drop()
        self.accepted.emit(changed)

    def _startAgain(self, review: Run) -> None:
        ends = {segmentId: review.ends.get(segmentId, review.given) for segmentId in review.segmentIds}
        self._start(ends, replace(self.settings, plane=review.grid.plane))

    def _start(self, ends: Mapping[str, Ends], settings: RunSettings) -> None:
        nodes, grid, segmentIds = self._nodes(), self._grid(settings.plane), tuple(ends)
        ranges = {segmentId: checkedEnds(grid, own) for segmentId, own in ends.items()}
        keys, given = self._keys.outlines(grid, ranges), unionOfEnds(ends.values())
        own = ranges if len(set(ranges.values())) > 1 else {}
        self._prompt.drop()
        overlaps = not self._writer.allowsOverlap
        absent = frozenset(self._keys.absent(grid.plane) - set(keys))
        run = Run(settings, grid, segmentIds, given, keys, overlaps, absent, Whereabouts(*nodes, segmentIds), own)
        self._control.start(run, nodes)
        self._writer.begin(nodes[1])

    def _takeInputs(self) -> None:
        self._keys.segmentationNode = self.segmentationNode
        self._keys.replaceAll(())

    def _abandon(self, sentence: str) -> None:
        with suppress(SegmentPropagateError):  # what has begun is written to its end, as long as it can be
            self._underway.goOn(None)
        waited = self.state == State.REVIEW
        self.drafts.cancel()
        left = self.suggestions.drop()
        self._prompt.drop()
        self._writer.forget()
        self._control.abandon(sentence)
        if left and sentence:
            self.noticeGiven.emit(_("The suggestions are gone with their image; no segment was changed."))
        if waited and sentence:
            self.noticeGiven.emit(_("The proposal is gone with its image or segmentation; no segment was changed."))
