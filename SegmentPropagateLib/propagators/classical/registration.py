"""Bring what is drawn on one image to its place on another by deformable registration."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

LEVELS = ((4, 30), (2, 20), (1, 8))
"""Shrink factor and iterations, coarse to fine."""

Image = NDArray[np.float32]


def register(fixed: Image, moving: Image) -> Callable[[Image], Image]:
    """Register `moving` onto `fixed`; what is returned brings anything of `moving`'s grid to its place on `fixed`.

    Symmetric-forces demons (Vercauteren 2009) in three resolutions. All arrays are float32 `(rows, columns)` of one
    shape; the images should span about 0..1. Beyond the edge the nearest pixel counts.
    """
    target, source = sitk.GetImageFromArray(fixed), sitk.GetImageFromArray(moving)
    field = None
    for shrink, iterations in LEVELS:
        demons = sitk.FastSymmetricForcesDemonsRegistrationFilter()
        demons.SetNumberOfThreads(1)  # sums of several threads differ from run to run
        demons.SetNumberOfIterations(iterations)
        demons.SetStandardDeviations(1.5)
        demons.SetSmoothUpdateField(True)
        demons.SetUpdateFieldStandardDeviations(1.0)
        coarse_target, coarse_source = _coarse(target, shrink), _coarse(source, shrink)
        if field is None:
            field = demons.Execute(coarse_target, coarse_source)
        else:
            field = demons.Execute(coarse_target, coarse_source, sitk.Resample(field, coarse_target))
    resample = sitk.ResampleImageFilter()
    resample.SetReferenceImage(target)
    resample.SetTransform(sitk.DisplacementFieldTransform(sitk.Cast(field, sitk.sitkVectorFloat64)))
    resample.SetUseNearestNeighborExtrapolator(True)
    return lambda image: sitk.GetArrayFromImage(resample.Execute(sitk.GetImageFromArray(image)))


def _coarse(image: sitk.Image, shrink: int) -> sitk.Image:
    return sitk.Shrink(sitk.SmoothingRecursiveGaussian(image, max(0.5 * shrink, 0.6)), [shrink] * 2)
