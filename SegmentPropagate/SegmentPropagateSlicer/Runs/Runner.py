"""Asks the worker about a volume, which crosses once and again only when its voxels change or the worker is new."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from SegmentPropagateLib.worker.messages import printable
from SegmentPropagateLib.worker.replies import Downloading, Failed, Preparing, Remote, Reply
from SegmentPropagateLib.worker.requests import GetAhead, Propagate, Segment, Suggest, TakeVolume, Trust
from SegmentPropagateLib.worker.setup import ModelChoice, Setup
from SegmentPropagateSlicer.Scene.SliceGrid import SliceGrid
from SegmentPropagateSlicer.Scene.VolumeReader import VolumeReader
from SegmentPropagateSlicer.Values.RunSettings import RunSettings
from SegmentPropagateSlicer.Values.Signal import Signal
from SegmentPropagateSlicer.Values.Words import tr as _

if TYPE_CHECKING:
    import slicer

    from SegmentPropagateSlicer.Runs.WorkerProcess import WorkerProcess


class Runner:
    """Requests that need the volume.

    Args:
        process: `WorkerProcess` or its like.
    """

    def __init__(self, process: WorkerProcess) -> None:
        self.statusChanged = Signal("text")
        self.downloadProgressed = Signal("bytesDone", "bytesTotal")
        self.process = process
        self._sent: tuple[int, str] | None = None  # generation of the worker, identity of the volume
        self._loaded: tuple[int, ModelChoice] | None = None  # by which generation of the worker

    @staticmethod
    def setup(volumeNode: slicer.vtkMRMLScalarVolumeNode, grid: SliceGrid, settings: RunSettings) -> Setup:
        """What a session of the worker on that volume is made of."""
        reader, geometry = VolumeReader(volumeNode), grid.geometry
        return Setup(
            volume=reader.identity,
            shape_kji=geometry.shape_kji,
            ijk_to_ras=tuple(geometry.ijk_to_ras.ravel().tolist()),
            modality=reader.modality,
            model=settings.modelChoice,
            session=settings.sessionChoice,
        )

    def ask(
        self,
        volumeNode: slicer.vtkMRMLScalarVolumeNode,
        request: Segment | Propagate | Trust | Suggest,
        onReply: Callable[[Reply], None],
    ) -> int:
        """Send a request about a volume, which goes first where the worker does not have it; returns its id."""
        if not self._has(request.setup.volume):
            self.statusChanged.emit(_("Handing over the image..."))
            self._handOver(volumeNode, request.setup.volume, onReply)
        return self.process.request(request, onReply)

    def getAhead(self, volumeNode: slicer.vtkMRMLScalarVolumeNode, request: GetAhead) -> None:
        """Have a run made ready, without a word: neither of the image on its way, nor of what goes wrong."""
        if not self._has(request.setup.volume):
            self._handOver(volumeNode, request.setup.volume, _hearNothing)
        self.process.request(request, _hearNothing)

    def isWarm(self, settings: RunSettings) -> bool:
        """Whether the worker has the model of these `RunSettings` loaded."""
        return self.process.isRunning and self._loaded == (self.process.generation, settings.modelChoice)

    def noteLoaded(self, settings: RunSettings) -> None:
        """A run with these `RunSettings` has ended well."""
        self._loaded = self.process.generation, settings.modelChoice

    def tellStage(self, reply: Downloading | Preparing | Remote, settings: RunSettings) -> None:
        """Say what the worker does before the first slice."""
        name = printable(Path(settings.model).name)
        if isinstance(reply, Downloading):
            self.statusChanged.emit(_("Downloading the model '{name}'...").format(name=name))
            self.downloadProgressed.emit(reply.bytes_done, reply.bytes_total or 0)
            return
        self.downloadProgressed.emit(0, 0)
        if isinstance(reply, Remote):
            self.statusChanged.emit(_remoteSentence(reply))
            return
        loading = _("Loading the model '{name}'...").format(name=name)
        doing = {"model": loading, "lesson": _("Learning from your slices...")}
        self.statusChanged.emit(doing.get(reply.what, _("Preparing the slices...")))

    def _has(self, identity: str) -> bool:
        return self.process.isRunning and self._sent == (self.process.generation, identity)

    def _handOver(
        self, volumeNode: slicer.vtkMRMLScalarVolumeNode, identity: str, onReply: Callable[[Reply], None]
    ) -> None:
        volume = TakeVolume(identity, VolumeReader(volumeNode).voxels)
        self.process.request(volume, lambda reply: self._onVolume(reply, onReply))
        self._sent = self.process.generation, identity

    def _onVolume(self, reply: Reply, onReply: Callable[[Reply], None]) -> None:
        if isinstance(reply, Failed):
            self._sent = None
            onReply(reply)


def _hearNothing(_reply: Reply) -> None:
    """The answer to what nobody has asked for."""


def _remoteSentence(reply: Remote) -> str:
    return {
        "queued": _("Waiting for the server, {count} before you...").format(count=reply.ahead),
        "lost": _("The connection to the server was lost; connecting again..."),
        "resumed": _("Connected to the server again..."),
    }[reply.state]
