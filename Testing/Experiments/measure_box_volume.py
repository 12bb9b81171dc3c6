"""Where a volume from one box loses against one from the reference outline: see PLAN_BOX_VOLUME.md.

python Testing/Experiments/measure_box_volume.py [--side targets|others] [--model classical] [--half 0|1]

name        what the key slice is
---------   ----------------------------------------------------------------------------------------------
key         DSC of the outline that a box one pixel too wide gives
box         volume from that outline, on an open range
missed      volume from the reference without what the outline misses
added       volume from the reference and what the outline adds to it
reference   volume from the reference
... range   the same with the object's first and last slice given
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from tuning_cases import ROOT, Target, read_targets

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.models.loading import load_model
from SegmentPropagateLib.propagation.propagator import PropagationSettings, Propagator
from SegmentPropagateLib.propagation.session import Session
from SegmentPropagateLib.reports.metrics import dice

sys.path.append(str(ROOT / "Testing" / "Benchmarks"))
from evaluate import propagate
from evaluation_prompts import boxes
from evaluation_targets import PLANE

OPEN = None, None
SETTINGS = PropagationSettings()


def main() -> None:
    """Print a line per object, then the means, and write all of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", choices=("targets", "others"), default="targets")
    parser.add_argument("--model", default="classical")
    parser.add_argument("--half", type=int, choices=(0, 1), help="every second object; all where it is left out")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="real volumes")
    parser.add_argument("--out", type=Path, default=Path("build/box_volume.json"))
    arguments = parser.parse_args()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    model = load_model(arguments.model, device="cpu", precision="exact")
    rows: list[dict[str, Any]] = []
    for number, target in enumerate(read_targets(arguments.data, others=arguments.side == "others")):
        figures = _measured(model, target) if arguments.half in (None, number % 2) else None
        if figures:
            rows.append({"case": target.case, "name": target.name, "structure": target.structure, **figures})
            print(rows[-1], flush=True)  # noqa: T201
    for name in rows[0] if rows else ():
        if isinstance(rows[0][name], float):
            print(f"{name}: {np.mean([row[name] for row in rows]):.4f}")  # noqa: T201
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(rows, indent=1))


def _measured(model: Propagator, target: Target) -> Mapping[str, float] | None:
    """DSC by what the key slice is; None where the box finds nothing."""
    truth = target.truth[target.key]
    try:
        outline = Session(model, target.volume, plane=PLANE).preview(target.key, boxes(truth)["box, 1 px wider"][0])
    except InputError:
        return None
    row = {"key": dice(outline, truth)}
    ways = {"box": outline, "missed": truth & outline, "added": truth | outline, "reference": truth}
    for name, mask in ways.items():
        for ending, extent in (("", OPEN), (" range", target.extent)):
            masks = propagate(model, target, SETTINGS, extent, mask)[0] if mask.any() else np.zeros_like(target.truth)
            row[name + ending] = dice(masks, target.truth)
    return {name: round(value, 4) for name, value in row.items()}


if __name__ == "__main__":
    main()
