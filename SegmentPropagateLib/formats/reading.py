"""Volumes and segmentations in files. Only here the world is LPS; everything that leaves is RAS, arrays `(k, j, i)`."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import PathLike, check_writable, replacing
from SegmentPropagateLib.formats.dicom import is_dicom, read_series
from SegmentPropagateLib.formats.integrity import check_complete
from SegmentPropagateLib.formats.seg_nrrd import SegmentInfo, default_segment, read_segments, write_seg_nrrd
from SegmentPropagateLib.volumes.geometry import Geometry

OUTPUT_SUFFIXES = (".seg.nrrd", ".nrrd", ".nii.gz", ".mha")
_LPS_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])  # its own inverse
_MOST_LABELS = 1000  # a label file has dozens of values, an image thousands


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


def read_volume(path: PathLike) -> Volume:
    """Read a scalar volume.

    Args:
        path: NIfTI, NRRD, MetaImage, a folder with one DICOM series, a DICOM file (its whole series is read), or a
            MedSAM2 `.npz` with `imgs`, `spacing` and perhaps `direction` and `origin`.

    Raises:
        InputError: the file is missing, damaged, no volume, in color, or of a kind that is not known.
    """
    path = Path(path)
    image, modality = _read(path, npz_key="imgs")
    if image.GetNumberOfComponentsPerPixel() > 1:
        raise InputError(
            f"'{path}' has {image.GetNumberOfComponentsPerPixel()} values per voxel (color, complex or vectors): "
            f"give a volume with one value per voxel."
        )
    array = sitk.GetArrayFromImage(image)
    if array.dtype == np.float64:
        with np.errstate(over="ignore"):  # beyond float32 becomes inf, which the intensity preset reports
            array = array.astype(np.float32)  # no scanner has more than 24 bits; half the memory
    return Volume(array, _geometry_of(image, path), path.name, modality)


def read_labels(path: PathLike, like: Geometry | None = None) -> Labels:
    """Read a label file, matched in physical space onto the grid `like` where one is given (nearest neighbor).

    Names and colors come from a `.seg.nrrd` header, segments that overlap there keep to their layers. Two segments
    of one number in different layers are told apart by giving the second the next free number.

    Raises:
        InputError: as `read_volume`; or the voxels are no labels; or all labels lie outside the grid `like`.
    """
    path = Path(path)
    image, _modality = _read(path, npz_key="gts")
    described = read_segments(_metadata(image))
    if image.GetNumberOfComponentsPerPixel() > 1 and not described:
        raise InputError(f"'{path}' has several values per voxel: give a file with one label per voxel.")
    geometry = _geometry_of(image, path)
    layers = [_label_array(image, layer, path) for layer in range(image.GetNumberOfComponentsPerPixel())]
    layers, segments = _unique_values(layers, described)
    if len(segments) > _MOST_LABELS:
        raise InputError(f"'{path}' has {len(segments)} different values: it looks like an image, give a label file.")
    if like is not None:
        layers = layers if geometry.is_close(like) else _match(layers, geometry, like, path)
        geometry = like
    return Labels(tuple(layers), geometry, tuple(segments))


def check_output(path: PathLike) -> str:
    """Return the kind of an output file, one of `OUTPUT_SUFFIXES`.

    Raises:
        InputError: another ending, or the file cannot be made. Ask before computing anything.
    """
    suffix = next((suffix for suffix in OUTPUT_SUFFIXES if Path(path).name.lower().endswith(suffix)), None)
    if suffix is None:
        raise InputError(f"Cannot write '{path}': its name must end in {', '.join(OUTPUT_SUFFIXES)}.")
    check_writable(path)
    return suffix


def write_segmentation(
    path: PathLike,
    masks: Mapping[int, NDArray[np.bool_]],
    geometry: Geometry,
    segments: Sequence[SegmentInfo] = (),
) -> None:
    """Write masks under a temporary name and rename it.

    Args:
        path: ends in one of `OUTPUT_SUFFIXES`. `.seg.nrrd` keeps overlapping objects in layers; in a labelmap (all
            others) a contested voxel goes to the lower value.
        masks: label value (>= 1) -> bool `(k, j, i)`.
        geometry: the grid of the masks.
        segments: names and colors for `.seg.nrrd`; values that are not listed get default ones.

    Raises:
        InputError: unknown ending, a mask of another shape, or the file cannot be written.
    """
    suffix = check_output(path)
    for value, mask in masks.items():
        if mask.shape != geometry.shape_kji or not 1 <= value < 2**32:
            raise InputError(f"Object {value} with a mask of shape {mask.shape} does not fit {geometry.shape_kji}.")
    named = {segment.value: segment for segment in segments}
    layers, members = _stack_layers(masks, geometry.shape_kji, overlapping=suffix == ".seg.nrrd")
    with replacing(path) as temporary:
        if suffix == ".seg.nrrd":
            infos = [[named.get(value) or default_segment(value) for value in layer] for layer in members]
            write_seg_nrrd(temporary, layers, infos, geometry, _LPS_RAS @ geometry.ijk_to_ras)
        else:
            try:
                sitk.WriteImage(_image_of(layers[0], geometry), str(temporary), useCompression=True)
            except RuntimeError as error:
                raise InputError(f"Cannot write '{path}': is the disk full?") from error


def write_volume(path: PathLike, volume: Volume) -> None:
    """Write a scalar volume as NIfTI, NRRD or MHA under a temporary name and rename it."""
    with replacing(path) as temporary:
        sitk.WriteImage(_image_of(volume.array_kji, volume.geometry), str(temporary), useCompression=True)


def _read(path: Path, npz_key: str) -> tuple[sitk.Image, str | None]:
    """Read a 3-D image, and its modality where known."""
    if not path.exists():
        raise InputError(f"'{path}' does not exist.")
    modality = None
    with _without_warnings():
        try:
            if path.suffix.lower() == ".npz":
                image = _read_npz(path, npz_key)
            elif is_dicom(path):
                image, modality = read_series(path)
            else:
                image = _read_file(path)
        except (RuntimeError, OSError) as error:  # SimpleITK raises RuntimeError for whatever it dislikes
            raise InputError(f"'{path}' cannot be read: {_reason(error)}") from error
    if image.GetDimension() == 4 and image.GetSize()[3] == 1:
        image = image[:, :, :, 0]
    if image.GetDimension() > 3:
        raise InputError(f"'{path}' is a series of {image.GetSize()[3]} volumes (4-D): give one volume of it.")
    if image.GetDimension() < 3 or min(image.GetSize()) < 2:
        raise InputError(f"'{path}' is a single 2-D image: a volume of several slices is needed.")
    return image, modality


def _read_file(path: Path) -> sitk.Image:
    check_complete(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    if reader.GetDimension() > 4 or (reader.GetDimension() == 4 and reader.GetSize()[3] > 1):
        raise InputError(f"'{path}' is a series of volumes ({reader.GetDimension()}-D): give one volume of it.")
    return reader.Execute()


def _reason(error: Exception) -> str:
    if "orthonormal" in str(error):
        return "its axes are not at right angles, resample it to a regular grid."
    return "the file is damaged or of an unknown kind (NIfTI, NRRD, MHA, DICOM folder and MedSAM2 .npz are known)."


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Keep ITK from writing warnings to stderr, where one sentence is to stand."""
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)


def _read_npz(path: Path, key: str) -> sitk.Image:
    """Read one array of a MedSAM2 archive; its spacing, direction and origin are SimpleITK's (x, y, z; LPS)."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            array = archive[key]
            spacing, direction, origin = (
                np.asarray(archive[name], dtype=np.float64).ravel() if name in archive else default
                for name, default in (
                    ("spacing", np.ones(3)),
                    ("direction", np.eye(3).ravel()),
                    ("origin", np.zeros(3)),
                )
            )
    except KeyError as error:
        raise InputError(f"'{path}' has no array '{key}': MedSAM2 files hold 'imgs', 'gts' and 'spacing'.") from error
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"'{path}' is no MedSAM2 archive, or it is damaged.") from error
    if array.ndim != 3 or array.dtype.kind not in "buif":
        raise InputError(
            f"'{key}' in '{path}' has shape {array.shape}: it must be one number per (slice, row, column)."
        )
    if (spacing.size, direction.size, origin.size) != (3, 9, 3):
        raise InputError(f"'{path}' needs a spacing of 3, a direction of 9 and an origin of 3 numbers.")
    if array.dtype in (np.bool_, np.float16):
        array = array.astype(np.uint8 if array.dtype == np.bool_ else np.float32)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing.tolist())
    image.SetDirection(direction.tolist())
    image.SetOrigin(origin.tolist())
    return image


def _metadata(image: sitk.Image) -> dict[str, str]:
    """Header fields; characters that are no UTF-8 become question marks."""
    keys = [key for key in image.GetMetaDataKeys() if key.isascii()]
    return {key: image.GetMetaData(key).encode("utf-8", "replace").decode() for key in keys}


def _geometry_of(image: sitk.Image, path: Path) -> Geometry:
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    matrix[:3, 3] = image.GetOrigin()
    try:
        return Geometry(image.GetSize()[::-1], _LPS_RAS @ matrix)
    except InputError as error:
        raise InputError(f"'{path}' cannot be used. {error}") from error


def _image_of(array_kji: NDArray[Any], geometry: Geometry) -> sitk.Image:
    image = sitk.GetImageFromArray(array_kji)
    matrix = _LPS_RAS @ geometry.ijk_to_ras
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((matrix[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(matrix[:3, 3].tolist())
    return image


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


def _match(
    layers: list[NDArray[np.unsignedinteger]], source: Geometry, target: Geometry, path: Path
) -> list[NDArray[np.unsignedinteger]]:
    """The layers on another grid; each voxel takes the value that lies nearest to its center."""
    k, j, i = target.shape_kji
    resampler = sitk.ResampleImageFilter()
    resampler.SetReferenceImage(_image_of(np.zeros((1, 1, 1), dtype=np.uint8), target))
    resampler.SetSize((i, j, k))
    resampler.SetInterpolator(sitk.sitkNearestNeighbor)
    moved = [sitk.GetArrayFromImage(resampler.Execute(_image_of(layer, source))) for layer in layers]
    if any(layer.any() for layer in layers) and not any(layer.any() for layer in moved):
        raise InputError(
            f"The labels in '{path}' lie elsewhere in space: none of their voxels is inside the image, so they "
            f"belong to another image or lost their geometry."
        )
    return moved


def _stack_layers(
    masks: Mapping[int, NDArray[np.bool_]], shape_kji: tuple[int, int, int], *, overlapping: bool
) -> tuple[list[NDArray[np.unsignedinteger]], list[list[int]]]:
    """Put masks into as few label arrays as possible; without `overlapping` into one, lower values on top."""
    kind = np.min_scalar_type(max(masks, default=1))
    layers: list[NDArray[np.unsignedinteger]] = [np.zeros(shape_kji, dtype=kind)]
    members: list[list[int]] = [[]]
    for value, mask in sorted(masks.items()):
        home = next((n for n, layer in enumerate(layers) if not layer[mask].any()), None) if overlapping else 0
        if home is None:
            home = len(layers)
            layers.append(np.zeros(shape_kji, dtype=kind))
            members.append([])
        layers[home][mask & (layers[home] == 0)] = value
        members[home].append(value)
    return layers, members
