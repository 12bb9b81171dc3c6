"""What is known of an object beside a box or a click, and what that is worth: see PLAN_KNOWN.md.

python Testing/Experiments/measure_known.py [--side targets|others] [--out build/known.json]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from tuning_cases import ROOT, read_targets

from SegmentPropagateLib.formats.reading import read_labels
from SegmentPropagateLib.propagation.prompts import NOTHING_KNOWN, Known, PointsPrompt
from SegmentPropagateLib.propagation.propagator import PropagationSettings
from SegmentPropagateLib.propagators.classical.engine import ClassicalPropagator
from SegmentPropagateLib.reports.metrics import dice
from SegmentPropagateLib.volumes.stack import make_stack, stack_of

sys.path.append(str(ROOT / "Testing" / "Benchmarks"))
from evaluation_prompts import boxes, largest, middle
from evaluation_targets import PLANE, Target, files_of

LEAST = 30
"""Pixels of the object on a slice that is asked for."""
PLACES = 0.2, 0.8
"""Of these slices along the extent."""
KINDS = {"box, 1 px wider": 1, "box off by 10 %": 2}
"""Boxes, and how many of each."""
Mask = NDArray[np.bool_]


def main() -> None:
    """Print a line per object, then the means, and write all of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", choices=("targets", "others"), default="targets")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="real volumes")
    parser.add_argument("--out", type=Path, default=Path("build/known.json"))
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for number, target in enumerate(read_targets(arguments.data, others=arguments.side == "others")):
        row = _measured(target, arguments.data)
        if row:
            names = {"case": target.case, "name": target.name, "structure": target.structure}
            rows.append({**names, "half": number % 2, **row})
            print(rows[-1], flush=True)  # noqa: T201
    for known in ("own", "others", "others grown", "both"):
        print(known, {half: _gain(rows, known, half) for half in (0, 1, None)})  # noqa: T201
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(rows, indent=1))


def _gain(rows: list[dict[str, Any]], known: str, half: int | None) -> dict[str, float]:
    """Mean DSC by kind of prompt and what was gained, over the objects of a half that know something of the kind."""
    used = [row for row in rows if row[known] and half in (None, row["half"])]
    if not used:
        return {}
    found: dict[str, float] = {"objects": len(used)}
    every = []
    for kind in ("box", "point"):
        change = np.array([row[known][kind] - row["nothing"][kind] for row in used])
        every.append(change)
        found |= {
            kind: round(float(np.mean([row[known][kind] for row in used])), 4),
            f"{kind} +": round(change.mean(), 4),
        }
    both = np.mean(every, axis=0)
    return {**found, "both +": round(float(both.mean()), 4), "worst": round(float(both.min()), 4)}


def _measured(target: Target, data: Path) -> dict[str, Any]:
    """What is known -> DSC by kind of prompt; empty where the object has one slice, None where nothing is known."""
    areas = target.truth.sum(axis=(1, 2))
    present = np.flatnonzero(areas >= LEAST)
    present = present[present != target.key]
    if not len(present):
        return {}
    chosen = sorted({int(present[round(place * (len(present) - 1))]) for place in PLACES})
    stack, _ = make_stack(target.volume, PLANE)
    propagator = ClassicalPropagator()
    propagator.open(stack, PropagationSettings())
    own = {target.key: target.truth[target.key]}
    others = {index: tuple(_others(target, data, index)) for index in chosen}
    grown = {index: tuple(ndimage.binary_dilation(mask) for mask in masks) for index, masks in others.items()}
    ways = {
        "nothing": dict.fromkeys(chosen, NOTHING_KNOWN),
        "own": {index: Known(own) for index in chosen},
        "others": {index: Known({}, others[index]) for index in chosen},
        "others grown": {index: Known({}, grown[index]) for index in chosen},
        "both": {index: Known(own, others[index]) for index in chosen},
    }
    row: dict[str, Any] = {}
    for name, known in ways.items():
        if name.startswith("others") and not any(others.values()):
            row[name] = None
        else:
            row[name] = _scores(propagator, target.truth, known)
    return row


def _scores(propagator: ClassicalPropagator, truth: NDArray[np.bool_], known: dict[int, Known]) -> dict[str, float]:
    by_kind: dict[str, list[float]] = {"box": [], "point": []}
    for index, beside in known.items():
        by_box = []
        for kind, prompts in boxes(truth[index]).items():
            asked = prompts[: KINDS.get(kind, 0)]
            if asked:
                by_box.append(np.mean([dice(propagator.segment(index, it, beside), truth[index]) for it in asked]))
        by_kind["box"].append(float(np.mean(by_box)))
        point = PointsPrompt(np.array([middle(largest(truth[index]))]), np.array([True]))
        by_kind["point"].append(dice(propagator.segment(index, point, beside), truth[index]))
    return {kind: round(float(np.mean(values)), 4) for kind, values in by_kind.items()}


def _others(target: Target, data: Path, index: int) -> Iterator[Mask]:
    """The other labels of the volume on a slice, but for what the object has of its own."""
    _image, label_file = files_of(data / target.case)
    labels = read_labels(label_file, target.volume.geometry)
    axis = target.volume.geometry.plane_axis(PLANE)
    for value in labels.values:
        stack = stack_of(labels.mask(value), axis)
        if not (stack & target.truth).any() and stack[index].any():
            yield np.array(stack[index])


if __name__ == "__main__":
    main()
