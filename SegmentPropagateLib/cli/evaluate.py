"""`segment-propagate evaluate`."""

from __future__ import annotations

import argparse
import json
import math
from typing import Any

import numpy as np

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.reading import read_labels
from SegmentPropagateLib.reports.common_grid import CommonGrid, on_common_grid
from SegmentPropagateLib.reports.metrics import NSD_TOLERANCE_MM, assd_mm, dice, iou, nsd, slice_dice
from SegmentPropagateLib.volumes.labels import Labels
from SegmentPropagateLib.volumes.stack import stack_of

COLUMNS = {
    "dsc": "DSC",
    "iou": "IoU",
    "assd_mm": "ASSD mm",
    "nsd": "NSD",
    "present": "present",
    "absent": "absent",
}


def run(arguments: argparse.Namespace) -> None:
    """Print the figures, as a table or as JSON."""
    report = compare(arguments)
    print(json.dumps(report, indent=1) if arguments.json else table(report))  # noqa: T201 - this command's output


def compare(arguments: argparse.Namespace) -> dict[str, Any]:
    """Figures per label, on a grid over both files: either may be a crop, or have another grid."""
    prediction, reference = read_labels(arguments.prediction), read_labels(arguments.reference)
    values = _wanted(arguments, prediction, reference)
    grid = on_common_grid(prediction, reference, arguments.plane)
    keys = _checked_keys(arguments.key_slice, grid.slices, arguments.plane)
    names = {segment.value: segment.name for segment in (*prediction.segments, *reference.segments)}
    return {
        "prediction": str(arguments.prediction),
        "reference": str(arguments.reference),
        "plane": arguments.plane,
        "key_slices": keys,
        "nsd_tolerance_mm": NSD_TOLERANCE_MM,
        "objects": [{"label": value, "name": names[value], **_figures(grid, value, keys)} for value in values],
    }


def table(report: dict[str, Any]) -> str:
    """The report for people."""
    head = ["label", *COLUMNS.values()]
    rows = [
        [_called(thing), *("-" if thing[key] is None else f"{thing[key]:.3f}" for key in COLUMNS)]
        for thing in report["objects"]
    ]
    width = max(len(row[0]) for row in [head, *rows])
    lines = [" ".join([f"{row[0]:<{width}}", *(f"{cell:>8}" for cell in row[1:])]) for row in [head, *rows]]
    lines += [
        "",
        f"NSD at {report['nsd_tolerance_mm']:g} mm. present: mean DSC of the {report['plane']} slices with the object",
        "in the reference; absent: share of the other slices that were left empty.",
    ]
    if report["key_slices"]:
        lines.append(f"Key slices left out of these two: {', '.join(map(str, report['key_slices']))}.")
    return "\n".join(lines)


def _called(thing: dict[str, Any]) -> str:
    plain = f"label {thing['label']}"
    return plain if thing["name"].lower() == plain else f"{plain} {thing['name']}"


def _checked_keys(keys: list[int] | str | None, count: int, plane: str) -> list[int]:
    if keys is None:
        return []
    if isinstance(keys, str):
        raise InputError("--key-slice of evaluate needs the number of the slice that was given, not auto.")
    for key in keys:
        if not 0 <= key < count:
            raise InputError(f"Key slice {key} is outside the volume: {plane} slices run from 0 to {count - 1}.")
    return keys


def _wanted(arguments: argparse.Namespace, prediction: Labels, reference: Labels) -> list[int]:
    if not reference.values:
        raise InputError(f"'{arguments.reference}' holds no label: every voxel of it is 0.")
    if arguments.label is None or "all" in arguments.label:
        return list(reference.values)
    for value in arguments.label:
        if value not in reference.values and value not in prediction.values:
            there = ", ".join(map(str, reference.values))
            raise InputError(f"Neither file has label {value}; '{arguments.reference}' has {there}.")
    return sorted(set(arguments.label))


def _figures(grid: CommonGrid, value: int, keys: list[int]) -> dict[str, float | None]:
    """The whole volume counts for the 3-D figures, as in the papers; the slice-wise ones leave the key slices out."""
    a, b = grid.prediction.mask(value), grid.reference.mask(value)
    spacing = grid.reference.geometry.spacing_kji_mm
    others = ~np.isin(grid.numbers, keys)
    a_others, b_others = stack_of(a, grid.axis)[others], stack_of(b, grid.axis)[others]
    present, absent = slice_dice(a_others, b_others)
    figures = {
        "dsc": dice(a, b),
        "dsc_without_keys": dice(a_others, b_others),
        "iou": iou(a, b),
        "assd_mm": assd_mm(a, b, spacing),
        "nsd": nsd(a, b, spacing),
        "present": present,
        "absent": absent,
    }
    return {key: round(float(figure), 4) if math.isfinite(figure) else None for key, figure in figures.items()}
