"""Carry one mask slice by slice in one direction: registration, region growing and intensities have a vote each.

The stop rule was fitted to phantoms and to organs that are not among the evaluation's targets
(Testing/Experiments/fit_stop_rule.py); votes and weights were chosen with both in view too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from SegmentPropagateLib.propagators.classical.demons import Image, finer
from SegmentPropagateLib.propagators.classical.growcut import growcut
from SegmentPropagateLib.propagators.classical.regions import GRID, Region
from SegmentPropagateLib.propagators.classical.way import Brought, Way, inside_of
from SegmentPropagateLib.volumes.cropped import Cropped, combined

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


@dataclass(frozen=True)
class Guess:
    """What is thought of one slice.

    Args:
        soft: of the whole slice, in 0..1, above 0.5 inside the object; 0 where nothing is kept.
        presence: logit, <= 0 where the object is held to be absent.
        predicted_iou: 0..1. Linear in the presence; where the object is held to be present it ranks the true IoU with a
            correlation of .60 (Spearman) and is off by .13 on average, on 32 organs; .59 and .29 on phantoms. Fitted by
            Testing/Experiments/fit_stop_rule.py.
    """

    soft: Cropped
    presence: float
    predicted_iou: float

    def mixed(self, other: Guess, share: float) -> Guess:
        """A weighted mean; `share` is the other's."""
        return Guess(
            combined(lambda own, their: (1 - share) * own + share * their, self.soft, other.soft),
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


class Carrier:
    """The way from one key slice in one direction; every slice is computed once, in order.

    Args:
        way: what registration brings from the key slice.
        slices: the slices to visit, the key's neighbor first.
        stated: the user says that the object is there on all of them.
    """

    def __init__(self, way: Way, slices: range, stated: bool) -> None:
        self.way, self._slices, self._stated = way, slices, stated
        self._done: list[tuple[Region, Image | None, float]] = []  # in the small: whole slices would fill the memory
        self._grown: list[tuple[Image, Image]] = []  # of the slices to come, with what the region shows of them

    def at(self, index: int) -> Guess:
        """Return the guess for a slice, computing those before it first."""
        while self.is_behind(index):
            self.advance()
        region, soft, agreement = self._done[self._slices.index(index)]
        shape, presence = self.way.stack.slice_shape, self.presence(agreement)
        there = Cropped.nothing(shape) if soft is None or presence <= 0 else region.put_cropped(soft, shape)
        return Guess(there, presence, float(np.clip(0.21 + 0.26 * agreement, 0, 1)))

    def is_behind(self, index: int) -> bool:
        """Whether a slice is still to be computed."""
        return len(self._done) <= self._slices.index(index)

    def advance(self) -> bool:
        """Compute one slice more; whether there was something to register, which takes most of the time."""
        number = len(self._done)
        ended = bool(self._done) and self.presence(self._done[-1][2]) <= 0
        is_new = not ended and number >= self.way.reached
        self._done.append((self._done[-1][0], None, ABSENT) if ended else self._advance(number))
        return is_new

    def presence(self, agreement: float) -> float:
        """The logit of `judge` with the user's word that the object is there, where that was given."""
        return agreement + (STATED if self._stated and agreement > ABSENT else 0.0)

    def _advance(self, number: int) -> tuple[Region, Image, float]:
        """Region, soft mask in it, and the logit that the votes alone give the object's presence."""
        brought = self.way.at(number)
        if brought.moved or not self._grown:
            self._grown = self._grow(number, brought)
        grown, image = self._grown.pop(0)
        likelihood = self.way.likelihood(image)
        votes = (brought.carried - 0.5) + (grown - 0.5) + INTENSITY_VOTE * likelihood
        soft = _sigmoid(SHARPNESS * votes)
        return brought.region, soft, self.judge(soft, grown, likelihood)

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
            looks=float(np.clip(float(likelihood[inside].mean()) / self.way.contrast, -1.0, 1.5)),
            agreement=float((grown[inside] > 0.5).mean()),
            sureness=float(np.clip(np.log(sure / (1 - sure + 1e-3)), -1.0, 4.0)),
            shrinkage=float(np.clip(np.log(area / max(self.way.area, 1)), -4.0, 0.5)),
        )

    def _grow(self, number: int, brought: Brought) -> list[tuple[Image, Image]]:
        """GrowCut from the present mask over the next slices: the share of the distances, 0..1, and the image, each."""
        start = self._slices[number] - self._slices.step
        indices = (start, *self._slices[number : number + REACH])
        images = np.stack([brought.region.take(self.way.stack.values[index]) for index in indices])
        size = GRID // COARSE
        coarse = images.reshape(len(images), size, COARSE, size, COARSE).mean((2, 4))
        key = inside_of(brought.before).reshape(size, COARSE, size, COARSE).mean((1, 3)) >= 0.5
        core = ndimage.binary_erosion(key)
        seeds, others = np.zeros(coarse.shape, dtype=bool), np.zeros(coarse.shape, dtype=bool)
        seeds[0] = core if core.any() else key
        others[:, [0, -1]] = others[:, :, [0, -1]] = True
        others[0] |= ~ndimage.binary_dilation(key, iterations=2)
        others[0] &= ~key
        row_mm = self.way.stack.spacing_mm[1] * brought.region.step_rc[0] * COARSE
        price = (0.05 * self.way.stack.spacing_mm[0] / row_mm, 0.05, 0.05)
        shares = growcut(coarse / self.way.unit, seeds, others, price)[1:]
        return list(zip(finer(shares) / 2, images[1:], strict=True))  # a field's numbers double with its pixels


def _sigmoid(values: Image) -> Image:
    return (1 / (1 + np.exp(-np.clip(values, -30, 30)))).astype(np.float32)
