"""A volume as a stack of slices along a plane, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.volumes.geometry import Plane
from SegmentPropagateLib.volumes.intensity import GrayResult, to_gray
from SegmentPropagateLib.volumes.volume import Volume

Scalar = TypeVar("Scalar", bound=np.generic)
Gray = NDArray[np.uint8] | GrayResult
"""Gray levels `(slices, rows, columns)`, uint8 of a slice or some when indexed."""


def make_stack(volume: Volume, plane: Plane | str, preset: str = "auto") -> tuple[ImageStack, GrayResult]:
    """Return the volume's slices along the plane, and how its intensities became gray.

    Rows and columns are the two other array axes in stored order: axis k has rows j and columns i, axis j rows k and
    columns i, axis i rows k and columns j. `values` is a view of the volume wherever all voxels are finite.

    Raises:
        InputError: unknown plane or preset, or no finite voxel.
    """
    axis = volume.geometry.plane_axis(plane)
    result = to_gray(stack_of(volume.array_kji, axis), preset, volume.modality)
    spacing = volume.geometry.spacing_kji_mm
    rows, columns = (step for other, step in enumerate(spacing) if other != axis)
    return ImageStack(result.values, result, (spacing[axis], rows, columns)), result


def stack_of(array_kji: NDArray[Scalar], axis: int) -> NDArray[Scalar]:
    """View of a volume as `(slices, rows, columns)` along an array axis; `array_of` is the inverse."""
    return np.moveaxis(array_kji, axis, 0)


def array_of(stack: NDArray[Scalar], axis: int) -> NDArray[Scalar]:
    """View of a stack `(slices, rows, columns)` along an array axis as a volume `(k, j, i)`."""
    return np.moveaxis(stack, 0, axis)


def slice_of(array_kji: NDArray[Scalar], axis: int, index: int) -> NDArray[Scalar]:
    """View of one slice, `(rows, columns)`, of a volume `(k, j, i)` along an array axis."""
    return stack_of(array_kji, axis)[index]


@dataclass(frozen=True)
class ImageStack:
    """The slices of one volume along one plane.

    Args:
        values: finite real numbers of shape `(slices, rows, columns)`, the volume's own unit (HU for CT); read only.
        gray: `values` after the intensity preset, uint8; of a slice or some when indexed.
        spacing_mm: distance between slices, rows and columns.
    """

    values: NDArray[Any]
    gray: Gray
    spacing_mm: tuple[float, float, float]

    @property
    def slice_shape(self) -> tuple[int, int]:
        """`(rows, columns)`."""
        return self.values.shape[1], self.values.shape[2]

    def __len__(self) -> int:
        return len(self.values)
