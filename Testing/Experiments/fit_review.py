"""Fit what IoU to expect of a slice, and from where on people should look at it: `finishing.py` and `review.py`.

The bundled pair and the classical half alone are run from the key slice of every target on an open range. A slice is
good with a DSC of .9, bad below .8. The threshold picks .09 of the good slices; the bars are .10 of the good ones at
most, and .85 of the bad ones at least. It is found once over all volumes, and once for each patient over the others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import SimpleITK as sitk
import torch
from numpy.typing import NDArray
from scipy import stats
from tuning_cases import Target, parse, read_targets, sides
from tuning_report import write

from SegmentPropagateLib.models.loading import load_model
from SegmentPropagateLib.propagation.prompts import MaskPrompt
from SegmentPropagateLib.propagation.propagator import Propagator
from SegmentPropagateLib.propagation.review import EXPECTED_IOU
from SegmentPropagateLib.propagation.session import Session
from SegmentPropagateLib.propagators.finishing import OF_CLASSICAL, OF_PAIR, ExpectedIou, sureness
from SegmentPropagateLib.reports.metrics import dice

SIDES = {"real volumes": ("targets", "others"), "phantoms": ("phantoms",)}
GOOD, BAD = 0.9, 0.8
PICKED_OF_GOOD = 0.09

Floats = NDArray[np.float64]


class Slices(NamedTuple):
    """Slices that a run has filled.

    Args:
        sureness: the lowest on the way from the key.
        dsc: with the reference.
        group: patient or phantom.
    """

    sureness: Floats
    dsc: Floats
    group: NDArray[np.str_]


def main(argv: list[str] | None = None) -> None:
    """Run what has not been run before, fit, print and keep as JSON."""
    arguments = parse(__doc__.splitlines()[0], argv)
    torch.set_num_threads(1)  # as in the evaluation
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    found = {side: list(cases) for side, cases in sides(arguments).items()}
    if "others" in found:
        found["targets"] = list(read_targets(arguments.data))
    results = {}
    for name, expected in {"starter": OF_PAIR, "classical": OF_CLASSICAL}.items():
        model = load_model(name, device="cpu", precision="exact")
        for side, names in SIDES.items():
            cases = [case for name_of_side in names for case in found.get(name_of_side, [])]
            rows = [row for case in cases for row in recorded(model, case, arguments.work / "review" / name)]
            if rows:
                slices = Slices(*(np.array(column) for column in zip(*rows, strict=True)))
                results[f"{name}, {side}"] = fit(slices, expected)
                print(f"{name}, {side}: {json.dumps(results[f'{name}, {side}'], indent=1)}", flush=True)  # noqa: T201
    write(arguments.work / "fit_review.json", results)


def recorded(model: Propagator, case: Target, work: Path) -> list[tuple[float, float, str]]:
    """Sureness, DSC and group of each filled slice of a case."""
    kept = work / f"{case.case} {case.name}.json".replace("/", " ")
    if not kept.exists():
        write(kept, list(observe(model, case)))
    return [tuple(row) for row in json.loads(kept.read_text(encoding="utf-8"))]


def observe(model: Propagator, case: Target) -> Iterator[tuple[float, float, str]]:
    """Run a case from its key slice."""
    session = Session(model, case.volume)
    session.add_key(1, case.key, MaskPrompt(case.truth[case.key]))
    lowest = {False: 1.0, True: 1.0}  # on either side of the key
    for update in session.propagate():
        if update.mask.any() and update.logits is not None:
            side = update.slice_index > case.key
            lowest[side] = min(lowest[side], sureness(update.logits, update.mask))
            yield lowest[side], dice(update.mask, case.truth[update.slice_index]), case.group


def fit(slices: Slices, code: ExpectedIou) -> dict[str, Any]:
    """The numbers, how good they are, and how good where each patient's are found over the others."""
    iou = slices.dsc / (2 - slices.dsc)
    slope, constant = (float(number) for number in np.polyfit(slices.sureness, iou, 1))
    expected = np.array([code.of(value) for value in slices.sureness])
    threshold = bound(slices, np.ones(len(iou), dtype=bool))
    picked, picked_apart = slices.sureness < threshold, np.zeros(len(iou), dtype=bool)
    for group in np.unique(slices.group):
        own = slices.group == group
        if not own.all():
            picked_apart[own] = slices.sureness[own] < bound(slices, ~own)
    return {
        "slices": len(iou),
        "groups": len(np.unique(slices.group)),
        "slope": slope,
        "constant": constant,
        "rank_correlation": float(stats.spearmanr(slices.sureness, slices.dsc)[0]),
        "mean_error": float(np.abs(np.clip(slope * slices.sureness + constant, 0, 1) - iou).mean()),
        "mean_error_of_code": float(np.abs(expected - iou).mean()),
        "picked_by_code": shares(slices, expected < EXPECTED_IOU),
        "threshold_iou": slope * threshold + constant,
        "picked": shares(slices, picked),
        "picked_without_the_patient": shares(slices, picked_apart),
    }


def bound(slices: Slices, of: NDArray[np.bool_]) -> float:
    """The sureness below which `PICKED_OF_GOOD` of the good slices lie."""
    return float(np.quantile(slices.sureness[of & (slices.dsc >= GOOD)], PICKED_OF_GOOD))


def shares(slices: Slices, picked: NDArray[np.bool_]) -> dict[str, float]:
    """Shares of good and bad slices that are picked."""
    return {"good": float(picked[slices.dsc >= GOOD].mean()), "bad": float(picked[slices.dsc < BAD].mean())}


if __name__ == "__main__":
    main()
