"""What tuning on two outlined slices does for boxes and points on other slices: 40 drawn volumes with nested organs.

Written before the first run. On every volume two slices of organ 1, at a third and at two thirds of its extent, tune
the network alone (the starter's, whose own embeddings never saw a box); four other slices are then segmented by
`NetworkPropagator.segment` from a box that is off by up to 10 % and from 5 points, the same before and after.
Bar: the mean DSC over both prompts gains .05 or more over 40 volumes, with the interval above 0. What is reported: that
gain, each prompt's own, how often each rate was taken, the worst volume, and seconds of one core a volume.

    python Testing/Experiments/measure_prompt_tuning.py [--volumes 40] [--out build/prompt_tuning.json]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tuning_report import interval

from SegmentPropagateLib.models import registry
from SegmentPropagateLib.networks.checkpoints import load_network
from SegmentPropagateLib.phantoms.phantom import make_phantom
from SegmentPropagateLib.propagation.prompts import BoxPrompt, PointsPrompt
from SegmentPropagateLib.propagation.propagator import PropagationSettings
from SegmentPropagateLib.propagators.tracking.engine import NetworkPropagator
from SegmentPropagateLib.reports.metrics import dice
from SegmentPropagateLib.training.drawn_prompts import drawn_points, jittered_box
from SegmentPropagateLib.training.prompt_tuning import tune_prompts
from SegmentPropagateLib.volumes.stack import ImageStack

SEED, SHAPE = 9_300, (32, 96, 96)
LEAST = 30
"""Pixels of the organ on a slice that is segmented."""
Mask = NDArray[np.bool_]
Prompts = dict[str, list[tuple[int, BoxPrompt | PointsPrompt]]]


def main() -> None:
    """Print a line per volume, then the means, and write all of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--volumes", type=int, default=40)
    parser.add_argument("--first", type=int, default=SEED, help="seed of the first volume")
    parser.add_argument("--out", type=Path, default=Path("build/prompt_tuning.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for seed in range(arguments.first, arguments.first + arguments.volumes):
        rows.append(_volume(seed))
        print(rows[-1], flush=True)  # noqa: T201
    names = [str(row["seed"]) for row in rows]
    figures: dict[str, Any] = {}
    for kind in ("both", "box", "points"):
        before, after = (np.array([row[f"{kind} {when}"] for row in rows]) for when in ("before", "after"))
        figures[kind] = {
            "before": float(before.mean()),
            "after": float(after.mean()),
            **interval(after - before, names),
        }
        figures[kind]["worst"] = float((after - before).min())
    rates = [row["rate"] for row in rows]
    figures["rates"] = {str(rate): rates.count(rate) for rate in dict.fromkeys(rates)}
    figures["seconds"] = float(np.median([row["seconds"] for row in rows]))
    print(json.dumps(figures, indent=1))  # noqa: T201
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps({"figures": figures, "volumes": rows}, indent=1))


def _volume(seed: int) -> dict[str, Any]:
    phantom = make_phantom(seed, "nested", SHAPE)
    stack = ImageStack(phantom.values, np.zeros(phantom.values.shape, np.uint8), phantom.spacing_kji_mm)
    truth = phantom.labels == 1
    present = np.flatnonzero(truth.sum(axis=(1, 2)) >= LEAST)
    keys = [int(present[round(share * (len(present) - 1))]) for share in (1 / 3, 2 / 3)]
    others = np.setdiff1d(present, keys)
    chosen = others[np.linspace(0, len(others) - 1, 4).round().astype(int)]
    rng = np.random.default_rng(seed)
    prompts: Prompts = {
        "box": [(int(index), jittered_box(truth[index], 0.1, rng)) for index in chosen],
        "points": [(int(index), drawn_points(truth[index], 5, rng)) for index in chosen],
    }
    network, card = load_network(registry.bundled_folder() / "starter.pt")
    row: dict[str, Any] = {"seed": seed, **_scores(network, card, stack, truth, prompts, "before")}
    began = time.process_time()
    tuned = tune_prompts(network, card, stack, {key: truth[key] for key in keys})
    row |= {"seconds": round(time.process_time() - began, 1), "rate": tuned.rate}
    return row | _scores(network, card, stack, truth, prompts, "after")


def _scores(network: Any, card: Any, stack: ImageStack, truth: Mask, prompts: Prompts, when: str) -> dict[str, float]:
    propagator = NetworkPropagator(network, card)
    propagator.open(stack, PropagationSettings())
    found = {
        kind: float(np.mean([dice(propagator.segment(index, prompt), truth[index]) for index, prompt in given]))
        for kind, given in prompts.items()
    }
    found["both"] = float(np.mean(list(found.values())))
    return {f"{kind} {when}": round(value, 4) for kind, value in found.items()}


if __name__ == "__main__":
    main()
