"""What the starter model is taught to segment: components of phantoms, seen in the direction of travel."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SegmentPropagateLib.phantoms.phantom import Phantom, make_phantom
from SegmentPropagateLib.training.clips import Target, TrainingVolume
from SegmentPropagateLib.volumes.stack import ImageStack

VOLUME_SHAPES = ((32, 128, 128), (48, 112, 112), (64, 96, 96))


class PhantomPool:
    """Phantoms as training volumes, had when they are needed; the most recent ones are kept.

    Args:
        keep: how many.
        have: where they come from; None makes them.
    """

    def __init__(self, keep: int, have: Callable[[int], TrainingVolume] | None = None) -> None:
        self._kept: OrderedDict[int, TrainingVolume] = OrderedDict()
        self._keep, self._have = keep, have or self.make

    @staticmethod
    def make(seed: int) -> TrainingVolume:
        """The phantom of a seed, its labels being numbers of connected components."""
        return as_volume(make_phantom(seed, "mixed", VOLUME_SHAPES[seed % len(VOLUME_SHAPES)]))

    def get(self, seed: int) -> TrainingVolume:
        """The same, if it was not had before."""
        if seed not in self._kept:
            self._kept[seed] = self._have(seed)
            while len(self._kept) > self._keep:
                self._kept.popitem(last=False)
        return self._kept[seed]


def as_volume(phantom: Phantom) -> TrainingVolume:
    """A phantom cut into its connected components, the four largest of each label."""
    parts = np.zeros(phantom.labels.shape, np.uint8)
    count = 0
    for value in phantom.names:
        components, _ = ndimage.label(phantom.labels == value)
        sizes = np.bincount(components.ravel())
        for component in np.argsort(-sizes[1:])[:4] + 1:
            if component < len(sizes) and sizes[component] >= 80 and count < 255:
                count += 1
                parts[components == component] = count
    # The starter looks at values alone; gray is there because a stack has it.
    gray = np.zeros(phantom.values.shape, np.uint8)
    return TrainingVolume("phantom", ImageStack(phantom.values, gray, phantom.spacing_kji_mm), (parts,))


def draw_target(
    volume: TrainingVolume, length: int, rng: np.random.Generator, thinned: float = 0.0
) -> tuple[TrainingVolume, Target] | None:
    """A component to segment, sometimes with its neighbors, and the volume seen in the direction of travel.

    Half of the clips end beyond the target, where that can be had.

    Args:
        volume: a phantom's.
        length: slices of the clip.
        rng: source of randomness.
        thinned: chance that every other slice is left out.
    """
    if rng.random() < 0.5:
        volume = _reversed(volume)
    if thinned and rng.random() < thinned and len(volume.stack) >= 2 * length + 4:
        volume = _thinned(volume)
    labels = volume.layers[0]
    areas = np.stack([np.bincount(slice_.ravel(), minlength=256) for slice_ in labels])  # (slices, parts)
    largest = areas[:, 1:].max(0)
    fitting = np.flatnonzero((largest >= 20) & (largest <= 0.4 * labels[0].size)) + 1
    if len(fitting) == 0:
        return None
    chances = np.sqrt(np.minimum(largest[fitting - 1], 2000.0))
    part = int(rng.choice(fitting, p=chances / chances.sum()))
    starts = np.flatnonzero(areas[:, part] >= 0.35 * areas[:, part].max())
    starts = starts[starts + length <= len(labels)]
    leaving = starts[areas[starts + length - 1, part] == 0] if len(starts) else starts
    if len(leaving) and rng.random() < 0.5:
        starts = leaving
    if len(starts) == 0:
        return None
    start = int(rng.choice(starts))
    values = (part, *_neighbors(labels[start], part, rng)) if rng.random() < 0.4 else (part,)
    return volume, Target(values, (start,))


def _neighbors(labels: NDArray[np.integer], part: int, rng: np.random.Generator) -> list[int]:
    """Up to three components beside a component on a slice: targets that are made of several parts."""
    rows, columns = np.nonzero(labels == part)
    reach = int(0.3 * max(np.ptp(rows), np.ptp(columns)) + 3)
    window = labels[
        max(rows.min() - reach, 0) : rows.max() + reach + 1, max(columns.min() - reach, 0) : columns.max() + reach + 1
    ]
    counts = np.bincount(window.ravel(), minlength=256)
    counts[[0, part]] = 0
    near = np.flatnonzero((counts >= 8) & (counts < 1.5 * len(rows)))
    return [int(value) for value in rng.permutation(near)[: rng.integers(1, 4)]]


def _reversed(volume: TrainingVolume) -> TrainingVolume:
    stack = volume.stack
    turned = ImageStack(stack.values[::-1], stack.gray[::-1], stack.spacing_mm)
    return TrainingVolume(volume.name, turned, tuple(layer[::-1] for layer in volume.layers))


def _thinned(volume: TrainingVolume) -> TrainingVolume:
    """Every other slice: twice the change from slice to slice."""
    stack = volume.stack
    spacing = (2 * stack.spacing_mm[0], *stack.spacing_mm[1:])
    fewer = ImageStack(stack.values[::2], stack.gray[::2], spacing)
    return TrainingVolume(volume.name, fewer, tuple(layer[::2] for layer in volume.layers))
