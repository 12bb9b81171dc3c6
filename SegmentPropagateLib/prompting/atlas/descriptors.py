"""What a voxel's surroundings look like, whatever their gray values: MIND-SSC (Heinrich 2013)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SIX = np.array([[-1, 0, 0], [0, 0, -1], [0, -1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0]])
_PAIRS = [(a, b) for a in range(6) for b in range(a) if ((_SIX[a] - _SIX[b]) ** 2).sum() == 2]
CHANNELS = len(_PAIRS)  # 12
_LEAST_SPREAD = 1e-4  # of gray values 0..1, squared: below it a region is flat and its noise says nothing


def self_similarity(gray: NDArray[np.float32], step: int = 1) -> NDArray[np.float32]:
    """Similarity of the patches around a voxel's six neighbors, for each pair that shares an edge.

    Args:
        gray: float32, three axes, 0..1.
        step: distance of the neighbors, voxels.

    Returns:
        Float32 `(12, *shape)`, 0..1; the most similar pair of a voxel has 1.
    """
    padded = np.pad(gray, step, mode="edge")
    around = [
        padded[tuple(slice(step + step * o, step + step * o + n) for o, n in zip(offset, gray.shape, strict=True))]
        for offset in _SIX
    ]
    distance = np.empty((CHANNELS, *gray.shape), np.float32)
    for out, (a, b) in zip(distance, _PAIRS, strict=True):
        np.subtract(around[a], around[b], out=out)
        np.multiply(out, out, out=out)
        blurred(out)
    distance -= distance.min(axis=0)
    spread = distance.mean(axis=0)
    mean = float(spread.mean())
    np.clip(spread, max(mean * 1e-3, _LEAST_SPREAD), max(mean * 1e3, _LEAST_SPREAD), out=spread)
    distance /= -spread
    return np.exp(distance, out=distance)


def blurred(image: NDArray[np.float32]) -> None:
    """Replace values by the means of 3 x 3 x 3, the border repeated; `scipy.ndimage` takes thrice as long.

    Args:
        image: float32, three axes, contiguous; changed in place.
    """
    before = np.empty_like(image)
    for axis in range(3):
        head = (slice(None),) * axis  # np.moveaxis takes longer than the sums of a small image
        before[...] = image
        image[(*head, slice(1, None))] += before[(*head, slice(None, -1))]
        image[(*head, slice(None, -1))] += before[(*head, slice(1, None))]
        for end in (0, -1):
            image[(*head, end)] += before[(*head, end)]
    image *= np.float32(1 / 27)
