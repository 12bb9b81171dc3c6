"""A propagator without a network: registration, region growing and intensities, with a stop rule.

It needs numpy, scipy and SimpleITK only, so it works where torch is not installed.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.propagation.prompts import BoxPrompt, PointsPrompt
from SegmentPropagateLib.propagation.propagator import KeyMasks, Lane, PropagationSettings, SliceUpdate
from SegmentPropagateLib.propagators.classical.carrier import ABSENT, Carrier, Guess
from SegmentPropagateLib.propagators.prompted.outline import outline
from SegmentPropagateLib.volumes.stack import ImageStack


class ClassicalPropagator:
    """Carries masks without learning; implements `propagator.Propagator`."""

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
        stack = self._opened()
        return outline(stack.values[slice_index], stack.spacing_mm[1:], prompt)

    def run(self, lanes: Sequence[Lane], key_masks: KeyMasks) -> Generator[SliceUpdate, None, None]:
        """Carry the masks along the lanes, all lanes one slice per step; see `propagator.Propagator.run`."""
        stack = self._opened()
        passes = _Passes(stack, key_masks)
        walks = [_walk(lane, passes, self._settings, stack) for lane in lanes]
        with ThreadPoolExecutor(min(len(walks), os.cpu_count() or 1) or 1) as threads:
            while walks:
                step = list(threads.map(next, walks, repeat(None)))
                yield from (update for update in step if update is not None)
                walks = [walk for walk, update in zip(walks, step, strict=True) if update is not None]

    def _opened(self) -> ImageStack:
        if self._stack is None:
            raise RuntimeError("open() comes before segment() and run()")
        return self._stack


class _Passes:
    """All passes of one run; the two lanes between a pair of keys share theirs, whichever thread comes first."""

    def __init__(self, stack: ImageStack, key_masks: KeyMasks) -> None:
        self._stack, self._key_masks = stack, key_masks
        self._passes: dict[tuple[int, int, range], tuple[Carrier, Lock]] = {}
        self._making = Lock()

    def guess(self, lane: Lane, bounds: tuple[int, int | None], leg: range, index: int) -> Guess:
        """Guess one slice of a leg that starts beside `bounds[0]` and lies before `bounds[1]`, if that is a key.

        Between two keys both have a say, each in proportion to its nearness.
        """
        near, far = bounds
        if far is None:
            return self._guess(index, lane.object_id, near, leg, leg[-1] in lane.given_ends)
        step = 1 if far > near else -1
        # A key beyond is the user's word that the object goes on, as a given end is.
        first = self._guess(index, lane.object_id, near, range(near + step, far, step), True)
        second = self._guess(index, lane.object_id, far, range(far - step, near, -step), True)
        share = abs(index - near) / abs(far - near)
        return first.mixed(second, share)

    def _guess(self, index: int, object_id: int, key: int, slices: range, stated: bool) -> Guess:
        name = (object_id, key, slices)
        with self._making:
            if name not in self._passes:
                mask = self._key_masks[object_id][key]
                self._passes[name] = Carrier(self._stack, key, mask, slices, stated), Lock()
        carrier, lock = self._passes[name]
        with lock:
            return carrier.at(index)


def _walk(lane: Lane, passes: _Passes, settings: PropagationSettings, stack: ImageStack) -> Iterator[SliceUpdate]:
    """Yield the updates of one lane."""
    for leg in lane.legs:
        bounds = _bounds(lane, leg)
        empty = 0
        for index in leg:
            if settings.stop_after_empty is not None and empty >= settings.stop_after_empty:
                nothing = np.zeros(stack.slice_shape, dtype=bool)
                yield SliceUpdate(lane.object_id, index, nothing, ABSENT, 0.0)
                continue
            guess = passes.guess(lane, bounds, leg, index)
            soft = np.clip(guess.soft, 1e-4, 1 - 1e-4)
            logits = np.log(soft / (1 - soft))
            mask = logits > 0
            empty = 0 if mask.any() else empty + 1
            presence = guess.presence if mask.any() else min(guess.presence, -1.0)
            yield SliceUpdate(lane.object_id, index, mask, presence, guess.predicted_iou, logits)


def _bounds(lane: Lane, leg: range) -> tuple[int, int | None]:
    """Key slice that a leg starts from, and the key slice ahead of it, if any."""
    behind = [key for key in lane.keys if (key - leg[0]) * leg.step < 0]
    ahead = [key for key in lane.keys if (key - leg[-1]) * leg.step > 0]
    near = max(behind) if leg.step > 0 else min(behind)
    if not ahead:
        return near, None
    return near, min(ahead) if leg.step > 0 else max(ahead)
