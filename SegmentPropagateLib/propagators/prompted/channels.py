"""What the prompt network sees: a square around the prompt, its gray values as seen from the prompt, and the prompt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.propagators.classical.growcut import growcut
from SegmentPropagateLib.propagators.classical.regions import Region
from SegmentPropagateLib.propagators.prompted.grays import BINS, Grays, bins_of, log_ratio
from SegmentPropagateLib.volumes.robust import spread

SIZE = 64
"""Samples per side of what the network sees."""
COUNT = 12
"""Channels of `channels_of`."""
SEED = 0.5
"""Region growing starts where the weights, over the largest one, are above it."""
NEAR, FAR = 2.0, 12.0
"""How far a point's word goes, in samples: its own gray values, and its place."""

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
Box = tuple[float, float, float, float]
"""First row and column, last row and column: the outer edges of the pixels, so a pixel is as wide as 1."""


@dataclass(frozen=True)
class Given:
    """A prompt in pixels of a slice.

    Args:
        box: its outer edges, if there is one.
        positive: rows and columns `(N, 2)` of points on the object.
        negative: the same of points beside it.
    """

    box: Box | None
    positive: NDArray[np.float64]
    negative: NDArray[np.float64]


def channels_of(
    image: NDArray[np.generic], given: Given, before: Array | None, region: Region, grays: Grays | None = None
) -> Array:
    """Channels `(COUNT, SIZE, SIZE)` for the network.

    Gray values (0) and how they differ from the object's likely one (1); how much likelier they are within than
    without, learned close to the prompt (2) and in all of the box (10); what lies on the slice (3) and in the box (4);
    positive points, near and far (5, 6), and negative ones (7, 8); what was seen before (9); region growing (11).

    Args:
        image: gray values of the slice, `(rows, columns)`.
        given: the prompt.
        before: soft mask of the slice from an earlier look, 0..1.
        region: what of the slice the network is to see, `SIZE` samples wide.
        grays: what is known of the object's gray values beforehand, in the image's unit, beside what the prompt
            tells (2, 10).
    """
    taken, valid = region.take(image), _within(image.shape, region)
    seen = taken[valid > 0.5] if np.count_nonzero(valid > 0.5) > 20 else taken.ravel()
    low, high = np.percentile(seen, (2, 98))
    gray = (taken - low) / max(high - low, 1e-6)
    channels = np.zeros((COUNT, SIZE, SIZE), dtype=np.float32)
    own, other = np.zeros((SIZE, SIZE), dtype=np.float32), 0.02 * valid
    around = 0.02 * valid
    if given.box is not None:
        edges = _samples(region, np.reshape(given.box, (2, 2)))
        own += _core(edges)
        inside = _inside(edges)
        channels[4] = 2 * inside - 1
        other += (1 - inside) * valid
        around += inside * valid
    if len(given.positive):
        near, channels[5], channels[6] = _around_points(_samples(region, given.positive))
        own += _shared(near.sum(axis=0))
        around += near.max(axis=0) ** 0.1 * valid
    if len(given.negative):
        near, channels[7], channels[8] = _around_points(_samples(region, given.negative))
        other += 0.5 * near.max(axis=0)
    channels[0] = 2 * np.clip(gray, -0.25, 1.25) - 1
    channels[1] = np.tanh(4 * (gray - _weighted_median(gray, own)))
    channels[3] = valid
    channels[2], channels[10] = (_likelihood_ratio(gray, weights, other) for weights in (own, around))
    if grays is not None:
        channels[[2, 10]] += grays.share * (grays.at(taken) - channels[[2, 10]])
    channels[11] = 2 * _grown(channels[0] / 2, own, channels[4] < 0, channels[7] > SEED) - 1
    if before is not None:
        channels[9] = region.take(before) * valid
    return channels


def _samples(region: Region, points: NDArray[np.floating]) -> Array:
    """Pixels `(N, 2)` of the slice as places among the samples."""
    return ((points - np.array(region.origin_rc)) / np.array(region.step_rc)).astype(np.float32)


def _within(shape: tuple[int, ...], region: Region) -> Array:
    """1 where a sample lies on the slice, 0 from a pixel beyond it."""
    ramps = []
    for axis in (0, 1):
        places = region.origin_rc[axis] + region.step_rc[axis] * np.arange(SIZE)
        ramps.append(np.clip(np.minimum(places + 1, shape[axis] - places), 0, 1))
    return np.outer(*ramps).astype(np.float32)


def _axes() -> tuple[Array, Array]:
    steps = np.arange(SIZE, dtype=np.float32)
    return steps[:, None], steps[None, :]


def _core(edges: Array) -> Array:
    """Weights, of sum 1, of what is likely to be the object in a box: the nearer to its middle the more."""
    (middle_row, middle_column), (high, wide) = edges.mean(axis=0), np.maximum(np.ptp(edges, axis=0) / 2, 0.5)
    rows, columns = _axes()
    squares = ((rows - middle_row) / high) ** 2 + ((columns - middle_column) / wide) ** 2
    return _shared(np.exp(-squares / (2 * 0.35**2)))


def _inside(edges: Array) -> Array:
    """1 in the box, 0 outside."""
    (row0, column0), (row1, column1) = edges
    rows, columns = _axes()
    depth = np.minimum(np.minimum(rows - row0, row1 - rows), np.minimum(columns - column0, column1 - columns))
    return np.clip(depth + 0.5, 0, 1)


def _around_points(points: Array) -> tuple[Array, Array, Array]:
    """Of points `(N, 2)`: each one's nearness `(N, SIZE, SIZE)`, and that of any, close by and from afar."""
    rows, columns = _axes()
    squares = (rows - points[:, 0, None, None]) ** 2 + (columns - points[:, 1, None, None]) ** 2
    near = np.exp(-squares / (2 * NEAR**2))
    return near, near.max(axis=0), np.exp(-np.sqrt(squares.min(axis=0)) / FAR)


def _shared(weights: Array) -> Array:
    return weights / max(float(weights.sum()), 1e-6)


def _weighted_median(values: Array, weights: Array) -> float:
    order = np.argsort(values, axis=None)
    sums = np.cumsum(weights.ravel()[order])
    return float(values.ravel()[order[min(int(np.searchsorted(sums, sums[-1] / 2)), len(order) - 1)]])


def _grown(gray: Array, own: Array, beyond: Mask, negative: Mask) -> Array:
    """Region growing from where the object is likely: its share of the distances, 0..1.

    Args:
        gray: gray values, spanning 1.
        own: weights of what is likely to be the object.
        beyond: what lies outside the box; nowhere where there is no box, and the object ends within the square then.
        negative: what lies at negative points.
    """
    inside = own >= SEED * own.max()
    outside = beyond | negative
    if not beyond.any():
        outside[[0, -1]] = outside[:, [0, -1]] = True
    unit = max(spread(gray[inside]), 0.02)
    return growcut(gray / np.float32(unit), inside, outside & ~inside, (0.05, 0.05))


def _likelihood_ratio(values: Array, own: Array, other: Array) -> Array:
    """How much more frequent a gray value is by the one weights than by the others, as half a logarithm; -1.5..1.5."""
    bins = bins_of(values)
    own_counts, other_counts = (np.bincount(bins.ravel(), weights.ravel(), BINS) for weights in (own, other))
    return log_ratio(own_counts, other_counts)[bins]
