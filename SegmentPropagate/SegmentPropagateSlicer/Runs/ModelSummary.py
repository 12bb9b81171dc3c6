"""What was recognised in a checkpoint file, in one line."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from SegmentPropagateLib.worker.replies import Inspected
from SegmentPropagateSlicer.Values.Words import tr as _


def describe(found: Inspected) -> dict[str, Any]:
    """The worker's answer as a dict, with a "sentence" for the panel."""
    return {**asdict(found), "sentence": _sentence(found)}


def _sentence(found: Inspected) -> str:
    name = Path(found.path).name
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
