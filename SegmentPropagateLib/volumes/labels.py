"""Labels of a voxel grid, and the segments that they stand for."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.volumes.geometry import Geometry

TISSUE_TAGS = (
    "TerminologyEntry:Segmentation category and type - 3D Slicer General Anatomy list"
    "~SCT^85756007^Tissue~SCT^85756007^Tissue~^^~Anatomic codes - DICOM master list~^^~^^|"
)
"""What Slicer writes for a segment whose terminology was never chosen."""


@dataclass(frozen=True)
class SegmentInfo:
    """What is known of a segment apart from its voxels.

    Args:
        value: label value, >= 1, unique within a file.
        name: for people.
        color_rgb: red, green, blue in 0..1.
        tags: Slicer's tags (terminology, status), kept as they came.
    """

    value: int
    name: str
    color_rgb: tuple[float, float, float]
    tags: str = TISSUE_TAGS


def default_segment(value: int) -> SegmentInfo:
    """Name and color of a label of which nothing but the value is known; neighbors get distant hues."""
    hue = (value - 1) * 0.618033988749895 % 1.0  # golden ratio: any run of values is spread evenly
    return SegmentInfo(value, f"Label {value}", colorsys.hsv_to_rgb(hue, 0.65, 0.95))


def values_in(layer: NDArray[np.integer]) -> list[int]:
    """Values other than 0 of `(k, j, i)`, ascending; slice by slice, so that no copy of the volume's size is made."""
    return sorted({int(value) for plane in layer for value in np.unique(plane[plane != 0])})


@dataclass(frozen=True, eq=False)
class Labels:
    """A label file.

    Args:
        layers: unsigned arrays `(k, j, i)`; more than one only where segments may overlap (`.seg.nrrd`). A value
            lies in one layer only.
        geometry: the voxel grid.
        segments: ascending by value; also those that the file names but that have no voxel.
    """

    layers: tuple[NDArray[np.unsignedinteger], ...]
    geometry: Geometry
    segments: tuple[SegmentInfo, ...] = ()

    @property
    def values(self) -> tuple[int, ...]:
        """Label values, ascending."""
        return tuple(segment.value for segment in self.segments)

    def mask(self, value: int) -> NDArray[np.bool_]:
        """Voxels of one label, bool `(k, j, i)`; all False for a value that does not exist."""
        mask = self.layers[0] == value
        for layer in self.layers[1:]:
            mask |= layer == value
        return mask
