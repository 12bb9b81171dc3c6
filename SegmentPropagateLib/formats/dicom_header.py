"""What the header of a DICOM file says: the few elements that are needed, and where its voxels lie.

SimpleITK hands out no sequences, in which multi-frame files describe each frame, and GDCM takes names and headers on
trust. This parser is strict and bounded: it reads no voxels, keeps what `Tag` names, and skips the rest.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

Values = Mapping[int, bytes]
"""Raw values by tag."""

_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF  # a length: until the delimiter
_LONG_KINDS = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
_HEAD, _LENGTH = struct.Struct("<HHI"), struct.Struct("<I")
_WHOLE = 0xFFFFFFFF  # behind which tag nothing is read: none
_LONGEST_VALUE, _LONGEST_TABLE, _BLOCK = 1 << 12, 1 << 17, 1 << 14
_DEEPEST = 24
_DEFLATED, _BIG_ENDIAN = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"
MOST_INFLATED = 1 << 28  # bytes; empty masks shrink to a thousandth, and so does what is made to fill the memory
_CONVERT = "convert it with `dcmconv +te` of DCMTK"


class Tag(IntEnum):
    """The elements that are kept, by their keywords in the DICOM dictionary."""

    MEDIA_STORAGE_SOP_CLASS_UID = 0x00020002
    TRANSFER_SYNTAX_UID = 0x00020010
    SOP_CLASS_UID = 0x00080016
    SOP_INSTANCE_UID = 0x00080018
    MODALITY = 0x00080060
    SERIES_DESCRIPTION = 0x0008103E
    SLICE_THICKNESS = 0x00180050
    SPACING_BETWEEN_SLICES = 0x00180088
    IMAGER_PIXEL_SPACING = 0x00181164
    STUDY_INSTANCE_UID = 0x0020000D
    SERIES_INSTANCE_UID = 0x0020000E
    IMAGE_POSITION_PATIENT = 0x00200032
    IMAGE_ORIENTATION_PATIENT = 0x00200037
    FRAME_OF_REFERENCE_UID = 0x00200052
    CONCATENATION_UID = 0x00209161
    IN_CONCATENATION_NUMBER = 0x00209162
    IN_CONCATENATION_TOTAL_NUMBER = 0x00209163
    SAMPLES_PER_PIXEL = 0x00280002
    PHOTOMETRIC_INTERPRETATION = 0x00280004
    NUMBER_OF_FRAMES = 0x00280008
    FRAME_INCREMENT_POINTER = 0x00280009
    ROWS = 0x00280010
    COLUMNS = 0x00280011
    PIXEL_SPACING = 0x00280030
    BITS_ALLOCATED = 0x00280100
    BITS_STORED = 0x00280101
    HIGH_BIT = 0x00280102
    PIXEL_REPRESENTATION = 0x00280103
    RESCALE_INTERCEPT = 0x00281052
    RESCALE_SLOPE = 0x00281053
    LUT_DESCRIPTOR = 0x00283002
    LUT_DATA = 0x00283006
    REFERENCED_SEGMENT_NUMBER = 0x0062000B

    @property
    def keyword(self) -> str:
        """As the dictionary and other programs spell it, `PixelSpacing`, `SOPClassUID`."""
        return "".join(word if word in ("SOP", "UID", "LUT") else word.title() for word in self.name.split("_"))


_KEPT = frozenset(Tag)
_PIXELS = 0x7FE00010
_DECIMAL_PIXELS = (0x7FE00008, 0x7FE00009)
_SHARED, _PER_FRAME = 0x52009229, 0x52009230
_MACROS = (
    0x00209113,  # plane position
    0x00209116,  # plane orientation
    0x00289110,  # pixel measures
    0x00283000,  # modality LUT
    0x00289145,  # pixel value transformation
    0x00540022,  # detector information, of nuclear medicine
    0x0062000A,  # segment identification
)
_DESCENDED = (_SHARED, _PER_FRAME, *_MACROS)


@dataclass
class Header:
    """What one file says.

    Args:
        path: of the file.
        values: of the file as a whole, raw.
        shared: what holds for all frames of a multi-frame file.
        frames: what holds for one frame each; empty where the file has no such list.
        pixels: places of the voxels as `(offset, length)` in bytes: one, or where they are compressed one for the table
            of offsets and one or more for each frame.
        compressed: whether the voxels are.
        problem: why the file cannot be used, as the end of a sentence; empty where nothing is wrong.
        inflated: what follows the meta elements of a file that is deflated as a whole; its places count from there.
    """

    path: Path
    values: dict[int, bytes] = field(default_factory=dict)
    shared: dict[int, bytes] = field(default_factory=dict)
    frames: list[dict[int, bytes]] = field(default_factory=list)
    pixels: list[tuple[int, int]] = field(default_factory=list)
    compressed: bool = False
    problem: str = ""
    inflated: bytes = field(default=b"", repr=False)

    def open(self) -> BinaryIO:
        """A stream in which the places of voxels count."""
        return BytesIO(self.inflated) if self.inflated else self.path.open("rb")

    def of_frame(self, index: int) -> Values:
        """What holds for one frame: its own values before those of all frames before those of the file."""
        return ChainMap(self.frames[index] if self.frames else {}, self.shared, self.values)

    def text(self, tag: Tag) -> str:
        """A value of the file as text; empty where it has none."""
        return text_of(self.values, tag)

    def number(self, tag: Tag) -> int | None:
        """A 16-bit whole number of the file; None where it has none."""
        value = self.values.get(tag, b"")
        return int.from_bytes(value, "little") if len(value) == 2 else None


def text_of(values: Values, tag: Tag) -> str:
    """A value as text that a terminal can show."""
    text = values.get(tag, b"").decode("utf-8", "replace").strip(" \0")
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def begins_as_dicom(path: Path) -> bool:
    """Whether a regular file has the mark of DICOM, or begins with an element as files without it do."""
    with path.open("rb") as file:
        start = file.read(132)
    if start[128:] == b"DICM":
        return True
    group, number, length = struct.unpack("<HHI", start[:8]) if len(start) == 132 else (0, 0, 0)
    known_kind = start[4:6] in (b"UL", b"OB", b"UI", b"CS", b"DA", b"TM", b"SH", b"LO")
    return group in (2, 8) and number <= 0x60 and (known_kind or (length <= 64 and length % 2 == 0))


def read_header(path: Path, last: int = _WHOLE) -> Header:
    """Read the header of a file that is or should be DICOM; what cannot be read is told in `problem`.

    Args:
        path: of the file.
        last: the tag behind which nothing is read: elements are in the order of their tags.

    Raises:
        OSError: the file cannot be opened.
    """
    header = Header(path)
    damaged = "is damaged or cut off: export it again or remove it"
    if not begins_as_dicom(path):
        header.problem = damaged
        return header
    with path.open("rb") as file:
        try:
            _Parser(file, header, last).parse()
        except (ValueError, struct.error):  # struct: an element that is cut off
            header.problem = damaged
    return header


class _Parser:
    """Walks through the elements of one file; raises ValueError or struct.error at whatever does not fit."""

    def __init__(self, file: BinaryIO, header: Header, last: int) -> None:
        self.file = file
        self.last = last
        self.size = os.fstat(file.fileno()).st_size
        self.header = header
        self.place = 0  # of the next byte
        self.block, self.block_place = b"", 0

    def parse(self) -> None:
        """Fill the header with what can be read, up to the voxels."""
        values = self.header.values
        self.place = 132 if self.ahead(132)[128:] == b"DICM" else 0
        while self.ahead(2) == b"\2\0":  # the meta elements, which are the same in all files
            tag, _kind, length = self.element(implicit=False)
            self.value(tag, length, self.size, values)
        syntax = self.header.text(Tag.TRANSFER_SYNTAX_UID)
        if syntax == _BIG_ENDIAN:
            self.header.problem = f"is in big endian byte order: {_CONVERT}"
            return
        if syntax == _DEFLATED and not self.inflate():
            self.header.problem = f"is deflated to a very small part of its size: {_CONVERT}"
            return
        implicit = not _is_kind(self.ahead(6)[4:])  # some files do not keep to what they announce
        self.data_set(self.size, implicit, 0, values)

    def inflate(self) -> bool:
        """Go on in what the rest of the file holds deflated; False where that is too large."""
        whole = self.last == _WHOLE
        self.file.seek(self.place)
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            content = inflater.decompress(self.file.read(), MOST_INFLATED if whole else _BLOCK)
        except zlib.error as error:
            raise ValueError("not deflated, or damaged") from error
        if whole and inflater.unconsumed_tail:
            return False
        if whole and not inflater.eof:
            raise ValueError("cut off")
        self.header.inflated = content
        self.file, self.size = BytesIO(content), len(content)
        self.place, self.block_place, self.block = 0, 0, b""
        return True

    def ahead(self, count: int) -> bytes:
        """The bytes that follow, fewer at the end of the file; read in blocks, as a header may have a million parts."""
        start = self.place - self.block_place
        if not 0 <= start <= len(self.block) - count:
            self.file.seek(self.place)
            self.block, self.block_place, start = self.file.read(max(count, _BLOCK)), self.place, 0
        return self.block[start : start + count]

    def element(self, implicit: bool) -> tuple[int, bytes, int]:
        """Tag, kind of value (empty where the file does not say it) and length of the element that follows."""
        group, number, length = _HEAD.unpack(self.ahead(8))
        kind = b"" if implicit or group == 0xFFFE else self.ahead(8)[4:6]
        self.place += 8
        if kind:
            if not _is_kind(kind):
                raise ValueError("no kind of value")
            if kind in _LONG_KINDS:
                (length,) = _LENGTH.unpack(self.ahead(4))
                self.place += 4
            else:
                length >>= 16
        return group << 16 | number, kind, length

    def data_set(self, end: int, implicit: bool, depth: int, sink: dict[int, bytes]) -> None:
        """Elements up to `end`, to the delimiter of an item, or to the voxels."""
        while self.place < end:
            tag, kind, length = self.element(implicit)
            if tag == _ITEM_END or (tag > self.last and depth == 0):
                return
            if tag == _PIXELS and depth == 0:
                self.pixels(length)
                return
            if tag in _DECIMAL_PIXELS and depth == 0:
                self.header.problem = "has voxels with decimals (FloatPixelData): convert it to .nrrd, pydicom reads it"
                return
            if length == _UNDEFINED or tag in _DESCENDED:
                stop = end if length == _UNDEFINED else self.place + length
                self.sequence(tag, min(stop, end), implicit or kind == b"UN", depth + 1, sink)
            else:
                self.value(tag, length, end, sink)

    def value(self, tag: int, length: int, end: int, sink: dict[int, bytes]) -> None:
        """Keep or skip a value; the first of a tag counts."""
        if self.place + length > end:
            raise ValueError("longer than what it lies in")
        if tag in _KEPT and length <= (_LONGEST_TABLE if tag == Tag.LUT_DATA else _LONGEST_VALUE):
            sink.setdefault(tag, self.ahead(length))
        self.place += length

    def sequence(self, tag: int, end: int, implicit: bool, depth: int, sink: dict[int, bytes]) -> None:
        """Items up to `end` or to the delimiter of the sequence."""
        if depth > _DEEPEST:
            raise ValueError("nested too deep")
        while self.place < end:
            mark, _kind, length = self.element(implicit=True)
            if mark == _SEQUENCE_END:
                return
            stop = end if length == _UNDEFINED else self.place + length
            if mark != _ITEM or stop > end:
                raise ValueError("no item, or longer than its sequence")
            if tag == _PIXELS:  # of an icon: bytes, not elements
                self.place = stop
            else:
                self.data_set(stop, implicit, depth, self.sink_of(tag, depth, sink))

    def sink_of(self, tag: int, depth: int, sink: dict[int, bytes]) -> dict[int, bytes]:
        """Where the values of an item go: those of sequences that are not needed go nowhere."""
        if tag in _MACROS:
            return sink
        if tag == _SHARED and depth == 1:
            return self.header.shared
        if tag == _PER_FRAME and depth == 1:
            self.header.frames.append({})
            return self.header.frames[-1]
        return {}

    def pixels(self, length: int) -> None:
        """Note where the voxels lie."""
        self.header.compressed = length == _UNDEFINED
        if not self.header.compressed:
            self.header.pixels.append((self.place, min(length, self.size - self.place)))
            return
        while True:
            mark, _kind, length = self.element(implicit=True)
            if mark == _SEQUENCE_END:
                return
            if mark != _ITEM or self.place + length > self.size:
                raise ValueError("no piece of compressed voxels, or cut off")
            self.header.pixels.append((self.place, length))
            self.place += length


def _is_kind(letters: bytes) -> bool:
    return len(letters) == 2 and letters.isalpha() and letters.isupper()
