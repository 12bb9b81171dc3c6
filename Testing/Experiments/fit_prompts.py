"""Train the network of `propagators/prompted` on drawn volumes, and write its weights (`bundled/prompts.npz`).

Processes draw samples: an object, a look at it with the weights of a while ago, a click more, and so on. The samples
stay on a shelf in the device's memory and are learned from several times, each time in one of eight mirrored and
transposed forms. Without processes (`--workers 0`) the same happens in turn. A training that was stopped goes on.
"""

from __future__ import annotations

import argparse
import pickle
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader
from tuning_cases import ROOT
from tuning_prompts import FIRST_SEED, Drawn, draw_slices
from tuning_training import RATE, Shelf, Stream, Training, beginning
from tuning_twin import WIDTHS

from SegmentPropagateLib.models.devices import choose_device

CHUNK = 32
"""Samples that a process hands over at once."""
READY = 20
"""Batches on the shelf before the first step."""
TOGETHER = 20
"""Phantoms that a process draws at once."""


def main() -> None:
    """Train, or go on; the weights and all that it takes to go on are written every `--save-every` seconds."""
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    device, slices = choose_device(arguments.device), slices_of(arguments)
    weights, kept = arguments.out / "prompts.npz", arguments.out / "prompts.pt"
    training = Training(beginning(tuple(arguments.widths), arguments.start, slices, device), arguments.rate)
    if kept.exists():
        training.resume(kept)
    training.save(kept, weights)
    stream = Stream(slices, weights, (arguments.first, training.done))
    chunks = iter(
        DataLoader(stream, CHUNK, num_workers=arguments.workers, prefetch_factor=8 if arguments.workers else None)
    )
    shelf, rng = Shelf(arguments.shelf, device), np.random.default_rng(training.done)
    before, saved, reached, begin = training.seconds, training.seconds, [], time.monotonic()
    while (share := share_of(training, arguments)) < 1:
        while shelf.count < max(READY * arguments.batch, (shelf.drawn + arguments.batch) / arguments.again):
            shelf.add(*next(chunks))
        reached.append(training.step(*shelf.draw(arguments.batch, rng), share).mean())
        training.seconds = before + time.monotonic() - begin
        if training.seconds - saved > arguments.save_every:
            saved = training.seconds
            training.save(kept, weights)
            mean = torch.stack(reached[-200:]).mean()
            print(f"{saved:.0f} s, {training.done} steps, {shelf.count} samples, DSC {mean:.4f}", flush=True)  # noqa: T201 - this takes long
    training.save(kept, weights)


def share_of(training: Training, arguments: argparse.Namespace) -> float:
    """How much of the training is done, 0..1: by steps, or by the clock where that is further."""
    by_clock = training.seconds / (60 * arguments.minutes) if arguments.minutes else 0.0
    return max(training.done / arguments.steps, by_clock)


def slices_of(arguments: argparse.Namespace) -> list[Drawn]:
    """Drawn once, by all processes."""
    kept = arguments.out / "prompt_slices.pkl"
    if not kept.exists():
        kept.write_bytes(pickle.dumps([drawn for many in _drawn(arguments) for drawn in many]))
    slices: list[Drawn] = pickle.loads(kept.read_bytes())
    return slices


def _drawn(arguments: argparse.Namespace) -> Iterator[list[Drawn]]:
    seeds = range(arguments.first, arguments.first + arguments.phantoms)
    some = [seeds[begin : begin + TOGETHER] for begin in range(0, len(seeds), TOGETHER)]
    if not arguments.workers:
        yield from map(_some, some)
        return
    with ProcessPoolExecutor(arguments.workers) as pool:
        yield from pool.map(_some, some)


def _some(seeds: range) -> list[Drawn]:
    return list(draw_slices(len(seeds), seeds[0]))


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--phantoms", type=int, default=3000)
    parser.add_argument("--first", type=int, default=FIRST_SEED, help="seed of the first phantom")
    parser.add_argument("--steps", type=int, default=3500)
    parser.add_argument("--minutes", type=float, help="end by the clock, if that is earlier")
    parser.add_argument("--batch", type=int, default=32, help="samples of a step; 192 fill a GPU")
    parser.add_argument("--again", type=float, default=4, help="how often a sample is learned from")
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--start", type=Path, metavar="NPZ", help="weights to begin with, such as the bundled ones")
    parser.add_argument("--widths", type=int, nargs=4, default=WIDTHS, help="channels by grid, from the finest")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=0, help="processes that draw samples")
    parser.add_argument("--shelf", type=int, default=20_000, help="samples kept, 110 KB each")
    parser.add_argument("--save-every", type=float, default=60, help="seconds")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "tuning")
    return parser.parse_args()


if __name__ == "__main__":
    main()
