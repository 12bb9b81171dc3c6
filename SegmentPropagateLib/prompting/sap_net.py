"""SAP-Net: every pixel is compared with the mean features of object and background on the outlined slices.

Section 3.3 of SAM^Med (Wang 2023, arXiv:2307.05617): a small network on frozen features, random Fourier features of the
place, prototypes and the alignment loss of PANet (Wang 2019, arXiv:1908.06391), a Dice loss that weighs false positives
more, and at last the largest components. What the paper does not say is chosen here: PANet's alpha of 20, two
convolutions of 48, sigma 1, beta 2, 40 steps.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional

from SegmentPropagateLib.propagators.tracking.places import fourier

ALPHA = 20.0
"""What cosine similarities are multiplied by, as in PANet."""
BETA = 2.0
"""Weight of false positives in the Dice loss."""
WIDTH, FREQUENCIES, SIGMA = 48, 16, 1.0
PLACE = 0.5
"""Length of the part of a feature that tells the place; the part that tells the look has 1."""
STEPS, RATE = 40, 3e-3


def prototypes(features: Tensor, masks: Tensor) -> Tensor:
    """Mean features of the background and of the object over all pixels of all slices: `(2, C)`.

    Args:
        features: `(N, C, h, w)`.
        masks: share of each pixel that is the object, `(N, h, w)`.
    """
    means = [(features * part[:, None]).sum((0, 2, 3)) / part.sum().clamp_min(1e-6) for part in (1 - masks, masks)]
    return torch.stack(means)


def scores(features: Tensor, means: Tensor) -> Tensor:
    """Cosine similarity to each prototype times `ALPHA`, `(N, 2, h, w)`; the paper's distance with the other sign."""
    directions = functional.normalize(features, dim=1), functional.normalize(means, dim=1)
    return ALPHA * torch.einsum("nchw,pc->nphw", *directions)


def biased_dice(soft: Tensor, truth: Tensor, beta: float = BETA) -> Tensor:
    """Eq. 7: `1 - 2 TP / (2 TP + beta FP + FN)`."""
    hit, excess, missed = (soft * truth).sum(), (soft * (1 - truth)).sum(), ((1 - soft) * truth).sum()
    return 1 - 2 * hit / (2 * hit + beta * excess + missed).clamp_min(1e-6)


def largest_components(mask: NDArray[np.bool_], count: int) -> NDArray[np.bool_]:
    """A mask `(rows, columns)` without all but its largest parts."""
    parts, found = ndimage.label(mask)
    if found <= count:
        return mask
    sizes = np.bincount(parts.ravel())[1:]
    return np.isin(parts, 1 + np.argsort(-sizes, kind="stable")[:count])


class SapNet(nn.Module):
    """The small network T on frozen features, with the place added.

    Args:
        channels: of the frozen features.
        side: of their grid.
        seed: of the weights and the directions.
    """

    def __init__(self, channels: int, side: int, seed: int = 0) -> None:
        super().__init__()
        self.look = nn.Sequential(nn.Conv2d(channels, WIDTH, 1), nn.ReLU(), nn.Conv2d(WIDTH, WIDTH, 3, padding=1))
        generator = torch.Generator().manual_seed(seed)
        for weights in self.parameters():  # of this network's own generator: nobody else's draws change
            fan_in = weights[0].numel() if weights.ndim > 1 else WIDTH
            nn.init.uniform_(weights, -(fan_in**-0.5), fan_in**-0.5, generator=generator)
        self.register_buffer("place", fourier(side, FREQUENCIES, SIGMA, seed)[None])

    def forward(self, features: Tensor) -> Tensor:
        """Features `(N, channels, side, side)` to `(N, C, side, side)`."""
        look = functional.normalize(self.look(features), dim=1)
        place = PLACE * functional.normalize(self.get_buffer("place"), dim=1)
        return torch.cat((look, place.expand(len(features), -1, -1, -1)), dim=1)


def fit(features: Tensor, masks: Tensor, seed: int = 0) -> SapNet:
    """Train on outlined slices: in each step one of them is the query, the others support it, and it them.

    Args:
        features: frozen features of the outlined slices, two or more: `(N, channels, side, side)`.
        masks: share of each place that is the object, `(N, side, side)`.
        seed: of everything random.
    """
    network = SapNet(features.shape[1], features.shape[2], seed)
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    rng = np.random.default_rng(seed)
    with torch.enable_grad():
        for _ in range(STEPS):
            query = int(rng.integers(len(features)))
            others = [number for number in range(len(features)) if number != query]
            own = network(features)
            asked = scores(own[[query]], prototypes(own[others], masks[others]))
            answer = (asked.softmax(1)[:, 1] > 0.5).float()
            back = scores(own[others], prototypes(own[[query]], answer))
            loss = _loss(asked, masks[[query]]) + _loss(back, masks[others])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network.eval()


def _loss(logits: Tensor, truth: Tensor) -> Tensor:
    return biased_dice(logits.softmax(1)[:, 1], truth) + functional.cross_entropy(logits, (truth > 0.5).long())
