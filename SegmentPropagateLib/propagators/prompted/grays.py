"""Which gray values are an object's and which lie around it, by how often they are seen in slices."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SegmentPropagateLib.volumes.boxes import first_and_last
from SegmentPropagateLib.volumes.intensity import to_gray

BINS = 34
AROUND = 0.3
"""What is learned from lies so far around an object, over its longer side: about what the prompt network sees."""
SAMPLES = 1 << 19
"""Voxels of a volume by which its unit is measured, about."""

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Grays:
    """How much likelier gray values are within an object than around it.

    Args:
        ratio: half the logarithm of how much likelier, -1.5..1.5, float32 `(BINS,)`; the first and the last are of
            what is darker than `low` and brighter than `high`.
        low: where the bins begin.
        high: where they end.
        share: how much of what the prompt network is told of likely gray values this is, 0..1; the rest is what the
            prompt itself tells.
    """

    ratio: Array
    low: float
    high: float
    share: float = 1.0

    def at(self, values: NDArray[Any]) -> Array:
        """The ratio of each of the gray values."""
        return self.ratio[bins_of((values - self.low) / (self.high - self.low))]

    def in_unit_of(self, values: NDArray[Any]) -> Grays:
        """The same in a volume's own unit, for one that was learned in `portable` ones.

        Args:
            values: finite gray values of the volume.
        """
        low, high = _range_of(values)
        return replace(self, low=low + self.low * (high - low), high=low + self.high * (high - low))

    def portable(self, values: NDArray[Any]) -> Grays:
        """The same over the range that the volume is shown in by default: HU stay HU, other units find their like.

        Args:
            values: finite gray values of the volume that it was learned from.
        """
        low, high = _range_of(values)
        return replace(self, low=(self.low - low) / (high - low), high=(self.high - low) / (high - low))


def learned(slices: Iterable[tuple[NDArray[Any], NDArray[np.bool_]]], share: float = 1.0) -> Grays:
    """Learn from slices, each of which counts as much.

    Args:
        slices: gray values and the object's outline, `(rows, columns)` each; none of them empty.
        share: see `Grays`.
    """
    inside, outside = [], []
    for image, mask in slices:
        bounds = first_and_last(mask)
        room = int(AROUND * max(last - first + 1 for first, last in bounds)) + 1
        window = tuple(slice(max(first - room, 0), last + room + 1) for first, last in bounds)
        inside.append(image[window][mask[window]].astype(np.float64))
        outside.append(image[window][~mask[window]].astype(np.float64))
    low, high = (float(value) for value in np.percentile(np.concatenate([*inside, *outside]), (1, 99)))
    high = max(high, low + 1e-6)
    own, other = (_shares([(values - low) / (high - low) for values in lists]) for lists in (inside, outside))
    return Grays(log_ratio(own, other), low, high, share)


def bins_of(values: NDArray[Any]) -> NDArray[np.intp]:
    """Bins of gray values that span 0..1."""
    return np.digitize(values, np.linspace(0, 1, BINS - 1))


def log_ratio(own: NDArray[Any], other: NDArray[Any]) -> Array:
    """How much more frequent each bin is by the one count than by the other, as half a logarithm; -1.5..1.5."""
    return (np.clip(np.log(_frequencies(own) / _frequencies(other)), -3, 3) / 2).astype(np.float32)


def _shares(lists: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """How often each bin is seen, the same weight to each of the lists."""
    return np.sum([np.bincount(bins_of(values), minlength=BINS) / max(len(values), 1) for values in lists], axis=0)


def _frequencies(counts: NDArray[Any]) -> NDArray[np.float64]:
    counts = ndimage.gaussian_filter1d(counts, 1.2, mode="nearest")
    return 0.95 * counts / max(counts.sum(), 1e-9) + 0.05 / BINS


def _range_of(values: NDArray[Any]) -> tuple[float, float]:
    step = max(1, round((values.size / SAMPLES) ** (1 / values.ndim)))
    shown = to_gray(values[(slice(None, None, step),) * values.ndim])
    return shown.low, max(shown.high, shown.low + 1e-6)
