"""A propagator without a network: registration and region growing, averaged, with a stop rule.

It needs numpy, scipy and SimpleITK only, so it works where torch is not installed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SegmentPropagateLib.growcut import growcut
from SegmentPropagateLib.prompts import BoxPrompt, PointsPrompt
from SegmentPropagateLib.propagator import ImageStack, KeyMasks, Lane, PropagationSettings, SliceUpdate
from SegmentPropagateLib.regions import GRID, Region
from SegmentPropagateLib.registration import warp_onto

COARSE = 2
"""Region growing works on a grid that is coarser by this factor."""
GROWCUT_SLICES = 30
"""Region growing reaches so far from a key slice."""
SMALLEST = 0.05
"""An object that shrinks below this share of its key area is held to have ended."""


class ClassicalPropagator:
    """Carries masks by demons registration and GrowCut; implements `propagator.Propagator`."""

    def __init__(self) -> None:
        self._stack: ImageStack | None = None
        self._settings = PropagationSettings()

    @property
    def info(self) -> Mapping[str, Any]:
        """Facts for reports."""
        return {"model": "classical", "family": "classical", "device": "cpu", "precision": "float32"}

    def open(self, stack: ImageStack, settings: PropagationSettings) -> None:
        """Take a new stack."""
        self._stack, self._settings = stack, settings

    def segment(self, slice_index: int, prompt: BoxPrompt | PointsPrompt) -> NDArray[np.bool_]:
        """Outline the object that a box or points name on one slice: bool `(rows, columns)`."""
        return segment_slice(self._opened().values[slice_index], prompt)

    def run(self, lanes: Sequence[Lane], key_masks: KeyMasks) -> Iterator[SliceUpdate]:
        """Carry the masks along the lanes, all lanes one slice per step; see `propagator.Propagator.run`."""
        passes = _Passes(self._opened(), key_masks)
        walks = [_walk(lane, passes, self._settings.stop_after_empty) for lane in lanes]
        for step in zip_longest(*walks):
            for update in step:
                if update is not None:
                    yield update

    def _opened(self) -> ImageStack:
        if self._stack is None:
            raise RuntimeError("open() comes before segment() and run()")
        return self._stack


@dataclass(frozen=True)
class _Guess:
    """Soft mask, float32 `(rows, columns)` in 0..1, and presence as a logit."""

    soft: NDArray[np.float32]
    presence: float


class _Pass:
    """The way from one key slice in one direction up to a last slice; every slice is computed once, in order.

    Args:
        stack: the slices.
        key: the key slice.
        mask: its mask.
        slices: the slices to visit, the key's neighbor first.
    """

    def __init__(self, stack: ImageStack, key: int, mask: NDArray[np.bool_], slices: range) -> None:
        self._stack, self._slices = stack, slices
        self._region = Region.around(mask, stack.spacing_mm[1:])
        self._guesses: dict[int, _Guess] = {}
        self._image = self._region.take(stack.values[key])
        self._soft = self._region.take(mask)
        inside = self._soft > 0.5
        self._area = max(int(inside.sum()), 1)
        self._low, self._high = (float(value) for value in np.percentile(self._image, (1, 99)))
        self._middle, self._spread = _appearance(self._image, inside)
        self._grown = self._grow(inside)
        self._ended = False

    def at(self, index: int) -> _Guess:
        """Return the guess for a slice, computing those before it first."""
        while index not in self._guesses:
            self._advance(self._slices[len(self._guesses)])
        return self._guesses[index]

    def _advance(self, index: int) -> None:
        number = len(self._guesses)
        presence = -10.0
        soft = np.zeros((GRID, GRID), dtype=np.float32)
        if not self._ended:
            image = self._region.take(self._stack.values[index])
            warped = warp_onto(self._scaled(image), self._scaled(self._image), self._soft)
            presence = self._presence(image, warped > 0.5)
            self._image, self._soft, self._ended = image, warped, presence <= 0
            if number < len(self._grown) and presence > 0:
                soft = (warped + self._grown[number]) / 2
        self._guesses[index] = _Guess(self._region.put(soft, self._stack.slice_shape), presence)

    def _scaled(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.clip((image - self._low) / (self._high - self._low + 1e-6), -0.2, 1.2).astype(np.float32)

    def _presence(self, image: NDArray[np.float32], inside: NDArray[np.bool_]) -> float:
        """Compare what the mask covers with the object on the key slice: a logit, 0 where half of it looks alike."""
        if inside.sum() < SMALLEST * self._area:
            return -10.0
        calm = ndimage.gaussian_filter(image, 0.7)[inside]
        alike = float((np.abs(calm - self._middle) < 3 * self._spread).mean())
        return 10 * (alike - 0.5)

    def _grow(self, inside: NDArray[np.bool_]) -> NDArray[np.float32]:
        """GrowCut over the key slice and the first slices of the pass: float32 `(slices, GRID, GRID)` of 0 and 1."""
        slices = self._slices[:GROWCUT_SLICES]
        images = np.stack([self._image, *(self._region.take(self._stack.values[index]) for index in slices)])
        size = GRID // COARSE
        coarse = images.reshape(len(images), size, COARSE, size, COARSE).mean((2, 4))
        key = inside.reshape(size, COARSE, size, COARSE).mean((1, 3)) > 0.5
        core = ndimage.binary_erosion(key)
        seeds, others = np.zeros(coarse.shape, dtype=bool), np.zeros(coarse.shape, dtype=bool)
        seeds[0] = core if core.any() else key
        others[:, [0, -1]] = others[:, :, [0, -1]] = True
        others[0] |= ~ndimage.binary_dilation(key, iterations=2)
        others[0] &= ~key
        grown = growcut(coarse / self._spread, seeds, others, (0.05 * self._step_ratio(), 0.05, 0.05))[1:]
        return np.repeat(np.repeat(grown, COARSE, 1), COARSE, 2).astype(np.float32)

    def _step_ratio(self) -> float:
        """Distance between slices in units of the coarse grid's step."""
        between, row = self._stack.spacing_mm[:2]
        return between / (row * self._region.step_rc[0] * COARSE)


class _Passes:
    """All passes of one run; the two lanes between a pair of keys share theirs."""

    def __init__(self, stack: ImageStack, key_masks: KeyMasks) -> None:
        self._stack, self._key_masks = stack, key_masks
        self._passes: dict[tuple[int, int, range], _Pass] = {}
        self.slice_shape = stack.slice_shape

    def guess(self, object_id: int, bounds: tuple[int, int | None], leg: range, index: int) -> _Guess:
        """Guess one slice of a leg that starts beside `bounds[0]` and lies before `bounds[1]`, if that is a key.

        Between two keys both have a say, each in proportion to its nearness.
        """
        near, far = bounds
        if far is None:
            return self._pass(object_id, near, leg).at(index)
        step = 1 if far > near else -1
        first = self._pass(object_id, near, range(near + step, far, step)).at(index)
        second = self._pass(object_id, far, range(far - step, near, -step)).at(index)
        share = abs(index - near) / abs(far - near)
        soft = (1 - share) * first.soft + share * second.soft
        return _Guess(soft, (1 - share) * first.presence + share * second.presence)

    def _pass(self, object_id: int, key: int, slices: range) -> _Pass:
        name = (object_id, key, slices)
        if name not in self._passes:
            self._passes[name] = _Pass(self._stack, key, self._key_masks[object_id][key], slices)
        return self._passes[name]


def _walk(lane: Lane, passes: _Passes, stop_after_empty: int | None) -> Iterator[SliceUpdate]:
    """Yield the updates of one lane."""
    for leg in lane.legs:
        bounds = _bounds(lane, leg)
        empty = 0
        for index in leg:
            if stop_after_empty is not None and empty >= stop_after_empty:
                nothing = np.zeros(passes.slice_shape, dtype=bool)
                yield SliceUpdate(lane.object_id, index, nothing, -10.0, float("nan"))
                continue
            guess = passes.guess(lane.object_id, bounds, leg, index)
            mask = guess.soft > 0.5
            empty = 0 if mask.any() else empty + 1
            soft = np.clip(guess.soft, 1e-4, 1 - 1e-4)
            logits = np.log(soft / (1 - soft)).astype(np.float32)
            presence = guess.presence if mask.any() else min(guess.presence, -1.0)
            yield SliceUpdate(lane.object_id, index, mask, presence, float("nan"), logits)


def _bounds(lane: Lane, leg: range) -> tuple[int, int | None]:
    """Key slice that a leg starts from, and the key slice ahead of it, if any."""
    behind = [key for key in lane.keys if (key - leg[0]) * leg.step < 0]
    ahead = [key for key in lane.keys if (key - leg[-1]) * leg.step > 0]
    near = max(behind) if leg.step > 0 else min(behind)
    if not ahead:
        return near, None
    return near, min(ahead) if leg.step > 0 else max(ahead)


def _appearance(image: NDArray[np.float32], inside: NDArray[np.bool_]) -> tuple[float, float]:
    """Median of the object's values and their spread (MAD as a standard deviation, never below 2 % of the contrast)."""
    values = image[inside] if inside.any() else image
    middle = float(np.median(values))
    low, high = np.percentile(image, (1, 99))
    spread = 1.4826 * float(np.median(np.abs(values - middle)))
    return middle, max(spread, 0.02 * float(high - low), 1e-3)


def segment_slice(image: NDArray[Any], prompt: BoxPrompt | PointsPrompt) -> NDArray[np.bool_]:
    """Outline what a box or points name, by region growing: bool `(rows, columns)`."""
    box = prompt if isinstance(prompt, BoxPrompt) else prompt.box
    shape = (image.shape[0], image.shape[1])
    inside, outside = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    if box is not None:
        i0, j0, i1, j1 = box.box_ij
        outside |= (rows < j0) | (rows > j1) | (columns < i0) | (columns > i1)
        radius = np.hypot((rows - (j0 + j1) / 2) / (j1 - j0 + 1), (columns - (i0 + i1) / 2) / (i1 - i0 + 1))
        inside |= radius <= 0.2
    if isinstance(prompt, PointsPrompt):
        for (i, j), positive in zip(np.rint(prompt.points_ij).astype(int), prompt.positive, strict=True):
            (inside if positive else outside)[j, i] = True
    values = np.asarray(image, dtype=np.float32)
    _, spread = _appearance(values, inside)
    grown = growcut(values / spread, inside, outside & ~inside, (0.05, 0.05))
    return ndimage.binary_fill_holes(grown)
