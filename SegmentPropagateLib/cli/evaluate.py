"""`segment-propagate evaluate`."""

from __future__ import annotations

import argparse
import json
from typing import Any

from SegmentPropagateLib.cli.console import speaker
from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.grids import fill_one_box
from SegmentPropagateLib.formats.reading import read_labels
from SegmentPropagateLib.reports.common_grid import on_common_grid
from SegmentPropagateLib.reports.comparison import compare_objects
from SegmentPropagateLib.reports.metrics import NSD_TOLERANCE_MM
from SegmentPropagateLib.reports.report import keys_of_run
from SegmentPropagateLib.volumes.labels import Labels, SegmentInfo, called, find_segment

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
    say = speaker(quiet=False)
    prediction, reference = (read_labels(path, notify=say) for path in (arguments.prediction, arguments.reference))
    wanted = _wanted(arguments, prediction, reference)
    grid = on_common_grid(prediction, reference, arguments.plane)
    if prediction.geometry.shape_kji == reference.geometry.shape_kji and not fill_one_box(
        prediction.geometry, reference.geometry
    ):
        say("Prediction and reference have one shape but lie at different places: did one lose its geometry?")
    typed = _checked_keys(arguments.key_slice, grid.slices, arguments.plane)
    run = {} if typed else keys_of_run(arguments.prediction, arguments.report, arguments.plane)
    objects = compare_objects(grid, wanted, lambda value: typed or run.get(value, []))
    return {
        "prediction": str(arguments.prediction),
        "reference": str(arguments.reference),
        "plane": arguments.plane,
        "key_slices": sorted({key for thing in objects for key in thing["key_slices"]}),
        "nsd_tolerance_mm": NSD_TOLERANCE_MM,
        "objects": objects,
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
    lines += [_how(thing) for thing in report["objects"] if thing["prediction"]["matched_by"] != "number"]
    if report["key_slices"]:
        lines.append(f"Key slices left out of these two: {', '.join(map(str, report['key_slices']))}.")
    return "\n".join(lines)


def _called(thing: dict[str, Any]) -> str:
    return called(SegmentInfo(thing["label"], thing["name"], (0, 0, 0)))


def _how(thing: dict[str, Any]) -> str:
    own, by = thing["prediction"]["label"], thing["prediction"]["matched_by"]
    if by is None:
        return f"The prediction has nothing that could be {_called(thing)}."
    reason = "which has its name" if by == "name" else "which it overlaps most"
    return f"{_called(thing)[0].upper()}{_called(thing)[1:]} is compared with the prediction's label {own}, {reason}."


def _checked_keys(keys: list[int] | str | None, count: int, plane: str) -> list[int]:
    if keys is None:
        return []
    if isinstance(keys, str):
        raise InputError("--key-slice of evaluate needs the number of the slice that was given, not auto.")
    for key in keys:
        if not 0 <= key < count:
            raise InputError(f"Key slice {key} is outside the volume: {plane} slices run from 0 to {count - 1}.")
    return keys


def _wanted(arguments: argparse.Namespace, prediction: Labels, reference: Labels) -> list[SegmentInfo]:
    if not reference.values:
        raise InputError(f"'{arguments.reference}' holds no label: every voxel of it is 0.")
    if arguments.label is None or "all" in arguments.label:
        return list(reference.segments)
    known = Labels((), reference.geometry, (*reference.segments, *_only_in(prediction, reference)))
    return sorted({find_segment(known, word, arguments.reference) for word in arguments.label}, key=lambda it: it.value)


def _only_in(prediction: Labels, reference: Labels) -> list[SegmentInfo]:
    """Labels that the reference should have had: a DSC of 0 each."""
    names = {segment.name.casefold() for segment in reference.segments}
    return [
        segment
        for segment in prediction.segments
        if segment.value not in reference.values and segment.name.casefold() not in names
    ]
