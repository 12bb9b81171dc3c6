"""`segment-propagate evaluate-all`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from SegmentPropagateLib.batch.pool import Crew, carry_out, environments
from SegmentPropagateLib.batch.records import Record, read_records
from SegmentPropagateLib.batch.tables import address_of
from SegmentPropagateLib.cli.console import printable, progress_bar, speaker
from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import Outputs
from SegmentPropagateLib.formats.cases import find_labels
from SegmentPropagateLib.formats.reading import read_labels
from SegmentPropagateLib.reports import html
from SegmentPropagateLib.reports.cohort import Spread, label_of, spread_of, write_table
from SegmentPropagateLib.reports.common_grid import on_common_grid
from SegmentPropagateLib.reports.comparison import compare_objects
from SegmentPropagateLib.reports.metrics import NSD_TOLERANCE_MM
from SegmentPropagateLib.volumes.labels import Labels, SegmentInfo, is_called, listed_segments, quoted
from SegmentPropagateLib.wording import are, counted

RUNNER = f"{__name__}:start"
WITH_REFERENCES = {
    "dsc": "DSC",
    "nsd": "NSD",
    "assd_mm": "ASSD mm",
    "present": "present",
    "absent": "absent",
    "volume_ml": "volume ml",
    "reference_ml": "reference ml",
    "predicted_iou": "predicted IoU",
}
WITHOUT = {"volume_ml": "volume ml", "predicted_iou": "predicted IoU", "worth_a_look": "worth a look"}
_MEANING = (
    f"NSD at {NSD_TOLERANCE_MM:g} mm; ASSD of the objects that both have; present: mean DSC of the slices with the "
    "object in the reference; absent: share of the others that were left empty. Key slices are left out of these two."
)
_WHY = "without a result, without a reference, or without the label"
_PLOTTED = ("dsc", "nsd", "volume_ml", "predicted_iou")

Row = dict[str, Any]
"""An object of a case: `case`, `label`, `name`, `key_slices` and its figures."""


def run(arguments: argparse.Namespace) -> None:
    """Write a table and a page over all cases, and print the means."""
    out, say = Path(arguments.output), speaker(arguments.quiet)
    records = read_records(out) if out.is_dir() else []
    if not records:
        raise InputError(f"'{out}' holds no results of a batch: give the folder that `batch -o` has written.")
    done = [record for record in records if record["status"] == "done"]
    labels: dict[str, Path] = {}
    if arguments.references is None:
        rows, figures, name = _told(done, arguments.label), WITHOUT, "cohort"
    else:
        labels = find_labels(arguments.references)
        rows, figures, name = _compared(done, labels, arguments), WITH_REFERENCES, "evaluation"
    if not rows:
        raise InputError(f"No case of '{out}' has anything to be told of{_there(done, arguments.label)}.")
    cases = {record["case"] for record in records} | set(labels)
    left_out = len(cases - {row["case"] for row in rows})
    missing = (
        f"{left_out} of {counted(len(cases), 'case')} {are(left_out)} in no mean: {_WHY}."
        if left_out
        else "Each case is in a mean."
    )
    say(missing)
    pictures = {record["case"]: address_of(record, "overlay") for record in done if record["outputs"]}
    title = f"{out.resolve().name}: {counted(len(done), 'result')}"
    with Outputs() as outputs:
        write_table(out / f"{name}.csv", ("case", "label", "name", "key_slices", *figures), rows, outputs)
        html.write_page(out / f"{name}.html", title, _parts(rows, figures, missing, pictures), outputs)
    print(_printed(rows, figures))  # noqa: T201 - this command's output
    say(f"Wrote {out / f'{name}.csv'} and {out / f'{name}.html'}.")


def _there(done: Iterable[Record], wanted: Sequence[int | str] | None) -> str:
    """Why nothing is left of the results, at the end of a sentence."""
    things = sorted({(thing["label"], thing["name"]) for record in done for thing in record["figures"]})
    if wanted is None or not things:
        return ": see its table.csv"
    there = listed_segments(SegmentInfo(label, name, (0, 0, 0)) for label, name in things)
    return f" under label {', '.join(map(quoted, wanted))}; the results have {there}"


def _told(done: Iterable[Record], wanted: Sequence[int | str] | None) -> list[Row]:
    """What the runs themselves know of their results."""
    rows = [{"case": record["case"], **thing} for record in done for thing in record["figures"]]
    return [row for row in rows if _is_wanted(row["label"], row["name"], wanted)]


def _is_wanted(label: int, name: str, wanted: Sequence[int | str] | None) -> bool:
    if wanted is None or "all" in wanted:
        return True
    return any(is_called(label, name, word) for word in wanted)


def _compared(done: Sequence[Record], labels: Mapping[str, Path], arguments: argparse.Namespace) -> list[Row]:
    """Compare each result with its reference, several cases at once; tell of those that have none."""
    say, aloud = speaker(arguments.quiet), speaker(quiet=False)
    tasks = []
    for record in done:
        name = record["case"]
        if name in labels:
            found = record["outputs"].get("segmentation")  # none where nothing was found
            result = None if found is None else str(Path(arguments.output, name, found["file"]))
            files = {"prediction": result, "reference": str(labels[name])}
            tasks.append({"name": name, **files, "figures": record["figures"]})
        else:
            say(f"{name} is left out: '{arguments.references}' has no labels of that name.")
    if not tasks:
        raise InputError(f"'{arguments.references}' has labels for none of the results: are the names equal?")
    figures = [thing for record in done for thing in record["figures"]]
    settings = {
        "plane": arguments.plane,
        "label": arguments.label,
        "labels": sorted({thing["label"] for thing in figures}),
        "names": sorted({thing["name"].casefold() for thing in figures}),
    }
    crew = Crew(RUNNER, settings, environments(arguments.processes, len(tasks), 0))
    rows: list[Row] = []
    with (
        progress_bar(arguments.quiet, total=len(tasks), unit="case") as bar,
        closing(carry_out(tasks, crew)) as answers,
    ):
        for task, answer in answers:
            bar.update()
            if answer["status"] == "done":
                rows += ({"case": task["name"], **thing} for thing in answer["objects"])
            else:
                aloud(f"{task['name']} is left out: {answer['sentence']}")
    return sorted(rows, key=lambda row: (row["case"], row["label"]))


def start(settings: Mapping[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """What compares a case, in a process of its own; see `child.main`."""

    def compare(task: dict[str, Any]) -> dict[str, Any]:
        reference = read_labels(task["reference"])
        prediction = _empty_like(reference) if task["prediction"] is None else read_labels(task["prediction"])
        known = {thing["label"]: thing for thing in task["figures"]}
        wanted = [it for it in reference.segments if _is_wanted(it.value, it.name, settings["label"])]
        grid = on_common_grid(prediction, reference, settings["plane"])
        objects = compare_objects(grid, wanted, lambda value: known.get(value or 0, {}).get("key_slices", []))
        objects = [thing for thing in objects if _was_asked_for(thing, settings)]
        for thing in objects:
            thing["predicted_iou"] = known.get(thing["prediction"]["label"], {}).get("predicted_iou")
        return {"status": "done", "objects": objects}

    return compare


def _empty_like(labels: Labels) -> Labels:
    return replace(labels, layers=(np.zeros_like(labels.layers[0]),), segments=())


def _was_asked_for(thing: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    """Whether an object of a reference has a result, or ought to have one, as in other cases it does."""
    if thing["prediction"]["label"] is not None or settings["label"] is not None:
        return True
    return thing["label"] in settings["labels"] or thing["name"].casefold() in settings["names"]


def _spreads(rows: Iterable[Row], figures: Iterable[str]) -> dict[str, dict[str, Spread]]:
    """Label -> figure -> its spread over the cases; the last label is the mean over the labels of each case."""
    rows = list(rows)
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(label_of(row), []).append(row)
    spreads = {
        label: {name: spread_of(row[name] for row in group) for name in figures} for label, group in groups.items()
    }
    if len(groups) > 1:
        cases: dict[str, list[Row]] = {}
        for row in rows:
            cases.setdefault(row["case"], []).append(row)
        spreads["mean of labels"] = {
            name: spread_of(spread_of(row[name] for row in group).mean for group in cases.values()) for name in figures
        }
    return spreads


def _parts(rows: list[Row], figures: Mapping[str, str], missing: str, pictures: Mapping[str, str]) -> list[str]:
    spreads = _spreads(rows, figures)
    means = [
        [label, max(spread.cases for spread in found.values()), *(_shown(spread) for spread in found.values())]
        for label, found in spreads.items()
    ]
    worst = sorted(rows, key=lambda row: row["dsc"] if "dsc" in row else row["predicted_iou"] or 0.0)
    single = [[_linked(row["case"], pictures), label_of(row), *(row[name] for name in figures)] for row in worst]
    return [
        html.note(missing),
        html.heading("Means"),
        html.table(("label", "cases", *figures.values()), means),
        html.note("In brackets: 95 % interval of the mean by bootstrap over the cases."),
        *([html.note(_MEANING)] if "nsd" in figures else []),
        *_plots(rows, figures, spreads),
        html.heading("All cases"),
        html.table(("case", "label", *figures.values()), single),
    ]


def _linked(case: str, pictures: Mapping[str, str]) -> str:
    return html.link(case, pictures[case]) if case in pictures else case


def _plots(
    rows: Sequence[Row], figures: Mapping[str, str], spreads: Mapping[str, Mapping[str, Spread]]
) -> Iterator[str]:
    for name in (name for name in _PLOTTED if name in figures):
        groups = []
        for label, found in spreads.items():
            values = [row[name] for row in rows if label_of(row) == label and row[name] is not None]
            if values:
                groups.append((label, values, (found[name].mean, found[name].low, found[name].high)))
        yield html.strip_plot(figures[name], groups)


def _shown(spread: Spread) -> str | float | None:
    """A mean with its interval; a number where there is none."""
    if spread.low == spread.low:  # no NaN
        return f"{spread.mean:.3f} ({spread.low:.3f} to {spread.high:.3f})"
    return spread.mean if spread.cases else None


def _printed(rows: Sequence[Row], figures: Mapping[str, str]) -> str:
    """The means for people."""
    spreads = _spreads(rows, figures)
    lines = [["label", "cases", *figures.values()]]
    for label, found in spreads.items():
        cells = [f"{spread.mean:.3f}" if spread.cases else "-" for spread in found.values()]
        lines.append([printable(label), str(max(spread.cases for spread in found.values())), *cells])
    widths = [max(len(line[n]) for line in lines) for n in range(len(lines[0]))]
    return "\n".join(" ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in lines)
