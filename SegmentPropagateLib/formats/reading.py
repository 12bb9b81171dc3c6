"""Volumes and label files in; everything that leaves is RAS, arrays `(k, j, i)`."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from itertools import chain, count
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import PathLike
from SegmentPropagateLib.formats.grids import check_one_frame_of_reference, geometry_of, match
from SegmentPropagateLib.formats.headers import shown
from SegmentPropagateLib.formats.kinds import NOTE, READABLE, Content, ReadableKind, listed
from SegmentPropagateLib.formats.seg_nrrd import read_segments
from SegmentPropagateLib.volumes.geometry import RESAMPLE, Geometry
from SegmentPropagateLib.volumes.labels import Labels, SegmentInfo, default_segment, values_in
from SegmentPropagateLib.volumes.volume import Volume

_MOST_LABELS = 1000  # a label file has dozens of values, an image thousands
_NEARLY_WHOLE, _ROUNDING = 1e-3, 1e-6  # by how much a label may miss its number, and more by this share of it

_REASONS = {  # what SimpleITK says, among much else, and what of it is for people
    "determinant is 0": "its axes do not span a volume, mend its directions.",
    "Zero-valued spacing": "its voxels measure 0 mm along an axis, mend its spacing.",
    **dict.fromkeys(
        ("llocate", "bad_alloc", "alloc(", "MemoryError"), "there is not enough memory for it, crop it first."
    ),
}


def read_volume(path: PathLike) -> Volume:
    """Read a scalar volume.

    Args:
        path: NIfTI, NRRD, MetaImage, a folder with one DICOM series, a DICOM file (its whole series is read), or a
            MedSAM2 `.npz` with `imgs`, `spacing` and perhaps `direction` and `origin`.

    Raises:
        InputError: the file is missing, damaged, no volume, in color, too large for the memory, or of a kind that is
            not known.
    """
    path = Path(path)
    with _in_one_sentence(path):
        image, modality = _read(path, "image")
        if image.GetNumberOfComponentsPerPixel() > 1:
            raise InputError(
                f"'{path}' has {image.GetNumberOfComponentsPerPixel()} values per voxel (color, complex or vectors): "
                f"give a volume with one value per voxel."
            )
        stored = sitk.GetArrayViewFromImage(image)
        with np.errstate(over="ignore"):  # beyond float32 becomes inf, which the intensity preset reports
            # no scanner has more than 24 bits: half the memory
            array = stored.astype(np.float32 if stored.dtype == np.float64 else stored.dtype)
        geometry = geometry_of(image, path)
        if not geometry.at_right_angles:
            raise InputError(f"'{path}' cannot be read: its axes are not at right angles, {RESAMPLE}.")
        return Volume(array, geometry, path.name, modality)


def read_labels(
    path: PathLike, like: Geometry | None = None, notify: Callable[[str], None] = lambda _sentence: None
) -> Labels:
    """Read a label file, matched in physical space onto the grid `like` where one is given (nearest neighbor).

    Names and colors come from a `.seg.nrrd` header, segments that overlap there keep to their layers. Two segments
    of one number in different layers are told apart by giving the second the next free number.

    Args:
        path: as for `read_volume`; of an archive the array `gts`.
        like: a grid, mostly that of the image.
        notify: takes a sentence about what was left out, and about labels at a doubtful place.

    Raises:
        InputError: as `read_volume`; or the voxels are no labels; or all labels lie outside the grid `like`.
    """
    path = Path(path)
    with _in_one_sentence(path):
        image, _modality = _read(path, "labels")
        components = image.GetNumberOfComponentsPerPixel()
        described, notes = read_segments(_metadata(image), components)
        if components > 1 and not described:
            raise InputError(f"'{path}' has several values per voxel: give a file with one label per voxel.")
        notes += [image.GetMetaData(NOTE)] if image.HasMetaDataKey(NOTE) else []
        for note in notes:
            notify(f"'{path}': {note}")
        geometry = geometry_of(image, path)
        layers = [_labels_of(layer, path) for layer in _layers_of(image)]
        present = [(layer, value) for layer, array in enumerate(layers) for value in values_in(array)]
        if len(present) > _MOST_LABELS:
            raise InputError(
                f"'{path}' has {len(present)} different values: it looks like an image, give a label file."
            )
        layers, segments = _unique_values(layers, present, described)
        if like is not None:
            check_one_frame_of_reference(geometry, like, path)
            layers = layers if geometry.is_close(like) else match(layers, geometry, like, path, notify)
            geometry = like
        return Labels(tuple(layers), geometry, tuple(segments))


def _read(path: Path, content: Content) -> tuple[sitk.Image, str | None]:
    """Read a 3-D image, and its modality where known."""
    _check_there(path)
    image, modality = _reader_of(path).read(path, content)
    if image.GetDimension() == 4 and image.GetSize()[3] == 1:
        image = image[:, :, :, 0]
    if image.GetDimension() > 3:
        raise InputError(f"'{path}' is a series of {image.GetSize()[3]} volumes (4-D): give one volume of it.")
    is_flat = content == "image" and min(image.GetSize()) < 2  # labels may be cropped to what was drawn on one slice
    if image.GetDimension() < 3 or is_flat:
        raise InputError(f"'{path}' is a single 2-D image: a volume of several slices is needed.")
    return image, modality


def _check_there(path: Path) -> None:
    """Raise InputError unless the path is a folder or a file with bytes in it; a pipe would never end."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"'{path}' does not exist.") from None
    except ValueError as error:  # a null byte
        raise InputError(f"{shown(str(path))} is no name of a file.") from error
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        raise InputError(f"'{path}' is a pipe or a device: save its content as a file and give that.")
    if stat.S_ISREG(found.st_mode) and not found.st_size:
        raise InputError(f"'{path}' is empty (0 bytes): copy or export it again.")


def _reader_of(path: Path) -> ModuleType:
    """The module that recognizes the file, else that of its ending; what else ITK can read was never tried here."""
    for kind in READABLE:
        if not kind.endings and (module := _module(kind)).recognizes(path):
            return module
    for kind in READABLE:
        if path.name.lower().endswith(kind.endings):
            return _module(kind)
    known = listed([kind.name for kind in READABLE], "and")
    raise InputError(f"'{path}' cannot be read: its kind is unknown by its name ({known} are known), convert it.")


def _module(kind: ReadableKind) -> ModuleType:
    return import_module(f"{__package__}.{kind.module}")


@contextmanager
def _in_one_sentence(path: Path) -> Iterator[None]:
    """Turn what reading may raise into an InputError, and keep ITK from writing warnings to stderr beside it."""
    shown_before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    except (RuntimeError, OSError, MemoryError) as error:  # SimpleITK raises RuntimeError for whatever it dislikes
        raise InputError(f"'{path}' cannot be read: {_reason(error)}") from error
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown_before)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}."
    known = (reason for words, reason in _REASONS.items() if words in (str(error) or type(error).__name__))
    return next(known, "its content is damaged, or of a variety that is not known: save it anew with 3D Slicer.")


def _metadata(image: sitk.Image) -> dict[str, str]:
    """Header fields; characters that are no UTF-8 become question marks."""
    keys = [key for key in image.GetMetaDataKeys() if key.isascii()]
    return {key: image.GetMetaData(key).encode("utf-8", "replace").decode() for key in keys}


def _layers_of(image: sitk.Image) -> list[NDArray[Any]]:
    """The values of each component, `(k, j, i)`."""
    array = sitk.GetArrayViewFromImage(image)
    return list(np.ascontiguousarray(np.moveaxis(array, -1, 0))) if array.ndim == 4 else [array]


def _labels_of(stored: NDArray[Any], path: Path) -> NDArray[np.unsignedinteger]:
    """Label values; those that went through floating point are taken for the whole number that they miss by little."""
    low, high = stored.min(), stored.max()
    right = "labels are whole numbers from 0 up"
    if not np.isfinite((low, high)).all():
        raise InputError(f"'{path}' holds no labels: {right}, it has NaN or infinite values.")
    if low < -_NEARLY_WHOLE:
        raise InputError(f"'{path}' holds no labels: {right}, it has {low:g} to {high:g}.")
    if high >= 2**32 - 0.5:
        raise InputError(f"'{path}' has label {high:.13g}: labels up to {2**32 - 1} can be used, number them anew.")
    labels = np.empty(stored.shape, dtype=np.min_scalar_type(round(float(high))))
    for plane, values in zip(labels, stored, strict=True):
        if stored.dtype.kind == "f":
            off = np.abs(values - np.rint(values)) - _ROUNDING * values
            if off.max() > _NEARLY_WHOLE:
                odd = values.flat[off.argmax()]
                raise InputError(f"'{path}' holds no labels: {right}, it has {odd:g} among its values.")
            values = np.rint(values)
        plane[...] = values
    return labels


def _unique_values(
    layers: list[NDArray[np.unsignedinteger]], present: list[tuple[int, int]], described: list[tuple[int, SegmentInfo]]
) -> tuple[list[NDArray[np.unsignedinteger]], list[SegmentInfo]]:
    """Give every segment of every layer, (layer, value), a value of its own and a description."""
    known = {(layer, value): default_segment(value) for layer, value in present}
    known.update({(layer, info.value): info for layer, info in described})
    taken: set[int] = set()
    used = {value for _layer, value in known}
    free = (value for value in chain(range(max(used, default=0) + 1, 2**32), count(1)) if value not in used)
    segments = []
    for (layer, value), info in sorted(known.items(), key=lambda item: item[0]):
        if value in taken:
            other = next(free)
            layers[layer] = layers[layer].astype(np.result_type(layers[layer], np.min_scalar_type(other)))
            layers[layer][layers[layer] == value] = other
            info = replace(info, value=other)
        taken.add(info.value)
        segments.append(info)
    return layers, sorted(segments, key=lambda info: info.value)
