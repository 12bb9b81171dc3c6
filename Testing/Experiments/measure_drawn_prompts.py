"""How well prompt networks outline drawn objects from points and from boxes: tight, hasty, wide, shifted or too small.

The objects are of phantoms that no training has seen. Figures are kept by the network's file, so that a run that was
stopped goes on; the first file is what the others are compared with.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from tuning_cases import ROOT
from tuning_prompts import Mask, draw_slices, fresh

from SegmentPropagateLib.propagation.prompts import BoxPrompt
from SegmentPropagateLib.propagators.prompted.network import WEIGHTS, PromptNetwork
from SegmentPropagateLib.propagators.prompted.outline import outline
from SegmentPropagateLib.reports.metrics import dice
from SegmentPropagateLib.volumes.boxes import first_and_last

from evaluation_prompts import clicks  # isort: skip - found by tuning_prompts

FIRST = 790_000
"""Seed of the first phantom."""
PHANTOMS, OBJECTS, POINTED, SHAPES = 120, 300, 100, 60
HOLE = 0.02
"""Share of the filled mask from which on a hole counts."""
OUTWARDS = np.array([-1.0, -1.0, 1.0, 1.0])
Edges = Callable[[NDArray[np.float64], np.random.Generator], NDArray[np.float64]]
BOXES: dict[str, Edges] = {
    "tight": lambda sides, rng: OUTWARDS,
    "hasty": lambda sides, rng: rng.uniform(-0.1, 0.1, 4) * sides,
    "loose": lambda sides, rng: OUTWARDS * rng.uniform(0, 0.25, 4) * sides,
    "wide": lambda sides, rng: OUTWARDS * 0.25 * sides,
    "shifted": lambda sides, rng: np.tile(rng.uniform(-0.15, 0.15, 2), 2) * sides,
    "small": lambda sides, rng: -OUTWARDS * rng.uniform(0, 0.15, 4) * sides,
}
"""By how many pixels the edges (first column and row, last column and row) are off."""


def objects() -> Iterator[tuple[NDArray[np.float32], Mask]]:
    """Images and objects, each as a training could have seen it."""
    slices, rng = list(draw_slices(PHANTOMS, FIRST)), np.random.default_rng(FIRST)
    for _ in range(OBJECTS):
        sample = fresh(slices, rng)
        yield sample.image, sample.truth


def shapes() -> Iterator[tuple[NDArray[np.float32], Mask]]:
    """Ellipses, rectangles and bands on a noisy ground."""
    rng = np.random.default_rng(FIRST + 1)
    rows, columns = np.mgrid[:128, :128] - 64.0
    for number in range(SHAPES):
        high, wide = rng.uniform(6, 28, 2)
        flat = np.maximum(abs(rows) / high, abs(columns) / wide)
        mask = [(rows / high) ** 2 + (columns / wide) ** 2 <= 1, flat <= 1, (flat <= 1) & (abs(rows) < 5)][number % 3]
        contrast = rng.uniform(1, 4) * rng.choice([-1, 1])
        yield (rng.normal(0, 1, mask.shape) + contrast * mask).astype(np.float32), mask


def box(truth: Mask, off: Edges, rng: np.random.Generator) -> BoxPrompt:
    """A box around an object, on the image."""
    (row0, row1), (column0, column1) = first_and_last(truth)
    edges = np.array([column0, row0, column1, row1], dtype=float)
    edges += off(np.array([column1 - column0 + 1.0, row1 - row0 + 1.0] * 2), rng)
    limits = np.array([truth.shape[1] - 1, truth.shape[0] - 1] * 2)
    first, last = np.split(np.clip(np.rint(edges), 0, limits), 2)
    return BoxPrompt((*map(float, first), *map(float, np.maximum(last, first))))


def hollow(mask: Mask) -> bool:
    """Whether a mask has a hole worth the name."""
    filled = ndimage.binary_fill_holes(mask)
    return bool((filled & ~mask).sum() > HOLE * filled.sum())


def of_object(network: PromptNetwork, number: int, image: NDArray[np.float32], truth: Mask) -> dict[str, float]:
    """DSC by kind of prompt, and for each kind of box whether there is a hole that the object lacks."""
    ask = partial(outline, image, (1.0, 1.0), network=network)
    row: dict[str, float] = {}
    for kind, off in BOXES.items():
        mask = ask(box(truth, off, np.random.default_rng([number, len(row)])))
        row[kind] = dice(mask, truth)
        row[f"{kind}, hole"] = float(hollow(mask) and not hollow(truth))
    if number < POINTED:
        for count, mask in enumerate(clicks(ask, truth)):
            if count in (0, 2, 5):
                row[f"{count} corrections"] = dice(mask, truth)
    return row


def of_shape(network: PromptNetwork, number: int, image: NDArray[np.float32], truth: Mask) -> dict[str, float]:
    """The same of a shape in a box that is 10 to 30 % too wide at each edge."""
    factor = np.random.default_rng(number).uniform(0.1, 0.3, 4)
    mask = outline(image, (1.0, 1.0), box(truth, lambda sides, rng: OUTWARDS * factor * sides, None), network)
    return {"shape": dice(mask, truth), "shape, hole": float(hollow(mask))}


def rows_of(path: Path, work: Path) -> list[dict[str, float]]:
    """A row per object and shape, from a file where it has been measured before."""
    kept = work / f"drawn_prompts_{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}.json"
    rows: list[dict[str, float]] = json.loads(kept.read_text()) if kept.exists() else []
    with np.load(path, allow_pickle=False) as file:
        network = PromptNetwork(dict(file))
    cases = [(of_shape, number, *case) for number, case in enumerate(shapes())]
    cases += [(of_object, number, *case) for number, case in enumerate(objects())]
    for of, *case in cases[len(rows) :]:
        rows.append(of(network, *case))
        if len(rows) % 20 == 0:
            kept.write_text(json.dumps(rows))
    kept.write_text(json.dumps(rows))
    return rows


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", type=Path, nargs="*", metavar="NPZ", help="beside the bundled one")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "tuning")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    measured = [rows_of(path, arguments.work) for path in [WEIGHTS, *arguments.networks]]
    names = list(dict.fromkeys(name for row in measured[0] for name in row))
    for name in names:
        first, *others = [np.array([row[name] for row in rows if name in row]) for rows in measured]
        gains = (f"{(other - first).mean():+.3f} ({(other - first).std() / len(first) ** 0.5:.3f})" for other in others)
        print(f"| {name} | {first.mean():.3f} |", " | ".join(gains))  # noqa: T201


if __name__ == "__main__":
    main()
