"""A segment that another tool made: which of its slices can be trusted becomes its key slices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.errors import InputError, SegmentPropagateError
from SegmentPropagateLib.volumes.boxes import bounding_box
from SegmentPropagateLib.worker.replies import Failed, Reply, Trusted
from SegmentPropagateLib.worker.requests import Trust
from SegmentPropagateSlicer.Review.Keys import Keys
from SegmentPropagateSlicer.Runs.Runner import Runner
from SegmentPropagateSlicer.Scene.Labelmaps import labelmapOf
from SegmentPropagateSlicer.Scene.PromptReader import PromptReader
from SegmentPropagateSlicer.Scene.SliceGrid import SliceGrid
from SegmentPropagateSlicer.Scene.Whereabouts import Whereabouts
from SegmentPropagateSlicer.Values.RunSettings import RunSettings
from SegmentPropagateSlicer.Values.Signal import Signal
from SegmentPropagateSlicer.Values.Words import tr as _

if TYPE_CHECKING:
    from SegmentPropagateSlicer.Runs.RunController import Nodes


class Drafts:
    """Asks the worker about one segment at a time. The segment is never changed: only keys are set.

    Signals: `taken(segmentId, trusted, doubtful)` with lists of slices when the keys are set, `failed(sentence)`, and
    `changed()` when `isAsking` is another one.

    Args:
        runner: `Runner`.
        keys: `Keys`, which the trusted slices are added to.
    """

    def __init__(self, runner: Runner, keys: Keys) -> None:
        self.taken, self.failed = Signal("segmentId", "trusted", "doubtful"), Signal("sentence")
        self.changed = Signal()
        self._runner, self._keys = runner, keys
        self._requestId: int | None = None

    @property
    def isAsking(self) -> bool:
        """Whether an answer is awaited."""
        return self._requestId is not None

    def ask(self, nodes: Nodes, settings: RunSettings, grid: SliceGrid, segmentId: str) -> None:
        """Ask which slices of a segment can be trusted; they become keys, and `taken` or `failed` follows.

        Args:
            nodes: `(volumeNode, segmentationNode)`.
            settings: `RunSettings`.
            grid: `SliceGrid`.
            segmentId: which segment.

        Raises:
            InputError: the segment is empty within the volume.
        """
        self.cancel()
        masks = masksOf(nodes, grid, segmentId)
        box = bounding_box(masks)
        if box is None:
            raise InputError(_("The segment is empty within the image: choose one that another tool has filled."))
        whereabouts = Whereabouts(*nodes, (segmentId,))
        setup = self._runner.setup(nodes[0], grid, settings)
        request = Trust(setup, (box[0].start, box[1].start, box[2].start), masks[box])
        asked: list[int] = []

        def onReply(reply: Reply) -> None:
            if asked and asked[0] == self._requestId:
                self._end()
                self._take(reply, grid, segmentId, whereabouts)

        asked.append(self._runner.ask(nodes[0], request, onReply))
        self._requestId = asked[0]
        self.changed.emit()

    def cancel(self) -> None:
        """Do without the answer that is awaited, if one is."""
        if self._requestId is not None:
            self._runner.process.cancel(self._requestId)
            self._end()

    def _end(self) -> None:
        self._requestId = None
        self.changed.emit()

    def _take(self, reply: Reply, grid: SliceGrid, segmentId: str, whereabouts: Whereabouts) -> None:
        if isinstance(reply, Failed):
            self.failed.emit(reply.sentence)
        if not isinstance(reply, Trusted):
            return
        try:
            whereabouts.check()
            self._keys.addAll(grid, [(segmentId, index) for index in reply.trusted])
        except SegmentPropagateError as error:  # moved, or erased, while the worker was thinking
            self.failed.emit(str(error))
            return
        self.taken.emit(segmentId, list(reply.trusted), list(reply.doubtful))


def masksOf(nodes: Nodes, grid: SliceGrid, segmentId: str) -> NDArray[np.bool_]:
    """What a segment holds on every slice of the volume: bool `(slices, rows, columns)`."""
    labelmap, reader = labelmapOf(nodes[1], segmentId), PromptReader(grid)
    return np.stack([reader.labelmapMask(nodes[1], labelmap, index) for index in range(grid.count)])
