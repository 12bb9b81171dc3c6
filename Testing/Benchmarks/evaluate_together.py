"""All objects of a volume in one run: what becomes of each where masks overlap (`make evaluate`).

An object's own mask is the same whether it is propagated alone or with others; only contested pixels are given to one
of them. So one run tells both: the mask of each object alone, and what is left of it beside the others.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from evaluation_targets import PLANE, Target, drawn_target_of, read_targets
from numpy.typing import NDArray

from SegmentPropagateLib.models.loading import load_model
from SegmentPropagateLib.phantoms.phantom import make_phantom
from SegmentPropagateLib.propagation.prompts import MaskPrompt
from SegmentPropagateLib.propagation.propagator import Propagator
from SegmentPropagateLib.propagation.session import Session
from SegmentPropagateLib.reports.metrics import dice
from SegmentPropagateLib.volumes.stack import stack_of

ROOT = Path(__file__).resolve().parents[2]
FAMILIES, SEEDS = ("trunk", "crowd", "column"), range(9000, 9005)
LARGEST = 2500
"""Pixels of a drawn object on its key slice; what has more is the body itself."""

Row = dict[str, Any]


def main() -> None:
    """Print a line per object and the means; write `together.json`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--drawn", action="store_true", help="phantoms in place of real volumes")
    parser.add_argument("--out", type=Path, default=ROOT / ".cache" / "evaluation")
    parser.add_argument("--model", default="starter")
    arguments = parser.parse_args()
    if not arguments.drawn and not (arguments.data / "TARGETS.json").exists():
        print(f"Skipped: there are no evaluation volumes in '{arguments.data}'.")
        return
    model = load_model(arguments.model, device="cpu", precision="exact")
    rows: list[Row] = []
    for targets in drawn_volumes() if arguments.drawn else real_volumes(arguments.data):
        for extent in ("open", "range"):
            rows += list(_rows(model, targets, extent))
            print(_told(f"{targets[0].case}, {extent}", rows[-len(targets) :]), flush=True)
    for extent in ("open", "range"):
        print(_told(extent, [row for row in rows if row["extent"] == extent]))
    arguments.out.mkdir(parents=True, exist_ok=True)
    name = "together-drawn.json" if arguments.drawn else "together.json"
    (arguments.out / name).write_text(json.dumps(rows, indent=1), encoding="utf-8")


def real_volumes(data: Path) -> Iterator[list[Target]]:
    """Targets and other labels of each volume that has several."""
    every = [target for others in (False, True) for target in read_targets(data, others=others)]
    for _, found in groupby(sorted(every, key=lambda target: target.case), key=lambda target: target.case):
        targets = list(found)
        if len(targets) > 1:
            yield targets


def drawn_volumes() -> Iterator[list[Target]]:
    """All objects of phantoms that are full of them."""
    for seed in SEEDS:
        for family in FAMILIES:
            phantom = make_phantom(seed, family, (28, 96, 96))
            found = (
                drawn_target_of(phantom, int(label), f"{family} {seed}") for label in np.unique(phantom.labels)[1:]
            )
            yield [target for target in found if target is not None and target.truth[target.key].sum() < LARGEST]


def _rows(model: Propagator, targets: Sequence[Target], extent: str) -> Iterator[Row]:
    session = Session(model, targets[0].volume, plane=PLANE)
    for number, target in enumerate(targets, 1):
        session.add_key(number, target.key, MaskPrompt(target.truth[target.key]))
    own = {number: target.extent for number, target in enumerate(targets, 1)} if extent == "range" else {}
    for _ in session.propagate(own=own):
        pass
    together = session.masks()
    for number, target in enumerate(targets, 1):
        alone, beside = (_dice(mask, session.axis, target) for mask in (session.mask(number), together[number]))
        yield {"case": target.case, "object": target.structure, "extent": extent, "alone": alone, "together": beside}


def _dice(mask: NDArray[np.bool_], axis: int, target: Target) -> float:
    return dice(stack_of(mask, axis), target.truth)


def _told(what: str, rows: Sequence[Row]) -> str:
    change = np.array([row["together"] - row["alone"] for row in rows])
    worst = rows[int(change.argmin())]
    alone = np.mean([row["alone"] for row in rows])
    return (
        f"{what}: {len(rows)} objects, DSC alone {alone:.3f}, together {change.mean():+.4f}; most lost by "
        f"{worst['case']} {worst['object']}, {change.min():+.3f}; most gained {change.max():+.3f}"
    )


if __name__ == "__main__":
    main()
