"""The same training on a GPU: processes draw samples all the time, and the network learns from all that were drawn.

A process draws an object, looks at it with the weights of a while ago, adds a click, and so on. Samples stay in the
GPU's memory and are learned from again and again, each time in one of eight mirrored and transposed forms. How often
depends on the clock, so no two runs are alike.
"""

from __future__ import annotations

import argparse
import copy
import pickle
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

import numpy as np
import torch
from fit_prompts import AVERAGED, DECAY, SEEN_FIRST, WIDTHS, Twin, dice_of, loss_of, widened
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from tuning_prompts import Drawn, again, draw_slices, fresh

from SegmentPropagateLib.models.devices import choose_device
from SegmentPropagateLib.propagators.prompted.channels import COUNT, SIZE
from SegmentPropagateLib.propagators.prompted.network import PromptNetwork, sigmoid

LATER = 0.45
"""Share of the samples that come again with another click."""
BATCH, CHUNK, FIRST = 192, 32, 3840
"""Samples of a step, of what a process hands over at once, and of what it takes to begin."""
RATE = 1.0e-3
RENEWED_S = 20.0
"""How often the processes read the weights again."""


class Stream(IterableDataset[tuple[NDArray[np.float16], ...]]):
    """Channels, truth and `(area, clicks)` of samples, without end."""

    def __init__(self, slices: list[Drawn], weights: Path, seed: int) -> None:
        self._slices, self._weights, self._seed = slices, weights, seed

    def __iter__(self) -> Iterator[tuple[NDArray[np.float16], NDArray[np.float16], NDArray[np.float32]]]:
        worker = get_worker_info()
        rng = np.random.default_rng([self._seed, 0 if worker is None else worker.id])
        network, read = PromptNetwork(dict(np.load(self._weights))), time.monotonic()
        while True:
            sample = fresh(self._slices, rng)
            while sample is not None:
                channels, truth, area = sample.arrays()
                facts = np.array([area, sample.clicks, sample.given.box is not None], dtype=np.float32)
                yield channels.astype(np.float16), truth.astype(np.float16), facts
                if rng.random() > LATER:
                    break
                if time.monotonic() - read > RENEWED_S:
                    network, read = PromptNetwork(dict(np.load(self._weights))), time.monotonic()
                sample = again(sample, sigmoid(network(channels)[0]), rng)


class Shelf:
    """All samples so far, on the device; the oldest give way."""

    def __init__(self, most: int, device: torch.device) -> None:
        kind = {"dtype": torch.float16, "device": device}
        self._channels = torch.empty(most, COUNT, SIZE, SIZE, **kind)
        self._truths = torch.empty(most, SIZE, SIZE, **kind)
        self._facts = torch.empty(most, 3, device=device)
        self.count = 0

    def add(self, channels: Tensor, truths: Tensor, facts: Tensor) -> None:
        at = (torch.arange(len(facts)) + self.count) % len(self._facts)
        at = at.to(self._facts.device)
        for shelf, new in ((self._channels, channels), (self._truths, truths), (self._facts, facts)):
            shelf[at] = new.to(shelf.device)
        self.count += len(facts)

    def draw(self, many: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Float32 channels and truths in one of eight forms, and facts."""
        at = torch.from_numpy(rng.integers(min(self.count, len(self._facts)), size=many)).to(self._facts.device)
        channels, truths = self._channels[at].float(), self._truths[at].float()
        axes = [axis for axis in (-1, -2) if rng.random() < 0.5]
        channels, truths = channels.flip(axes), truths.flip(axes)
        if rng.random() < 0.5:
            channels, truths = channels.mT, truths.mT
        return channels.contiguous(memory_format=torch.channels_last), truths, self._facts[at]


class Learner:
    """A network, its running mean and its optimizer."""

    def __init__(self, twin: Twin) -> None:
        self.twin, self.mean, self.done = twin, copy.deepcopy(twin), 0
        self.optimizer = torch.optim.AdamW(twin.parameters(), lr=RATE, weight_decay=DECAY, fused=True)

    def step(self, channels: Tensor, truths: Tensor, facts: Tensor, rate: float) -> Tensor:
        """DSC of each sample before the step."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.twin.train()
        with torch.autocast(channels.device.type, torch.bfloat16):
            logits, quality = self.twin(channels)
        logits, quality = logits.float(), quality.float()
        reached = dice_of(logits.detach(), truths, facts[:, 0])
        loss = loss_of(logits, truths) + 0.5 * functional.binary_cross_entropy_with_logits(quality, reached)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.twin.parameters(), 5.0)
        self.optimizer.step()
        self.done += 1
        stays = min(AVERAGED, 1 - 1 / (0.2 * self.done + 1))
        with torch.no_grad():
            for mean, now in zip(self.mean.state_dict().values(), self.twin.state_dict().values(), strict=True):
                mean.lerp_(now, 1 - stays) if mean.is_floating_point() else mean.copy_(now)
        return reached

    def weights(self) -> dict[str, NDArray[np.float16]]:
        return self.mean.eval().weights()


def _slices(first: int) -> list[Drawn]:
    return list(draw_slices(20, first))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--phantoms", type=int, default=6000)
    parser.add_argument("--first", type=int, default=740_000, help="seed of the first phantom")
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--shelf", type=int, default=250_000, help="samples kept, some 110 KB each")
    parser.add_argument("--start", type=Path, required=True, metavar="NPZ", help="weights to begin with")
    parser.add_argument(
        "--widths", type=int, nargs=4, action="append", default=[], help="of a wider network; repeatable"
    )
    parser.add_argument("--out", type=Path, default=Path("build/tuning"))
    return parser.parse_args()


def slices_of(arguments: argparse.Namespace) -> list[Drawn]:
    """Drawn by all processes, once."""
    kept = arguments.out / "prompt_slices_gpu.pkl"
    if not kept.exists():
        with ProcessPoolExecutor(arguments.workers) as pool:
            firsts = range(arguments.first, arguments.first + arguments.phantoms, 20)
            kept.write_bytes(pickle.dumps([drawn for many in pool.map(_slices, firsts) for drawn in many]))
    return pickle.loads(kept.read_bytes())


def learners_of(arguments: argparse.Namespace, slices: list[Drawn]) -> dict[str, Learner]:
    """The network that goes on, and wider ones that begin by saying the same."""
    start, rng, device = (
        dict(np.load(arguments.start, allow_pickle=False)),
        np.random.default_rng(0),
        choose_device("auto"),
    )
    seen = torch.from_numpy(np.stack([fresh(slices, rng).arrays()[0] for _ in range(SEEN_FIRST)])).to(device)
    learners = {}
    for widths in [WIDTHS, *map(tuple, arguments.widths)]:
        twin = Twin(widths).to(device, memory_format=torch.channels_last)
        twin.take(start if widths == WIDTHS else widened(start, widths), seen)
        learners["x".join(map(str, widths))] = Learner(
            twin.to(choose_device("auto"), memory_format=torch.channels_last)
        )
    return learners


def read_into(waiting: Queue[Any], chunks: Iterable[Any]) -> None:
    """Have a thread put chunks there as they come."""
    Thread(target=lambda: [waiting.put(chunk) for chunk in chunks], daemon=True).start()


def main() -> None:
    """Train for so many minutes; write the weights every 30 s."""
    arguments = parse()
    arguments.out.mkdir(parents=True, exist_ok=True)
    slices = slices_of(arguments)
    learners = learners_of(arguments, slices)
    paths = {name: arguments.out / f"prompts_{name}.npz" for name in learners}
    save(learners, paths)
    stream = Stream(slices, next(iter(paths.values())), int(time.time()))
    waiting: Queue[Any] = Queue(64)
    read_into(waiting, DataLoader(stream, batch_size=CHUNK, num_workers=arguments.workers, prefetch_factor=8))
    shelf, rng = Shelf(arguments.shelf, choose_device("auto")), np.random.default_rng(0)
    begin = saved = time.monotonic()
    figures: dict[str, list[Tensor]] = {name: [] for name in learners}
    while (share := (time.monotonic() - begin) / (60 * arguments.minutes)) < 1:
        while shelf.count < FIRST or not waiting.empty():
            shelf.add(*waiting.get())
        rising = min(1, (len(next(iter(figures.values()))) + 1) / 200) if share < 0.1 else 1
        batch = shelf.draw(BATCH, rng)
        for name, learner in learners.items():
            figures[name].append(
                learner.step(*batch, RATE * (rising * 0.5 * (1 + np.cos(np.pi * share)) + 0.005)).mean()
            )
        if time.monotonic() - saved > 30:
            save(learners, paths)
            saved = time.monotonic()
            means = (f"{name} {torch.stack(values[-100:]).mean():.4f}" for name, values in figures.items())
            print(f"{saved - begin:.0f} s", shelf.count, "samples", *means, flush=True)  # noqa: T201 - this takes long
    save(learners, paths)


def save(learners: dict[str, Learner], paths: dict[str, Path]) -> None:
    """Write the weights so that who reads finds them whole."""
    for name, learner in learners.items():
        part = paths[name].with_suffix(".part.npz")
        np.savez_compressed(part, **learner.weights())
        part.replace(paths[name])


if __name__ == "__main__":
    main()
