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

    @property
    def note(self) -> str:
        """One sentence on a NIfTI file that does not say clearly where its grid lies; empty for all others."""
        frames = self.geometry.frames
        if frames is None:
            return ""
        forms = {"qform": (frames.codes[0], frames.qform), "sform": (frames.codes[1], frames.sform)}
        of_use = {name: matrix for name, (_code, matrix) in forms.items() if matrix is not None}
        void = [name for name, (code, matrix) in forms.items() if code > 0 and matrix is None]
        used = next((name for name, matrix in of_use.items() if self.geometry.lies_at(matrix)), "size of a voxel")
        if void:
            span = "span" if len(void) > 1 else "spans"
            return f"The {' and the '.join(void)} of '{self.name}' {span} no volume: its {used} says where it lies."
        apart_mm = max((self.geometry.apart_mm(matrix) for matrix in of_use.values()), default=0.0)
        if all(self.geometry.lies_at(matrix) for matrix in of_use.values()):
            return ""
        return (
            f"The qform and the sform of '{self.name}' differ by up to {apart_mm:.3g} mm: its {used} is used, and "
            f"NIfTI results repeat both."
        )
