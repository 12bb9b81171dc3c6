"""What a session of the worker is made of: image, plane, model and settings; the same setup is the same session."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Literal

import numpy as np

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.propagation.propagator import PropagationSettings
from SegmentPropagateLib.volumes.geometry import Geometry, Plane
from SegmentPropagateLib.volumes.presets import PRESETS
from SegmentPropagateLib.worker.fields import Count, Rule, Text, one_of, reject


@dataclass(frozen=True)
class ModelChoice:
    """What decides which model is loaded.

    Args:
        name: `classical`, `starter`, a registered model's name, or the path of a model file.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.
        precision: `auto`, `exact`, `bf16`.
        image_size: side of the square that the network sees, pixels; None takes the model's own.
    """

    name: Text
    device: Text = "auto"
    precision: Literal["auto", "exact", "bf16"] = "auto"
    image_size: Count | None = None


@dataclass(frozen=True)
class SessionChoice:
    """How the volume is cut and propagated.

    Args:
        plane: `axial`, `coronal`, `sagittal`.
        intensity: preset of `presets.PRESETS`.
        settings: of the propagation; a new one needs nothing here.
    """

    plane: Annotated[str, one_of(tuple(plane.value for plane in Plane))] = Plane.AXIAL.value
    intensity: Annotated[str, one_of(PRESETS)] = "auto"
    settings: PropagationSettings = field(default_factory=PropagationSettings)


@dataclass(frozen=True)
class Setup:
    """What a session of the worker is made of; the same setup is the same session.

    Args:
        volume: identity of the voxels, as `TakeVolume` named them.
        shape_kji: their shape.
        ijk_to_ras: 4 x 4 matrix from voxel index to RAS in mm, row by row.
        modality: DICOM modality such as `CT`; None where it is not known.
        model: what to load.
        session: how to cut and propagate.
    """

    volume: Text
    shape_kji: tuple[Count, Count, Count]
    ijk_to_ras: Annotated[tuple[float, ...], Rule(lambda numbers: len(numbers) == 16, "16 finite numbers")]
    modality: Text | None
    model: ModelChoice
    session: SessionChoice

    @cached_property
    def geometry(self) -> Geometry:
        """The voxel grid."""
        return Geometry(self.shape_kji, np.reshape(self.ijk_to_ras, (4, 4)))

    @cached_property
    def stack_shape(self) -> tuple[int, int, int]:
        """`(slices, rows, columns)` along the plane."""
        axis = self.geometry.plane_axis(self.session.plane)
        rows, columns = (size for other, size in enumerate(self.shape_kji) if other != axis)
        return self.shape_kji[axis], rows, columns

    def check(self, path: str) -> None:
        """Raise MessageError for axes that span no volume, or a number of slices among the settings below 1."""
        try:
            self.stack_shape  # noqa: B018  computed once, here
        except InputError:
            reject(f"{path}.ijk_to_ras", "a matrix whose axes span a volume", self.ijk_to_ras)
        for name, value in vars(self.session.settings).items():
            if isinstance(value, int) and not isinstance(value, bool) and value < 1:
                reject(f"{path}.session.settings.{name}", "at least 1", value)

    def check_slice(self, path: str, index: int | None) -> None:
        """Raise MessageError for a slice that the volume does not have; None passes."""
        if index is not None and index >= self.stack_shape[0]:
            reject(path, f"one of the volume's {self.stack_shape[0]} {self.session.plane} slices (from 0)", index)
