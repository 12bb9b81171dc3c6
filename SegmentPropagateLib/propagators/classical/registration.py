"""Bring what is drawn on one image to its place on another by deformable registration."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import SimpleITK as sitk

from SegmentPropagateLib.propagators.classical.demons import Image, demons, finer, warp

LEVELS = ((4, 30), (2, 20), (1, 8))
"""Shrink factor and iterations, coarse to fine; each factor is twice the next, the last is 1."""

ALONE = 2**18
"""Multiplications of a product that OpenBLAS does in the caller's thread."""

Scales = tuple[Image, ...]
"""An image on the grid of each of the `LEVELS`."""


def scales_of(image: Image) -> Scales:
    """Blur and shrink an image, float32 `(rows, columns)`, both multiples of the largest factor."""
    scales = []
    for shrink, _ in LEVELS:
        rows, columns = (_shrinking(side, shrink) for side in image.shape)
        scales.append(np.ascontiguousarray(_times(columns, _times(rows, image).T).T))
    return tuple(scales)


@cache
def _shrinking(side: int, shrink: int) -> Image:
    """The matrix that blurs and shrinks a line of pixels as SimpleITK does: what becomes of each of them alone."""
    alone = sitk.GetImageFromArray(np.eye(side, dtype=np.float32))
    blurred = sitk.RecursiveGaussian(alone, max(0.5 * shrink, 0.6), direction=0)
    return np.ascontiguousarray(sitk.GetArrayViewFromImage(blurred).T[shrink // 2 :: shrink])


def _times(matrix: Image, image: Image) -> Image:
    """The product, in pieces so small that BLAS gives them to no other threads, which would spin."""
    width = max(1, ALONE // matrix.size)
    return np.concatenate([matrix @ image[:, start : start + width] for start in range(0, image.shape[1], width)], 1)


def register(fixed: Scales, moving: Scales) -> Callable[[Image], Image]:
    """Register one image onto another; what is returned brings anything of `moving`'s grid to its place on `fixed`.

    The images should span about 0..1. Beyond the edge the nearest pixel counts.
    """
    field = np.zeros((2, *fixed[0].shape), dtype=np.float32)
    for number, (shrink, iterations) in enumerate(LEVELS):
        field = finer(field) if number else field
        field = demons(fixed[number], moving[number], field, iterations, shrink)
    return lambda image: warp(image, field)[0]
