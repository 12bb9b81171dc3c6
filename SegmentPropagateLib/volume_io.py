"""Volumes and segmentations in files. Only here the world is LPS; everything that leaves is RAS, arrays `(k, j, i)`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.geometry import Geometry

OUTPUT_SUFFIXES = (".seg.nrrd", ".nrrd", ".nii.gz", ".mha")
LPS_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


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


@dataclass(frozen=True)
class SegmentInfo:
    """What is known of a segment apart from its voxels.

    Args:
        value: label value, >= 1, unique within a file.
        name: for people.
        color_rgb: red, green, blue in 0..1.
    """

    value: int
    name: str
    color_rgb: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Labels:
    """A label file.

    Args:
        layers: integer arrays `(k, j, i)`; more than one only where segments may overlap (`.seg.nrrd`). A value is
            found in one layer only.
        geometry: the voxel grid.
        segments: ascending by value.
    """

    layers: tuple[NDArray[Any], ...]
    geometry: Geometry
    segments: tuple[SegmentInfo, ...] = field(default=())

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


def read_volume(path: str | os.PathLike[str]) -> Volume:
    """Read a scalar volume: NIfTI, NRRD, MHA, a DICOM series folder, or MedSAM2 `.npz`.

    Raises:
        InputError: the file is missing, damaged, no volume, in color, or of a kind that is not known.
    """
    path = Path(path)
    if path.suffix == ".npz":
        return _read_npz(path, "imgs")
    image = _read_image(path)
    return Volume(sitk.GetArrayFromImage(image), _geometry_of(image), path.name)


def read_labels(path: str | os.PathLike[str], like: Geometry | None = None) -> Labels:
    """Read a label file, matched in physical space onto the grid `like` (nearest neighbor) where one is given."""
    path = Path(path)
    if path.suffix == ".npz":
        volume = _read_npz(path, "gts")
        image = _image_of(volume.array_kji, volume.geometry)
    else:
        image = _read_image(path)
    if like is not None and not _geometry_of(image).is_close(like):
        grid = _image_of(np.zeros(like.shape_kji, dtype=np.uint8), like)
        image = sitk.Resample(image, grid, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    array = sitk.GetArrayFromImage(image)
    values = [int(value) for value in np.unique(array) if value != 0]
    geometry = like if like is not None else _geometry_of(image)
    return Labels((array,), geometry, tuple(default_segment(value) for value in values))


def default_segment(value: int) -> SegmentInfo:
    """Name and color of a label of which nothing but the value is known."""
    hue = (value * 0.618033988749895) % 1.0  # golden ratio: neighboring values get distant hues
    color = np.clip(np.abs((hue * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1) * 0.7 + 0.2
    return SegmentInfo(value, f"Label {value}", (float(color[0]), float(color[1]), float(color[2])))


def check_output(path: str | os.PathLike[str]) -> str:
    """Return the kind of an output file, one of `OUTPUT_SUFFIXES`; raise InputError where it cannot be written."""
    path = Path(path)
    suffix = next((suffix for suffix in OUTPUT_SUFFIXES if path.name.lower().endswith(suffix)), None)
    if suffix is None:
        raise InputError(f"Cannot write '{path}': its name must end in {', '.join(OUTPUT_SUFFIXES)}.")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise InputError(f"Cannot write '{path}': its folder does not exist or is not writable.")
    return suffix


def write_segmentation(
    path: str | os.PathLike[str],
    masks: Mapping[int, NDArray[np.bool_]],
    geometry: Geometry,
    segments: Sequence[SegmentInfo] = (),
) -> None:
    """Write masks, label value -> bool `(k, j, i)`, to a temporary name and rename it."""
    path = Path(path)
    suffix = check_output(path)
    largest = max(masks, default=1)
    labelmap = np.zeros(geometry.shape_kji, dtype=np.min_scalar_type(largest))
    for value, mask in masks.items():
        labelmap[mask] = value
    temporary = path.with_name(f".{path.name}.{os.getpid()}{suffix}")
    try:
        sitk.WriteImage(_image_of(labelmap, geometry), str(temporary), useCompression=True)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _read_image(path: Path) -> sitk.Image:
    if not path.exists():
        raise InputError(f"'{path}' does not exist.")
    try:
        if path.is_dir():
            return sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(path)))
        return sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise InputError(f"'{path}' cannot be read as an image: the file is damaged or of an unknown kind.") from error


def _read_npz(path: Path, key: str) -> Volume:
    with np.load(path, allow_pickle=False) as archive:
        array, spacing = archive[key], archive["spacing"]
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(spacing.tolist())
        image.SetDirection(archive["direction"].tolist())
        image.SetOrigin(archive["origin"].tolist())
    return Volume(array, _geometry_of(image), path.name)


def _geometry_of(image: sitk.Image) -> Geometry:
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    matrix[:3, 3] = image.GetOrigin()
    i, j, k = image.GetSize()
    return Geometry((k, j, i), LPS_RAS @ matrix)


def _image_of(array_kji: NDArray[Any], geometry: Geometry) -> sitk.Image:
    image = sitk.GetImageFromArray(array_kji)
    matrix = LPS_RAS @ geometry.ijk_to_ras
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((matrix[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(matrix[:3, 3].tolist())
    return image
