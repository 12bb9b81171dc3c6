"""Non-local label fusion: what registration has brought near its place finds the place by comparing small patches.

After Coupe 2011 and Rousseau 2011 (doi:10.1016/j.neuroimage.2010.09.018, doi:10.1109/TMI.2011.2156806), with one
source, the previous slice, in place of an atlas library. With the range given it raised the classical propagator's mean
DSC by .013 on the evaluation's 33 targets and by .008 on 32 other organs.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from SegmentPropagateLib.propagators.classical.demons import Image
from SegmentPropagateLib.volumes.robust import spread

REACH = 2
"""How far a pixel looks for its like, in samples; 3 gave the same. Measured, as the next two, by
Testing/Experiments/measure_classical.py."""
PATCH = 5
"""Side of a patch, in samples; 3 gave the same."""
TOLERANCE = 0.7
"""Difference of patches that is put down to chance, over the spread of the differences between the two slices; 0.5 and
1 gave the same."""


def fuse(image: Image, brought: Image, soft: Image) -> Image:
    """Give every pixel the mean of the labels around its place, each weighted by how alike the two patches are.

    Args:
        image: the slice to label, float32 `(rows, columns)`, spanning about 0..1.
        brought: the previous slice, registered onto it.
        soft: the labels of `brought`, 0..1.
    """
    chance = TOLERANCE * max(spread(image - brought, middle=0.0), 0.01)
    scale = np.float32(-0.5 / chance**2 / PATCH**2)
    rows, columns = image.shape
    sources, labels = (np.pad(array, REACH, mode="edge") for array in (brought, soft))
    total, weights = np.zeros_like(soft), np.zeros_like(soft)
    for row, column in product(range(2 * REACH + 1), repeat=2):
        window = slice(row, row + rows), slice(column, column + columns)
        weight = np.exp(scale * _sum_around((image - sources[window]) ** 2))
        total += weight * labels[window]
        weights += weight
    unlike_all = weights < 1e-6
    return np.where(unlike_all, soft, total / np.where(unlike_all, 1, weights))


def _sum_around(image: Image) -> Image:
    """The sum over a patch around every pixel; beyond the edge the image is mirrored."""
    for axis in (0, 1):
        count = image.shape[axis]
        inner = np.arange(-(PATCH // 2), count + PATCH // 2)
        padded = image.take(np.minimum(np.maximum(inner, -1 - inner), 2 * count - 1 - inner), axis)
        parts = [padded[(slice(None),) * axis + (slice(start, start + count),)] for start in range(PATCH)]
        image = parts[0] + parts[1]
        for part in parts[2:]:
            image += part
    return image
