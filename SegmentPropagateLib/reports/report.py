"""The report of a run, as plain JSON: what was done with what, and how sure the model was on every slice."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib import __version__
from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import Outputs, PathLike, writing
from SegmentPropagateLib.formats.kinds import OUTPUT_ENDINGS
from SegmentPropagateLib.propagation.review import Seen, to_correct, worth_a_look
from SegmentPropagateLib.propagation.session import Session
from SegmentPropagateLib.volumes.labels import SegmentInfo
from SegmentPropagateLib.volumes.stack import stack_of
from SegmentPropagateLib.volumes.volume import Volume

Masks = Mapping[int, NDArray[np.bool_]]
"""Object id -> bool `(k, j, i)`."""


UNITS = {
    "area": "pixels of the slice",
    "presence": "logit, above 0 where the object is held to be there",
    "predicted_iou": "0 to 1",
    "slice": "number from 0 along the axis",
}
"""Of the figures whose names do not tell."""


def describe_run(session: Session, volume: Volume, segments: Iterable[SegmentInfo], masks: Masks) -> dict[str, Any]:
    """Objects, slices, intensities and settings of a finished run.

    Args:
        session: after `propagate`.
        volume: what it ran on.
        segments: names of the objects.
        masks: `session.masks()`, that is what was written.
    """
    voxel_ml = math.prod(volume.geometry.spacing_kji_mm) / 1000
    return {
        "program": f"segment-propagate {__version__}",
        "image": {
            "name": volume.name,
            "modality": volume.modality,
            "shape_kji": list(volume.geometry.shape_kji),
            "spacing_kji_mm": [round(value, 6) for value in volume.geometry.spacing_kji_mm],
        },
        "plane": session.plane.value,
        "axis": "kji"[session.axis],
        "intensity": {
            "preset": session.gray.preset,
            "low": float(session.gray.low),
            "high": float(session.gray.high),
            "nonfinite_voxels": session.gray.nonfinite_voxels,
        },
        "settings": asdict(session.settings),
        "units": UNITS,
        "objects": [_object(session, segment, masks[segment.value], voxel_ml) for segment in segments],
    }


def _object(session: Session, segment: SegmentInfo, mask: NDArray[np.bool_], voxel_ml: float) -> dict[str, Any]:
    areas = np.count_nonzero(stack_of(mask, session.axis), axis=(1, 2))
    results = session.results(segment.value)
    seen = {
        index: Seen(int(areas[index]), result.predicted_iou, result.source == "key")
        for index, result in results.items()
    }
    doubts = worth_a_look(seen)
    slices = [
        {
            "slice": index,
            "source": result.source if areas[index] else "empty",
            "presence": _finite(result.presence),
            "predicted_iou": _finite(result.predicted_iou),
            "area": int(areas[index]),
            "worth_a_look": index in doubts,
        }
        for index, result in results.items()
    ]
    return {
        "label": segment.value,
        "name": segment.name,
        "key_slices": list(session.keys(segment.value)),
        "voxels": int(areas.sum()),
        "volume_ml": round(float(areas.sum()) * voxel_ml, 4),
        "correct_first": [stretch.place for stretch in to_correct(seen)],
        "slices": slices,
    }


def _finite(value: float) -> float | None:
    """JSON knows no NaN and no infinity: a key slice has no presence score, a method may have no IoU of its own."""
    return round(float(value), 5) if math.isfinite(value) else None


def write_report(path: PathLike, report: Mapping[str, Any], outputs: Outputs | None = None) -> None:
    """Write a report as JSON, complete or not at all."""
    text = json.dumps(report, indent=1, allow_nan=False, default=str) + "\n"
    with writing(path, outputs) as file:
        file.write(text.encode())


def keys_of_run(segmentation: PathLike, report: PathLike | None, plane: str) -> dict[int | None, list[int]]:
    """Label -> key slices of the run that wrote a segmentation, where its report says so.

    Args:
        segmentation: the file that was written.
        report: of the run; None looks for one beside the file, under its name with the ending `.json`.
        plane: of the slice numbers that are wanted; a run along another one has none.

    Raises:
        InputError: a report was named, and cannot be read or is of another run.
    """
    path = Path(segmentation)
    ending = next((ending for ending in OUTPUT_ENDINGS if path.name.lower().endswith(ending)), path.suffix)
    beside = path.with_name(path.name[: len(path.name) - len(ending)] + ".json")
    told = _read_report(Path(report or beside), path.name)
    if told is None:
        if report is not None:
            raise InputError(f"'{report}' is not the report of the run that wrote '{segmentation}'.")
        return {}
    return {thing["label"]: thing["key_slices"] for thing in told["objects"]} if told["plane"] == plane else {}


def _read_report(path: Path, output: str) -> dict[str, Any] | None:
    """A report of ours about the file of that name; None for all else."""
    try:
        told = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(told, dict) or told.get("output") != output or not isinstance(told.get("plane"), str):
        return None
    objects = told.get("objects")
    return told if isinstance(objects, list) and all(_has_keys(thing) for thing in objects) else None


def _has_keys(thing: object) -> bool:
    if not isinstance(thing, dict):
        return False
    numbers = thing.get("key_slices")
    return isinstance(numbers, list) and all(isinstance(number, int) for number in (*numbers, thing.get("label")))
