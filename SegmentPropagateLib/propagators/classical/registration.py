"""Bring what is drawn on one image to its place on another by deformable registration."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import SimpleITK as sitk

from SegmentPropagateLib.propagators.classical.demons import Image, demons, finer, warp

LEVELS = ((4, 30), (2, 20), (1, 8))
"""Shrink factor and iterations, coarse to fine; each factor is twice the next, the last is 1."""

Scales = tuple[Image, ...]
"""An image on the grid of each of the `LEVELS`."""


def scales_of(image: Image) -> Scales:
    """Blur and shrink an image, float32 `(rows, columns)`, both multiples of the largest factor."""
    stored = sitk.GetImageFromArray(image)
    blurred = [sitk.SmoothingRecursiveGaussian(stored, max(0.5 * shrink, 0.6)) for shrink, _ in LEVELS]
    return tuple(
        np.array(sitk.GetArrayViewFromImage(one)[shrink // 2 :: shrink, shrink // 2 :: shrink])
        for one, (shrink, _) in zip(blurred, LEVELS, strict=True)
    )


def register(fixed: Scales, moving: Scales) -> Callable[[Image], Image]:
    """Register one image onto another; what is returned brings anything of `moving`'s grid to its place on `fixed`.

    The images should span about 0..1. Beyond the edge the nearest pixel counts.
    """
    field = np.zeros((2, *fixed[0].shape), dtype=np.float32)
    for number, (shrink, iterations) in enumerate(LEVELS):
        field = finer(field) if number else field
        field = demons(fixed[number], moving[number], field, iterations, shrink)
    return lambda image: warp(image, field)[0]
