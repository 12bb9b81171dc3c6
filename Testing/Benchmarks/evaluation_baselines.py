"""What any method must be compared with: the simplest ways to carry a mask, each behind the propagator's seam."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SegmentPropagateLib.propagation.propagator import KeyMasks, Lane, PropagationSettings, SliceUpdate
from SegmentPropagateLib.propagators.classical.growcut import growcut
from SegmentPropagateLib.propagators.classical.regions import Region
from SegmentPropagateLib.propagators.classical.registration import register, scales_of
from SegmentPropagateLib.volumes.stack import ImageStack

Carry = Callable[[NDArray[np.float32], NDArray[np.bool_], float], NDArray[np.float32]]
"""(images of key slice and its lane, mask of the key slice, slice distance in samples) -> soft masks of the lane."""


class Baseline:
    """A method that looks at one lane at a time, in a square of 2.5 times the object, 128 samples wide."""

    def __init__(self, name: str, carry: Carry) -> None:
        self.info: Mapping[str, Any] = {"model": name}
        self._carry = carry

    def open(self, stack: ImageStack, settings: PropagationSettings) -> None:
        del settings
        self._stack = stack

    def run(self, lanes: Sequence[Lane], key_masks: KeyMasks) -> Generator[SliceUpdate, None, None]:
        for lane in lanes:
            key = lane.keys[0]
            mask = key_masks[lane.object_id][key]
            region = Region.around(mask, self._stack.spacing_mm[1:])
            images = np.stack([region.take(self._stack.values[index]) for index in (key, *lane.slices)])
            distance = self._stack.spacing_mm[0] / (self._stack.spacing_mm[1] * region.step_rc[0])
            softs = self._carry(images, region.take(mask) > 0.5, distance)
            for index, soft in zip(lane.slices, softs, strict=True):
                carried = region.put(soft, self._stack.slice_shape) > 0.5
                yield SliceUpdate(lane.object_id, index, carried, 1.0 if carried.any() else -1.0, float("nan"))


class Copy(Baseline):
    """The key mask on every slice; given the true range it is the cheapest answer of all."""

    def __init__(self) -> None:
        self.info = {"model": "copy"}

    def run(self, lanes: Sequence[Lane], key_masks: KeyMasks) -> Generator[SliceUpdate, None, None]:
        for lane in lanes:
            mask = key_masks[lane.object_id][lane.keys[0]]
            for index in lane.slices:
                yield SliceUpdate(lane.object_id, index, mask.copy(), 1.0, float("nan"))


def baselines() -> dict[str, Callable[[], Baseline]]:
    """Name -> how to make one."""
    return {
        "copy": Copy,
        "grow": partial(Baseline, "grow", intensity_grow),
        "demons+stop": partial(Baseline, "demons+stop", demons_with_stop),
        "growcut": partial(Baseline, "growcut", geodesic_grow),
        "demons and growcut": partial(Baseline, "demons and growcut", mean_of_both),
    }


def intensity_grow(images: NDArray[np.float32], mask: NDArray[np.bool_], distance: float) -> NDArray[np.float32]:
    """From slice to slice, keep what looks like the object and touches the previous mask."""
    del distance
    middle, spread = _band(images[0], mask)
    reach = max(2, int(0.12 * np.sqrt(mask.sum())))
    result = np.zeros((len(images) - 1, *mask.shape), dtype=np.float32)
    previous = mask
    for number, image in enumerate(images[1:]):
        alike = np.abs(ndimage.gaussian_filter(image, 0.7) - middle) < 2.5 * spread
        alike = ndimage.binary_opening(alike & ndimage.binary_dilation(previous, iterations=reach))
        parts, _ = ndimage.label(alike)
        kept = np.unique(parts[alike & ndimage.binary_erosion(previous)])
        previous = ndimage.binary_fill_holes(np.isin(parts, kept[kept > 0]))
        if previous.sum() < 0.05 * mask.sum():
            break
        result[number] = previous
    return result


def demons_with_stop(images: NDArray[np.float32], mask: NDArray[np.bool_], distance: float) -> NDArray[np.float32]:
    """Register slice to slice; stop when less than half of the mask has the object's intensity."""
    del distance
    middle, spread = _band(images[0], mask)
    low, high = np.percentile(images[0], (1, 99))
    scaled = np.clip((images - low) / (high - low + 1e-6), -0.2, 1.2).astype(np.float32)
    result = np.zeros((len(images) - 1, *mask.shape), dtype=np.float32)
    soft = mask.astype(np.float32)
    for number in range(len(images) - 1):
        soft = register(scales_of(scaled[number + 1]), scales_of(scaled[number]))(soft)
        inside = soft > 0.5
        if inside.sum() < 0.05 * mask.sum():
            break
        calm = ndimage.gaussian_filter(images[number + 1], 0.7)
        if (np.abs(calm[inside] - middle) < 3 * spread).mean() < 0.5:
            break
        result[number] = soft
    return result


def geodesic_grow(images: NDArray[np.float32], mask: NDArray[np.bool_], distance: float) -> NDArray[np.float32]:
    """GrowCut in three dimensions over the first 30 slices, on a grid half as fine."""
    near = images[:31]
    half = mask.shape[0] // 2
    coarse = near.reshape(len(near), half, 2, half, 2).mean((2, 4))
    key = mask.reshape(half, 2, half, 2).mean((1, 3)) > 0.5
    core = ndimage.binary_erosion(key)
    inside, outside = np.zeros(coarse.shape, dtype=bool), np.zeros(coarse.shape, dtype=bool)
    inside[0] = core if core.any() else key
    outside[:, [0, -1]] = outside[:, :, [0, -1]] = True
    outside[0] |= ~ndimage.binary_dilation(key, iterations=2)
    outside[0] &= ~key
    _, spread = _band(coarse[0], key)
    grown = growcut(coarse / spread, inside, outside, (0.05 * distance / 2, 0.05, 0.05))[1:] > 0.5
    result = np.zeros((len(images) - 1, *mask.shape), dtype=np.float32)
    result[: len(grown)] = np.repeat(np.repeat(grown, 2, axis=1), 2, axis=2)
    return result


def mean_of_both(images: NDArray[np.float32], mask: NDArray[np.bool_], distance: float) -> NDArray[np.float32]:
    """The mean of demons with their stop rule and GrowCut: both must see the object."""
    return (demons_with_stop(images, mask, distance) + geodesic_grow(images, mask, distance)) / 2


def _band(image: NDArray[np.float32], mask: NDArray[np.bool_]) -> tuple[float, float]:
    values = image[mask] if mask.any() else image
    middle = np.median(values)
    least = 0.02 * (np.percentile(image, 99) - np.percentile(image, 1))
    return float(middle), float(max(1.4826 * np.median(np.abs(values - middle)), least, 1e-3))
