"""The localizer of MedLAM (Lei 2023, arXiv:2306.14752): where a voxel is in the body, and what it looks like.

Written from the paper, with one difference: it is fully convolutional, so one pass gives the latent place (relative
distance regression) and the features (multi-scale similarity) of every voxel, where the paper takes a pass per patch.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

FARTHEST_MM = (1500.0, 600.0, 600.0)
"""Largest offset that can be told, along S, A and R (the paper's r)."""
STRIDES = (4, 2, 1)
"""Of the maps of features, in voxels of the image."""
PLACE_STRIDE = 4
"""Of the map of places: where in the body a voxel is needs a look around, and no fine grid."""

_HALVINGS = 3
_SLOPE = 0.1  # of leaky units


class Maps(NamedTuple):
    """What the network says of every voxel.

    Args:
        places: latent places, `(N, 3, ...)` at `PLACE_STRIDE`.
        features: of length 1, `(N, channels, ...)`, one map per stride of `STRIDES`.
    """

    places: Tensor
    features: tuple[Tensor, ...]


class Localizer(nn.Module):
    """Encoder with a head for places, and a pyramid with a head for features on each level.

    Args:
        width: channels of the first stage, a multiple of 4; the others have 2, 4 and 6 times as many.
        channels: of the features.
    """

    def __init__(self, width: int = 8, channels: int = 24) -> None:
        super().__init__()
        self.width, self.channels = width, channels
        stages = [width, 2 * width, 4 * width, 6 * width]
        pyramid = 3 * width
        self.trunk = nn.ModuleList(
            [_stage(1, stages[0], 1), *(_stage(stages[n], stages[n + 1], 2) for n in range(_HALVINGS))]
        )
        self.rdr = nn.Sequential(
            nn.Conv3d(stages[2] + stages[3], 8 * width, 1), nn.LeakyReLU(_SLOPE), nn.Conv3d(8 * width, 3, 1)
        )
        self.mss = nn.ModuleDict(
            {
                "lateral": nn.ModuleList([nn.Conv3d(size, pyramid, 1) for size in stages]),
                "smooth": nn.ModuleList([nn.Conv3d(pyramid, pyramid, 3, padding=1) for _ in STRIDES[:-1]]),
                "head": nn.ModuleList([nn.Conv3d(pyramid, channels, 1) for _ in STRIDES]),
            }
        )

    def forward(self, images: Tensor) -> Maps:
        """Maps of images `(N, 1, S, A, R)`, 0 where there is air or nothing.

        Of sizes that are a multiple of 8 and 1 more, every level has a voxel on the first and on the last of the one
        below it, so that halving and doubling move nothing; other images are padded at their end.
        """
        step = 2**_HALVINGS
        padding = [(1 - size) % step for size in images.shape[:1:-1]]
        levels = [self.trunk[0](functional.pad(images, [side for more in padding for side in (0, more)]))]
        for stage in self.trunk[1:]:
            levels.append(stage(levels[-1]))
        places = self.rdr(torch.cat([levels[2], _larger(levels[3], levels[2])], 1))
        lateral, smooth, head = self.mss["lateral"], self.mss["smooth"], self.mss["head"]
        top, features = lateral[_HALVINGS](levels[_HALVINGS]), []  # type: ignore[index]
        for number, level in enumerate(reversed(range(_HALVINGS))):
            top = lateral[level](levels[level]) + _larger(top, levels[level])  # type: ignore[index]
            if number < len(smooth):  # type: ignore[arg-type]
                top = functional.leaky_relu(smooth[number](top), _SLOPE)  # type: ignore[index]
            features.append(functional.normalize(head[number](top), dim=1))  # type: ignore[index]
        return Maps(places, tuple(features))


def _stage(before: int, after: int, stride: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels, step in ((before, stride), (after, 1)):
        layers += [nn.Conv3d(channels, after, 3, step, 1, bias=False), nn.GroupNorm(4, after), nn.LeakyReLU(_SLOPE)]
    return nn.Sequential(*layers)


def _larger(maps: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(maps, size=like.shape[2:], mode="trilinear", align_corners=True)


def sample(maps: Tensor, voxels: Tensor, stride: int) -> Tensor:
    """Values of one image's maps at voxels of the image; beyond it those of its border.

    Args:
        maps: `(1, channels, s, a, r)`.
        voxels: `(points, 3)`, S, A, R, between voxels too.
        stride: of the maps.

    Returns:
        `(points, channels)`.
    """
    last = torch.tensor([max(size - 1, 1) for size in maps.shape[2:]], dtype=voxels.dtype, device=voxels.device)
    places = (voxels / stride / last * 2 - 1).flip(-1)[None, :, None, None].to(maps.dtype)
    found = functional.grid_sample(maps, places, mode="bilinear", padding_mode="border", align_corners=True)
    return found[0, :, :, 0, 0].T


def offsets_mm(to: Tensor, start: Tensor) -> Tensor:
    """The way from one latent place to another, `(..., 3)` in mm along S, A, R: the paper's `r tanh(p_s - p_q)`.

    The way back is the same with its sign turned.
    """
    return torch.tensor(FARTHEST_MM, dtype=to.dtype, device=to.device) * torch.tanh(to - start)
