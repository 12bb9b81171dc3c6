"""AdamW as SAM 2 is trained with it: two learning rates, rates that fall towards the trunk's first layers, cosine."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import torch
from torch import nn

TRUNK = "image_encoder.trunk."


@dataclass(frozen=True)
class Rates:
    """How fast to learn.

    Args:
        encoder: learning rate of the image encoder at the start.
        rest: learning rate of everything else.
        final: share of both that is left at the end of the cosine.
        layer_decay: factor from one block of the trunk to the one before it.
        weight_decay: of all weights but biases and layer norms.
        warm_up: steps of linear rise at the start.
    """

    encoder: float = 3e-6
    rest: float = 5e-6
    final: float = 0.1
    layer_decay: float = 0.9
    weight_decay: float = 0.1
    warm_up: int = 0

    def share(self, step: int, steps: int) -> float:
        """Share of the learning rates at a step (0-based) of so many."""
        cosine = 0.5 + 0.5 * math.cos(math.pi * step / max(steps, 1))
        return min(1.0, (step + 1) / (self.warm_up + 1)) * (self.final + (1 - self.final) * cosine)


def make_optimizer(network: nn.Module, rates: Rates) -> torch.optim.AdamW:
    """AdamW for the weights that ask for gradients, one group per learning rate and weight decay.

    `lr_start` holds a group's own rate.
    """
    norms = (module for module in network.modules() if isinstance(module, nn.LayerNorm))
    normalizers = {id(parameter) for module in norms for parameter in module.parameters()}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    depth = _trunk_depth(network)
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        rate = rates.encoder if name.startswith("image_encoder.") else rates.rest
        rate *= rates.layer_decay ** _layers_above(name, depth)
        plain = "bias" in name or id(parameter) in normalizers
        groups.setdefault((rate, 0.0 if plain else rates.weight_decay), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": parameters, "lr": rate, "lr_start": rate, "weight_decay": decay}
            for (rate, decay), parameters in groups.items()
        ]
    )


def set_rates(optimizer: torch.optim.Optimizer, share: float) -> None:
    """Give every group its share of its own rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["lr_start"] * share


def _trunk_depth(network: nn.Module) -> int:
    found = (_block(name) for name, _ in network.named_parameters())
    return 1 + max((block for block in found if block is not None), default=-1)


def _block(name: str) -> int | None:
    match = re.match(re.escape(TRUNK) + r"(?:blocks|st)\.(\d+)\.", name)
    return int(match[1]) if match else None


def _layers_above(name: str, depth: int) -> int:
    """By how many layers a trunk parameter lies below the neck; 0 outside the trunk (sam2/training/optimizer.py)."""
    if not name.startswith(TRUNK) or "pos_embed" in name:
        return 0
    block = _block(name)
    return depth + 1 if block is None else depth - block
