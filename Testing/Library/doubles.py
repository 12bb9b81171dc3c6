"""Propagators whose right answer is known: bright voxels are the object."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.propagation.prompts import NOTHING_KNOWN, BoxPrompt, Known, PointsPrompt
from SegmentPropagateLib.propagation.propagator import KeyMasks, Lane, PropagationSettings, SliceUpdate
from SegmentPropagateLib.volumes.cropped import Cropped
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.stack import ImageStack
from SegmentPropagateLib.volumes.volume import Volume


def drawn_volume(shape_kji: tuple[int, int, int] = (12, 20, 24)) -> tuple[Volume, NDArray[np.bool_]]:
    """A bright ellipsoid on black, and its mask; it leaves the first and the last slices free."""
    k, j, i = np.indices(shape_kji)
    center, radii = np.array(shape_kji) / 2 - 0.5, np.array(shape_kji) * 0.36
    mask = (((np.stack([k, j, i], -1) - center) / radii) ** 2).sum(-1) <= 1
    affine = np.diag([1.5, 1.5, 3.0, 1.0])
    return Volume(mask.astype(np.int16) * 100, Geometry(shape_kji, affine)), mask


class ThresholdPropagator:
    """The object is what is bright, whatever the keys; every call is recorded."""

    info: Mapping[str, Any] = {"model": "threshold"}

    def __init__(self) -> None:
        self.runs: list[list[Lane]] = []
        self.visited: list[tuple[int, int]] = []
        self.prompts: list[BoxPrompt | PointsPrompt] = []
        self.closed = False

    def open(self, stack: ImageStack, settings: PropagationSettings) -> None:
        self.stack, self.settings = stack, settings

    def segment(
        self, slice_index: int, prompt: BoxPrompt | PointsPrompt, known: Known = NOTHING_KNOWN
    ) -> NDArray[np.bool_]:
        self.prompts.append(prompt)
        bright = np.asarray(self.stack.values[slice_index]) > 50
        box = prompt if isinstance(prompt, BoxPrompt) else prompt.box
        if box is not None:
            i0, j0, i1, j1 = (int(value) for value in box.box_ij)
            inside = np.zeros_like(bright)
            inside[j0 : j1 + 1, i0 : i1 + 1] = True
            bright &= inside
        return bright

    def get_ahead(self, lanes: Sequence[Lane], key_masks: KeyMasks) -> Iterator[None]:
        self.ahead: list[int] = []
        for lane in lanes:
            for index in lane.slices:
                self.ahead.append(index)
                yield

    def run(self, lanes: Sequence[Lane], key_masks: KeyMasks) -> Generator[SliceUpdate, None, None]:
        self.runs.append(list(lanes))
        try:
            for step in range(max(len(lane.slices) for lane in lanes)):
                for lane in lanes:
                    if step < len(lane.slices):
                        yield self._update(lane, lane.slices[step], key_masks)
        finally:
            self.closed = True

    def _update(self, lane: Lane, slice_index: int, key_masks: KeyMasks) -> SliceUpdate:
        self.visited.append((lane.object_id, slice_index))
        mask = np.asarray(self.stack.values[slice_index]) > 50
        logits = np.where(mask, 5.0, -5.0).astype(np.float32) * lane.object_id
        return SliceUpdate(lane.object_id, slice_index, mask, 4.0 if mask.any() else -4.0, 0.9, Cropped.of(logits))


class SignaturePropagator(ThresholdPropagator):
    """Each slice's mask depends on the lane's keys and on all of its slices, so that any stale slice shows."""

    def _update(self, lane: Lane, slice_index: int, key_masks: KeyMasks) -> SliceUpdate:
        self.visited.append((lane.object_id, slice_index))
        path = (slice_index, *lane.slices)
        keys = [(key, key_masks[lane.object_id][key].tobytes()) for key in lane.keys]
        seed = abs(hash((tuple(keys), path, lane.object_id))) % 2**32
        mask = np.random.default_rng(seed).random(self.stack.slice_shape) > 0.5
        return SliceUpdate(lane.object_id, slice_index, mask, 1.0, 0.5, Cropped.of_mask(mask, 1.0, -1.0))
