"""What the panel does, without the panel: keys, runs, review, accept. Knows MRML, no widgets."""

from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from SegmentPropagateSlicer.RunSettings import RunSettings
from SegmentPropagateSlicer.Signal import Signal


class State:
    """The states of `SegmentPropagateLogic.state`."""

    IDLE = "idle"  # nothing proposed; keys may be edited
    STARTING = "starting"  # the worker starts, takes the volume, loads the model
    RUNNING = "running"  # slices arrive
    CANCELLING = "cancelling"  # waits for the worker to obey (or be killed)
    REVIEW = "review"  # a finished proposal waits for Accept or Discard
    BUSY = (STARTING, RUNNING, CANCELLING)


class SegmentPropagateLogic(ScriptedLoadableModuleLogic):
    """Propagate key slices of segments through a volume.

    The inputs are set once (`setInputs`); keys are added slice by slice; `propagate` computes a proposal that is shown
    in a preview and leaves the segments untouched; `accept` writes it in one undo step, `discard` drops it.

    Slice numbers are 0-based indices along the volume's array axis nearest to the normal of `settings.plane`.

    Args:
        process: what runs the worker; None makes a `WorkerProcess`. Anything with its methods will do.
    """

    def __init__(self, process=None):
        ScriptedLoadableModuleLogic.__init__(self)
        self.stateChanged = Signal("state")
        self.statusChanged = Signal("text")  # one line on what is going on: "Sending the volume...", "Loading ..."
        self.progressChanged = Signal("slicesDone", "slicesTotal", "secondsLeft")  # secondsLeft may be None
        self.sliceUpdated = Signal("segmentId", "sliceIndex")
        self.keysChanged = Signal()
        self.previewReady = Signal("segmentId", "sliceIndex", "areaMm2")
        self.modelInspected = Signal("summary")  # dict: "sentence", "family", "variant", "problems", ...
        self.noticeGiven = Signal("sentence")  # worth saying, no error: "auto chose ct-full"
        self.errorOccurred = Signal("sentence")
        self.logReceived = Signal("text")  # stderr of the worker, for Details
        self.process = process
        self.state = State.IDLE
        self.settings = RunSettings()
        self.volumeNode = None
        self.segmentationNode = None

    # ---- inputs -------------------------------------------------------------------------------------------------

    def setInputs(self, volumeNode, segmentationNode):
        """Choose what to work on; a change drops the proposal and the keys that belong to the former segmentation."""
        raise NotImplementedError

    def setSettings(self, settings):
        """Take a `RunSettings`; refused while busy."""
        raise NotImplementedError

    def setSegmentEditor(self, editorNode, saveStateForUndo=None):
        """Obey this vtkMRMLSegmentEditorNode's masking and overwrite mode at Accept.

        Args:
            editorNode: vtkMRMLSegmentEditorNode; None uses an own one (everywhere, overwrite all).
            saveStateForUndo: called once before each write, e.g. `qMRMLSegmentEditorWidget.saveStateForUndo`, so that
                the embedded editor's Undo takes it back; None keeps an own history (`undo`, `redo`).
        """
        raise NotImplementedError

    def sliceCount(self, plane=None):
        """Number of slices of the volume along the plane; 0 without a volume."""
        raise NotImplementedError

    def sliceIndexInView(self, sliceNode, plane=None):
        """Slice number that a vtkMRMLSliceNode shows; InputError for an oblique view or another plane."""
        raise NotImplementedError

    def sliceRangeOfRoi(self, roiNode, plane=None):
        """`(first, last)` slice that a vtkMRMLMarkupsROINode covers."""
        raise NotImplementedError

    def slicePositionRas(self, sliceIndex, plane=None):
        """World RAS of the slice's center, to jump the views to it."""
        raise NotImplementedError

    # ---- keys ---------------------------------------------------------------------------------------------------

    @property
    def keys(self):
        """Tuple of `Key`, by segment, plane and slice."""
        raise NotImplementedError

    def addKey(self, segmentId, sliceIndex, plane=None, confirmed=False):
        """Make what the segment holds on that slice a key; InputError when it is empty there."""
        raise NotImplementedError

    def removeKey(self, key):
        """Forget a key; the segment keeps its voxels."""
        raise NotImplementedError

    def setKeys(self, keys):
        """Replace all keys, e.g. from a saved scene; keys of vanished segments are dropped."""
        raise NotImplementedError

    def confirmSlices(self, segmentId, sliceIndices, confirmed=True):
        """Lock slices (never changed again by a run or Accept), or unlock them.

        In review, the proposal of a slice that is locked is kept as it is and written with the next Accept.
        """
        raise NotImplementedError

    def previewPrompt(self, segmentId, sliceIndex, boxRas=None, pointsRas=None, positive=None):
        """Ask the model for a mask on one slice; `previewReady` follows.

        Args:
            segmentId: which segment.
            sliceIndex: which slice.
            boxRas: two or more corners in world RAS, `(N, 3)`; or a vtkMRMLMarkupsROINode.
            pointsRas: points in world RAS, `(N, 3)`; or a vtkMRMLMarkupsFiducialNode.
            positive: one bool per point, all True when None.
        """
        raise NotImplementedError

    def usePreview(self):
        """Write the previewed mask into the segment on that slice (one undo step) and make the slice a key."""
        raise NotImplementedError

    def dropPreview(self):
        """Forget the previewed mask."""
        raise NotImplementedError

    # ---- runs ---------------------------------------------------------------------------------------------------

    def inspectModel(self, model=None):
        """Ask the worker what a checkpoint is; `modelInspected` or `errorOccurred` follows."""
        raise NotImplementedError

    def estimate(self, segmentIds, first, last):
        """What a run would take, before it runs.

        Returns:
            dict: "slices", "objects", "seconds" (None until this machine has measured that model), "memoryBytes",
            "warning" (a sentence, or "").
        """
        raise NotImplementedError

    def startSession(self, segmentIds, first, last):
        """Compute a proposal for the range, asynchronously. States: starting, running, review (or idle after errors)."""
        raise NotImplementedError

    def propagate(self, volumeNode, segmentationNode, segmentIds=None, keys=None, first=None, last=None, **options):
        """One call for scripts: run, wait, accept. Returns `{segmentId: number of voxels changed}`.

        Args:
            volumeNode: the image.
            segmentationNode: holds the segments.
            segmentIds: None takes all segments that have keys.
            keys: slice numbers `[14]` for all segments, or `{segmentId: [14, 20]}`; None keeps the keys of `addKey`.
            first: first slice; None is the volume's first.
            last: last slice, inclusive; None is the volume's last.
            **options: fields of `RunSettings`; `wait=False` returns at once and leaves the proposal for review;
                `accept=False` waits but leaves the proposal for review.

        Raises:
            SegmentPropagateError: one sentence on what is wrong.
        """
        raise NotImplementedError

    def cancel(self):
        """Stop the run within one slice; nothing of it is kept. A worker that does not obey is killed."""
        raise NotImplementedError

    # ---- review -------------------------------------------------------------------------------------------------

    def reviewScores(self, segmentId):
        """One dict per slice of the range, ascending.

        Keys: "sliceIndex", "source" ("key", "propagated", "empty"), "presence" (0..1), "predictedIou" (0..1 or None),
        "areaMm2", "areaJump" and "centerJump" (True where the step from the neighbor is suspicious), "confirmed",
        "suspicion" (0..1, larger is worse).
        """
        raise NotImplementedError

    def nextSuspiciousSlice(self, segmentId, after=None):
        """The slice worth correcting next, most suspicious first, or next after a slice; None when nothing is."""
        raise NotImplementedError

    def editSlice(self, segmentId, sliceIndex):
        """Copy the proposal of one slice into the segment (one undo step), to be corrected with the Segment Editor."""
        raise NotImplementedError

    def correct(self, segmentId, sliceIndex):
        """Make what the segment now holds on that slice a key, and compute again only what that changes."""
        raise NotImplementedError

    def accept(self):
        """Write the proposal into the segments: one undo step, masking and overwrite mode obeyed.

        Returns:
            dict: segmentId -> number of voxels changed.
        """
        raise NotImplementedError

    def discard(self):
        """Drop the proposal; the segments hold what they held before the run."""
        raise NotImplementedError

    def shutdown(self):
        """End the worker and remove the preview: module reload, application exit."""
        raise NotImplementedError
