"""What is recognised in a checkpoint file, in one line."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from SegmentPropagateLib.worker.messages import printable
from SegmentPropagateLib.worker.replies import Failed, Inspected, Reply
from SegmentPropagateLib.worker.requests import Inspect
from SegmentPropagateSlicer.Values.RunSettings import placeOf
from SegmentPropagateSlicer.Values.Signal import Signal
from SegmentPropagateSlicer.Values.Words import tr as _

if TYPE_CHECKING:
    from SegmentPropagateSlicer.Runs.WorkerProcess import WorkerProcess


class ModelInspector:
    """Asks the worker what checkpoint files are.

    Signals: `inspected(summary)` with the fields of `Inspected` and a "sentence" for the panel, or `failed(sentence)`.

    Args:
        process: `WorkerProcess` or its like.
    """

    def __init__(self, process: WorkerProcess) -> None:
        self.inspected, self.failed = Signal("summary"), Signal("sentence")
        self._process = process

    def ask(self, path: str, imageSize: int | None) -> None:
        """What is this file, where the user says (or not) how many pixels its network sees?"""
        self._process.request(Inspect(placeOf(path), imageSize), lambda reply: self._onReply(path, reply))

    def _onReply(self, path: str, reply: Reply) -> None:
        if isinstance(reply, Failed):
            self.failed.emit(reply.sentence)
        elif isinstance(reply, Inspected):
            self.inspected.emit({**asdict(reply), "path": path, "sentence": sentenceOf(reply)})


def sentenceOf(found: Inspected) -> str:
    """What a file is, or what keeps it from being used."""
    name = printable(Path(found.path).name)
    if found.problems:
        return _("{name} cannot be used: {problems}.").format(name=name, problems="; ".join(found.problems))
    parts = [
        _("{family} ({variant})").format(family=found.family, variant=found.variant),
        _("{size} x {size} pixels").format(size=found.image_size),
    ]
    if found.short_slices:
        parts.append(_("short memory of {count} slices").format(count=found.short_slices))
    parts.append(_("intensities '{preset}'").format(preset=found.intensity))
    return f"{name}: {', '.join(parts)}."
