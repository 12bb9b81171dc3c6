"""The report of a run, as plain JSON: what was done with what, and how sure the model was on every slice."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib import __version__
from SegmentPropagateLib.files import Outputs, PathLike, writing
from SegmentPropagateLib.propagation.session import Session
from SegmentPropagateLib.volumes.labels import SegmentInfo
from SegmentPropagateLib.volumes.stack import stack_of
from SegmentPropagateLib.volumes.volume import Volume

Masks = Mapping[int, NDArray[np.bool_]]
"""Object id -> bool `(k, j, i)`."""


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
        "objects": [_object(session, segment, masks[segment.value], voxel_ml) for segment in segments],
    }


def _object(session: Session, segment: SegmentInfo, mask: NDArray[np.bool_], voxel_ml: float) -> dict[str, Any]:
    areas = np.count_nonzero(stack_of(mask, session.axis), axis=(1, 2))
    slices = [
        {
            "slice": index,
            "source": result.source if areas[index] else "empty",
            "presence": _finite(result.presence),
            "predicted_iou": _finite(result.predicted_iou),
            "area": int(areas[index]),
        }
        for index, result in session.results(segment.value).items()
    ]
    return {
        "label": segment.value,
        "name": segment.name,
        "key_slices": list(session.keys(segment.value)),
        "voxels": int(areas.sum()),
        "volume_ml": round(float(areas.sum()) * voxel_ml, 4),
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
