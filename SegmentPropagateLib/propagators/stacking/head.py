"""A small network on pixels that learns from a few outlined slices, in a moment and always the same."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTH, DROPOUT = 24, 0.2
RATE, DECAY, BATCH = 5e-3, 5e-2, 512
STEPS, NESTED_STEPS = 250, 150
"""Of the one that is used, and of those that only tell whether it is."""


class Head:
    """Logits of pixels from what is known of each.

    Args:
        network: from `(N, C)` to `(N, 1)`, of standardized channels.
        mean: of the channels, `(C,)`.
        deviation: of the channels, `(C,)`.
    """

    def __init__(self, network: nn.Module, mean: Tensor, deviation: Tensor) -> None:
        self._network, self._mean, self._deviation = network, mean, deviation

    @torch.no_grad()
    def logits(self, maps: Tensor) -> Tensor:
        """Of maps `(C, h, w)`: `(h, w)`."""
        pixels = (maps.flatten(1).T - self._mean) / self._deviation
        return self._network(pixels)[:, 0].reshape(maps.shape[1:])


def fit(maps: Sequence[Tensor], truths: Sequence[Tensor], steps: int = STEPS) -> Head:
    """Train on outlined slices.

    Args:
        maps: of each slice `(C, h, w)`.
        truths: of each slice bool `(h, w)`.
        steps: of the training.
    """
    pixels = torch.cat([each.flatten(1).T for each in maps])
    wanted = torch.cat([each.flatten() for each in truths]).float()
    mean, deviation = pixels.mean(0), pixels.std(0) + 1e-4
    # Nobody else's draws change, nor these by theirs; dropout takes no generator of its own.
    with torch.random.fork_rng(devices=()), torch.enable_grad():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(pixels.shape[1], WIDTH), nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(WIDTH, 1))
        optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY)
        for _ in range(steps):
            drawn = torch.randint(len(pixels), (BATCH,))
            logits = network((pixels[drawn] - mean) / deviation)[:, 0]
            loss = functional.binary_cross_entropy_with_logits(logits, wanted[drawn])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return Head(network.eval(), mean, deviation)
