"""Frames of DICOM files, one for each single slice: where they lie, and whether they fill a regular grid together."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.dicom_header import Header, Tag, Values, text_of
from SegmentPropagateLib.formats.dicom_pixels import Layout, layout_of
from SegmentPropagateLib.volumes.geometry import RESAMPLE
from SegmentPropagateLib.wording import counted

_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
_FARTHEST_MM = 1e6
PLAIN = (1.0, 0.0)  # the slope and intercept with which values are as stored
_SLICE_VECTOR = b"\x54\x00\x80\x00"  # the tag as a value: frames of nuclear medicine are slices and nothing else


@dataclass(frozen=True)
class Frame:
    """One slice.

    Args:
        header: of its file.
        layout: of its file.
        index: within its file.
        position: of the center of its first pixel, mm along the axes of DICOM.
        axes: directions along a row and down a column, `(2, 3)`.
        pixel_mm: size of a pixel down a column and along a row.
        rescaling: slope and intercept that turn stored numbers into values; None where the file gives neither.
        table: what does so in their place, for those from `first` on; None where the file has none.
        first: the stored number of the table's first value.
    """

    header: Header
    layout: Layout
    index: int
    position: NDArray[np.float64]
    axes: NDArray[np.float64]
    pixel_mm: NDArray[np.float64]
    rescaling: tuple[float, float] | None
    table: NDArray[np.unsignedinteger] | None = None
    first: int = 0

    def values_of(self, stored: NDArray[np.integer[Any]]) -> NDArray[Any]:
        """The values that stored numbers `(row, column)` stand for."""
        if self.table is not None:
            return self.table[np.clip(stored.astype(np.int64) - self.first, 0, len(self.table) - 1)]
        slope, intercept = self.rescaling or PLAIN
        return np.multiply(stored, slope, dtype=np.float64) + intercept

    @property
    def limits(self) -> tuple[float, float]:
        """Two values between which all others lie."""
        if self.table is not None:
            return float(self.table.min()), float(self.table.max())
        slope, intercept = self.rescaling or PLAIN
        low, high = self.layout.stored_range
        return low * slope + intercept, high * slope + intercept

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.layout.rows, self.layout.columns


def frames_of(header: Header) -> list[Frame]:
    """All frames of a file, in its order.

    Raises:
        InputError: the file is incomplete or does not say where its frames lie.
    """
    return placed_frames(header, layout_of(header))


def placed_frames(header: Header, layout: Layout) -> list[Frame]:
    """The same where it is known how the voxels are stored.

    Raises:
        InputError: the file does not say where its frames lie.
    """
    if header.frames and len(header.frames) != layout.frames:
        raise InputError(
            f"The DICOM file '{header.path}' is damaged ({layout.frames} frames, {len(header.frames)} described): "
            f"export it again."
        )
    frames = [_frame(header, layout, index) for index in range(layout.frames if header.frames else 1)]
    return frames if header.frames or layout.frames == 1 else _stepped(frames[0])


def _frame(header: Header, layout: Layout, index: int) -> Frame:
    values = header.of_frame(index)
    row, column = _decimals(values, Tag.IMAGE_ORIENTATION_PATIENT, 6, header).reshape(2, 3)
    if max(abs(row @ row - 1), abs(column @ column - 1), 5 * abs(row @ column)) > 0.01:
        raise _unusable(values, Tag.IMAGE_ORIENTATION_PATIENT, header)
    row = row / np.linalg.norm(row)
    column = column - (column @ row) * row  # what rounding left between them
    axes = np.array([row, column / np.linalg.norm(column)])
    pixel_mm = _decimals(values, Tag.PIXEL_SPACING, 2, header)
    if pixel_mm.min() <= 0:
        raise _unusable(values, Tag.PIXEL_SPACING, header)
    position = _decimals(values, Tag.IMAGE_POSITION_PATIENT, 3, header)
    table, start = _table(values, layout, header)
    rescaling = _rescaling(values, header) if table is None else None
    return Frame(header, layout, index, position, axes, pixel_mm, rescaling, table, start)


def _table(values: Values, layout: Layout, header: Header) -> tuple[NDArray[np.unsignedinteger] | None, int]:
    """The table of a ModalityLUTSequence, and the stored number of its first value."""
    descriptor, data = values.get(Tag.LUT_DESCRIPTOR, b""), values.get(Tag.LUT_DATA, b"")
    if not descriptor and not data:
        return None, 0
    if len(descriptor) == 6:
        count, start, _bits = struct.unpack("<HhH" if layout.signed else "<HHH", descriptor)
        count = count or 1 << 16
        if len(data) == 2 * count:
            return np.frombuffer(data, "<u2").astype(np.uint16), start
        if len(data) == count + count % 2:
            return np.frombuffer(data, "u1")[:count], start
    raise InputError(
        f"The DICOM file '{header.path}' is damaged (its ModalityLUTSequence, the table of its values, is incomplete): "
        f"export it again."
    )


def _rescaling(values: Values, header: Header) -> tuple[float, float] | None:
    if not text_of(values, Tag.RESCALE_SLOPE) and not text_of(values, Tag.RESCALE_INTERCEPT):
        return None
    slope = float(_decimals(values, Tag.RESCALE_SLOPE, 1, header, default=1)[0])
    if slope == 0:
        raise _unusable(values, Tag.RESCALE_SLOPE, header)
    return slope, float(_decimals(values, Tag.RESCALE_INTERCEPT, 1, header, default=0)[0])


def _stepped(first: Frame) -> list[Frame]:
    """Frames of which only the first has a place, and the others follow in steps, as in nuclear medicine."""
    header = first.header
    if header.values.get(Tag.FRAME_INCREMENT_POINTER, _SLICE_VECTOR) != _SLICE_VECTOR:
        raise InputError(
            f"The frames of the DICOM file '{header.path}' are not the slices of one volume but times, angles or "
            f"energies: export the reconstructed volume."
        )
    step_mm = float(_decimals(header.values, Tag.SPACING_BETWEEN_SLICES, 1, header)[0])
    if step_mm == 0:
        raise _unusable(header.values, Tag.SPACING_BETWEEN_SLICES, header)
    step = step_mm * np.cross(*first.axes)
    return [replace(first, index=index, position=first.position + index * step) for index in range(first.layout.frames)]


def _decimals(
    values: Values, tag: Tag, count: int, header: Header, default: float | None = None
) -> NDArray[np.float64]:
    """A value of `count` decimal numbers, of which some programs write the decimal point as a comma."""
    text = text_of(values, tag)
    if not text and default is not None:
        return np.full(count, float(default))
    words = [word.strip().replace(",", ".") for word in text.split("\\")]
    if len(words) != count or not all(map(_DECIMAL.fullmatch, words)):
        raise _unusable(values, tag, header)
    numbers = [float(word) for word in words]
    if any(abs(number) > _FARTHEST_MM for number in numbers):
        raise _unusable(values, tag, header)
    return np.array(numbers)


def _unusable(values: Values, tag: Tag, header: Header) -> InputError:
    text = text_of(values, tag)
    if text:
        return InputError(
            f"The DICOM file '{header.path}' has the {tag.keyword} '{text[:80]}', which is impossible: export it again."
        )
    only = " (only at the detector)" if tag is Tag.PIXEL_SPACING and text_of(values, Tag.IMAGER_PIXEL_SPACING) else ""
    return InputError(
        f"The DICOM file '{header.path}' does not say where its slices lie: its {tag.keyword} is missing{only}."
    )


def in_order(frames: Sequence[Frame], path: Path) -> list[Frame]:
    """Sort frames along their normal and make sure that they fill a regular grid.

    Raises:
        InputError: missing, doubled, different or unevenly spaced slices, or a tilted gantry.
    """
    first = frames[0]
    all_rescaled = all(frame.rescaling for frame in frames)
    for differs, what in (
        ([frame.size != first.size for frame in frames], "sizes: split it first"),
        ([np.abs(frame.axes - first.axes).max() > 1e-3 for frame in frames], "directions, as a scout does: split it"),
        (
            [not np.allclose(frame.pixel_mm, first.pixel_mm, rtol=1e-4, atol=0) for frame in frames],
            "pixel spacings: split it or resample it to a regular grid",
        ),
        (
            [(frame.rescaling or PLAIN) != PLAIN and not all_rescaled for frame in frames],
            "kinds of values, with a RescaleSlope or RescaleIntercept and without: export it again",
        ),
        (
            [(frame.table is None) != (first.table is None) for frame in frames],
            "kinds of values, with a ModalityLUTSequence and without: export it again",
        ),
    ):
        if any(differs):
            raise InputError(f"The DICOM series in '{path}' mixes slices of different {what}.")
    normal = np.cross(*first.axes)
    ordered = sorted(frames, key=lambda frame: float(frame.position @ normal))
    if len(ordered) > 1:
        _check_gaps(ordered, normal, path)
    return ordered


def _check_gaps(frames: Sequence[Frame], normal: NDArray[np.float64], path: Path) -> None:
    positions = np.array([frame.position for frame in frames])
    along = positions @ normal
    gaps = np.diff(along)
    usual = float(np.sort(gaps)[(len(gaps) - 1) // 2])  # the lower median: of two gaps, the wide one is the fault
    doubled = np.flatnonzero(gaps < 0.02 * frames[0].pixel_mm.min())
    if len(doubled):
        one, other = (_name_of(frame) for frame in frames[doubled[0] : doubled[0] + 2])
        more = f" ({len(doubled) - 1} more are doubled)" if len(doubled) > 1 else ""
        raise InputError(
            f"The DICOM series in '{path}' has several slices at the same place ({along[doubled[0]]:g} mm along its "
            f"axis): {one} and {other}{more}, as of a copy or of several phases; keep one of them."
        )
    if gaps.max() > 1.5 * usual:
        widest = int(gaps.argmax())
        lost = round(gaps[widest] / usual) - 1
        raise InputError(
            f"The DICOM series in '{path}' lacks about {counted(lost, 'slice')} between {along[widest]:g} and "
            f"{along[widest + 1]:g} mm along its axis: export it again."
        )
    if gaps.max() - gaps.min() > 0.1 * usual:
        raise InputError(
            f"The slices of the DICOM series in '{path}' are unevenly spaced ({gaps.min():g} to {gaps.max():g} mm): "
            f"{RESAMPLE}."
        )
    sideways = (positions - positions[0]) - np.outer(along - along[0], normal)
    if np.linalg.norm(sideways, axis=1).max() > 0.1 * usual:
        raise InputError(f"The DICOM series in '{path}' was taken with a tilted gantry: {RESAMPLE}.")


def _name_of(frame: Frame) -> str:
    name = f"'{frame.header.path.name}'"
    return f"frame {frame.index + 1} of {name}" if frame.layout.frames > 1 else name


def check_concatenations(headers: Sequence[Header], path: Path) -> None:
    """Raise InputError where a stack was split over several files and one of them is not there.

    At the ends of a stack no gap would tell of it.
    """
    parts: dict[tuple[str, int], set[int | None]] = {}
    for header in headers:
        total = header.number(Tag.IN_CONCATENATION_TOTAL_NUMBER)
        if total is not None:
            key = header.text(Tag.CONCATENATION_UID), total
            parts.setdefault(key, set()).add(header.number(Tag.IN_CONCATENATION_NUMBER))
    for (_identity, total), there in parts.items():
        if len(there) < total:
            raise InputError(
                f"The DICOM series in '{path}' is split over {total} files of which {len(there)} are there: export all."
            )
