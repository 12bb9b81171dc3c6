"""The prompt network as torch trains it, what it begins with, and what it is told of its mistakes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from SegmentPropagateLib.propagators.prompted.channels import COUNT
from SegmentPropagateLib.propagators.prompted.network import DOWN, UP

WIDTHS = (24, 40, 64, 96)


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


def loss_of(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross entropy and one minus a soft DSC."""
    soft = torch.sigmoid(logits)
    common, all_ = (soft * truth).sum((1, 2)), soft.sum((1, 2)) + truth.sum((1, 2))
    return functional.binary_cross_entropy_with_logits(logits, truth) + (1 - (2 * common + 5) / (all_ + 5)).mean()


def dice_of(logits: Tensor, truth: Tensor, areas: Tensor) -> Tensor:
    """DSC of the mask; what of the object lies beyond the region counts as missed."""
    mask = (logits > 0).float()
    return (2 * (mask * (truth > 0.5)).sum((1, 2)) / (mask.sum((1, 2)) + areas.float())).clamp(0, 1)
