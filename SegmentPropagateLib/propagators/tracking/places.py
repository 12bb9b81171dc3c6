"""Where a pixel is, as networks take it."""

from __future__ import annotations

import torch
from torch import Tensor


def fourier(side: int, frequencies: int, sigma: float, seed: int = 0) -> Tensor:
    """Random Fourier features, Eq. 6 of SAM^Med (arXiv:2307.05617).

    `[cos 2 pi B (x, y), sin 2 pi B (x, y)]` with B normal about 0, x and y in 0..1: `(2 f, side, side)`.
    """
    directions = sigma * torch.randn(frequencies, 2, generator=torch.Generator().manual_seed(seed))
    places = (torch.arange(side) + 0.5) / side
    rows, columns = torch.meshgrid(places, places, indexing="ij")
    angles = 2 * torch.pi * torch.einsum("fd,dhw->fhw", directions, torch.stack((columns, rows)))
    return torch.cat((angles.cos(), angles.sin()))
