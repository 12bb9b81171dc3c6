"""Carry one mask slice by slice in one direction: registration, region growing and intensities have a vote each.

The stop rule was fitted to phantoms and to organs that are not among the evaluation's targets
(Testing/Experiments/fit_stop_rule.py); votes and weights were chosen with both in view too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SegmentPropagateLib.propagators.classical.demons import Image
from SegmentPropagateLib.propagators.classical.growcut import growcut
from SegmentPropagateLib.propagators.classical.patches import fuse
from SegmentPropagateLib.propagators.classical.regions import GRID, Region
from SegmentPropagateLib.propagators.classical.registration import Scales, register, scales_of
from SegmentPropagateLib.volumes.boxes import first_and_last
from SegmentPropagateLib.volumes.robust import spread
from SegmentPropagateLib.volumes.stack import ImageStack

ABSENT = -10.0
"""Presence of an object of which nothing is left."""
STATED = 5.0
"""What the user's word that the object goes on adds to its presence, as a logit; measured by
Testing/Experiments/fit_stop_rule.py."""
REACH = 40
"""Slices after which region growing starts anew from the mask it has arrived at."""
COARSE = 2
"""Region growing works on a grid that is coarser by this factor."""
INTENSITY_VOTE = 0.1
"""Weight of the intensities' log likelihood ratio; the other votes lie in -0.5..0.5. Measured, as are those around it,
by Testing/Experiments/measure_classical.py."""
SHARPNESS = 8.0
"""Sum of the votes to logit."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Guess:
    """What is thought of one slice.

    Args:
        soft: float32 `(rows, columns)` in 0..1, above 0.5 inside the object.
        presence: logit, <= 0 where the object is held to be absent.
        predicted_iou: 0..1. Linear in the presence; where the object is held to be present it ranks the true IoU with a
            correlation of .60 (Spearman) and is off by .13 on average, on 32 organs; .59 and .29 on phantoms. Fitted by
            Testing/Experiments/fit_stop_rule.py.
    """

    soft: Image
    presence: float
    predicted_iou: float

    def mixed(self, other: Guess, share: float) -> Guess:
        """A weighted mean; `share` is the other's."""
        return Guess(
            (1 - share) * self.soft + share * other.soft,
            (1 - share) * self.presence + share * other.presence,
            (1 - share) * self.predicted_iou + share * other.predicted_iou,
        )


class Signs(NamedTuple):
    """What the stop rule sees of a slice: do the votes agree, does the place look like the object, how much is left?

    Args:
        looks: mean likelihood of the mask's pixels, over the contrast on the key slice; -1..1.5.
        agreement: share of the mask that region growing holds for the object; 0..1.
        sureness: logit of the mean vote within the mask; -1..4.
        shrinkage: logarithm of its area over that on the key slice; -4..0.5.
    """

    looks: float
    agreement: float
    sureness: float
    shrinkage: float


def weigh(signs: Signs) -> float:
    """Logit of the object being there.

    The weights are a logistic regression over the slices of 32 organs and 48 phantoms, carried on beyond the object's
    ends, of whether at least .3 of the mask is the object; fitted by Testing/Experiments/fit_stop_rule.py.
    """
    looks, agreement, sureness, shrinkage = signs
    return 0.59 * looks + 1.92 * agreement + 0.35 * sureness + 0.63 * shrinkage - 1.53


class _View(NamedTuple):
    """What the region shows of a slice, spanning about 0..1, and the same on coarser grids."""

    image: Image
    scales: Scales


class Carrier:
    """The way from one key slice in one direction; every slice is computed once, in order, by one thread at a time.

    Args:
        stack: the slices.
        key: the key slice.
        mask: its mask.
        slices: the slices to visit, the key's neighbor first.
        stated: the user says that the object is there on all of them.
    """

    def __init__(self, stack: ImageStack, key: int, mask: Mask, slices: range, stated: bool) -> None:
        self._stack, self._slices, self._stated = stack, slices, stated
        self._turn = Lock()
        self._done: list[tuple[Region, Image | None, float]] = []  # in the small: whole slices would fill the memory
        self._region = Region.around(mask, stack.spacing_mm[1:])
        image = self._region.take(stack.values[key])
        self._soft = self._region.take(mask)
        inside = self._inside()
        self._area = int(inside.sum())
        self._range = tuple(float(value) for value in np.percentile(image, (1, 99)))
        self._last = self._view(image)
        self._likelihood = _likelihood_ratio(_calm(image), inside)
        self._unit = _unit(image, inside)
        self._contrast = max(float(self._likelihood(_calm(image))[inside].mean()), 0.3)
        self._grown: list[Image] = []

    def at(self, index: int) -> Guess:
        """Return the guess for a slice, computing those before it first."""
        with self._turn:
            return self._at(self._slices.index(index))

    def _at(self, number: int) -> Guess:
        while len(self._done) <= number:
            ended = bool(self._done) and self.presence(self._done[-1][2]) <= 0
            soft, agreement = (None, ABSENT) if ended else self._advance(len(self._done))
            self._done.append((self._region, soft, agreement))
        region, soft, agreement = self._done[number]
        shape, presence = self._stack.slice_shape, self.presence(agreement)
        full = np.zeros(shape, dtype=np.float32) if soft is None or presence <= 0 else region.put(soft, shape)
        return Guess(full, presence, float(np.clip(0.21 + 0.26 * agreement, 0, 1)))

    def presence(self, agreement: float) -> float:
        """The logit of `judge` with the user's word that the object is there, where that was given."""
        return agreement + (STATED if self._stated and agreement > ABSENT else 0.0)

    def _advance(self, number: int) -> tuple[Image, float]:
        """Soft mask in the region, and the logit that the votes alone give the object's presence."""
        self._follow(number)
        if not self._grown:
            self._grown = self._grow(number)
        image = self._region.take(self._stack.values[self._slices[number]])
        view, last = self._view(image), self._last
        brought = register(view.scales, last.scales)
        carried = fuse(view.image, brought(last.image), brought(self._soft))
        grown = self._grown.pop(0)
        likelihood = self._likelihood(_calm(image))
        votes = (carried - 0.5) + (grown - 0.5) + INTENSITY_VOTE * likelihood
        soft = _sigmoid(SHARPNESS * votes)
        self._last, self._soft = view, carried  # goes on from its own result: feeding back gained nothing
        return soft, self.judge(soft, grown, likelihood)

    def judge(self, soft: Image, grown: Image, likelihood: Image) -> float:
        """Logit of the object being there, before the user's word; `ABSENT` where next to nothing is left."""
        signs = self.signs(soft, grown, likelihood)
        return ABSENT if signs is None else weigh(signs)

    def signs(self, soft: Image, grown: Image, likelihood: Image) -> Signs | None:
        """What the stop rule sees of a slice; None where next to nothing is left."""
        inside = soft > 0.5
        area = int(inside.sum())
        if area < 3:
            return None
        sure = float(soft[inside].mean())
        return Signs(
            looks=float(np.clip(float(likelihood[inside].mean()) / self._contrast, -1.0, 1.5)),
            agreement=float((grown[inside] > 0.5).mean()),
            sureness=float(np.clip(np.log(sure / (1 - sure + 1e-3)), -1.0, 4.0)),
            shrinkage=float(np.clip(np.log(area / max(self._area, 1)), -4.0, 0.5)),
        )

    def _follow(self, number: int) -> None:
        """Move the region when the object comes near its border; region growing then starts anew."""
        inside = self._inside()
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
        shape = self._stack.slice_shape
        self._soft = moved.take(self._region.put(self._soft, shape))
        self._region, self._grown = moved, []
        self._last = self._view(moved.take(self._stack.values[self._slices[number] - self._slices.step]))

    def _inside(self) -> Mask:
        inside = self._soft > 0.5
        if not inside.any():  # thinner than the samples
            inside = self._soft >= max(float(self._soft.max()), 1e-6)
        return inside

    def _view(self, image: Image) -> _View:
        low, high = self._range
        scaled = np.clip((image - low) / (high - low + 1e-6), -0.2, 1.2).astype(np.float32)
        return _View(scaled, scales_of(scaled))

    def _grow(self, number: int) -> list[Image]:
        """GrowCut from the present mask over the next slices: the object's share of the distances, 0..1, each."""
        start = self._slices[number] - self._slices.step
        indices = (start, *self._slices[number : number + REACH])
        images = np.stack([self._region.take(self._stack.values[index]) for index in indices])
        size = GRID // COARSE
        coarse = images.reshape(len(images), size, COARSE, size, COARSE).mean((2, 4))
        key = self._inside().reshape(size, COARSE, size, COARSE).mean((1, 3)) >= 0.5
        core = ndimage.binary_erosion(key)
        seeds, others = np.zeros(coarse.shape, dtype=bool), np.zeros(coarse.shape, dtype=bool)
        seeds[0] = core if core.any() else key
        others[:, [0, -1]] = others[:, :, [0, -1]] = True
        others[0] |= ~ndimage.binary_dilation(key, iterations=2)
        others[0] &= ~key
        row_mm = self._stack.spacing_mm[1] * self._region.step_rc[0] * COARSE
        price = (0.05 * self._stack.spacing_mm[0] / row_mm, 0.05, 0.05)
        shares = growcut(coarse / self._unit, seeds, others, price)[1:]
        return [ndimage.zoom(share, COARSE, order=1, mode="nearest", grid_mode=True) for share in shares]


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


def _sigmoid(values: Image) -> Image:
    return (1 / (1 + np.exp(-np.clip(values, -30, 30)))).astype(np.float32)
