"""The cases that tuned numbers are fitted on: phantoms, and organs that are not among the evaluation's targets."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

from SegmentPropagateLib.phantoms.families import SCENES

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "Testing" / "Benchmarks"))
from evaluation_targets import Target, drawn_target, read_targets  # noqa: E402 - the evaluation lies in the next folder

SEEDS = range(8_000, 9_000)
"""The starter is trained on seeds far above and validated on those right above."""
PHANTOM_SHAPE = (32, 96, 96)


def parse(about: str, argv: list[str] | None = None) -> argparse.Namespace:
    """The command line that all scripts of this kind share."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="real volumes, if any")
    parser.add_argument("--phantoms", type=int, default=48, help="how many")
    parser.add_argument("--quick", action="store_true", help="two phantoms: shows nothing but that it runs")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "tuning", help="for what is already done")
    return parser.parse_args(argv)


def sides(arguments: argparse.Namespace) -> Mapping[str, Iterator[Target]]:
    """`phantoms`, and `others` where there are real volumes; each read a volume at a time."""
    found = {"phantoms": islice(phantoms(), 2 if arguments.quick else arguments.phantoms)}
    if not arguments.quick and (arguments.data / "TARGETS.json").exists():
        found["others"] = read_targets(arguments.data, others=True)
    return found


def phantoms(shape_kji: tuple[int, int, int] = PHANTOM_SHAPE) -> Iterator[Target]:
    """The targets of phantoms, all families in turn."""
    families = tuple(SCENES)
    for seed in SEEDS:
        target = drawn_target(seed, families[seed % len(families)], shape_kji)
        if target is not None:
            yield target
