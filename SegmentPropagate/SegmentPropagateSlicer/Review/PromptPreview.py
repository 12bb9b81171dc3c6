"""A box or points, and the outline that the model makes of them, before it becomes a key."""

from SegmentPropagateLib.errors import InputError
from SegmentPropagateSlicer.Runs.Run import Run
from SegmentPropagateSlicer.Scene.PromptReader import PromptReader
from SegmentPropagateSlicer.Values.Proposal import emptyProposal
from SegmentPropagateSlicer.Values.Signal import Signal
from SegmentPropagateSlicer.Values.Words import tr as _


class PromptPreview:
    """One prompt at a time; a new one replaces it.

    Args:
        runner: `Runner`.
        preview: `Preview` that shows the outline.
    """

    def __init__(self, runner, preview):
        self.ready = Signal("segmentId", "sliceIndex", "areaMm2")
        self.failed = Signal("sentence")
        self._runner, self._preview = runner, preview
        self._run = None  # a Run over the one slice
        self._review = None  # the proposal that was shown before, to be shown again
        self._downloads = False  # the model that is to answer is on its way

    def request(self, nodes, settings, grid, place, prompt, review):
        """Ask for an outline; `ready` or `failed` follows.

        Args:
            nodes: `(volumeNode, segmentationNode)`.
            settings: `RunSettings`.
            grid: `SliceGrid`.
            place: `(segmentId, sliceIndex)`.
            prompt: dict of "boxRas", "pointsRas", "positive", as in `SegmentPropagateLogic.previewPrompt`.
            review: the `Run` in review, or None.
        """
        segmentId, index = place
        grid.checkIndex(index)
        reader, header = PromptReader(grid), {"type": "segment", "object": 1, "slice": index}
        if prompt["boxRas"] is not None:
            header["box_ij"] = reader.box(prompt["boxRas"])
        if prompt["pointsRas"] is not None:
            points, flags = reader.points(prompt["pointsRas"], index, prompt["positive"])
            header["points_ij"], header["positive"] = points.tolist(), flags.tolist()
        self.drop()
        self._run = run = Run(settings, grid, [segmentId], (index, index), {})
        self._review = review
        run.requestId = self._runner.ask(nodes[0], run, lambda message: self._onMessage(run, nodes, message), header)

    def take(self):
        """End the preview and return `(grid, segmentId, slice, Proposal)`; InputError when there is no outline yet."""
        run = self._run
        if run is None or not run.proposals[run.segmentIds[0]]:
            raise InputError(_("There is no previewed outline to use."))
        self.drop()
        ((index, proposal),) = run.proposals[run.segmentIds[0]].items()
        return run.grid, run.segmentIds[0], index, proposal

    def cancelDownload(self):
        """Stop the download that the outline waits for, if there is one; what has arrived is kept for another time."""
        if self._downloads:
            self._endDownload()
            self._runner.process.cancel(self._run.requestId)
            self._run = None

    def drop(self):
        """Forget the outline, and show what was shown before."""
        self.cancelDownload()
        run, self._run = self._run, None
        if run is None:
            return
        if self._review is None:
            self._preview.end()
        else:
            segmentId, index = run.segmentIds[0], run.first
            before = self._review.proposals.get(segmentId, {}).get(index) or emptyProposal(run.grid.shape)
            self._preview.show(segmentId, index, before)

    def _onMessage(self, run, nodes, message):
        if run is not self._run:
            return
        if message.type == "stage":
            self._downloads = message.header["stage"] == "download"
            self._runner.tellStage(message.header, run.settings)
            return
        self._endDownload()
        if message.type == "error":
            self._run = None
            self.failed.emit(message.header["sentence"])
        elif message.type == "segment":
            segmentId, index, proposal = run.take(message)
            if self._review is None:
                self._preview.begin(nodes[0], run.grid, nodes[1], run.segmentIds, index, index)
            self._preview.show(segmentId, index, proposal)
            self.ready.emit(segmentId, index, proposal.area * run.grid.pixelAreaMm2)

    def _endDownload(self):
        if self._downloads:
            self._downloads = False
            self._runner.downloadProgressed.emit(0, 0)
