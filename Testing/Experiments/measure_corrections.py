"""Measure which slice is worth correcting first: the place that `propagation/review.py` names against other choices.

Every target is run from its key slice over its true range. In the first stretch of slices in doubt one slice gets its
true outline, and the run is repeated; what counts is the gain in DSC.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from tuning_cases import Target, parse, read_targets, sides
from tuning_report import write

from SegmentPropagateLib.models.loading import load_model
from SegmentPropagateLib.propagation.prompts import MaskPrompt
from SegmentPropagateLib.propagation.propagator import Propagator
from SegmentPropagateLib.propagation.review import Seen, to_correct
from SegmentPropagateLib.propagation.session import Session
from SegmentPropagateLib.reports.metrics import dice


def main(argv: list[str] | None = None) -> None:
    """Measure all cases, print and keep as JSON."""
    arguments = parse(__doc__.splitlines()[0], argv)
    torch.set_num_threads(1)  # as in the evaluation
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    model = load_model("starter", device="cpu", precision="exact")
    cases = {side: list(found) for side, found in sides(arguments).items()}
    if "others" in cases:
        cases["targets"] = list(read_targets(arguments.data))
    results = {}
    for side, found in cases.items():
        rows = [row for case in found if (row := measure(model, case)) is not None]
        results[side] = rows
        means = {name: round(float(np.mean([row[name] for row in rows])), 4) for name in rows[0]} if rows else {}
        print(f"{side}: {len(rows)} of {len(found)} cases have a stretch in doubt; {json.dumps(means)}")  # noqa: T201
    write(arguments.work / "measure_corrections.json", results)


def measure(model: Propagator, case: Target) -> dict[str, Any] | None:
    """DSC before, and what the outline of each choice adds; None where no slice is in doubt."""
    session = run(model, case, (case.key,))
    first, last = case.extent
    seen = {
        index: Seen(result.area, result.predicted_iou, result.source == "key")
        for index, result in session.results(1).items()
        if first <= index <= last
    }
    stretches = to_correct(seen)
    if not stretches:
        return None
    slices, place, _wrong = stretches[0]
    choices = {
        "named": place,
        "least sure": min(slices, key=lambda index: seen[index].predicted_iou if seen[index].area else 0.0),
        "largest": max(slices, key=lambda index: seen[index].area),
        "next to the key": min(slices, key=lambda index: abs(index - case.key)),
        "furthest from it": max(slices, key=lambda index: abs(index - case.key)),
    }
    before = score(session, case)
    gains = {index: score(run(model, case, (case.key, index)), case) - before for index in set(choices.values())}
    return {"before": before, **{name: gains[index] for name, index in choices.items()}}


def run(model: Propagator, case: Target, keys: tuple[int, ...]) -> Session:
    """Propagate the true outlines of some slices over the object's true range."""
    session = Session(model, case.volume)
    for key in keys:
        session.add_key(1, key, MaskPrompt(case.truth[key]))
    for _ in session.propagate(*case.extent):
        pass
    return session


def score(session: Session, case: Target) -> float:
    """DSC of the whole volume."""
    masks = np.zeros(case.truth.shape, dtype=bool)
    for index, result in session.results(1).items():
        masks[index] = result.mask
    return dice(masks, case.truth)


if __name__ == "__main__":
    main()
