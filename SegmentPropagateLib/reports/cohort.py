"""Figures of many cases: of each object, of each label over the cases, and as rows of a table."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from SegmentPropagateLib.files import Outputs, writing
from SegmentPropagateLib.volumes.labels import default_segment

_RESAMPLES = 2000
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a spreadsheet tells one from a text


def figures_of(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of each object of a run what people sort cases by.

    `predicted_iou` is the mean over the slices that the run has filled, None where nobody had an opinion;
    `worth_a_look` counts slices.

    Args:
        report: see `report.describe_run`.
    """
    found = []
    for thing in report["objects"]:
        filled = [part for part in thing["slices"] if part["area"]]
        scores = [
            part["predicted_iou"]
            for part in filled
            if part["source"] == "propagated" and part["predicted_iou"] is not None
        ]
        found.append(
            {
                "label": thing["label"],
                "name": thing["name"],
                "key_slices": thing["key_slices"],
                "first": min((part["slice"] for part in filled), default=None),
                "last": max((part["slice"] for part in filled), default=None),
                "volume_ml": thing["volume_ml"],
                "predicted_iou": round(float(np.mean(scores)), 4) if scores else None,
                "worth_a_look": sum(part["worth_a_look"] for part in thing["slices"]),
            }
        )
    return found


class Doubt(NamedTuple):
    """What cases are sorted by: those to look at first are the largest."""

    worth_a_look: int
    missing_iou: float

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Doubt:
        """The doubt in the result of a case: slices worth a look, and how low the worst object's predicted IoU is."""
        scores = [thing["predicted_iou"] for thing in record["figures"] if thing["predicted_iou"] is not None]
        return cls(sum(thing["worth_a_look"] for thing in record["figures"]), 1 - min(scores, default=1.0))


def label_of(figures: Mapping[str, Any]) -> str:
    """What an object is called over all cases: the name that people gave it, else its number."""
    label, name = figures["label"], str(figures["name"])
    return name if name and name.casefold() != default_segment(label).name.casefold() else f"label {label}"


class Spread(NamedTuple):
    """A figure over cases.

    Args:
        cases: how many have it.
        mean: over these.
        low: lower end of the 95 % interval of the mean; NaN for fewer than two cases.
        high: its upper end.
    """

    cases: int
    mean: float
    low: float
    high: float


def spread_of(values: Iterable[float | None]) -> Spread:
    """Mean and bootstrap interval (percentiles, 2000 resamples of the cases, the same at every call).

    Example:
        >>> spread_of([0.5, 0.7, None, 0.9])
        Spread(cases=3, mean=0.7, low=0.5, high=0.9)
    """
    known = np.array([value for value in values if value is not None and math.isfinite(value)], dtype=np.float64)
    if len(known) < 2:
        return Spread(len(known), float(known[0]) if len(known) else math.nan, math.nan, math.nan)
    chance = np.random.default_rng(0)
    means = [known[chance.integers(0, len(known), len(known))].mean() for _ in range(_RESAMPLES)]
    low, high = np.percentile(means, (2.5, 97.5))
    return Spread(len(known), *(round(float(value), 6) for value in (known.mean(), low, high)))


def write_table(
    path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]], outputs: Outputs | None = None
) -> None:
    """Write rows as CSV (UTF-8); what is missing or None is left empty, and no text is a formula.

    Raises:
        InputError: the file cannot be written.
    """
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(columns)
    table.writerows([_cell(row.get(column)) for column in columns] for row in rows)
    with writing(path, outputs) as file:
        file.write(text.getvalue().encode("utf-8", "backslashreplace"))


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    return value
