"""Between voxel grids in RAS and SimpleITK images, which are LPS: the only place that knows LPS."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.volumes.geometry import Geometry

_LPS_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])  # its own inverse


def ijk_to_lps(geometry: Geometry) -> NDArray[np.float64]:
    """The 4 x 4 matrix from voxel index `(i, j, k)` to the axes of files, mm."""
    return _LPS_RAS @ geometry.ijk_to_ras


def geometry_of(image: sitk.Image, path: Path) -> Geometry:
    """The grid of an image; InputError that names the file where its axes span no volume."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    matrix[:3, 3] = image.GetOrigin()
    try:
        return Geometry(image.GetSize()[::-1], _LPS_RAS @ matrix)
    except InputError as error:
        raise InputError(f"'{path}' cannot be used. {error}") from error


def image_of(array_kji: NDArray[Any], geometry: Geometry) -> sitk.Image:
    """An image of a `(k, j, i)` array on its grid."""
    image = sitk.GetImageFromArray(array_kji)
    matrix = ijk_to_lps(geometry)
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((matrix[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(matrix[:3, 3].tolist())
    return image


def match(
    layers: list[NDArray[np.unsignedinteger]], source: Geometry, target: Geometry, path: Path
) -> list[NDArray[np.unsignedinteger]]:
    """The layers on another grid, see `resample`; InputError where none of their labels lies inside it."""
    moved = resample(layers, source, target)
    if any(layer.any() for layer in layers) and not any(layer.any() for layer in moved):
        raise InputError(
            f"The labels in '{path}' lie elsewhere in space: none of their voxels is inside the image, so they "
            f"belong to another image or lost their geometry."
        )
    return moved


def resample(
    layers: Iterable[NDArray[np.unsignedinteger]], source: Geometry, target: Geometry
) -> list[NDArray[np.unsignedinteger]]:
    """The layers on another grid; each voxel takes the value that lies nearest to its center, 0 outside `source`."""
    k, j, i = target.shape_kji
    resampler = sitk.ResampleImageFilter()
    resampler.SetReferenceImage(image_of(np.zeros((1, 1, 1), dtype=np.uint8), target))
    resampler.SetSize((i, j, k))
    resampler.SetInterpolator(sitk.sitkNearestNeighbor)
    return [sitk.GetArrayFromImage(resampler.Execute(image_of(layer, source))) for layer in layers]
