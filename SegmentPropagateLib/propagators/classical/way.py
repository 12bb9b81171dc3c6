"""Carry a mask from a key slice in one direction by registration alone, which no other vote has a say in."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SegmentPropagateLib.propagators.classical.demons import Image
from SegmentPropagateLib.propagators.classical.patches import fuse
from SegmentPropagateLib.propagators.classical.regions import GRID, Region
from SegmentPropagateLib.propagators.classical.registration import Scales, register, scales_of
from SegmentPropagateLib.volumes.boxes import first_and_last
from SegmentPropagateLib.volumes.robust import spread
from SegmentPropagateLib.volumes.stack import ImageStack

Mask = NDArray[np.bool_]


class Brought(NamedTuple):
    """What registration brings to one slice.

    Args:
        region: where.
        before: soft mask of the slice before it, in that region.
        carried: soft mask of the slice itself.
        moved: whether the region is another than on the slice before it.
    """

    region: Region
    before: Image
    carried: Image
    moved: bool


class _View(NamedTuple):
    """What the region shows of a slice, spanning about 0..1, and the same on coarser grids."""

    image: Image
    scales: Scales


class Way:
    """From one key slice in one direction, as far as is asked; every slice is computed once.

    It knows no end, so a later run to another end goes on with it.

    Args:
        stack: the slices.
        key: the key slice.
        mask: its mask.
        step: +1 or -1.

    Attributes:
        stack: the same.
        area: of the mask, in samples.
        likelihood: how much more frequent an image's values are in the object than around it, float32 of its shape.
        contrast: mean likelihood within the mask.
        unit: what counts as one step of intensity.
    """

    def __init__(self, stack: ImageStack, key: int, mask: Mask, step: int) -> None:
        self.stack, self._key, self._step = stack, key, step
        self._done: list[Brought] = []
        self._region = Region.around(mask, stack.spacing_mm[1:])
        image = self._region.take(stack.values[key])
        self._soft = self._region.take(mask)
        inside = inside_of(self._soft)
        self.area = int(inside.sum())
        self._range = tuple(float(value) for value in np.percentile(image, (1, 99)))
        self._last = self._view(image)
        ratio = _likelihood_ratio(_calm(image), inside)
        self.likelihood: Callable[[Image], Image] = lambda other: ratio(_calm(other))
        self.unit = _unit(image, inside)
        self.contrast = max(float(self.likelihood(image)[inside].mean()), 0.3)

    @property
    def reached(self) -> int:
        """How many slices were computed."""
        return len(self._done)

    @property
    def bytes(self) -> int:
        """Memory of what is kept, about."""
        return self._soft.nbytes * len(self._done)

    def at(self, number: int) -> Brought:
        """What is brought to the key slice's neighbor, number 0, or beyond it."""
        while len(self._done) <= number:
            self._done.append(self._advance(len(self._done)))
        return self._done[number]

    def _advance(self, number: int) -> Brought:
        index, region = self._key + self._step * (number + 1), self._region
        self._follow(index - self._step)
        image, before = self._region.take(self.stack.values[index]), self._soft
        view, last = self._view(image), self._last
        brought = register(view.scales, last.scales)
        carried = fuse(view.image, brought(last.image), brought(before))
        self._last, self._soft = view, carried  # goes on from its own result: feeding back gained nothing
        return Brought(self._region, before, carried, self._region is not region)

    def _follow(self, last: int) -> None:
        """Move the region when the object came near its border on the slice before."""
        inside = inside_of(self._soft)
        margin = GRID // 10
        inner = inside[margin:-margin, margin:-margin]
        if inner.sum() == inside.sum() or not inner.any():
            return
        middles = [(first + last) / 2 for first, last in first_and_last(inside)]
        if max(abs(middle - (GRID - 1) / 2) for middle in middles) < GRID // 16:
            return  # too large rather than aside
        first, step = self._region.origin_rc, self._region.step_rc
        center = first[0] + step[0] * middles[0], first[1] + step[1] * middles[1]
        moved = self._region.moved(center)
        shape = self.stack.slice_shape
        self._soft = moved.take(self._region.put(self._soft, shape))
        self._region = moved
        self._last = self._view(moved.take(self.stack.values[last]))

    def _view(self, image: Image) -> _View:
        low, high = self._range
        scaled = np.clip((image - low) / (high - low + 1e-6), -0.2, 1.2).astype(np.float32)
        return _View(scaled, scales_of(scaled))


def inside_of(soft: Image) -> Mask:
    """Which samples a soft mask holds for the object: the likeliest at least, where it is thinner than the samples."""
    inside = soft > 0.5
    return inside if inside.any() else soft >= max(float(soft.max()), 1e-6)


def _calm(image: Image) -> Image:
    return ndimage.gaussian_filter(image, 1.0)


def _likelihood_ratio(image: Image, inside: Mask) -> Callable[[Image], Image]:
    """Learn on the key slice how much more frequent a value is in the object than around it (log of frequencies)."""
    reach = max(4, int(0.35 * np.sqrt(inside.sum())))
    around = ndimage.binary_dilation(inside, iterations=reach) & ~ndimage.binary_dilation(inside)
    low, high = np.percentile(image[inside | around], (1, 99))
    edges = np.linspace(low, max(high, low + 1e-6), 33)

    def frequencies(values: Image) -> NDArray[np.float64]:
        counts = np.bincount(np.digitize(values, edges), minlength=34).astype(float)
        counts = ndimage.gaussian_filter1d(counts, 1.5, mode="nearest")
        counts += 0.02 * max(counts.sum(), 1) / len(counts)
        return counts / counts.sum()

    ratio = np.log(frequencies(image[inside]) / frequencies(image[around])).astype(np.float32)
    return lambda other: ratio[np.digitize(other, edges)]


def _unit(image: Image, inside: Mask) -> float:
    """What counts as one step of intensity: the spread of the object's values, never below 2 % of the contrast."""
    low, high = np.percentile(image, (1, 99))
    return max(spread(image[inside]), 0.02 * float(high - low), 1e-3)
