"""What the panel does, without the panel: keys, runs, review, accept. Knows MRML, no widgets."""

from dataclasses import replace

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic
from slicer.util import VTKObservationMixin

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.worker.replies import Failed, Inspected
from SegmentPropagateLib.worker.requests import Inspect
from SegmentPropagateSlicer import Scripting
from SegmentPropagateSlicer.Review import KeyPicture, Suspicion
from SegmentPropagateSlicer.Review.Keys import Keys
from SegmentPropagateSlicer.Review.PromptPreview import Prompt, PromptPreview
from SegmentPropagateSlicer.Review.ReviewWriter import ReviewWriter
from SegmentPropagateSlicer.Runs.Estimates import Estimates
from SegmentPropagateSlicer.Runs.ModelSummary import describe
from SegmentPropagateSlicer.Runs.Run import Run
from SegmentPropagateSlicer.Runs.RunController import RunController
from SegmentPropagateSlicer.Runs.Runner import Runner
from SegmentPropagateSlicer.Runs.WorkerProcess import WorkerProcess
from SegmentPropagateSlicer.Scene.Preview import Preview
from SegmentPropagateSlicer.Scene.PromptReader import PromptReader
from SegmentPropagateSlicer.Scene.SegmentWriter import SegmentWriter
from SegmentPropagateSlicer.Scene.SliceGrid import SliceGrid, rangeEnds
from SegmentPropagateSlicer.Scene.VolumeReader import VolumeReader
from SegmentPropagateSlicer.Values.RunSettings import RunSettings
from SegmentPropagateSlicer.Values.Signal import Signal
from SegmentPropagateSlicer.Values.State import State


class SegmentPropagateLogic(ScriptedLoadableModuleLogic, VTKObservationMixin):
    """Propagate key slices of segments through a volume.

    The inputs are set once (`setInputs`); keys are added slice by slice; `startSession` computes a proposal that is
    shown in a preview and leaves the segments untouched; `accept` writes it in one undo step, `discard` drops it.

    Slice numbers are 0-based indices along the volume's array axis nearest to the normal of `settings.plane`.

    Signals: `stateChanged(state)`, `statusChanged(text)`, `progressChanged(slicesDone, slicesTotal, secondsLeft or
    None)`, `downloadProgressed(bytesDone, bytesTotal)` (0 where not known, both 0 when there is no download any more),
    `sliceUpdated(segmentId, sliceIndex)`, `keysChanged()`, `previewReady(segmentId, sliceIndex, areaMm2)`,
    `modelInspected(summary)`, `noticeGiven(sentence)`, `errorOccurred(sentence)`, `logReceived(text)`.

    Args:
        process: what runs the worker; None makes a `WorkerProcess`. Anything with its methods will do.
        estimates: what runs took on this machine; None keeps them in Slicer's settings.
    """

    def __init__(self, process=None, estimates=None):
        ScriptedLoadableModuleLogic.__init__(self)
        VTKObservationMixin.__init__(self)
        self.settings = RunSettings()
        self.volumeNode = None
        self.segmentationNode = None
        self.process = process or WorkerProcess()
        self.preview = Preview()
        self._estimates = estimates or Estimates(slicer.app.userSettings())
        self._keys = Keys()
        self._writer = ReviewWriter(SegmentWriter(), self._keys)
        self._runner = runner = Runner(self.process)
        self._control = control = RunController(runner, self.preview, self._estimates)
        self._prompt = PromptPreview(runner, self.preview)
        self._prompt.failed.connect(control.errorOccurred.emit)
        self.stateChanged, self.progressChanged = control.stateChanged, control.progressChanged
        self.statusChanged, self.sliceUpdated = runner.statusChanged, control.sliceUpdated
        self.downloadProgressed = runner.downloadProgressed
        self.noticeGiven, self.errorOccurred = control.noticeGiven, control.errorOccurred
        self.keysChanged, self.previewReady = self._keys.changed, self._prompt.ready
        self.modelInspected, self.logReceived = Signal("summary"), self.process.logReceived
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.NodeAboutToBeRemovedEvent, self._onNodeAboutToBeRemoved)
        self.addObserver(scene, scene.StartCloseEvent, self._onSceneAboutToClose)

    @property
    def state(self):
        """One of `State`."""
        return self._control.state

    # ---- inputs -------------------------------------------------------------------------------------------------

    def setInputs(self, volumeNode, segmentationNode):
        """Choose what to work on; a change ends the run, drops the proposal and forgets the keys."""
        if volumeNode is self.volumeNode and segmentationNode is self.segmentationNode:
            return
        self._abandon(_("The image or the segmentation was changed during the run; nothing was written."))
        self.volumeNode = volumeNode
        self.segmentationNode = self._keys.segmentationNode = segmentationNode
        self._keys.replaceAll(())

    def setSettings(self, settings):
        """Take a `RunSettings` for the next run."""
        self.settings = settings

    def setSegmentEditor(self, editorNode, saveStateForUndo=None):
        """Obey this vtkMRMLSegmentEditorNode's masking and overwrite mode at Accept.

        Args:
            editorNode: vtkMRMLSegmentEditorNode; None uses the module's own (everywhere, overwrite all).
            saveStateForUndo: called once before each write, e.g. `qMRMLSegmentEditorWidget.saveStateForUndo`, so that
                the embedded editor's Undo takes it back; None keeps an own history (`undo`, `redo`).
        """
        self._writer.setEditor(editorNode, saveStateForUndo)

    def undo(self):
        """Take back the last Accept, where `setSegmentEditor` gave no other history."""
        self._writer.undo()

    def redo(self):
        """Repeat what `undo` took back."""
        self._writer.redo()

    def sliceCount(self, plane=None):
        """Number of slices of the volume along the plane; 0 without a volume."""
        try:
            return self._grid(plane).count
        except InputError:
            return 0

    def sliceIndexInView(self, sliceNode, plane=None):
        """Slice number that a vtkMRMLSliceNode shows; InputError for an oblique view or another plane."""
        return self._grid(plane).indexInView(sliceNode)

    def sliceRangeOfRoi(self, roiNode, plane=None):
        """`(first, last)` slice that a vtkMRMLMarkupsROINode covers."""
        return PromptReader(self._grid(plane)).range(roiNode)

    def slicePositionRas(self, sliceIndex, plane=None):
        """World RAS of the slice's center, to jump the views to it."""
        return self._grid(plane).centerRas(sliceIndex)

    # ---- keys ---------------------------------------------------------------------------------------------------

    @property
    def keys(self):
        """Tuple of `Key`, by segment, plane and slice."""
        return tuple(self._keys)

    def addKey(self, segmentId, sliceIndex, plane=None, confirmed=False):
        """Make what the segment holds on that slice a key; InputError when it is empty there."""
        self._keys.add(self._grid(plane), segmentId, sliceIndex, confirmed)

    def keyPicture(self, key, size):
        """The outline of a key on its slice, uint8 `(size, size, 3)`; InputError where image or segment have gone."""
        grid = self._grid(key.plane)
        plane = np.moveaxis(VolumeReader(self.volumeNode).voxels, grid.axis, 0)[key.sliceIndex]
        return KeyPicture.draw(grid, plane, *self._keys.outlineAndColor(grid, key), size)

    def removeKey(self, key):
        """Forget a key; the segment keeps its voxels."""
        self._keys.remove(key.place)

    def setKeys(self, keys):
        """Replace all keys, e.g. from a saved scene; keys of vanished segments are dropped."""
        self._keys.replaceAll(keys)

    def confirmSlices(self, segmentId, sliceIndices, confirmed=True, plane=None):
        """Lock slices (never changed again by a run or Accept), or unlock them.

        Outside a review a slice is locked as it is drawn, empty or not. In review, the proposal of a slice that is
        locked is kept as it is and written with the next Accept, unless the user has drawn there.
        """
        review = self._control.review
        grid = self._grid(plane or (review.grid.plane if review else None))
        proposals = review.proposals.get(segmentId, {}) if review and review.grid.plane == grid.plane else {}
        for index in sliceIndices:
            grid.checkIndex(index)
            if confirmed:
                drawn = self._writer.isEdited(self._nodes(), grid, (segmentId, index))
                self._keys.lock(grid, segmentId, index, None if drawn else proposals.get(index))
            else:
                self._keys.unlock((segmentId, grid.plane, index))
            self.sliceUpdated.emit(segmentId, index)

    def previewPrompt(self, segmentId, sliceIndex, boxRas=None, pointsRas=None, positive=None):
        """Ask the model for a mask on one slice; `previewReady` follows.

        Args:
            segmentId: which segment.
            sliceIndex: which slice.
            boxRas: two or more corners in world RAS, `(N, 3)`; or a vtkMRMLMarkupsROINode.
            pointsRas: points in world RAS, `(N, 3)`; or a vtkMRMLMarkupsFiducialNode.
            positive: one bool per point, all True when None.
        """
        self._checkNotBusy()
        self._writer.checkUnlocked(segmentId, self.settings.plane, sliceIndex)
        prompt, place = Prompt(boxRas, pointsRas, positive), (segmentId, sliceIndex)
        self._prompt.request(self._nodes(), self.settings, self._grid(), place, prompt, self._control.review)

    def usePreview(self):
        """Write the previewed mask into the segment on that slice (one undo step) and make the slice a key."""
        grid, segmentId, index, proposal = self._prompt.take()
        self._writer.copy(self._nodes(), grid, (segmentId, index), proposal, self._control.review is not None)
        self._keys.add(grid, segmentId, index)

    def dropPreview(self):
        """Forget the previewed mask."""
        self._prompt.drop()

    # ---- runs ---------------------------------------------------------------------------------------------------

    def inspectModel(self, model=None):
        """Ask the worker what a checkpoint file is; `modelInspected` or `errorOccurred` follows."""

        def onReply(reply):
            if isinstance(reply, Failed):
                self.errorOccurred.emit(reply.sentence)
            elif isinstance(reply, Inspected):
                self.modelInspected.emit(describe(reply))

        self.process.request(Inspect(model or self.settings.model, self.settings.imageSize), onReply)

    def estimate(self, segmentIds, first, last):
        """What a run would take, before it runs.

        Returns:
            dict: "slices", "objects", "seconds" (None until this machine has measured that model), "memoryBytes",
            "warning" (a sentence, or "").
        """
        volumeNode = VolumeReader(self.volumeNode).node
        warm = self._runner.isWarm(self.settings)
        return self._estimates.of(self.settings, volumeNode, len(segmentIds), last - first + 1, warm)

    def startSession(self, segmentIds, first=None, last=None):
        """Compute a proposal for the range. States: starting, running, then review, or after an error as before.

        For a single segment a number tells the model that the object begins or ends on that slice; None leaves open
        where it does. Several segments need not all begin or end there.

        Raises:
            InputError: before anything is started.
        """
        self._checkNotBusy()
        self._start(list(segmentIds), (first, last), self.settings)

    def propagate(self, volumeNode, segmentationNode, segmentIds=None, keys=None, first=None, last=None, **options):
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
        wait, accept = options.pop("wait", True), options.pop("accept", True)
        self.setInputs(volumeNode, segmentationNode)
        self.setSettings(replace(self.settings, **options))
        self._nodes()
        if keys is not None:
            Scripting.takeKeys(self, segmentIds, keys)
        segmentIds = segmentIds or list(dict.fromkeys(k.segmentId for k in self._keys if k.plane == self._grid().plane))
        Scripting.run(self, segmentIds, first, last, wait)
        return self.accept() if wait and accept and self.state == State.REVIEW else {}

    def cancel(self):
        """Stop the run within one slice; nothing of it is kept. A worker that does not obey is killed.

        Outside a run, stop the download that a previewed outline waits for.
        """
        self._control.cancel()
        self._prompt.cancelDownload()

    # ---- review -------------------------------------------------------------------------------------------------

    @property
    def proposed(self):
        """`(segmentIds, plane, first, last)` of the proposal that is being computed or reviewed; None without one."""
        run = self._control.shown
        return (run.segmentIds, run.grid.plane, run.first, run.last) if run else None

    def reviewScores(self, segmentId):
        """One dict per slice of the range, ascending.

        Keys: "sliceIndex", "source" ("key", "propagated", "empty"), "presence" (0..1), "predictedIou" (0..1 or None),
        "areaMm2", "areaJump" and "centerJump" (True where the step from the neighbor is suspicious), "confirmed",
        "suspicion" (0..1, larger is worse).
        """
        run = self._control.shown
        if run is None:
            return []
        return Suspicion.scores(run, segmentId, self._keys.confirmed(segmentId, run.grid.plane))

    def nextSuspiciousSlice(self, segmentId, after=None):
        """The slice worth correcting next, most suspicious first, or next after a slice; None when nothing is."""
        found = Suspicion.nextSuspicious({segmentId: self.reviewScores(segmentId)}, (segmentId, after))
        return found[1] if found else None

    def nextSuspicious(self, after=None):
        """The same over all segments of the proposal: `(segmentId, sliceIndex)`, next after such a place, or None."""
        segmentIds = self.proposed[0] if self.proposed else ()
        return Suspicion.nextSuspicious({i: self.reviewScores(i) for i in segmentIds}, after)

    def editSlice(self, segmentId, sliceIndex):
        """Copy the proposal of one slice into the segment (one undo step), to be corrected with the Segment Editor.

        A key slice is in the segment already. Discard takes back what is then done to the slice.
        """
        review = self._inReview()
        proposal = review.proposals.get(segmentId, {}).get(sliceIndex)
        isKey = (segmentId, sliceIndex) in review.keys
        if proposal is None and not isKey:
            raise InputError(_("There is no proposal on slice {index}.").format(index=sliceIndex))
        self._writer.copy(self._nodes(), review.grid, (segmentId, sliceIndex), None if isKey else proposal)

    def correct(self, segmentId, sliceIndex):
        """Make what the segment now holds on that slice a key, and compute again only what that changes."""
        review = self._inReview()
        self._writer.checkUnlocked(segmentId, review.grid.plane, sliceIndex)
        self._writer.checkNotErased(self._nodes(), review.grid, (segmentId, sliceIndex))
        self._keys.add(self._grid(review.grid.plane), segmentId, sliceIndex)
        settings = replace(self.settings, plane=review.grid.plane)
        self._start(review.segmentIds, review.given, settings)

    def accept(self):
        """Write the proposal into the segments: one undo step, masking and overwrite mode obeyed.

        Key slices and locked slices keep what they hold. Segments that were removed meanwhile are left out.

        Returns:
            dict: segmentId -> number of voxels changed.
        """
        review = self._inReview()
        grid = self._grid(review.grid.plane)
        if (grid.axis, grid.count, grid.shape) != (review.grid.axis, review.grid.count, review.grid.shape):
            raise InputError(_("The image has changed since the run: discard the proposal and run again."))
        changed = self._writer.accept(self._nodes(), grid, review)
        self._control.endReview()
        return changed

    def discard(self):
        """Drop the proposal; the segments hold what they held before the run."""
        self._inReview()
        self._writer.discard(self.segmentationNode)
        self._control.endReview()

    def shutdown(self):
        """End the worker and remove the preview: module reload, application exit."""
        self.removeObservers()
        self._abandon("")
        self.process.stop()

    # ---- inside -------------------------------------------------------------------------------------------------

    def _grid(self, plane=None):
        return SliceGrid(VolumeReader(self.volumeNode).geometry, plane or self.settings.plane)

    def _nodes(self):
        if self.segmentationNode is None:
            raise InputError(_("Choose a segmentation first."))
        return VolumeReader(self.volumeNode).node, self.segmentationNode

    def _start(self, segmentIds, given, settings):
        nodes, grid = self._nodes(), self._grid(settings.plane)
        first, last = rangeEnds(given, grid.count)
        for index in (first, last):
            grid.checkIndex(index)
        if first > last:
            text = _("The first slice ({first}) lies after the last slice ({last}).")
            raise InputError(text.format(first=first, last=last))
        keys = self._keys.outlines(grid, segmentIds, first, last)
        self._prompt.drop()
        absent = frozenset(self._keys.absent(grid.plane) - set(keys))
        run = Run(settings, grid, tuple(segmentIds), given, keys, not self._writer.allowsOverlap, absent)
        self._control.start(run, nodes)

    def _inReview(self):
        if self.state != State.REVIEW:
            raise InputError(_("There is no proposal to review: propagate first."))
        return self._control.review

    def _checkNotBusy(self):
        if self.state in State.BUSY:
            raise InputError(_("A run is going on: cancel it first."))

    def _abandon(self, sentence):
        self._prompt.drop()
        self._writer.forget()
        self._control.abandon(sentence)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeAboutToBeRemoved(self, _caller, _event, node):
        if node is self.volumeNode:
            self._abandon(_("The image was removed from the scene during the run; nothing was written."))
            self.setInputs(None, self.segmentationNode)
        elif node is self.segmentationNode:
            self._abandon(_("The segmentation was removed from the scene during the run; nothing was written."))
            self.setInputs(self.volumeNode, None)

    def _onSceneAboutToClose(self, _caller, _event):
        self._abandon(_("The scene was closed during the run; nothing was written."))
        self.setInputs(None, None)
