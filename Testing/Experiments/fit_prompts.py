"""Train the network of `propagators/prompted` on drawn volumes, and write its weights (`bundled/prompts.npz`)."""

from __future__ import annotations

import argparse
import copy
import pickle
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from tuning_cases import ROOT
from tuning_prompts import FIRST_SEED, Drawn, Sample, again, draw_slices, fresh

from SegmentPropagateLib.propagators.prompted.channels import COUNT
from SegmentPropagateLib.propagators.prompted.network import DOWN, UP

WIDTHS = (24, 40, 64, 96)
BATCH, CARRIED = 32, 14
"""Samples of a step, and how many of the last step's come again with another click."""
RATE, DECAY = 1.5e-3, 1e-3
SEEN_FIRST = 256
"""Samples by which the normalizations are found of weights that are taken from a file."""
AVERAGED = 0.998
"""The weights that are written are a running mean; this much of it stays each step."""


class Twin(nn.Module):
    """The network as torch trains it; `weights` makes a `PromptNetwork` of it."""

    def __init__(self, widths: tuple[int, int, int, int] = WIDTHS) -> None:
        super().__init__()
        inputs = COUNT
        layers = {}
        for names, width in zip(DOWN, widths, strict=True):
            for name in names:
                layers[name], inputs = _layer(inputs, width), width
        for names, width in zip(UP, widths[-2::-1], strict=True):
            inputs += width
            for name in names:
                layers[name], inputs = _layer(inputs, width), width
        self.layers = nn.ModuleDict({name.replace(".", "_"): layer for name, layer in layers.items()})
        self.out, self.quality = nn.Conv2d(inputs, 1, 1), nn.Linear(widths[-1] + 2, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits `(N, rows, columns)` and those of the quality `(N,)`."""
        left = []
        for level, names in enumerate(DOWN):
            x = self._through(functional.max_pool2d(x, 2) if level else x, names)
            left.append(x)
        deepest = left.pop().mean(dim=(2, 3))
        for names in UP:
            x = self._through(torch.cat((functional.interpolate(x, scale_factor=2), left.pop()), dim=1), names)
        logits = self.out(x)[:, 0]
        soft = torch.sigmoid(logits.detach())
        sure = 2 * (soft - 0.5).abs().mean(dim=(1, 2))
        seen = torch.cat((deepest, soft.mean(dim=(1, 2))[:, None], sure[:, None]), dim=1)
        return logits, self.quality(seen)[:, 0]

    def _through(self, x: Tensor, names: tuple[str, ...]) -> Tensor:
        for name in names:
            x = self.layers[name.replace(".", "_")](x)
        return x

    def weights(self) -> dict[str, NDArray[np.float16]]:
        """What `PromptNetwork` takes: each normalization folded into the convolution before it."""
        found = {}
        for name in (name for names in (*DOWN, *UP) for name in names):
            convolution, norm = self.layers[name.replace(".", "_")][:2]
            scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            kernel = (convolution.weight * scale[:, None, None, None]).permute(2, 3, 1, 0)
            found[f"{name}.weight"] = kernel.reshape(-1, kernel.shape[-1])
            found[f"{name}.bias"] = norm.bias - norm.running_mean * scale
        for name, layer in (("out", self.out), ("quality", self.quality)):
            found[f"{name}.weight"], found[f"{name}.bias"] = (
                layer.weight.reshape(layer.weight.shape[0], -1).T,
                layer.bias,
            )
        return {name: tensor.detach().cpu().numpy().astype(np.float16) for name, tensor in found.items()}

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.out.weight.device

    @torch.no_grad()
    def take(self, weights: Mapping[str, NDArray[np.floating]], seen: Tensor) -> None:
        """Begin with what `weights` gave, for the same widths.

        Args:
            weights: of a file, each normalization folded into the convolution before it.
            seen: channels of samples `(N, COUNT, SIZE, SIZE)`: each normalization is taken out again by their mean and
                spread, so that what the network says does not change.
        """
        self.eval()
        tensors = {
            name: torch.from_numpy(np.asarray(array, dtype=np.float32)).to(self.device)
            for name, array in weights.items()
        }
        for name, layer in (("out", self.out), ("quality", self.quality)):
            layer.weight.copy_(tensors[f"{name}.weight"].T.reshape(layer.weight.shape))
            layer.bias.copy_(tensors[f"{name}.bias"])
        for name in (name for names in (*DOWN, *UP) for name in names):
            convolution, norm = self.layers[name.replace(".", "_")][:2]
            outputs, inputs = convolution.weight.shape[:2]
            kernel = tensors[f"{name}.weight"].reshape(3, 3, inputs, outputs)
            convolution.weight.copy_(kernel.permute(3, 2, 0, 1))
            given: list[Tensor] = []
            hook = convolution.register_forward_hook(lambda _, __, output, given=given: given.append(output))
            self(seen)
            hook.remove()
            norm.running_var.copy_(given[0].var((0, 2, 3), unbiased=False))
            norm.running_mean.copy_(given[0].mean((0, 2, 3)))
            norm.weight.copy_(torch.sqrt(norm.running_var + norm.eps))
            norm.bias.copy_(tensors[f"{name}.bias"] + norm.running_mean)


def _layer(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs, momentum=0.05), nn.ReLU()
    )


def widened(
    weights: Mapping[str, NDArray[np.floating]], widths: tuple[int, int, int, int], seed: int = 0
) -> dict[str, NDArray[np.float32]]:
    """Weights of a file with more channels that nothing listens to yet, so that the network says what it said."""
    rng = np.random.default_rng(seed)
    old = (*(weights[f"{names[-1]}.bias"].shape[0] for names in DOWN),)
    wide = dict(zip(old, widths, strict=True))
    found: dict[str, NDArray[np.float32]] = {}

    def grow(name: str, inputs: list[int]) -> None:
        """Of a convolution that sees so many channels in each of the maps before it."""
        weight, bias = weights[f"{name}.weight"].astype(np.float32), weights[f"{name}.bias"].astype(np.float32)
        outputs = wide[len(bias)]
        parts = np.split(weight.reshape(9, -1, len(bias)), np.cumsum(inputs)[:-1], axis=1)
        grown = [
            np.pad(part, ((0, 0), (0, wide.get(size, size) - size), (0, 0)))
            for part, size in zip(parts, inputs, strict=True)
        ]
        kernel = np.concatenate(grown, axis=1)
        new = rng.normal(0, np.sqrt(2 / (9 * kernel.shape[1])), (9, kernel.shape[1], outputs - len(bias)))
        kernel = np.concatenate([kernel, new.astype(np.float32)], axis=2)
        found[f"{name}.weight"] = kernel.reshape(-1, outputs)
        found[f"{name}.bias"] = np.pad(bias, (0, outputs - len(bias)))

    inputs = COUNT
    for names in DOWN:
        for name in names:
            grow(name, [inputs])
            inputs = weights[f"{name}.bias"].shape[0]
    for names, left in zip(UP, old[-2::-1], strict=True):
        seen = [inputs, left]
        for name in names:
            grow(name, seen)
            inputs = weights[f"{name}.bias"].shape[0]
            seen = [inputs]
    found["out.weight"] = np.pad(weights["out.weight"].astype(np.float32), ((0, wide[inputs] - inputs), (0, 0)))
    quality = weights["quality.weight"].astype(np.float32)
    found["quality.weight"] = np.insert(quality, [len(quality) - 2] * (widths[-1] - old[-1]), 0, axis=0)
    for name in ("out", "quality"):
        found[f"{name}.bias"] = weights[f"{name}.bias"].astype(np.float32)
    return found


class Training:
    """A network on its way, step by step.

    Args:
        slices: what samples are drawn from.
        steps: how many there will be; the rate of learning falls to 0 until then.
        rate: of learning, at most.
        start: weights of a file to begin with; None begins with chance.
    """

    def __init__(
        self,
        slices: list[Drawn],
        steps: int,
        rate: float = RATE,
        start: Mapping[str, NDArray[np.floating]] | None = None,
    ) -> None:
        torch.manual_seed(0)
        self.twin = Twin().to(memory_format=torch.channels_last)
        if start is not None:
            rng = np.random.default_rng(0)
            seen = [fresh(slices, rng).arrays()[0] for _ in range(SEEN_FIRST)]
            self.twin.take(start, torch.from_numpy(np.stack(seen)))
        self.mean = copy.deepcopy(self.twin)
        self.optimizer = torch.optim.AdamW(self.twin.parameters(), lr=rate, weight_decay=DECAY)
        self.done = 0
        self._slices, self._steps, self._rate = slices, steps, rate
        self._carried: list[Sample] = []

    def step(self) -> dict[str, float]:
        """Learn from one batch; DSC of boxes, first points and the rest, and how wrong the expected DSC was."""
        rng = np.random.default_rng(self.done)
        samples = [*self._carried, *(fresh(self._slices, rng) for _ in range(BATCH - len(self._carried)))]
        channels, truths, areas = zip(*(sample.arrays() for sample in samples), strict=True)
        for group in self.optimizer.param_groups:
            rising, falling = (self.done + 1) / 100, 0.5 * (1 + np.cos(np.pi * min(self.done / self._steps, 1)))
            group["lr"] = float(self._rate * (min(rising, 1) * falling + 0.01))
        self.twin.train()
        with torch.autocast("cpu", torch.bfloat16):
            logits, quality = self.twin(torch.from_numpy(np.stack(channels)).to(memory_format=torch.channels_last))
        logits, quality, truth = logits.float(), quality.float(), torch.from_numpy(np.stack(truths))
        reached = dice_of(logits.detach(), truth, torch.tensor(areas))
        loss = loss_of(logits, truth) + 0.5 * functional.binary_cross_entropy_with_logits(quality, reached)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.twin.parameters(), 5.0)
        self.optimizer.step()
        self._average()
        self.done += 1
        soft = torch.sigmoid(logits).detach().numpy()
        chosen = (again(samples[number], soft[number], rng) for number in rng.permutation(BATCH)[:CARRIED])
        self._carried = [sample for sample in chosen if sample is not None]
        return _figures(samples, reached.numpy(), torch.sigmoid(quality).detach().numpy())

    def _average(self) -> None:
        stays = min(AVERAGED, 1 - 1 / (0.2 * self.done + 1))
        with torch.no_grad():
            for mean, now in zip(self.mean.state_dict().values(), self.twin.state_dict().values(), strict=True):
                mean.copy_(stays * mean + (1 - stays) * now if mean.is_floating_point() else now)

    def save(self, path: Path) -> None:
        """Keep everything that it takes to go on."""
        state = {"twin": self.twin, "mean": self.mean, "optimizer": self.optimizer}
        torch.save({"done": self.done, **{name: part.state_dict() for name, part in state.items()}}, path)

    def resume(self, path: Path) -> None:
        """Go on from a file of `save`."""
        kept = torch.load(path, weights_only=True)
        self.done = kept.pop("done")
        for name, state in kept.items():
            getattr(self, name).load_state_dict(state)


def loss_of(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross entropy and one minus a soft DSC."""
    soft = torch.sigmoid(logits)
    common, all_ = (soft * truth).sum((1, 2)), soft.sum((1, 2)) + truth.sum((1, 2))
    return functional.binary_cross_entropy_with_logits(logits, truth) + (1 - (2 * common + 5) / (all_ + 5)).mean()


def dice_of(logits: Tensor, truth: Tensor, areas: Tensor) -> Tensor:
    """DSC of the mask; what of the object lies beyond the region counts as missed."""
    mask = (logits > 0).float()
    return (2 * (mask * (truth > 0.5)).sum((1, 2)) / (mask.sum((1, 2)) + areas.float())).clamp(0, 1)


def _figures(samples: list[Sample], reached: NDArray[np.float32], expected: NDArray[np.float32]) -> dict[str, float]:
    kinds = ["later" if sample.clicks else "box" if sample.given.box else "point" for sample in samples]
    by_kind = {kind: reached[[other == kind for other in kinds]] for kind in ("box", "point", "later")}
    figures = {kind: float(values.mean()) if len(values) else float("nan") for kind, values in by_kind.items()}
    return {**figures, "off": float(np.abs(reached - expected).mean())}


def main() -> None:
    """Train, go on with a training that was stopped, and write the weights every 250 steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--phantoms", type=int, default=3000)
    parser.add_argument("--steps", type=int, default=3500)
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--start", type=Path, metavar="NPZ", help="weights to begin with, such as the bundled ones")
    parser.add_argument("--first", type=int, default=FIRST_SEED, help="seed of the first phantom")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "tuning", help="for what is already done")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.work.mkdir(parents=True, exist_ok=True)
    shelf, kept = arguments.work / "prompt_slices.pkl", arguments.work / "prompts.pt"
    if not shelf.exists():
        shelf.write_bytes(pickle.dumps(list(draw_slices(arguments.phantoms, arguments.first))))
    start = None if arguments.start is None else dict(np.load(arguments.start, allow_pickle=False))
    training = Training(pickle.loads(shelf.read_bytes()), arguments.steps, arguments.rate, start)
    if kept.exists():
        training.resume(kept)
    begin, figures = time.monotonic(), []
    while training.done < arguments.steps:
        figures.append(training.step())
        if training.done % 50 == 0:
            means = (f"{name} {np.nanmean([row[name] for row in figures[-50:]]):.3f}" for name in figures[0])
            print(training.done, f"{time.monotonic() - begin:.0f} s", *means, flush=True)  # noqa: T201 - this takes long
        if training.done % 250 == 0 or training.done == arguments.steps:
            training.save(kept)
            np.savez_compressed(arguments.work / "prompts.npz", **training.mean.eval().weights())


if __name__ == "__main__":
    main()
