"""How the prompt network learns: samples that are drawn without end, a shelf that keeps them, and the step."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import IterableDataset, get_worker_info
from tuning_prompts import Drawn, Sample, again, fresh
from tuning_twin import Twin, dice_of, loss_of, widened

from SegmentPropagateLib.propagators.prompted.channels import COUNT, SIZE
from SegmentPropagateLib.propagators.prompted.network import DOWN, PromptNetwork, sigmoid

LATER = 0.45
"""Share of the samples that come again with another click."""
RATE, DECAY, RISING = 1.0e-3, 1e-3, 200
"""Rate of learning at most, decay of the weights, and steps until the rate is reached."""
SEEN_FIRST = 256
"""Samples by which the normalizations are found of weights that are taken from a file."""
AVERAGED = 0.998
"""The weights that are written are a running mean; this much of it stays each step."""
RENEWED = 1000
"""Samples after which a process reads the weights again."""


class Stream(IterableDataset[tuple[NDArray[np.float16], NDArray[np.float16], NDArray[np.float32]]]):
    """Samples without end as `(channels, truth, facts)`; facts are the area, the number of clicks, if there is a box.

    Args:
        slices: what samples are drawn from.
        weights: file of the network that looks before a click is added; it is read again every so often.
        seed: any numbers.
    """

    def __init__(self, slices: list[Drawn], weights: Path, seed: tuple[int, ...]) -> None:
        self._slices, self._weights, self._seed = slices, weights, seed

    def __iter__(self) -> Iterator[tuple[NDArray[np.float16], NDArray[np.float16], NDArray[np.float32]]]:
        worker = get_worker_info()
        rng = np.random.default_rng([*self._seed, 0 if worker is None else worker.id])
        given = 0
        while True:
            sample: Sample | None = fresh(self._slices, rng)
            while sample is not None:
                if given % RENEWED == 0:
                    network = PromptNetwork(dict(np.load(self._weights)))
                channels, truth, area = sample.arrays()
                facts = np.array([area, sample.clicks, sample.given.box is not None], dtype=np.float32)
                given += 1
                yield channels.astype(np.float16), truth.astype(np.float16), facts
                if rng.random() > LATER:
                    break
                sample = again(sample, sigmoid(network(channels)[0]), rng)


class Shelf:
    """The latest samples, on the device.

    Args:
        most: how many it holds; the oldest give way.
        device: where.

    Attributes:
        count: samples that were ever put there.
        drawn: samples that were ever taken from it.
    """

    def __init__(self, most: int, device: torch.device) -> None:
        self._channels = torch.empty(most, COUNT, SIZE, SIZE, dtype=torch.float16, device=device)
        self._truths = torch.empty(most, SIZE, SIZE, dtype=torch.float16, device=device)
        self._facts = torch.empty(most, 3, device=device)
        self.count = self.drawn = 0

    def add(self, channels: Tensor, truths: Tensor, facts: Tensor) -> None:
        """Put samples there."""
        at = (torch.arange(len(facts)) + self.count) % len(self._facts)
        at = at.to(self._facts.device)
        for shelf, new in ((self._channels, channels), (self._truths, truths), (self._facts, facts)):
            shelf[at] = new.to(shelf)
        self.count += len(facts)

    def draw(self, many: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Float32 channels `(many, COUNT, SIZE, SIZE)`, truths `(many, SIZE, SIZE)` and facts: one of eight forms."""
        at = torch.from_numpy(rng.integers(min(self.count, len(self._facts)), size=many)).to(self._facts.device)
        self.drawn += many
        channels, truths = self._channels[at].float(), self._truths[at].float()
        axes = [axis for axis in (-1, -2) if rng.random() < 0.5]
        channels, truths = channels.flip(axes), truths.flip(axes)
        if rng.random() < 0.5:
            channels, truths = channels.mT, truths.mT
        return channels.contiguous(memory_format=torch.channels_last), truths, self._facts[at]


class Training:
    """A network, its running mean and its optimizer on their way, step by step.

    Args:
        twin: what learns, on its device.
        rate: of learning, at most.
    """

    def __init__(self, twin: Twin, rate: float = RATE) -> None:
        self.twin, self.mean = twin, copy.deepcopy(twin)
        self.optimizer = torch.optim.AdamW(twin.parameters(), lr=rate, weight_decay=DECAY, fused=True)
        self.done, self.seconds = 0, 0.0
        self._rate = rate

    def step(self, channels: Tensor, truths: Tensor, facts: Tensor, share: float) -> Tensor:
        """Learn from one batch of `Shelf.draw`; DSC of each sample before the step.

        Args:
            channels: float32 `(N, COUNT, SIZE, SIZE)`.
            truths: float32 `(N, SIZE, SIZE)`.
            facts: float32 `(N, 3)`.
            share: of the training that is done, 0..1; the rate of learning falls with it.
        """
        rising, falling = min((self.done + 1) / RISING, 1), 0.5 * (1 + math.cos(math.pi * share))
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate * (rising * falling + 0.005)
        self.twin.train()
        # a processor without instructions for bfloat16 takes ten times as long with it
        with torch.autocast(channels.device.type, torch.bfloat16, enabled=channels.device.type == "cuda"):
            logits, quality = self.twin(channels)
        logits, quality = logits.float(), quality.float()
        reached = dice_of(logits.detach(), truths, facts[:, 0])
        loss = loss_of(logits, truths) + 0.5 * functional.binary_cross_entropy_with_logits(quality, reached)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.twin.parameters(), 5.0)
        self.optimizer.step()
        self.done += 1
        self._average()
        return reached

    def _average(self) -> None:
        stays = min(AVERAGED, 1 - 1 / (0.2 * self.done + 1))
        with torch.no_grad():
            for mean, now in zip(self.mean.state_dict().values(), self.twin.state_dict().values(), strict=True):
                if mean.is_floating_point():
                    mean.lerp_(now, 1 - stays)
                else:
                    mean.copy_(now)

    def save(self, kept: Path, weights: Path) -> None:
        """Keep everything that it takes to go on, and the running mean's weights; who reads finds them whole."""
        parts = {"twin": self.twin, "mean": self.mean, "optimizer": self.optimizer}
        state = {"done": self.done, "seconds": self.seconds}
        torch.save(state | {name: part.state_dict() for name, part in parts.items()}, kept.with_suffix(".part"))
        kept.with_suffix(".part").replace(kept)
        part = weights.with_suffix(".part.npz")
        np.savez_compressed(part, **self.mean.eval().weights())
        part.replace(weights)

    def resume(self, kept: Path) -> None:
        """Go on from a file of `save`."""
        state = torch.load(kept, weights_only=True, map_location=self.twin.device)
        self.done, self.seconds = state.pop("done"), state.pop("seconds")
        for name, part in state.items():
            getattr(self, name).load_state_dict(part)


def beginning(widths: tuple[int, int, int, int], start: Path | None, slices: list[Drawn], device: torch.device) -> Twin:
    """A network that says what that of the file `start` says, wider where `widths` are; None begins with chance."""
    torch.manual_seed(0)
    twin = Twin(widths).to(device, memory_format=torch.channels_last)
    if start is not None:
        with np.load(start, allow_pickle=False) as file:
            weights = dict(file)
        if tuple(len(weights[f"{names[-1]}.bias"]) for names in DOWN) != widths:
            weights = widened(weights, widths)
        rng = np.random.default_rng(0)
        seen = np.stack([fresh(slices, rng).arrays()[0] for _ in range(SEEN_FIRST)])
        twin.take(weights, torch.from_numpy(seen).to(device))
    return twin
