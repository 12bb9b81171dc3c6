"""Boxes and points as annotators might draw them, drawn at random from a mask: SAM^Med's three kinds of prompts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SegmentPropagateLib.propagation.prompts import BoxPrompt, PointsPrompt
from SegmentPropagateLib.volumes.boxes import first_and_last

Mask = NDArray[np.bool_]
Weights = NDArray[np.float64]

NEAR_EDGE = 2.0
"""Points of the kind `boundary` are so few pixels from the edge."""
_DEPTH_OF_OUTSIDE = 0.5  # of the object's longer side: how far from it points beside it are drawn


def jittered_box(mask: Mask, jitter: float, rng: np.random.Generator) -> BoxPrompt:
    """The mask's bounding box, each side moved by up to `jitter` of the box's own length, out or in."""
    (top, bottom), (left, right) = first_and_last(mask)
    lengths = np.array([right - left, bottom - top, right - left, bottom - top]) + 1
    moved = np.array([left, top, right, bottom]) + rng.uniform(-jitter, jitter, 4) * lengths
    low, high = np.minimum(moved[:2], moved[2:]), np.maximum(moved[:2], moved[2:])
    limits = np.array(mask.shape[::-1]) - 1
    corners = np.clip(np.concatenate([low, high]), 0, np.tile(limits, 2))
    return BoxPrompt(tuple(float(corner) for corner in corners))  # type: ignore[arg-type] # four of them


def drawn_points(mask: Mask, most: int, rng: np.random.Generator) -> PointsPrompt:
    """One to `most` points on the object and none to `most` beside it, each lot chosen in a way of its own.

    Args:
        mask: bool `(rows, columns)`, not empty.
        most: points of a kind.
        rng: what is random.
    """
    near = _surroundings(mask)
    on = _some(mask, int(rng.integers(1, most + 1)), rng)
    beside = _some(near, int(rng.integers(0, most + 1)) if near.any() else 0, rng)
    positive = np.arange(len(on) + len(beside)) < len(on)
    return PointsPrompt(np.concatenate([on, beside]).astype(np.float64), positive)


def _surroundings(mask: Mask) -> Mask:
    """What is not the object, in its bounding box and around it."""
    near = np.zeros_like(mask)
    bounds = first_and_last(mask)
    margin = round(_DEPTH_OF_OUTSIDE * max(last - first + 1 for first, last in bounds)) + 1
    near[tuple(slice(max(first - margin, 0), last + margin + 1) for first, last in bounds)] = True
    return near & ~mask


def _some(area: Mask, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """So many different pixels `(N, 2)`, column and row: anywhere, rather deep inside, or near the edge."""
    rows, columns = np.nonzero(area)
    depth = ndimage.distance_transform_edt(np.pad(area, 1))[1:-1, 1:-1][rows, columns]
    weights: Weights = (np.ones(len(depth)), depth, (depth <= NEAR_EDGE).astype(np.float64))[int(rng.integers(3))]
    count = min(count, int(np.count_nonzero(weights)))
    chosen = rng.choice(len(rows), count, replace=False, p=weights / weights.sum()) if count else np.arange(0)
    return np.stack([columns[chosen], rows[chosen]], axis=1)
