"""DICOM segmentation objects (SEG), as hospital archives keep them: read onto a grid, and written for a DICOM series.

A SEG has a frame for each segment on each slice where it is. Where frames lie and what they hold is found as for
images, names and codes are read by pydicom, and highdicom writes; neither is loaded before a file of this kind is met.
Format: https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_A.51.html
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from SegmentPropagateLib import __version__
from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import PathLike
from SegmentPropagateLib.formats import dicom
from SegmentPropagateLib.formats.dicom_frames import Frame, placed_frames
from SegmentPropagateLib.formats.dicom_header import Header, Tag, Values, begins_as_dicom, read_header, text_of
from SegmentPropagateLib.formats.dicom_pixels import layout_of, stored_frames
from SegmentPropagateLib.formats.dicom_segments import (
    Described,
    check_installed,
    describe,
    one_sentence,
    read_segments_of,
)
from SegmentPropagateLib.formats.kinds import NOTE, Content
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.labels import SegmentInfo, default_segment, values_in

_LABELMAP = "1.2.840.10008.5.1.4.1.1.66.7"
_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", _LABELMAP)
_MOST_VOXELS = 1 << 30  # of all layers together, and of all frames that are decompressed
_MOST_SLICES = 1 << 14
_SHORTEST_MM, _LONGEST_MM = 1e-3, 1e3  # of slices
_OFF_SLICES = 0.1  # by which a frame may miss its slice, as in series of images
_OFF_PIXELS = 0.1
_OFF_MM = 0.01
_POINTED_AT = (
    Tag.SOP_CLASS_UID,
    Tag.SOP_INSTANCE_UID,
    Tag.STUDY_INSTANCE_UID,
    Tag.SERIES_INSTANCE_UID,
    Tag.FRAME_OF_REFERENCE_UID,
)
_MAY_BE_EMPTY = (  # but has to be there
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    *("AccessionNumber", "StudyID", "StudyDate", "StudyTime"),
)

_Masks = dict[int, list[tuple[int, NDArray[np.uint8]]]]  # number -> slice and packed bits of each frame


def recognizes(path: Path) -> bool:
    """Whether a file says that it is a segmentation object."""
    return path.is_file() and begins_as_dicom(path) and _is_seg(read_header(path, last=Tag.SOP_CLASS_UID))


def _is_seg(header: Header) -> bool:
    return dicom.class_of(header) in _CLASSES


def read(path: Path, content: Content) -> tuple[sitk.Image, None]:
    """Read the segments on the smallest grid that holds all frames: labels are the segments' numbers.

    The image has the fields that `seg_nrrd.read_segments` reads. Of segments that are stored as fractions, voxels of
    .5 and more count.

    Raises:
        InputError: an image was wanted, highdicom is not installed, or the file is damaged or of a variety that fills
            no grid.
    """
    header = read_header(path)
    if content == "image":
        dicom.check_is_image(header)  # raises, as it is none
    if header.problem:
        raise InputError(f"The DICOM file '{path}' {header.problem}.")
    check_installed(f"The DICOM file '{path}' is a segmentation object (SEG), and reading it")
    layout = layout_of(header, labels=True)
    voxels = layout.frames * layout.rows * layout.columns
    if not header.frames or (header.compressed and voxels > _MOST_VOXELS):
        raise InputError(
            f"The DICOM segmentation '{path}' is damaged, or that of a slide (its frames are not described, or claim "
            f"{voxels} voxels): convert it to .seg.nrrd with dcmqi."
        )
    frames = placed_frames(header, layout)
    slices, step_mm = _slices_of(frames, path)
    described = read_segments_of(path)
    if described.kind == "FRACTIONAL" and described.whole <= 0:
        raise InputError(
            f"The DICOM segmentation '{path}' is damaged (its MaximumFractionalValue, which stands for a whole voxel, "
            f"is missing): export it again."
        )
    shape = (max(slices) + 1, layout.rows, layout.columns)
    _check_size(1, shape, path)
    if dicom.class_of(header) == _LABELMAP:
        layers, homes = _one_map(frames, slices, shape)
    else:
        layers, homes = _layers_of(_masks_of(frames, slices, described), shape, path)
    image = sitk.GetImageFromArray(np.stack(layers, -1) if layers[1:] else layers[0], isVector=bool(layers[1:]))
    dicom.place(image, frames[slices.index(0)], step_mm)
    for key, text in _fields(described, homes).items():
        image.SetMetaData(key, text)
    return image, None


def _slices_of(frames: Sequence[Frame], path: Path) -> tuple[list[int], float]:
    """The slice of each frame, counted from 0 along the normal, and the distance of slices in mm."""
    first = frames[0]
    normal, pixel_mm = np.cross(*first.axes), float(first.pixel_mm.min())
    positions = np.array([frame.position for frame in frames]) - first.position
    along = positions @ normal
    sideways = np.linalg.norm(positions - np.outer(along, normal), axis=1)
    one_stack = sideways.max() <= _OFF_PIXELS * pixel_mm and all(
        np.abs(frame.axes - first.axes).max() <= 1e-3 and np.allclose(frame.pixel_mm, first.pixel_mm, rtol=1e-4, atol=0)
        for frame in frames
    )
    gaps = np.diff(np.sort(along))
    gaps = gaps[gaps > 0.02 * pixel_mm]
    values = first.header.of_frame(first.index)
    told = [_millimetres(values, tag) for tag in (Tag.SPACING_BETWEEN_SLICES, Tag.SLICE_THICKNESS)]
    steps = (*told, float(gaps.min()) if len(gaps) else 1.0)  # what is told goes first: empty slices have no frame
    for step in filter(None, steps if one_stack else ()):
        slices = (along - along.min()) / step
        if slices.max() < _MOST_SLICES and np.abs(slices - slices.round()).max() <= _OFF_SLICES:
            return slices.round().astype(int).tolist(), step
    raise InputError(
        f"The frames of the DICOM segmentation '{path}' do not lie on one regular grid: convert it to .seg.nrrd with "
        f"3D Slicer."
    )


def _millimetres(values: Values, tag: Tag) -> float:
    """A length that may be there or not, of whatever sign; 0 where it is none."""
    try:
        length = abs(float(text_of(values, tag)))
    except ValueError:
        return 0.0
    return length if _SHORTEST_MM < length < _LONGEST_MM else 0.0


def _one_map(
    frames: Sequence[Frame], slices: Sequence[int], shape_kji: tuple[int, int, int]
) -> tuple[list[NDArray[Any]], dict[int, int]]:
    """The layer of a label map, and that all its numbers are in it."""
    layer = np.zeros(_padded(shape_kji), frames[0].layout.kind)
    for k, stored in zip(slices, stored_frames(frames[0].header, frames[0].layout), strict=True):
        layer[k] = np.where(stored, stored, layer[k])
    return [layer], dict.fromkeys(values_in(layer), 0)


def _masks_of(frames: Sequence[Frame], slices: Sequence[int], described: Described) -> _Masks:
    """The masks of each segment; packed, as there may be a hundred segments on each slice."""
    least = described.whole / 2 if described.kind == "FRACTIONAL" else 1
    header = frames[0].header
    masks: _Masks = {}
    for frame, k, stored in zip(frames, slices, stored_frames(header, frames[0].layout), strict=True):
        number = int.from_bytes(header.of_frame(frame.index).get(Tag.REFERENCED_SEGMENT_NUMBER, b"")[:2], "little")
        if number == 0:
            raise InputError(
                f"The DICOM segmentation '{header.path}' is damaged (a frame does not say of which segment it is): "
                f"export it again."
            )
        masks.setdefault(number, []).append((k, np.packbits(stored >= least)))
    return masks


def _layers_of(masks: _Masks, shape_kji: tuple[int, int, int], path: Path) -> tuple[list[NDArray[Any]], dict[int, int]]:
    """As few layers as segments that overlap need, and the layer of each segment."""
    plane = shape_kji[1:]
    layers: list[NDArray[Any]] = []
    homes: dict[int, int] = {}
    for number, frames in sorted(masks.items()):
        planes = [(k, _unpacked(bits, plane)) for k, bits in frames]
        free = (n for n, layer in enumerate(layers) if not any(layer[k][mask].any() for k, mask in planes))
        homes[number] = next(free, len(layers))
        if homes[number] == len(layers):
            _check_size(len(layers) + 1, shape_kji, path)
            layers.append(np.zeros(_padded(shape_kji), np.min_scalar_type(max(masks))))
        for k, mask in planes:
            layers[homes[number]][k][mask] = number
    return layers, homes


def _check_size(layers: int, shape_kji: tuple[int, int, int], path: Path) -> None:
    """Refuse what would fill the memory from a small file: frames that lie far apart span many empty slices."""
    if layers * math.prod(shape_kji) > _MOST_VOXELS:
        raise InputError(
            f"The DICOM segmentation '{path}' is too large ({layers} x {' x '.join(map(str, shape_kji))} voxels): "
            f"split its segments over several files."
        )


def _unpacked(bits: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    return np.unpackbits(bits, count=math.prod(shape)).reshape(shape).astype(bool)


def _padded(shape_kji: tuple[int, int, int]) -> tuple[int, int, int]:
    """With a second slice where all is on one: a volume has several."""
    return max(shape_kji[0], 2), *shape_kji[1:]


def _fields(described: Described, homes: Mapping[int, int]) -> dict[str, str]:
    known = {info.value for info in described.segments}
    infos = [*described.segments, *(default_segment(number) for number in homes if number not in known)]
    fields: dict[str, str] = {}
    for number, info in enumerate(infos):
        fields |= {
            f"Segment{number}_Name": info.name,
            f"Segment{number}_LabelValue": str(info.value),
            f"Segment{number}_Layer": str(homes.get(info.value, 0)),
            f"Segment{number}_Color": " ".join(f"{part:.6g}" for part in info.color_rgb),
            f"Segment{number}_Tags": info.tags,
        }
    if described.kind == "FRACTIONAL":
        fields[NOTE] = "its segments are stored as fractions, of which .5 and more are taken."
    return fields


def check_source(source: PathLike | None, path: PathLike) -> None:
    """Raise InputError unless a segmentation can be written into `path` for the image `source`, a DICOM series."""
    check_installed(f"Writing '{path}'")
    if source is None or not dicom.recognizes(Path(source)):
        what = "none was named" if source is None else f"'{source}' is none"
        raise InputError(
            f"Cannot write '{path}': a DICOM segmentation is written for a DICOM series, and {what}; choose another "
            f"ending, such as .seg.nrrd."
        )
    headers = _files_of(dicom.frames_at(Path(source)))
    if Path(path).exists() and any(Path(path).samefile(header.path) for header in headers):
        raise InputError(f"Cannot write '{path}': it is a file of the image, choose another name.")
    for header in headers:
        missing = [tag.keyword for tag in _POINTED_AT if not header.text(tag)]
        if missing:
            raise InputError(
                f"The DICOM file '{header.path}' has no {', '.join(missing)} (lost when names were removed?), so no "
                f"segmentation can refer to it: write .seg.nrrd instead."
            )
    for tag in (Tag.STUDY_INSTANCE_UID, Tag.FRAME_OF_REFERENCE_UID):
        if len({header.text(tag) for header in headers}) > 1:
            raise InputError(f"The DICOM series '{source}' has several {tag.keyword}: write .seg.nrrd instead.")
    identity, count = Counter(header.text(Tag.SOP_INSTANCE_UID) for header in headers).most_common(1)[0]
    if count > 1:
        raise InputError(
            f"{count} files of the DICOM series '{source}' have the SOPInstanceUID {identity}, so no segmentation can "
            f"refer to them: write .seg.nrrd instead."
        )


def _files_of(frames: Sequence[Frame]) -> list[Header]:
    return list({frame.header.path: frame.header for frame in frames}.values())


def write_labels(
    path: Path,
    layers: Sequence[NDArray[np.unsignedinteger]],
    members: Sequence[Sequence[SegmentInfo]],
    geometry: Geometry,
    source: PathLike,
) -> list[str]:
    """Write the segments that have voxels, numbered from 1 on, as frames that refer to those of a DICOM series.

    Args:
        path: of the file.
        layers: arrays `(k, j, i)` of one type and shape; more than one where segments overlap.
        members: for each layer the segments that it holds.
        geometry: their grid, which has to be that of the series.
        source: a folder or a file of the series, for which `check_source` has nothing to say.

    Returns:
        A sentence about each segment that has another number than its label, or that is left out.

    Raises:
        InputError: no segment has a voxel, or the grid is another one.
        OSError: the file cannot be written.
    """
    frames = dicom.frames_at(Path(source))
    _check_grid(frames, geometry, source)
    everything = sorted((info for infos in members for info in infos), key=lambda info: info.value)
    there = set().union(*map(values_in, layers))
    infos = [info for info in everything if info.value in there]
    if not infos:
        raise InputError("No object has a voxel, and a DICOM segmentation cannot be empty: nothing was written.")
    failed = f"No DICOM segmentation can be made of the series '{source}'"
    with one_sentence(failed, "write .seg.nrrd instead"):
        segmentation = _build(frames, _pixels(layers, infos), infos)
    segmentation.save_as(path)
    notes = [
        f"DICOM numbers segments from 1 on: label {info.value} ({info.name}) is segment {number} there."
        for number, info in enumerate(infos, 1)
        if number != info.value
    ]
    left_out = [info for info in everything if info.value not in there]
    return notes + [f"Left out: label {info.value} ({info.name}), which has no voxel." for info in left_out]


def _check_grid(frames: Sequence[Frame], geometry: Geometry, source: PathLike) -> None:
    shape = (len(frames), *frames[0].size)
    apart_mm = np.abs(dicom.matrix_of(frames) - geometry.ijk_to_lps)[:3] @ (*reversed(geometry.shape_kji), 1)
    if geometry.shape_kji != shape or apart_mm.max() > _OFF_MM:
        raise InputError(
            f"The masks ({' x '.join(map(str, geometry.shape_kji))} voxels) are not on the grid of the DICOM series "
            f"'{source}' ({' x '.join(map(str, shape))}, up to {apart_mm.max():.3g} mm apart): match them first."
        )


def _pixels(layers: Sequence[NDArray[np.unsignedinteger]], infos: Sequence[SegmentInfo]) -> NDArray[Any]:
    """Numbers of segments `(k, j, i)`; where they overlap `(k, j, i, segment)` of 0 and 1."""
    values = np.array([info.value for info in infos])
    if len(layers) > 1:
        return np.stack([np.any([layer == value for layer in layers], axis=0) for value in values], axis=-1)
    numbers = np.zeros(layers[0].shape, np.min_scalar_type(len(values)))
    for plane, labels in zip(numbers, layers[0], strict=True):
        plane[labels > 0] = np.searchsorted(values, labels[labels > 0]) + 1
    return numbers


def _build(frames: Sequence[Frame], pixels: NDArray[Any], infos: Sequence[SegmentInfo]) -> Any:
    """The segmentation object; the planes of `pixels` are in the order of `frames`."""
    import highdicom as hd
    import pydicom

    images = [pydicom.dcmread(header.path, stop_before_pixels=True) for header in _files_of(frames)]
    step_mm = dicom.gap_mm(frames)
    for image in images:
        for name, value in {**dict.fromkeys(_MAY_BE_EMPTY), "SliceThickness": step_mm}.items():
            if image.get(name) is None:
                setattr(image, name, value)
    in_file = sorted(range(len(frames)), key=lambda k: frames[k].index)  # of single slices all have index 0
    return hd.seg.Segmentation(
        source_images=images,
        pixel_array=pixels[in_file],
        segmentation_type="BINARY",
        segment_descriptions=describe(infos),
        series_instance_uid=hd.UID(),
        series_number=900,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="SegmentPropagate",
        manufacturer_model_name="SegmentPropagate",
        software_versions=__version__,
        device_serial_number="none",
        pixel_measures=hd.PixelMeasuresSequence(
            pixel_spacing=frames[0].pixel_mm.tolist(), slice_thickness=step_mm, spacing_between_slices=step_mm
        ),
        content_label="SEGMENTATION",
        series_description="Segmentation",
        specific_character_set="ISO_IR 192",
    )
