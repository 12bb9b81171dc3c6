"""Carry a soft mask from one image to the next by deformable registration."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

LEVELS = ((4, 30), (2, 20), (1, 8))
"""Shrink factor and iterations, coarse to fine."""


def warp_onto(
    fixed: NDArray[np.float32], moving: NDArray[np.float32], soft: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Register `moving` onto `fixed` and return `soft` (drawn on `moving`) in the place of the object on `fixed`.

    Symmetric-forces demons (Vercauteren 2009) in three resolutions. All arrays are float32 `(rows, columns)` of one
    shape; the images should span about 0..1.
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
    transform = sitk.DisplacementFieldTransform(sitk.Cast(field, sitk.sitkVectorFloat64))
    warped = sitk.Resample(sitk.GetImageFromArray(soft), target, transform, sitk.sitkLinear, 0.0)
    return sitk.GetArrayFromImage(warped)


def _coarse(image: sitk.Image, shrink: int) -> sitk.Image:
    return sitk.Shrink(sitk.SmoothingRecursiveGaussian(image, max(0.5 * shrink, 0.6)), [shrink] * 2)
