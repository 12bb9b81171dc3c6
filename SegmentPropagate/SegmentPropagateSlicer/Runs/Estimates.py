"""What runs took on this machine, remembered between sessions, and what the next one would take."""

from __future__ import annotations

import json
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

from SegmentPropagateLib.process import available_memory_bytes
from SegmentPropagateSlicer.Values.Store import Store
from SegmentPropagateSlicer.Values.Words import tr as _

if TYPE_CHECKING:
    import slicer

    from SegmentPropagateSlicer.Runs.Run import Run
    from SegmentPropagateSlicer.Values.RunSettings import RunSettings

SETTING = "SegmentPropagate/measured"


class Estimates:
    """Seconds per slice, seconds until a model is loaded, and memory, per server, model, device, precision and size.

    Args:
        store: keeps what was measured.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.server = ""  # address of the one that computes; empty for this computer
        available_memory_bytes()  # loads a module: 25 ms, better now than while she draws

    def recall(self, settings: RunSettings) -> dict[str, Any]:
        """What was measured last with these `RunSettings`: a dict, empty before the first run."""
        return self._all().get(self._name(settings), {})

    def record(self, run: Run, volumeNode: slicer.vtkMRMLScalarVolumeNode, peakMib: float | None) -> None:
        """Remember a run that has ended.

        Args:
            run: `Run`.
            volumeNode: the volume.
            peakMib: largest memory of the worker in MiB, or None.
        """
        measured, known, progress = self._all(), self.recall(run.settings), run.progress
        if progress.secondsPerSlice is not None:
            known["secondsPerSlice"] = progress.secondsPerSlice
        if progress.loadedModel and progress.started is not None:
            known["loadSeconds"] = progress.started - progress.began
        if peakMib and volumeNode.GetImageData() is not None:
            known["modelBytes"] = max(int(peakMib * 2**20) - copiesOf(volumeNode), 0)
        self._store.setValue(SETTING, json.dumps({**measured, self._name(run.settings): known}))

    def of(
        self,
        settings: RunSettings,
        volumeNode: slicer.vtkMRMLScalarVolumeNode,
        objects: int,
        slices: int,
        warm: bool,
    ) -> dict[str, Any]:
        """What a run would take, `warm` with the model loaded; see `SegmentPropagateLogic.estimate`."""
        known = self.recall(settings)
        seconds = known.get("secondsPerSlice")
        if seconds is not None:
            seconds = seconds * objects * slices + (0.0 if warm else known.get("loadSeconds", 0.0))
        needed, available = copiesOf(volumeNode) + known.get("modelBytes", 0), available_memory_bytes()
        warning = ""
        if self.server:
            available = None  # is told by nobody
        if available is not None and needed > available:
            warning = _("This may not fit: about {needed} GB of memory are needed and {free} GB are free.").format(
                needed=f"{needed / 1e9:.1f}", free=f"{available / 1e9:.1f}"
            )
        return {"slices": slices, "objects": objects, "seconds": seconds, "memoryBytes": needed, "warning": warning}

    def _name(self, settings: RunSettings) -> str:
        where = (self.server,) if self.server else ()
        return "|".join(str(part) for part in (*where, *astuple(settings.modelChoice)))

    def _all(self) -> dict[str, Any]:
        try:
            measured = json.loads(str(self._store.value(SETTING, "") or "{}"))
        except ValueError:
            return {}
        return measured if isinstance(measured, dict) else {}


def copiesOf(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> int:
    """Bytes that the worker holds for a volume: its voxels and one byte of gray for each."""
    image = volumeNode.GetImageData()
    return image.GetNumberOfPoints() * (image.GetScalarSize() + 1)
