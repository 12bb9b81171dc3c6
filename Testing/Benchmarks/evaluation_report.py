"""Tables, bootstrap intervals, JSON and contact sheets of an evaluation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from evaluation_targets import PLANE, Target
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from SegmentPropagateLib.reports.overlay import Orientation
from SegmentPropagateLib.volumes.stack import make_stack

DRAWS = 10_000
REFERENCES = ("classical", "demons and growcut", "demons+stop")
MEASURES = ("dsc", "dsc_near", "absent_with_false_positive", "present_but_empty", "seconds_per_slice")
TILE, COLUMNS = 160, 9

Results = Mapping[str, Sequence[Mapping[str, Any]]]


def write_report(out: Path, targets: Sequence[Target], results: Results) -> None:
    """Print and write `report.md`, `report.json` and one `METHOD.png` per model under `out`."""
    out.mkdir(parents=True, exist_ok=True)
    groups = [target.group for target in targets]
    summary = {
        extent: {name: _summary(rows, extent, groups) for name, rows in results.items()} for extent in ("open", "range")
    }
    for extent, methods in summary.items():
        for name, method in methods.items():
            method["minus"] = {
                reference: _interval(_column(results[name], extent) - _column(results[reference], extent), groups)
                for reference in REFERENCES
                if reference in results and reference != name
            }
            method["kinds"] = _by_kind(targets, results[name], extent)
    text = "\n\n".join(_tables(targets, results, summary))
    print(text)
    (out / "report.md").write_text(text + "\n")
    per_target = {
        name: [{k: v for k, v in row.items() if k != "masks"} for row in rows] for name, rows in results.items()
    }
    (out / "report.json").write_text(json.dumps({"summary": summary, "targets": per_target}, indent=1))
    for name, rows in results.items():
        if name not in ("copy", "grow"):
            _contact_sheet(targets, rows).save(out / f"{name}.png")


def _column(rows: Sequence[Mapping[str, Any]], extent: str, measure: str = "dsc") -> NDArray[np.float64]:
    return np.array([row[extent][measure] for row in rows], dtype=np.float64)  # None becomes NaN


def _summary(rows: Sequence[Mapping[str, Any]], extent: str, groups: Sequence[str]) -> dict[str, Any]:
    columns = {measure: _column(rows, extent, measure) for measure in MEASURES}
    result: dict[str, Any] = {
        measure: float(np.nanmean(values)) if np.isfinite(values).any() else None for measure, values in columns.items()
    }
    result["dsc_interval"] = _interval(columns["dsc"], groups)
    result["targets_at_0.60"] = int((columns["dsc"] >= 0.6).sum())
    return result


def _by_kind(targets: Sequence[Target], rows: Sequence[Mapping[str, Any]], extent: str) -> dict[str, Any]:
    """The same for each kind of object."""
    found = {}
    for kind, numbers in _kinds(targets).items():
        patients = [targets[number].group for number in numbers]
        chosen = _summary([rows[number] for number in numbers], extent, patients)
        found[kind] = {**chosen, "objects": len(numbers), "patients": len(set(patients))}
    return found


def _kinds(targets: Sequence[Target]) -> dict[str, list[int]]:
    """Places of the targets of each kind."""
    kinds: dict[str, list[int]] = {}
    for number, target in enumerate(targets):
        kinds.setdefault(target.kind, []).append(number)
    return kinds


def _interval(values: NDArray[np.float64], groups: Sequence[str]) -> dict[str, Any]:
    """Mean with 95 % percentile bootstrap intervals, drawing targets, and drawing whole patients."""
    rng = np.random.default_rng(0)
    names = sorted(set(groups))
    member = np.array([[group == name for group in groups] for name in names], dtype=float)  # (patients, targets)
    by_target = values[rng.integers(len(values), size=(DRAWS, len(values)))].mean(axis=1)
    drawn = rng.integers(len(names), size=(DRAWS, len(names)))
    by_patient = (member @ values)[drawn].sum(axis=1) / member.sum(axis=1)[drawn].sum(axis=1)
    return {
        "mean": float(values.mean()),
        "targets_95": [float(value) for value in np.percentile(by_target, (2.5, 97.5))],
        "patients_95": [float(value) for value in np.percentile(by_patient, (2.5, 97.5))],
    }


def _tables(targets: Sequence[Target], results: Results, summary: Mapping[str, Any]) -> list[str]:
    tables = []
    for extent, title in (("open", "Open range"), ("range", "First and last slice given")):
        lines = [f"## {title}: DSC", "", "| target | " + " | ".join(results) + " |", "|--|" + "--|" * len(results)]
        for number, target in enumerate(targets):
            cells = (f"{rows[number][extent]['dsc']:.2f}" for rows in results.values())
            lines.append(f"| {target.case} {target.name} | " + " | ".join(cells) + " |")
        lines.append("| **mean** | " + " | ".join(f"**{item['dsc']:.3f}**" for item in summary[extent].values()) + " |")
        tables.append("\n".join(lines))
        tables.append("\n".join(_summary_table(len(targets), summary[extent])))
        tables.append("\n".join(_kinds_table(summary[extent])))
    return tables


def _summary_table(count: int, summary: Mapping[str, Any]) -> list[str]:
    lines = [
        "| method | DSC (95 %, drawing patients) | within 5 slices | absent slices with FP | present but empty "
        f"| DSC >= .60 of {count} | {' | '.join(f'minus {reference}' for reference in REFERENCES)} | s per slice |",
        "|--" * (7 + len(REFERENCES)) + "|",
    ]
    for name, item in summary.items():
        differences = [_signed(item["minus"].get(reference)) for reference in REFERENCES]
        low, high = item["dsc_interval"]["patients_95"]
        absent = item["absent_with_false_positive"]
        lines.append(
            f"| {name} | {item['dsc']:.3f} ({low:.3f} to {high:.3f}) | {item['dsc_near']:.3f} "
            f"| {'' if absent is None else f'{absent:.2f}'} | {item['present_but_empty']:.2f} "
            f"| {item['targets_at_0.60']} | {' | '.join(differences)} | {item['seconds_per_slice']:.3f} |"
        )
    return lines


def _kinds_table(summary: Mapping[str, Any]) -> list[str]:
    kinds = next(iter(summary.values()))["kinds"]
    lines = ["| kind | objects, patients | " + " | ".join(summary) + " |", "|--|--|" + "--|" * len(summary)]
    for kind, first in kinds.items():
        cells = []
        for method in summary.values():
            item = method["kinds"][kind]
            low, high = item["dsc_interval"]["patients_95"]
            absent = item["absent_with_false_positive"]
            told = "" if absent is None else f", FP {absent:.2f}"
            interval = f" ({low:.2f} to {high:.2f})" if item["patients"] > 1 else ""  # one has no spread
            cells.append(f"{item['dsc']:.2f}{interval}{told}")
        lines.append(f"| {kind} | {first['objects']}, {first['patients']} | {' | '.join(cells)} |")
    return lines


def _signed(interval: Mapping[str, Any] | None) -> str:
    if interval is None:
        return ""
    (low, high), (wide_low, wide_high) = interval["targets_95"], interval["patients_95"]
    return f"{interval['mean']:+.3f} ({low:+.3f} to {high:+.3f}; patients {wide_low:+.3f} to {wide_high:+.3f})"


def _contact_sheet(targets: Sequence[Target], rows: Sequence[Mapping[str, Any]]) -> Image.Image:
    """The best, the median and the worst of each kind on an open range: reference green, result red, both yellow."""
    chosen = []
    for numbers in _kinds(targets).values():
        ranked = sorted(numbers, key=lambda number: rows[number]["open"]["dsc"], reverse=True)
        chosen += list(dict.fromkeys(ranked[place] for place in (0, len(ranked) // 2, -1)))
    sheet = Image.new("RGB", (COLUMNS * TILE, len(chosen) * (TILE + 16)), (18, 20, 24))
    for row, number in enumerate(chosen):
        target, top = targets[number], row * (TILE + 16)
        masks = np.load(rows[number]["masks"])["open"]
        dsc = rows[number]["open"]["dsc"]
        title = f"{target.kind}: {target.case} {target.structure}  DSC {dsc:.2f}  key {target.key}"
        ImageDraw.Draw(sheet).text((4, top + 2), title, fill=(236, 238, 242))
        for column, tile in enumerate(_tiles(target, masks)):
            sheet.paste(tile, (column * TILE, top + 16))
    return sheet


def _tiles(target: Target, masks: NDArray[np.bool_]) -> list[Image.Image]:
    touched = target.truth.any(axis=0) | masks.any(axis=0)
    window = tuple(
        slice(max(int(edge[0]) - 8, 0), int(edge[-1]) + 9)
        for edge in (np.flatnonzero(touched.any(axis=1)), np.flatnonzero(touched.any(axis=0)))
    )
    slices = np.flatnonzero((target.truth | masks).any(axis=(1, 2)))
    shown = np.unique(slices[np.linspace(0, len(slices) - 1, COLUMNS).round().astype(int)])
    stack, _ = make_stack(target.volume, PLANE)
    orientation = Orientation.upright(target.volume.geometry, PLANE)
    return [_tile(stack.gray[i][window], target.truth[i][window], masks[i][window], orientation, int(i)) for i in shown]


def _tile(
    gray: NDArray[np.uint8], truth: NDArray[np.bool_], mask: NDArray[np.bool_], orientation: Orientation, index: int
) -> Image.Image:
    factor = max(1, TILE // max(gray.shape))
    gray, truth, mask = (
        np.kron(orientation.turn(part), np.ones((factor, factor), part.dtype)) for part in (gray, truth, mask)
    )
    picture = np.repeat(gray[..., None], 3, axis=2)
    for outlined, channel in ((mask, 0), (truth, 1)):
        edge = outlined & ~ndimage.binary_erosion(outlined)
        picture[edge] = np.where(np.arange(3) == channel, 255, picture[edge] * (picture[edge] == 255))
    tile = Image.new("RGB", (TILE, TILE))
    image = Image.fromarray(picture)
    image.thumbnail((TILE - 4, TILE - 4))
    tile.paste(image, (2, 2))
    ImageDraw.Draw(tile).text((4, 2), str(index), fill=(255, 205, 64))
    return tile
