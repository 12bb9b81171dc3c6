"""DICOM series: which files belong together, in which order, and whether any are missing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.kinds import Content

_MODALITY, _DESCRIPTION, _SERIES = "0008|0060", "0008|103e", "0020|000e"
_ROWS, _COLUMNS, _FRAMES = "0028|0010", "0028|0011", "0028|0008"
_POSITION, _ORIENTATION = "0020|0032", "0020|0037"


@dataclass(frozen=True)
class _Header:
    """What is needed of one file; positions are in the file's own axes, mm."""

    path: str
    shape: tuple[int, int]
    position: NDArray[np.float64]
    orientation: NDArray[np.float64]


def recognizes(path: Path) -> bool:
    """Whether the path is a folder, or a file that begins as DICOM files do."""
    if path.is_dir():
        return True
    with path.open("rb") as file:
        file.seek(128)
        return file.read(4) == b"DICM"


def read(path: Path, content: Content) -> tuple[sitk.Image, str | None]:
    """Read the one image series of a folder, or the series that a file belongs to, and its modality.

    Structure sets, segmentations and reports in the folder are passed over. Several image series are not guessed
    at: the message lists them, and any file of the wanted one may be given instead of the folder.

    Raises:
        InputError: no series, several series, missing, doubled or unevenly spaced slices, a tilted gantry.
    """
    del content  # a series holds images
    if path.is_dir():
        files = _only_series(path)
    else:
        series = _tags(str(path)).get(_SERIES)
        if not series:
            raise InputError(f"'{path}' is a DICOM file without an image, or it is damaged.")
        files = list(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(path.parent), series))
    first = _tags(files[0])
    _check_leftovers(files, first[_SERIES])
    if len(files) == 1 and int(first.get(_FRAMES) or 1) > 1:
        return sitk.ReadImage(files[0]), first.get(_MODALITY)
    headers = _in_order([_header(file) for file in files], path)
    return sitk.ReadImage([header.path for header in headers]), first.get(_MODALITY)


def _only_series(folder: Path) -> list[str]:
    series = {}
    for identity in sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder)):
        files = list(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), identity))
        tags = _tags(files[0])
        if _ROWS in tags and tags.get(_MODALITY) not in ("SEG", "RTDOSE"):
            series[f"{tags.get(_DESCRIPTION) or identity} ({len(files)} files, such as {Path(files[0]).name})"] = files
    if not series:
        raise InputError(f"The folder '{folder}' holds no DICOM image series: give the folder of its files.")
    if len(series) > 1:
        raise InputError(
            f"The folder '{folder}' holds {len(series)} DICOM series: give a file of the one you want instead of the "
            f"folder: {'; '.join(series)}."
        )
    return next(iter(series.values()))


def _check_leftovers(files: list[str], series: str) -> None:
    """GDCM silently leaves out slices that it cannot parse; at the ends of a stack no gap would tell of it."""
    kind = _storage_class(Path(files[0]))
    for path in sorted(set(Path(files[0]).parent.iterdir()) - {Path(file) for file in files}):
        if path.is_file() and kind and _storage_class(path) == kind:
            with path.open("rb") as file:
                if series.encode() in file.read(1 << 14):
                    raise InputError(f"The DICOM file '{path}' is damaged: export it again or remove it.")


def _storage_class(path: Path) -> bytes:
    """Kind of a DICOM file (0002,0002), from its first bytes alone: CT image, MR image, structure set, ..."""
    with path.open("rb") as file:
        start = file.read(1024)
    _, found, rest = start.partition(b"\x02\x00\x02\x00UI")
    return rest[2 : 2 + int.from_bytes(rest[:2], "little")] if found and start[128:132] == b"DICM" else b""


def _tags(file: str) -> dict[str, str]:
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(file)
    try:
        reader.ReadImageInformation()
    except RuntimeError:  # a report or a structure set: DICOM, but no image
        return {}
    wanted = (_MODALITY, _DESCRIPTION, _SERIES, _ROWS, _COLUMNS, _FRAMES, _POSITION, _ORIENTATION)
    return {key: reader.GetMetaData(key).strip() for key in wanted if reader.HasMetaDataKey(key)}


def _header(file: str) -> _Header:
    tags = _tags(file)
    try:
        position = np.array([float(value) for value in tags[_POSITION].split("\\")])
        orientation = np.array([float(value) for value in tags[_ORIENTATION].split("\\")]).reshape(2, 3)
        shape = int(tags[_ROWS]), int(tags[_COLUMNS])
    except (KeyError, ValueError) as error:
        raise InputError(f"The DICOM file '{file}' does not say where its slice lies: it cannot be used.") from error
    return _Header(file, shape, position, orientation)


def _in_order(headers: list[_Header], path: Path) -> list[_Header]:
    """Sort slices along their normal and make sure that they fill a regular grid."""
    first = headers[0]
    if any(header.shape != first.shape for header in headers):
        raise InputError(f"The DICOM series in '{path}' mixes slices of different sizes: split it first.")
    if any(np.abs(header.orientation - first.orientation).max() > 1e-3 for header in headers):
        raise InputError(f"The DICOM series in '{path}' mixes slices of different directions, as a scout does.")
    normal = np.cross(*first.orientation)
    headers = sorted(headers, key=lambda header: float(header.position @ normal))
    if len(headers) > 1:
        _check_gaps(np.array([header.position for header in headers]), normal, path)
    return headers


def _check_gaps(positions: NDArray[np.float64], normal: NDArray[np.float64], path: Path) -> None:
    along = positions @ normal
    gaps = np.diff(along)
    usual = float(np.sort(gaps)[(len(gaps) - 1) // 2])  # the lower median: of two gaps, the wide one is the fault
    if gaps.min() < 1e-3:
        place = along[int(gaps.argmin())]
        raise InputError(
            f"The DICOM series in '{path}' has several slices at the same place ({place:g} mm along its axis), as with "
            f"several phases: keep one of them."
        )
    if gaps.max() > 1.5 * usual:
        widest = int(gaps.argmax())
        lost = round(gaps[widest] / usual) - 1
        raise InputError(
            f"The DICOM series in '{path}' lacks about {lost} slice(s) between {along[widest]:g} and "
            f"{along[widest + 1]:g} mm along its axis: export it again."
        )
    if gaps.max() - gaps.min() > 0.1 * usual:
        raise InputError(
            f"The slices of the DICOM series in '{path}' are unevenly spaced ({gaps.min():g} to {gaps.max():g} mm): "
            f"resample it to a regular grid."
        )
    sideways = (positions - positions[0]) - np.outer(along - along[0], normal)
    if np.linalg.norm(sideways, axis=1).max() > 0.1 * usual:
        raise InputError(f"The DICOM series in '{path}' was taken with a tilted gantry: resample it to a regular grid.")
