"""What tuning on two outlined slices does for boxes and points on other slices: 40 drawn volumes with nested organs.

Written before the first run. On every volume two slices of organ 1, at a third and at two thirds of its extent, tune
the starter as users run it (its gray values, `training/gray_tuning.py`); four other slices are then segmented
from a box that is off by up to 10 % and from up to 5 points on and 5 beside, the same before and after.
Bar: the mean DSC over both prompts gains .05 or more over 40 volumes, with the interval above 0. What is reported: that
gain, each prompt's own, how often the slices that were left out kept it, the worst volume, and seconds of one core a
volume. `--families` takes other drawn volumes (the prompt network was trained on a mixture of all families; nested
organs are 3 % of it); `--real` the evaluation's targets and the other organs, three slices at a quarter, half and three
quarters of the extent, reported and not part of the bar; `--network-alone` tunes the embeddings of the starter's
tracking network, which users never ask, with the same bar.

    python Testing/Experiments/measure_prompt_tuning.py [--volumes 40] [--out build/prompt_tuning.json]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tuning_cases import ROOT, read_targets
from tuning_report import interval

from SegmentPropagateLib.models import registry
from SegmentPropagateLib.models.loading import grays_of
from SegmentPropagateLib.networks.checkpoints import load_network
from SegmentPropagateLib.phantoms.phantom import make_phantom
from SegmentPropagateLib.propagation.prompts import BoxPrompt, PointsPrompt
from SegmentPropagateLib.propagation.propagator import PropagationSettings, Propagator
from SegmentPropagateLib.propagators.classical.engine import ClassicalPropagator
from SegmentPropagateLib.propagators.tracking.engine import NetworkPropagator
from SegmentPropagateLib.reports.metrics import dice
from SegmentPropagateLib.training.drawn_prompts import drawn_points, jittered_box
from SegmentPropagateLib.training.gray_tuning import tune_grays
from SegmentPropagateLib.training.prompt_tuning import TuningSettings, tune_prompts
from SegmentPropagateLib.volumes.stack import ImageStack, make_stack

SEED, SHAPE = 9_300, (32, 96, 96)
LEAST = 30
"""Pixels of the organ on a slice that is segmented."""
TWO, THREE = (1 / 3, 2 / 3), (1 / 4, 1 / 2, 3 / 4)
Mask = NDArray[np.bool_]
Prompts = dict[str, list[tuple[int, BoxPrompt | PointsPrompt]]]


@dataclass(frozen=True)
class Case:
    """An object of a volume.

    Args:
        name: of both.
        side: of the report that it counts in.
        group: the volume, or the patient.
        stack: the image.
        truth: the object, bool `(slices, rows, columns)`.
        shares: where along its extent the outlined slices lie.
        seed: of its prompts.
    """

    name: str
    side: str
    group: str
    stack: ImageStack
    truth: Mask
    shares: tuple[float, ...]
    seed: int


def main() -> None:
    """Print a line per volume, then the means, and write all of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--volumes", type=int, default=40, help="of each family")
    parser.add_argument("--first", type=int, default=SEED, help="seed of the first volume")
    parser.add_argument("--families", nargs="*", default=["nested"], help="of drawn volumes")
    parser.add_argument("--real", action="store_true", help="real volumes, too")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every so many objects of them")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="where they are")
    parser.add_argument("--network-alone", action="store_true", help="the embeddings of the tracking network")
    parser.add_argument("--out", type=Path, default=Path("build/prompt_tuning.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    way = _network_alone if arguments.network_alone else _starter
    rows = []
    for case in _cases(arguments):
        row = _measured(case, way)
        if row is not None:
            rows.append(row)
            print(row, flush=True)  # noqa: T201
    figures = {
        side: _figures([row for row in rows if row["side"] == side]) for side in {row["side"]: 0 for row in rows}
    }
    print(json.dumps(figures, indent=1))  # noqa: T201
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps({"figures": figures, "volumes": rows}, indent=1))


def _figures(rows: list[dict[str, Any]]) -> dict[str, Any]:
    figures: dict[str, Any] = {"objects": len(rows)}
    for kind in ("both", "box", "points"):
        before, after = (np.array([row[f"{kind} {when}"] for row in rows]) for when in ("before", "after"))
        figures[kind] = {
            "before": float(before.mean()),
            "after": float(after.mean()),
            **interval(after - before, [row["group"] for row in rows]),
            "worst": float((after - before).min()),
        }
    recipes = [json.dumps(row["recipe"]) for row in rows]
    figures["recipes"] = {recipe: recipes.count(recipe) for recipe in dict.fromkeys(recipes)}
    figures["seconds"] = float(np.median([row["seconds"] for row in rows]))
    return figures


def _cases(arguments: argparse.Namespace) -> Iterator[Case]:
    for family in arguments.families:
        for seed in range(arguments.first, arguments.first + arguments.volumes):
            phantom = make_phantom(seed, family, SHAPE)
            stack = ImageStack(phantom.values, np.zeros(phantom.values.shape, np.uint8), phantom.spacing_kji_mm)
            yield Case(f"{family} {seed}", family, str(seed), stack, phantom.labels == 1, TWO, seed)
    for side, others in (("targets", False), ("others", True)) if arguments.real else ():
        for number, target in enumerate(read_targets(arguments.data, others=others)):
            if (number - 1) % arguments.every:
                continue
            stack, _ = make_stack(target.volume, "axial")
            yield Case(f"{target.case}/{target.name}", side, target.group, stack, target.truth, THREE, number)


def _measured(case: Case, way: Callable[..., Iterator[Any]]) -> dict[str, Any] | None:
    """A row; None where too few slices are left beside the outlined ones."""
    present = np.flatnonzero(case.truth.sum(axis=(1, 2)) >= LEAST)
    if len(present) < 2 * len(case.shares):
        return None
    keys = [int(present[round(share * (len(present) - 1))]) for share in case.shares]
    others = np.setdiff1d(present, keys)
    chosen = others[np.linspace(0, len(others) - 1, min(4, len(others))).round().astype(int)]
    rng = np.random.default_rng(case.seed)
    prompts: Prompts = {
        "box": [(int(index), jittered_box(case.truth[index], 0.1, rng)) for index in chosen],
        "points": [(int(index), drawn_points(case.truth[index], 5, rng)) for index in chosen],
    }
    network, card = load_network(registry.bundled_folder() / "starter.pt")
    steps = way(network, card, case.stack, {key: case.truth[key] for key in keys})
    row: dict[str, Any] = {"name": case.name, "side": case.side, "group": case.group}
    row |= _scores(next(steps), case, prompts, "before")
    began = time.process_time()
    tuned = next(steps)
    row |= {"seconds": round(time.process_time() - began, 1), "recipe": tuned.recipe}
    row["left out"] = [tuned.before, tuned.after]
    return row | _scores(next(steps), case, prompts, "after")


def _starter(network: Any, _card: Any, stack: ImageStack, masks: dict[int, Mask]) -> Iterator[Any]:
    """What segments before, what came of tuning, and what segments after it."""
    yield ClassicalPropagator()
    yield tune_grays(network, stack, masks, TuningSettings())
    yield ClassicalPropagator(grays_of(network, "tuned"))


def _network_alone(network: Any, card: Any, stack: ImageStack, masks: dict[int, Mask]) -> Iterator[Any]:
    yield NetworkPropagator(network, card)
    yield tune_prompts(network, card, stack, masks)
    yield NetworkPropagator(network, card)


def _scores(propagator: Propagator, case: Case, prompts: Prompts, when: str) -> dict[str, float]:
    propagator.open(case.stack, PropagationSettings())
    found = {
        kind: float(np.mean([dice(propagator.segment(index, prompt), case.truth[index]) for index, prompt in given]))
        for kind, given in prompts.items()
    }
    found["both"] = float(np.mean(list(found.values())))
    return {f"{kind} {when}": round(value, 4) for kind, value in found.items()}


if __name__ == "__main__":
    main()
