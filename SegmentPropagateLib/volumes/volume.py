"""A scalar image: its voxels, where they lie, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.volumes.geometry import Geometry


@dataclass(frozen=True, eq=False)
class Volume:
    """A scalar image.

    Args:
        array_kji: real numbers.
        geometry: its voxel grid.
        name: what to call it in messages.
        modality: DICOM modality such as `CT` or `MR`; None where the file does not say.
    """

    array_kji: NDArray[Any]
    geometry: Geometry
    name: str = ""
    modality: str | None = None

    def __post_init__(self) -> None:
        if self.array_kji.shape != self.geometry.shape_kji:
            raise InputError(f"The array has shape {self.array_kji.shape}, its geometry {self.geometry.shape_kji}.")
