"""DICOM series: which files belong together, what is no image, and the volume that the frames make."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.dicom_frames import PLAIN, Frame, check_concatenations, frames_of, in_order
from SegmentPropagateLib.formats.dicom_header import Header, Tag, begins_as_dicom, read_header
from SegmentPropagateLib.formats.dicom_pixels import stored_frames
from SegmentPropagateLib.formats.grids import FRAME_OF_REFERENCE
from SegmentPropagateLib.formats.kinds import Content
from SegmentPropagateLib.wording import counted

_NAMES = (".dcm", ".dicom", ".ima")  # of files that are DICOM or damaged, whatever they begin with
_CLASSES = "1.2.840.10008.5.1.4.1.1."
_GIVE_LABELS = "it holds labels, so give this file for them, and an image series for the image"
_NO_IMAGES = (  # class of objects, what it is, what to do; the first that fits is taken
    ("66.4", "a segmentation object (SEG)", _GIVE_LABELS),
    ("66.7", "a segmentation object (SEG)", _GIVE_LABELS),
    ("66.5", "a surface segmentation", "convert it to .seg.nrrd with 3D Slicer"),
    ("66", "a registration, a list of fiducials or raw data", "give the image series"),
    ("67", "a mapping of values", "give the image series"),
    ("30", "a parametric map", "convert it to .nrrd with 3D Slicer or dcmqi"),
    (
        "481.3",
        "a structure set (RTSTRUCT), which holds contours and no voxels",
        "convert it with SlicerRT or `plastimatch convert`",
    ),
    ("481.1", "a portal image (RTIMAGE)", "give the image series that was planned on"),
    ("481.2", "a distribution of dose (RTDOSE)", "give the image series that was planned on"),
    ("481", "a plan or record of radiotherapy", "give the image series that was planned on"),
    ("88", "a structured report (SR)", "give the image series that it reports on"),
    ("104", "a document (PDF or the like)", "give an image series"),
    ("11", "a presentation state", "give the image series that it refers to"),
    ("9", "a waveform", "give an image series"),
    ("4.2", "spectroscopy", "give an image series"),
)
_DIRECTORY = "1.2.840.10008.1.3.10"
_SLICES = ("2", "4", "7", "20", "128", "130")  # classes of CT, MR, plain pictures, NM and PET: without voxels, damaged
_MOST_COMPRESSION = 32  # voxels in a byte; scans have two at most, a picture without noise may have more
_MOST_VOXELS = 1 << 27  # that are believed whatever the compression


def recognizes(path: Path) -> bool:
    """Whether the path is a folder, or a file that is DICOM by its beginning or its name."""
    return path.is_dir() or _is_dicom(path)


def _is_dicom(path: Path) -> bool:
    """Pipes and dangling links are not; `._NAME` is what macOS puts beside a file."""
    named = path.name.lower().endswith(_NAMES) and not path.name.startswith("._")
    return path.is_file() and (named or begins_as_dicom(path))


def read(path: Path, content: Content) -> tuple[sitk.Image, str | None]:
    """Read the one image series of a folder, or the series that a file belongs to, and its modality.

    Single slices and the frames of multi-frame files are treated alike. Structure sets, segmentations and reports in
    the folder are passed over. Several image series are not guessed at: the message lists them, and any file of the
    wanted one may be given instead of the folder.

    Raises:
        InputError: no series, several series, missing, doubled or unevenly spaced slices, a tilted gantry, a damaged
            file, or an object that holds no image.
    """
    del content  # a series holds images
    frames = frames_at(path)
    _check_compression(frames, path)
    return _image_of(frames), frames[0].header.text(Tag.MODALITY) or None


def frames_at(path: Path) -> list[Frame]:
    """The frames of the one image series of a folder, or of the series that a file belongs to, along their normal.

    Raises:
        InputError: as `read`.
    """
    if path.is_dir():
        series = _only_series(path)
    else:
        given = read_header(path)
        check_is_image(given)
        series = _series_in(path.parent)[given.text(Tag.SERIES_INSTANCE_UID)]
    for header in series:
        check_is_image(header)
    check_concatenations(series, path)
    return in_order([frame for header in series for frame in frames_of(header)], path)


def class_of(header: Header) -> str:
    """What kind of object a file holds, as the number of its class."""
    return header.text(Tag.SOP_CLASS_UID) or header.text(Tag.MEDIA_STORAGE_SOP_CLASS_UID)


def _headers_in(folder: Path) -> list[Header]:
    """Of all DICOM files in a folder, by name."""
    try:
        return [read_header(path) for path in sorted(folder.iterdir()) if _is_dicom(path)]
    except OSError as error:
        raise InputError(
            f"'{error.filename or folder}' cannot be read ({error.strerror}): allow it or copy the series elsewhere."
        ) from error


def _series_in(folder: Path) -> dict[str, list[Header]]:
    """The image series of a folder by their identity."""
    series: dict[str, list[Header]] = {}
    for header in _headers_in(folder):
        if not _what_else(header):
            identity = header.text(Tag.SERIES_INSTANCE_UID)
            if header.problem and not identity:  # may be a slice of any series
                check_is_image(header)
            series.setdefault(identity, []).append(header)
    return series


def _only_series(folder: Path) -> list[Header]:
    series = list(_series_in(folder).values())
    if len(series) > 1:
        raise InputError(
            f"The folder '{folder}' holds {len(series)} DICOM series: give a file of the one you want instead of the "
            f"folder: {'; '.join(map(_summary, series))}."
        )
    if series:
        return series[0]
    for header in _headers_in(folder):
        check_is_image(header)
    raise InputError(f"The folder '{folder}' holds no DICOM image series: give the folder of its files.")


def _summary(series: Sequence[Header]) -> str:
    first = series[0]
    title = first.text(Tag.SERIES_DESCRIPTION) or first.text(Tag.SERIES_INSTANCE_UID)
    return f"{title} ({counted(len(series), 'file')}, such as {first.path.name})"


def _what_else(header: Header) -> tuple[str, str] | None:
    """What an object is that holds no image, and what to do with it; None for images."""
    kind = class_of(header)
    if kind == _DIRECTORY:
        return "the index of a medium (DICOMDIR)", "give the folder of an image series"
    for number, what, advice in _NO_IMAGES:
        if _is_of_class(kind, number):
            return what, advice
    unknown = not any(_is_of_class(kind, number) for number in _SLICES)
    if unknown and not (header.problem or header.pixels or Tag.ROWS in header.values):
        return "without an image, or it is damaged", "give an image series"
    return None


def _is_of_class(kind: str, number: str) -> bool:
    return f"{kind}.".startswith(f"{_CLASSES}{number}.")


def check_is_image(header: Header) -> None:
    """Raise InputError unless a file holds an image, and that can be used."""
    if found := _what_else(header):
        what, advice = found
        raise InputError(f"The DICOM file '{header.path}' is {what}: {advice}.")
    if header.problem:
        raise InputError(f"The DICOM file '{header.path}' {header.problem}.")
    if not header.pixels:
        raise InputError(f"The DICOM file '{header.path}' is damaged (it has no voxels): export it again or remove it.")


def _check_compression(frames: Sequence[Frame], path: Path) -> None:
    """Refuse what would fill the memory from a small file, before it does."""
    files = {frame.header.path: frame for frame in frames}.values()
    voxels = len(frames) * frames[0].layout.rows * frames[0].layout.columns
    present = sum(length for file in files for _offset, length in file.header.pixels)
    if voxels > max(_MOST_VOXELS, _MOST_COMPRESSION * present):
        raise InputError(f"The DICOM series in '{path}' is damaged: it claims {voxels} voxels in {present} bytes.")


def _image_of(frames: Sequence[Frame]) -> sitk.Image:
    """The volume of sorted frames that fill a grid."""
    first = frames[0]
    image = sitk.GetImageFromArray(_voxels(frames))
    place(image, first, gap_mm(frames))
    return image


def gap_mm(frames: Sequence[Frame]) -> float:
    """The mean distance of sorted frames that fill a grid, mm."""
    first, last = frames[0], frames[-1]
    return float((last.position - first.position) @ np.cross(*first.axes)) / max(len(frames) - 1, 1) or 1.0


def matrix_of(frames: Sequence[Frame]) -> NDArray[np.float64]:
    """The 4 x 4 matrix from voxel index `(i, j, k)` to the axes of DICOM, mm, of sorted frames that fill a grid."""
    first = frames[0]
    matrix = np.eye(4)
    steps = (first.pixel_mm[1], first.pixel_mm[0], gap_mm(frames))
    matrix[:3, :3] = np.column_stack([*first.axes, np.cross(*first.axes)]) * steps
    matrix[:3, 3] = first.position
    return matrix


def place(image: sitk.Image, first: Frame, step_mm: float) -> None:
    """Put an image where its first frame lies; the others follow along the normal."""
    image.SetSpacing((float(first.pixel_mm[1]), float(first.pixel_mm[0]), step_mm))
    image.SetDirection(np.column_stack([*first.axes, np.cross(*first.axes)]).ravel().tolist())
    image.SetOrigin(first.position.tolist())
    image.SetMetaData(FRAME_OF_REFERENCE, first.header.text(Tag.FRAME_OF_REFERENCE_UID))


def _voxels(frames: Sequence[Frame]) -> NDArray[Any]:
    """Values `(k, j, i)`: whole numbers where one rescaling of whole numbers holds for all frames, else float32."""
    voxels = np.empty((len(frames), *frames[0].size), _kind_of(frames))
    places = {(frame.header.path, frame.index): place for place, frame in enumerate(frames)}
    for file in {frame.header.path: frame for frame in frames}.values():
        for index, stored in enumerate(stored_frames(file.header, file.layout)):
            place = places[file.header.path, index]
            voxels[place] = frames[place].values_of(stored)
    return voxels


def _kind_of(frames: Sequence[Frame]) -> np.dtype[Any]:
    """The smallest type of whole numbers that takes all values, or float32."""
    (slope, intercept), *others = {frame.rescaling or PLAIN for frame in frames}
    limits = [limit for frame in frames for limit in frame.limits]
    if not others and slope.is_integer() and intercept.is_integer():
        for kind in map(np.dtype, ("u1", "i1", "u2", "i2", "u4", "i4")):
            if np.iinfo(kind).min <= min(limits) and max(limits) <= np.iinfo(kind).max:
                return kind
    return np.dtype(np.float32)
