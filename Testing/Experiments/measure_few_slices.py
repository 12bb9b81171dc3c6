"""What `prototypes` and `carried-points` make of a few outlined slices, beside propagation from the same ones.

figure      what
---------   -------------------------------------------------------------------------------------------
others      DSC of all other slices from three outlined ones, with either source and with `classical`
3 away      DSC three slices from the largest one: carried points, and the outline of that slice as it is
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.models.loading import load_model
from SegmentPropagateLib.prompting.carried_points import Rule, drafts
from SegmentPropagateLib.prompting.source import Support, find_source
from SegmentPropagateLib.propagation.prompts import MaskPrompt
from SegmentPropagateLib.propagation.session import Session
from SegmentPropagateLib.reports.metrics import dice
from SegmentPropagateLib.volumes.labels import Labels
from SegmentPropagateLib.volumes.stack import array_of, make_stack

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Testing" / "Benchmarks"))
from evaluation_targets import PLANE, Target, read_targets  # noqa: E402

KEYS, AWAY, LEAST = 3, 3, 20
Mask = NDArray[np.bool_]


def main() -> None:
    """Print a line per target, then the means."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--only", default="", help="a part of CASE/TARGET")
    parser.add_argument("--every", type=int, default=2, help="each so many targets")
    arguments = parser.parse_args()
    rows: list[dict[str, float]] = []
    for number, target in enumerate(read_targets(arguments.data, arguments.only)):
        if number % arguments.every == 0:
            rows.append({**_others(target), **_away(target)})
            print(target.case, target.name, {name: round(value, 3) for name, value in rows[-1].items()}, flush=True)  # noqa: T201
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row[name] for row in rows if name in row]
        print(f"{name}: mean {np.mean(values):.3f}, median {np.median(values):.3f} of {len(values)}")  # noqa: T201


def _others(target: Target) -> dict[str, float]:
    first, last = target.extent
    keys = sorted({round(first + (number + 0.5) / KEYS * (last - first)) for number in range(KEYS)})
    keys = [key for key in keys if target.truth[key].any()]
    rest = np.setdiff1d(np.arange(len(target.truth)), keys)
    few = np.zeros_like(target.truth)
    few[keys] = target.truth[keys]
    axis = target.volume.geometry.plane_axis(PLANE)
    support = Support(Labels((array_of(few, axis).astype(np.uint8),), target.volume.geometry))
    figures = {}
    for name in ("prototypes", "carried-points"):
        (proposal,) = find_source(name).propose(target.volume, [1], support, PLANE)
        masks = np.zeros_like(target.truth)
        for index, result in proposal.slices.items():
            masks[index] = result.mask
        figures[name] = dice(masks[rest], target.truth[rest])
    session = Session(load_model("classical"), target.volume, plane=PLANE)
    for key in keys:
        session.add_key(1, key, MaskPrompt(target.truth[key]))
    for _ in session.propagate():
        pass
    figures["propagation"] = dice(np.moveaxis(session.mask(1), axis, 0)[rest], target.truth[rest])
    return figures


def _away(target: Target) -> dict[str, float]:
    stack, _ = make_stack(target.volume, PLANE)
    places = [index for index in (target.key - AWAY, target.key + AWAY) if 0 <= index < len(stack)]
    places = [index for index in places if target.truth[index].sum() >= LEAST]
    if not places:
        return {}
    key = np.zeros_like(target.truth)
    key[target.key] = target.truth[target.key]
    figures = {
        "the outline as it is, 3 away": float(np.mean([dice(key[target.key], target.truth[it]) for it in places]))
    }
    for name, rule in {"points": Rule(), "points, lambda 1": Rule(factor=1.0)}.items():
        found = drafts(stack, key, rule)
        nothing = np.zeros_like(key[0])
        scores = [dice(found[it][0] if it in found else nothing, target.truth[it]) for it in places]
        figures[f"{name}, 3 away"] = float(np.mean(scores))
    return figures


if __name__ == "__main__":
    main()
