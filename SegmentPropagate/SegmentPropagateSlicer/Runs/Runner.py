"""Asks the worker about a volume, which crosses once and again only when its voxels change or the worker is new."""

from pathlib import Path

from SegmentPropagateSlicer.Scene.VolumeReader import VolumeReader
from SegmentPropagateSlicer.Values.Signal import Signal
from SegmentPropagateSlicer.Values.Words import tr as _


class Runner:
    """Requests that need the volume.

    Args:
        process: `WorkerProcess` or its like.
    """

    def __init__(self, process):
        self.statusChanged = Signal("text")
        self.downloadProgressed = Signal("bytesDone", "bytesTotal")
        self.process = process
        self._sent = None  # (generation of the worker, identity of the volume)
        self._loaded = None  # (generation of the worker, what chooses the model)

    def ask(self, volumeNode, run, onMessage, request=None, masks=None):
        """Send a request about a volume; returns its id.

        Args:
            volumeNode: the volume.
            run: `Run` whose model, session settings, keys and range the request is about.
            onMessage: called with each reply.
            request: more of the header, such as another `type`.
            masks: array that goes with it.
        """
        reader = VolumeReader(volumeNode)
        header = run.header(reader.identity, reader.modality) | (request or {})
        if self._sent != (self.process.generation, reader.identity) or not self.process.isRunning:
            self.statusChanged.emit(_("Handing the image to the worker..."))
            self.process.request(
                {"type": "volume", "volume": reader.identity},
                lambda message: self._onVolume(message, onMessage),
                reader.voxels,
            )
            self._sent = self.process.generation, reader.identity
        return self.process.request(header, onMessage, masks)

    def isWarm(self, settings):
        """Whether the worker has the model of these `RunSettings` loaded."""
        return self.process.isRunning and self._loaded == (self.process.generation, settings.modelHeader())

    def noteLoaded(self, settings):
        """A run with these `RunSettings` has ended well."""
        self._loaded = self.process.generation, settings.modelHeader()

    def tellStage(self, header, settings):
        """Say what the worker does before the first slice; `header` is of its message."""
        name = Path(settings.model).name
        if header["stage"] == "download":
            self.statusChanged.emit(_("Downloading the model '{name}'...").format(name=name))
            self.downloadProgressed.emit(header["bytes"], header["total"] or 0)
            return
        self.downloadProgressed.emit(0, 0)
        isModel = header["stage"] == "model"
        self.statusChanged.emit(
            _("Loading the model '{name}'...").format(name=name) if isModel else _("Preparing the slices...")
        )

    def _onVolume(self, message, onMessage):
        if message.type == "error":
            self._sent = None
            onMessage(message)
