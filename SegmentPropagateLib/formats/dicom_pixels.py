"""Voxels of DICOM files as they are stored: read by numpy, and by GDCM where they are compressed.

GDCM gets a new file with the compressed bytes and a header of ours, so that it meets no foreign names, damaged headers
or rescaling that would hold for the first frame alone.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.dicom_header import Header, Tag
from SegmentPropagateLib.wording import are, counted

_DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"
_WRAPPED = (_DEFLATED_FRAMES, "1.2.840.10008.1.2.1.98")  # transfer syntaxes
_MOST_FRAMES = 1 << 16  # of one file; a frame takes a kilobyte before any voxel is read
_MOST_DECOMPRESSED = 1 << 25  # pixels of a frame; JPEG 2000 takes 16 bytes for each, however small the file


@dataclass(frozen=True)
class Layout:
    """How the voxels of a file are stored; `high_bit` counts from 0."""

    frames: int
    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool

    @property
    def kind(self) -> np.dtype[Any]:
        """Type of the stored numbers."""
        return np.dtype(f"<{'i' if self.signed else 'u'}{max(self.bits_allocated // 8, 1)}")

    @property
    def frame_bits(self) -> int:
        """Bits of one frame, where it is not compressed."""
        return self.rows * self.columns * self.bits_allocated

    @property
    def stored_range(self) -> tuple[int, int]:
        """Lowest and highest number that can be stored."""
        count = 1 << self.bits_stored
        return (-count // 2, count // 2 - 1) if self.signed else (0, count - 1)


def layout_of(header: Header, labels: bool = False) -> Layout:
    """How the voxels are stored.

    Args:
        header: of the file.
        labels: whether they stand for segments: then they may be single bits, and a palette says how to show them.

    Raises:
        InputError: they are in color, incomplete, or stored in a way that no volume is.
    """
    path = header.path
    color = header.text(Tag.PHOTOMETRIC_INTERPRETATION)
    single = ("MONOCHROME", "PALETTE") if labels else ("MONOCHROME",)
    if header.number(Tag.SAMPLES_PER_PIXEL) not in (None, 1) or not (color or "MONOCHROME").startswith(single):
        raise InputError(f"The DICOM file '{path}' is in color ({color}): give a series with one value per voxel.")
    tags = (Tag.ROWS, Tag.COLUMNS, Tag.BITS_ALLOCATED, Tag.BITS_STORED, Tag.PIXEL_REPRESENTATION)
    rows, columns, allocated, stored, signed = (_number(header, tag) for tag in tags)
    high_bit = header.number(Tag.HIGH_BIT)
    high_bit = stored - 1 if high_bit is None else high_bit
    sizes_fit = rows > 0 and columns > 0 and allocated in ((1, 8, 16) if labels else (8, 16, 32))
    if not (sizes_fit and 0 < stored <= high_bit + 1 <= allocated and signed in (0, 1)):
        raise InputError(
            f"The DICOM file '{path}' is damaged or no volume ({columns} x {rows} pixels of {stored} bits in "
            f"{allocated}): export it again."
        )
    layout = Layout(_frame_count(header), rows, columns, allocated, stored, high_bit, bool(signed))
    _check_complete(header, layout)
    return layout


def _number(header: Header, tag: Tag) -> int:
    number = header.number(tag)
    if number is None:
        raise InputError(f"The DICOM file '{header.path}' is damaged (its {tag.keyword} is missing): export it again.")
    return number


def _frame_count(header: Header) -> int:
    text = header.text(Tag.NUMBER_OF_FRAMES) or "1"
    if not re.fullmatch(r"\d{1,12}", text) or not 0 < int(text) <= _MOST_FRAMES:
        raise InputError(f"The DICOM file '{header.path}' is damaged (NumberOfFrames '{text}'): export it again.")
    return int(text)


def _check_complete(header: Header, layout: Layout) -> None:
    if header.compressed:
        if layout.rows * layout.columns > _MOST_DECOMPRESSED:
            raise InputError(
                f"The compressed frames of the DICOM file '{header.path}' are too large ({layout.columns} x "
                f"{layout.rows} pixels): convert it with `gdcmconv --raw`."
            )
        missing = layout.frames - (len(header.pixels) - 1)  # the first piece is a table of offsets
        unit = "frame"
    else:
        missing = (layout.frames * layout.frame_bits + 7) // 8 - sum(length for _offset, length in header.pixels)
        unit = "byte"
    if missing > 0:
        lost = f"{counted(missing, unit)} of voxels {are(missing)} missing"
        raise InputError(f"The DICOM file '{header.path}' is damaged or cut off ({lost}): export it again.")


def stored_frames(header: Header, layout: Layout) -> Iterator[NDArray[np.integer[Any]]]:
    """The frames of a file one after the other, `(row, column)`, before any rescaling.

    Raises:
        InputError: compressed voxels are damaged, or compressed in a way that is not known.
    """
    frames: Iterator[NDArray[np.integer[Any]]]
    if not header.compressed:
        frames = (_frame_in_file(header, layout, index) for index in range(layout.frames))
    elif header.text(Tag.TRANSFER_SYNTAX_UID) in _WRAPPED:
        frames = (_wrapped_frame(header, layout, index) for index in range(layout.frames))
    else:
        frames = (frame.astype(layout.kind) for frame in _decompressed(header, layout))
    unused = layout.bits_allocated - 1 - layout.high_bit  # above the stored bits: overlays of old files, or nothing
    for frame in frames:
        yield (frame << unused) >> (layout.bits_allocated - layout.bits_stored)


def _frame_in_file(header: Header, layout: Layout, index: int) -> NDArray[np.integer[Any]]:
    start, used = divmod(index * layout.frame_bits, 8)  # frames of single bits begin within a byte
    with header.open() as file:
        file.seek(header.pixels[0][0] + start)
        return _frame_of(file.read((used + layout.frame_bits + 7) // 8), used, layout)


def _wrapped_frame(header: Header, layout: Layout, index: int) -> NDArray[np.integer[Any]]:
    """A frame in a piece of its own, as it is or deflated, which GDCM does not know."""
    offset, length = header.pixels[1 + index]
    size = (layout.frame_bits + 7) // 8
    with header.open() as file:
        file.seek(offset)
        content = file.read(length)
    if header.text(Tag.TRANSFER_SYNTAX_UID) == _DEFLATED_FRAMES:
        try:
            content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, size)
        except zlib.error:
            content = b""
    if len(content) < size or len(header.pixels) != layout.frames + 1:
        raise InputError(
            f"The DICOM file '{header.path}' is damaged (its frame {index + 1} is incomplete, or in several pieces): "
            f"export it again."
        )
    return _frame_of(content[:size], 0, layout)


def _frame_of(content: bytes, used: int, layout: Layout) -> NDArray[np.integer[Any]]:
    """The frame that begins so many bits within the first byte."""
    stored = np.frombuffer(content, np.uint8)
    if layout.bits_allocated == 1:
        stored = np.unpackbits(stored, bitorder="little")[used : used + layout.frame_bits]
    return stored.view(layout.kind).reshape(layout.rows, layout.columns)


def _decompressed(header: Header, layout: Layout) -> NDArray[Any]:
    """All frames of a file with compressed voxels, `(frame, row, column)`."""
    shape = (layout.frames, layout.rows, layout.columns)
    with TemporaryDirectory() as folder:
        copy = Path(folder) / "frames.dcm"
        _write_copy(copy, header, layout)
        reader = sitk.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(str(copy))
        try:
            with _without_messages():
                image = reader.Execute()
        except RuntimeError as error:
            syntax = header.text(Tag.TRANSFER_SYNTAX_UID)
            raise InputError(
                f"The voxels of the DICOM file '{header.path}' cannot be decompressed (transfer syntax {syntax}): it "
                f"is damaged, or convert it with `gdcmconv --raw`."
            ) from error
    array = sitk.GetArrayFromImage(image)
    if array.size != np.prod(shape) or array.shape[-2:] != shape[1:]:
        raise InputError(
            f"The DICOM file '{header.path}' is damaged (its voxels are of another size): export it again."
        )
    return array.reshape(shape)


@contextmanager
def _without_messages() -> Iterator[None]:
    """Keep the libraries under GDCM, which write into the process's stderr by themselves, from doing so."""
    try:
        shown = os.dup(2)
    except OSError:  # closed: nothing is shown anyway
        yield
        return
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(shown, 2)
        os.close(shown)


def _write_copy(target: Path, header: Header, layout: Layout) -> None:
    """A file with the same compressed voxels and no more in its header than they need."""
    kind, uid = b"1.2.840.10008.5.1.4.1.1.7.3", b"1.2.826.0.1.1"  # the class of plain frames without geometry
    meta = _element(0x00020002, b"UI", kind) + _element(0x00020003, b"UI", uid)
    meta += _element(Tag.TRANSFER_SYNTAX_UID, b"UI", header.text(Tag.TRANSFER_SYNTAX_UID).encode())
    with target.open("wb") as file, header.open() as source:
        file.write(b"\0" * 128 + b"DICM" + _element(0x00020000, b"UL", struct.pack("<I", len(meta))) + meta)
        file.write(_element(Tag.SOP_CLASS_UID, b"UI", kind) + _element(0x00080018, b"UI", uid))
        file.write(_element(Tag.SAMPLES_PER_PIXEL, b"US", struct.pack("<H", 1)))
        file.write(_element(Tag.PHOTOMETRIC_INTERPRETATION, b"CS", b"MONOCHROME2"))
        file.write(_element(Tag.NUMBER_OF_FRAMES, b"IS", str(layout.frames).encode()))
        for tag, number in (
            (Tag.ROWS, layout.rows),
            (Tag.COLUMNS, layout.columns),
            (Tag.BITS_ALLOCATED, layout.bits_allocated),
            (Tag.BITS_STORED, layout.bits_stored),
            (Tag.HIGH_BIT, layout.high_bit),
            (Tag.PIXEL_REPRESENTATION, layout.signed),
        ):
            file.write(_element(tag, b"US", struct.pack("<H", number)))
        file.write(struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OB", 0, 0xFFFFFFFF))
        for offset, length in header.pixels:
            source.seek(offset)
            file.write(struct.pack("<HHI", 0xFFFE, 0xE000, length) + source.read(length))
        file.write(struct.pack("<HHI", 0xFFFE, 0xE0DD, 0))


def _element(tag: int, kind: bytes, value: bytes) -> bytes:
    value += (b"\0" if kind == b"UI" else b" ") * (len(value) % 2)
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, kind, len(value)) + value
