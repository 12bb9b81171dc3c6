"""What a localizer learns from: two views of one volume, and how well it tells where they lie to each other.

Nothing is annotated. Each view has its own field of view, turn, size and gray curve, so that nothing but what is in the
body tells the place; within a single view the distance of two points could be read off its border.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from SegmentPropagateLib.networks.localizer import PLACE_STRIDE, STRIDES, Maps, offsets_mm, sample

AIR = 0.03
"""Gray value below which a voxel is no body: -850 HU."""

_SHARPNESS = 15.0  # of the softmax over a view (MedLAM's code)
_SAME, _OTHER = 0.9, 1.8  # strides of a map within which a voxel is the same place, and beyond which it is another
_OFFSET_UNIT_MM = 50.0  # offsets far above it count linearly, not squared
_FEWEST = 4  # points that both views show

Points = NDArray[np.float64]


@dataclass(frozen=True)
class ViewSettings:
    """How views differ from the volume.

    Args:
        sizes: sides to choose from, in voxels of the grid.
        turn_deg: standard deviation of turns about each axis.
        growth: standard deviation of the logarithm of sizes.
        cut: how often a side is cut away, up to a third.
        gamma: standard deviation of the logarithm of the gray curve's exponent.
        noise: largest standard deviation of the noise.
    """

    sizes: tuple[int, ...] = (17, 25)
    turn_deg: float = 6.0
    growth: float = 0.08
    cut: float = 0.3
    gamma: float = 0.2
    noise: float = 0.04


class View(NamedTuple):
    """A view of a volume: its voxel `v` is the volume's `matrix @ v + start`.

    Args:
        image: float32 `(s, a, r)`, 0 beyond the volume and where it is cut.
        inside: where it is neither, bool.
        matrix: float64 `(3, 3)`.
        start: float64 `(3,)`.
    """

    image: Tensor
    inside: Tensor
    matrix: Points
    start: Points

    def points(self, rng: np.random.Generator, count: int) -> Points | None:
        """Voxels by chance, `(count, 3)`, in the body where it is seen; None where nothing is."""
        places = torch.nonzero(self.inside & (self.image > AIR))
        if not len(places):
            return None
        return np.asarray(places[torch.from_numpy(rng.integers(0, len(places), count))].double().numpy())


def view_of(volume: Tensor, shape: tuple[int, ...], rng: np.random.Generator, settings: ViewSettings) -> View:
    """A view by chance of a volume `(S, A, R)` of gray values 0..1."""
    size, seen = np.array(volume.shape), np.array(shape)
    turns = rng.normal(0, np.radians(settings.turn_deg), 3)
    matrix = _turned(turns) @ np.diag(np.exp(rng.normal(0, settings.growth, 3)))
    low = np.minimum(seen * 0.4, size / 2)
    start = rng.uniform(low, np.maximum(size - low, low + 1e-9)) - matrix @ ((seen - 1) / 2)
    axes = np.meshgrid(*(np.arange(side) for side in seen), indexing="ij")
    places = np.stack(axes, -1) @ matrix.T + start
    scaled = (places / np.maximum(size - 1, 1) * 2 - 1)[..., ::-1].copy()
    grid = torch.from_numpy(scaled).to(volume.dtype)[None]
    image = functional.grid_sample(volume[None, None], grid, align_corners=True, padding_mode="zeros")[0, 0]
    inside = torch.from_numpy(np.all((places >= 0) & (places <= size - 1), axis=-1))
    for axis, side in enumerate(seen):
        if rng.random() < settings.cut:
            count = int(side * rng.uniform(0, 0.35))
            inside.narrow(axis, 0 if rng.random() < 0.5 else side - count, count).fill_(False)
    return View(_recolored(image, rng, settings).where(inside, torch.zeros(())), inside, matrix, start)


def _turned(angles: Points) -> Points:
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        one, other = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[[one, other], [one, other]] = np.cos(angle)
        turn[one, other], turn[other, one] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    return matrix


def _recolored(image: Tensor, rng: np.random.Generator, settings: ViewSettings) -> Tensor:
    image = image ** float(np.exp(rng.normal(0, settings.gamma)))
    image = image * float(np.exp(rng.normal(0, settings.gamma / 2)))
    noise = torch.from_numpy(rng.standard_normal(image.shape, np.float32))
    image = image + float(rng.uniform(0, settings.noise)) * noise
    if rng.random() < 0.3:
        image = functional.avg_pool3d(image[None, None], 3, 1, 1)[0, 0]
    return image


class PairLoss(NamedTuple):
    """Losses of a pair of views, and by how far the median offset is off, in mm."""

    rdr: Tensor
    mss: Tensor
    error_mm: float


def pair_loss(
    views: tuple[View, View], maps: tuple[Maps, Maps], mm: float, rng: np.random.Generator, count: int
) -> PairLoss | None:
    """How well maps of two views of one volume tell the offsets between so many points, and find them again.

    Args:
        views: of the same volume.
        maps: what the network says of each.
        mm: side of a voxel.
        rng: chooses the points.
        count: how many.

    Returns:
        None where a view shows nothing.
    """
    (one, other), (mine, its) = views, maps
    here, there = one.points(rng, count), other.points(rng, count)
    if here is None or there is None:
        return None
    device = mine.places.device

    def on_device(points: Any) -> Tensor:
        return torch.from_numpy(np.asarray(points)).float().to(device)

    place, place_there = here @ one.matrix.T + one.start, there @ other.matrix.T + other.start
    wanted = on_device((place - place_there) * mm)
    told = offsets_mm(
        sample(mine.places, on_device(here), PLACE_STRIDE), sample(its.places, on_device(there), PLACE_STRIDE)
    )
    rdr = functional.smooth_l1_loss(told / _OFFSET_UNIT_MM, wanted / _OFFSET_UNIT_MM)
    again = (place - other.start) @ np.linalg.inv(other.matrix).T
    shown = np.all((again >= 0) & (again <= np.array(other.image.shape) - 1), axis=1)
    mss = torch.zeros((), device=device)
    if shown.sum() >= _FEWEST:
        mss = mss + similarity_loss(mine, its, on_device(here[shown]), on_device(again[shown]))
    return PairLoss(rdr, mss, float((told - wanted).detach().norm(dim=1).median()))


def similarity_loss(mine: Maps, its: Maps, here: Tensor, there: Tensor) -> Tensor:
    """Cross-entropy of finding points `here` of one view at `there` of the other, summed over the levels.

    All voxels of the other view are candidates but those between the same place and another one.
    """
    total = torch.zeros((), device=here.device)
    for own, other, stride in zip(mine.features, its.features, STRIDES, strict=True):
        vectors = functional.normalize(sample(own, here, stride), dim=1)
        logits = _SHARPNESS * vectors @ other[0].flatten(1)
        axes = [torch.arange(side, device=here.device, dtype=here.dtype) * stride for side in other.shape[2:]]
        away = torch.cdist(there, torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3))
        same = away <= _SAME * stride
        hidden = torch.full_like(logits, -1e4)
        found = torch.logsumexp(logits.where(same, hidden), 1)
        everywhere = torch.logsumexp(logits.where(same | (away >= _OTHER * stride), hidden), 1)
        known = same.any(dim=1)
        if known.any():
            total = total + (everywhere - found)[known].mean()
    return total
