"""Landmarks are found again: a jump to where they should be, then a look around for what looks the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from SegmentPropagateLib.networks.localizer import PLACE_STRIDE, STRIDES, Localizer, Maps, offsets_mm, sample
from SegmentPropagateLib.prompting.atlas.grid import Body
from SegmentPropagateLib.prompting.landmarks.grid import image_of, mask_of, to_points, to_voxels, voxel_mm

STARTS = 96
"""Voxels of the body from which is jumped; the paper takes one by chance, and a median of many bears out better."""
NEAR_MM = 28.0
"""How far from where a jump ends is looked for what looks the same."""
BEYOND = -1.0
"""Likeness of a landmark that lies further outside than is looked."""

_AGAIN = 2  # jumps more, from nearby: short ones are surer
_AGAIN_MM, _AGAIN_STARTS = 18.0, 48
_FINE = 0.5  # voxels between places that are looked at
_SHARPNESS = 12.0  # of the mean of places by likeness

Points = NDArray[np.float64]


class Codes(NamedTuple):
    """What is known of landmarks: latent places `(N, 3)`, and features `(N, channels)` for each stride."""

    places: Tensor
    features: tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class Seen:
    """A volume as the localizer sees it.

    Args:
        maps: of the network.
        shape: of the image, in voxels.
        starts: voxels of the body, `(STARTS, 3)`.
        step: points of the lattice per voxel.
    """

    maps: Maps
    shape: tuple[int, ...]
    starts: Points
    step: int

    def codes(self, points: NDArray[Any]) -> Codes:
        """What there is at points `(N, 3)` of the lattice."""
        voxels = torch.from_numpy(to_voxels(points, self.step)).float()
        features = zip(self.maps.features, STRIDES, strict=True)
        return Codes(
            sample(self.maps.places, voxels, PLACE_STRIDE),
            tuple(functional.normalize(sample(maps, voxels, stride), dim=1) for maps, stride in features),
        )


@dataclass(frozen=True, eq=False)
class Found:
    """Landmarks in a volume.

    Args:
        points: of its lattice, `(N, 3)`; those beyond the field of view where they should be.
        jumps: the same before the look around.
        likeness: cosine of the features there and in the finished cases, mean of the levels, `(N,)`; or `BEYOND`.
    """

    points: Points
    jumps: Points
    likeness: NDArray[np.float64]


@torch.no_grad()
def seen_of(body: Body, network: Localizer, step: int) -> Seen:
    """Let the network see a volume."""
    image = image_of(body, step)
    places = np.argwhere(mask_of(body, step))
    chosen = np.random.default_rng(0).choice(len(places), STARTS)
    return Seen(network(torch.from_numpy(image)[None, None]), image.shape, places[chosen].astype(np.float64), step)


def averaged(codes: Sequence[Codes]) -> Codes:
    """The mean of what several finished cases say of the same landmarks."""
    features = zip(*(it.features for it in codes), strict=True)
    return Codes(
        torch.stack([it.places for it in codes]).mean(0),
        tuple(functional.normalize(torch.stack(level).mean(0), dim=1) for level in features),
    )


def jumped(seen: Seen, places: Tensor, starts: Points) -> Points:
    """Voxels `(N, 3)` at latent places `(N, 3)`, by the median of jumps from `starts` `(..., M, 3)`.

    Starts beyond the field of view jump as its border does.
    """
    inside = np.clip(starts, 0, np.array(seen.shape) - 1)
    flat = torch.from_numpy(inside.reshape(-1, 3)).float()
    own = sample(seen.maps.places, flat, PLACE_STRIDE).reshape(*inside.shape[:-1], 3)
    ways = offsets_mm(places[:, None], own).double().numpy() / voxel_mm(seen.step)
    return np.asarray(np.median(inside + ways, axis=1))


@torch.no_grad()
def located(seen: Seen, codes: Codes, look: bool = True) -> Found:
    """Where the landmarks of these codes are.

    Args:
        seen: the volume.
        codes: of the landmarks.
        look: whether to look around for what looks the same (MSS), or to believe the jumps (RDR).
    """
    voxels = jumped(seen, codes.places, seen.starts)
    around = np.random.default_rng(0).normal(0, _AGAIN_MM / voxel_mm(seen.step), (_AGAIN_STARTS, 3))
    for _ in range(_AGAIN):
        voxels = jumped(seen, codes.places, voxels[:, None] + around)
    points = [_looked_up(seen, codes, number, voxel) for number, voxel in enumerate(voxels)]
    places, likeness = (np.array(values) for values in zip(*points, strict=True))
    jumps = to_points(voxels, seen.step)
    return Found(to_points(places, seen.step) if look else jumps, jumps, likeness)


def _looked_up(seen: Seen, codes: Codes, number: int, voxel: Points) -> tuple[Points, float]:
    """The place near a voxel that looks most like a landmark, and how much so; the voxel itself far outside."""
    reach = NEAR_MM / voxel_mm(seen.step)
    last = np.array(seen.shape) - 1
    center = np.clip(voxel, 0, last)
    if np.abs(center - voxel).max() > reach:
        return voxel, BEYOND
    low, high = np.maximum(center - reach, -0.5), np.minimum(center + reach, last + 0.5)  # to the voxels' faces
    axes = [np.arange(start, end + 1e-9, _FINE) for start, end in zip(low, high, strict=True)]
    places = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    likeness = torch.zeros(len(places))
    for maps, vectors, stride in zip(seen.maps.features, codes.features, STRIDES, strict=True):
        alike = torch.einsum("c,ncsar->nsar", vectors[number], maps)[None]
        likeness += sample(alike, torch.from_numpy(places).float(), stride)[:, 0]
    weights = torch.exp(_SHARPNESS * (likeness - likeness.max())).double().numpy()
    best = float(likeness.max()) / len(STRIDES)
    return (places * weights[:, None]).sum(axis=0) / weights.sum(), best
