"""Volumes and label files in; everything that leaves is RAS, arrays `(k, j, i)`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import PathLike
from SegmentPropagateLib.formats import itk
from SegmentPropagateLib.formats.grids import geometry_of, match
from SegmentPropagateLib.formats.kinds import READABLE, Content, ReadableKind, listed
from SegmentPropagateLib.formats.seg_nrrd import read_segments
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.labels import Labels, SegmentInfo, default_segment
from SegmentPropagateLib.volumes.volume import Volume

_MOST_LABELS = 1000  # a label file has dozens of values, an image thousands


def read_volume(path: PathLike) -> Volume:
    """Read a scalar volume.

    Args:
        path: NIfTI, NRRD, MetaImage, a folder with one DICOM series, a DICOM file (its whole series is read), or a
            MedSAM2 `.npz` with `imgs`, `spacing` and perhaps `direction` and `origin`.

    Raises:
        InputError: the file is missing, damaged, no volume, in color, or of a kind that is not known.
    """
    path = Path(path)
    image, modality = _read(path, "image")
    if image.GetNumberOfComponentsPerPixel() > 1:
        raise InputError(
            f"'{path}' has {image.GetNumberOfComponentsPerPixel()} values per voxel (color, complex or vectors): "
            f"give a volume with one value per voxel."
        )
    array = sitk.GetArrayFromImage(image)
    if array.dtype == np.float64:
        with np.errstate(over="ignore"):  # beyond float32 becomes inf, which the intensity preset reports
            array = array.astype(np.float32)  # no scanner has more than 24 bits; half the memory
    return Volume(array, geometry_of(image, path), path.name, modality)


def read_labels(path: PathLike, like: Geometry | None = None) -> Labels:
    """Read a label file, matched in physical space onto the grid `like` where one is given (nearest neighbor).

    Names and colors come from a `.seg.nrrd` header, segments that overlap there keep to their layers. Two segments
    of one number in different layers are told apart by giving the second the next free number.

    Raises:
        InputError: as `read_volume`; or the voxels are no labels; or all labels lie outside the grid `like`.
    """
    path = Path(path)
    image, _modality = _read(path, "labels")
    described = read_segments(_metadata(image))
    if image.GetNumberOfComponentsPerPixel() > 1 and not described:
        raise InputError(f"'{path}' has several values per voxel: give a file with one label per voxel.")
    geometry = geometry_of(image, path)
    layers = [_label_array(image, layer, path) for layer in range(image.GetNumberOfComponentsPerPixel())]
    layers, segments = _unique_values(layers, described)
    if len(segments) > _MOST_LABELS:
        raise InputError(f"'{path}' has {len(segments)} different values: it looks like an image, give a label file.")
    if like is not None:
        layers = layers if geometry.is_close(like) else match(layers, geometry, like, path)
        geometry = like
    return Labels(tuple(layers), geometry, tuple(segments))


def _read(path: Path, content: Content) -> tuple[sitk.Image, str | None]:
    """Read a 3-D image, and its modality where known."""
    if not path.exists():
        raise InputError(f"'{path}' does not exist.")
    with _without_warnings():
        try:
            image, modality = _reader_of(path).read(path, content)
        except (RuntimeError, OSError) as error:  # SimpleITK raises RuntimeError for whatever it dislikes
            raise InputError(f"'{path}' cannot be read: {_reason(error)}") from error
    if image.GetDimension() == 4 and image.GetSize()[3] == 1:
        image = image[:, :, :, 0]
    if image.GetDimension() > 3:
        raise InputError(f"'{path}' is a series of {image.GetSize()[3]} volumes (4-D): give one volume of it.")
    if image.GetDimension() < 3 or min(image.GetSize()) < 2:
        raise InputError(f"'{path}' is a single 2-D image: a volume of several slices is needed.")
    return image, modality


def _reader_of(path: Path) -> ModuleType:
    """The module that recognizes the file, else that of its ending, else ITK's, which looks for itself."""
    for kind in READABLE:
        if not kind.endings and (module := _module(kind)).recognizes(path):
            return module
    named = (_module(kind) for kind in READABLE if path.name.lower().endswith(kind.endings))
    return next(named, itk)


def _module(kind: ReadableKind) -> ModuleType:
    return import_module(f"{__package__}.{kind.module}")


def _reason(error: Exception) -> str:
    if "orthonormal" in str(error):
        return "its axes are not at right angles, resample it to a regular grid."
    known = listed([kind.name for kind in READABLE], "and")
    return f"the file is damaged or of an unknown kind ({known} are known)."


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Keep ITK from writing warnings to stderr, where one sentence is to stand."""
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)


def _metadata(image: sitk.Image) -> dict[str, str]:
    """Header fields; characters that are no UTF-8 become question marks."""
    keys = [key for key in image.GetMetaDataKeys() if key.isascii()]
    return {key: image.GetMetaData(key).encode("utf-8", "replace").decode() for key in keys}


def _label_array(image: sitk.Image, layer: int, path: Path) -> NDArray[np.unsignedinteger]:
    if image.GetNumberOfComponentsPerPixel() > 1:
        image = sitk.VectorIndexSelectionCast(image, layer)
    array = sitk.GetArrayViewFromImage(image)
    low, high = array.min(), array.max()
    whole = array.dtype.kind in "ui" or all(np.array_equal(plane, np.rint(plane)) for plane in array)
    if not (whole and low >= 0 and high < 2**32):
        raise InputError(f"'{path}' holds no labels: they are whole numbers from 0 up, it has {low:g} to {high:g}.")
    return array.astype(np.min_scalar_type(int(high)))


def _present(layer: NDArray[np.unsignedinteger]) -> list[int]:
    """Values other than 0, ascending; slice by slice, so that no index array of the volume's size is made."""
    return sorted({int(value) for plane in layer for value in np.unique(plane)} - {0})


def _unique_values(
    layers: list[NDArray[np.unsignedinteger]], described: list[tuple[int, SegmentInfo]]
) -> tuple[list[NDArray[np.unsignedinteger]], list[SegmentInfo]]:
    """Give every segment of every layer a value of its own, and a description."""
    known = {(layer, info.value): info for layer, info in described}
    for layer, array in enumerate(layers):
        known.update(
            {(layer, value): default_segment(value) for value in _present(array) if (layer, value) not in known}
        )
    taken: set[int] = set()
    free = max((value for _layer, value in known), default=0)
    segments = []
    for (layer, value), info in sorted(known.items(), key=lambda item: item[0]):
        if value in taken:
            free += 1
            layers[layer] = layers[layer].astype(np.result_type(layers[layer], np.min_scalar_type(free)))
            layers[layer][layers[layer] == value] = free
            info = replace(info, value=free)
        taken.add(info.value)
        segments.append(info)
    return layers, sorted(segments, key=lambda info: info.value)
