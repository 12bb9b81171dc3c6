"""NRRD files: `.nrrd`, and `.nhdr` with its voxels in a file beside it.

Format: https://teem.sourceforge.net/nrrd/format.html
"""

from __future__ import annotations

import io
import math
import os
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats import itk
from SegmentPropagateLib.formats.gzipped import MAGIC, open_gzip, read_to_end, skip
from SegmentPropagateLib.formats.headers import (
    LONGEST_HEADER,
    MOST_LINES,
    Header,
    check_room,
    finite,
    shown,
)
from SegmentPropagateLib.formats.kinds import Content
from SegmentPropagateLib.formats.plain_nrrd import write_array
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.labels import SegmentInfo

_FIELDS = frozenset(  # without their spaces
    {"number", "type", "blocksize", "dimension", "space", "spacedimension", "sizes", "spacings", "thicknesses"}
    | {"axismins", "axismaxs", "spacedirections", "centers", "centerings", "kinds", "labels", "units", "min", "max"}
    | {"oldmin", "oldmax", "endian", "encoding", "content", "sampleunits", "spaceunits", "spaceorigin"}
    | {"measurementframe", "lineskip", "byteskip", "datafile"}
)
_KINDS = {  # as numpy has them
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(("longlong", "long long", "long long int", "signed long long", "signed long long int"), "i8"),
    **dict.fromkeys(("int64", "int64_t"), "i8"),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"), "u8"),
    "float": "f4",
    "double": "f8",
}
_ENCODINGS = {"raw": "raw", "gz": "gzip", "gzip": "gzip", "hex": "hex", "txt": "text", "text": "text", "ascii": "text"}
_SPACES = {  # NRRD's words for them; ITK ends the process at longer ones
    **dict.fromkeys(("right-anterior-superior", "left-anterior-superior", "left-posterior-superior"), 3),
    **dict.fromkeys(("ras", "las", "lps", "scanner-xyz", "3d-right-handed", "3d-left-handed"), 3),
    **dict.fromkeys(("right-anterior-superior-time", "left-anterior-superior-time", "left-posterior-superior-time"), 4),
    **dict.fromkeys(("rast", "last", "lpst", "scanner-xyz-time", "3d-right-handed-time", "3d-left-handed-time"), 4),
}
_ORDERS = {"little": "<", "big": ">"}
_LONGEST_WORD = 120  # of a field: teem copies each into 128 bytes
_DAMAGED = "its packed voxels are damaged or cut off, copy or export it again"


def read(path: Path, content: Content) -> tuple[sitk.Image, None]:
    """Read an image; which modality made it, these files do not say.

    Raises:
        InputError: the header is wrong or claims more than is there, or the file holds several volumes.
        RuntimeError: SimpleITK cannot read it.
    """
    del content  # a file holds one image
    header = _read_header(path)
    (axes,) = header.whole("dimension", span=(2, 4))
    sizes = header.whole("sizes", axes)
    _check_voxels(header, sizes)
    _check_grid(header, axes)
    try:
        return itk.load(path, "NrrdImageIO"), None
    except RuntimeError as error:
        if _ENCODINGS.get(header.text("encoding").lower()) == "gzip":
            raise header.fault(_DAMAGED) from error
        raise


def _read_header(path: Path) -> Header:
    with path.open("rb") as file:
        start = file.read(LONGEST_HEADER)
    end = re.search(rb"\r?\n\r?\n", start)
    lines = [line.rstrip("\r") for line in start[: end.start() if end else None].decode("latin-1").split("\n")]
    header = Header(path, {}, end.end() if end else len(start))
    if not re.match(r"NRRD00(0[1-5]|\.01)\s*$", lines[0]):
        raise header.fault("it is damaged or no NRRD file, those begin with NRRD0004 or the like")
    if len(lines) > MOST_LINES or (end is None and len(start) == LONGEST_HEADER):
        raise header.fault(f"its header is longer than {MOST_LINES} lines or {LONGEST_HEADER >> 20} MB")
    fields: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(": ")
        plain = name.lower().replace(" ", "")
        if colon and plain in _FIELDS and plain not in fields and "\0" not in line and _are_short(plain, value):
            fields[plain] = value.strip()
            if plain == "datafile" and value.startswith("LIST"):
                break  # names of files follow
        elif line and not line.startswith("#") and (":=" not in line or plain in _FIELDS):
            raise header.fault(f"it is damaged, its header has the line {shown(line)}")
    return Header(path, fields, header.end)


def _are_short(field: str, value: str) -> bool:
    return field in ("content", "datafile", "labels") or max(map(len, value.split()), default=0) <= _LONGEST_WORD


def _check_voxels(header: Header, sizes: list[int]) -> None:
    if header.text("encoding").lower() in ("bz2", "bzip2"):
        raise header.fault("its voxels are packed with bzip2, save it with gzip")
    encoding = header.choice("encoding", _ENCODINGS)
    count, kind = math.prod(sizes), header.choice("type", _KINDS)
    width = np.dtype(kind).itemsize
    if width > 1 and encoding != "text":
        header.choice("endian", _ORDERS)
    source, start = header.path, header.end
    if "datafile" in header.fields:
        source, start = header.data_file(os.fsdecode(header.text("datafile").encode("latin-1"))), 0
    present = source.stat().st_size - start
    (lines,) = header.whole("lineskip", span=(0, 1000), default="0")
    (skip,) = header.whole("byteskip", span=(-1 if encoding == "raw" else 0, max(present, 0)), default="0")
    needed = {"text": 2 * count - 1, "hex": 2 * count * width}.get(encoding, count * width)  # a digit and a space
    check_room(header.path, needed + max(skip, 0), present, packed=encoding == "gzip")
    if encoding in ("gzip", "text"):
        with source.open("rb") as file:
            file.seek(start)
            for _ in range(lines):
                file.readline(LONGEST_HEADER)
            if encoding == "gzip":
                _check_packed(header, file, needed + skip)
            else:
                file.seek(skip, os.SEEK_CUR)
                header.check_text(file.read(), count, kind)


def _check_packed(header: Header, file: io.BufferedReader, size: int) -> None:
    """Raise InputError unless a stream of gzip follows, and whole; teem looks at the sum in its end, not at the length.

    Args:
        header: of the file.
        file: at the first byte of the stream.
        size: bytes that it should hold.
    """
    begin = file.tell()
    if file.read(len(MAGIC)) != MAGIC:  # teem would take the bytes as they are
        raise header.fault("its voxels are to be packed with gzip and are not, copy or export it again")
    file.seek(-4, os.SEEK_END)
    if int.from_bytes(file.read(4), "little") == size % 2**32:
        return
    file.seek(begin)  # several streams, other bytes behind them, or damage
    try:
        unpacked = open_gzip(file)
        skip(unpacked, size)
        read_to_end(unpacked)
    except (EOFError, ValueError, OSError, zlib.error) as error:
        raise header.fault(_DAMAGED) from error


def _check_grid(header: Header, axes: int) -> None:
    """Numbers that are NaN or infinite: ITK puts 1 mm in their place, or stops with a word on something else."""
    others = max(axes - 3, 0)  # axes along which values lie, not voxels
    header.choice("space", _SPACES, "lps")
    header.check_lengths("spaceunits")
    header.check_lengths("units")
    for name in ("axismins", "axismaxs"):  # of which ITK makes an origin, but no spacing
        if name in header.fields and not {"spacings", "spacedirections"} & header.fields.keys():
            raise _wrong_grid(header, name)
    if "spacings" in header.fields:
        spacings = finite([part for part in header.text("spacings").split() if part.lower() != "nan"])
        if spacings is None or len(spacings) < axes - others or 0 in spacings:
            raise _wrong_grid(header, "spacings")
    for name in ("spacedirections", "spaceorigin"):
        vectors = re.findall(r"\(([^()]*)\)", header.fields.get(name, ""))
        placed = [vector for vector in vectors if vector.lower().replace("nan", "").strip(" ,")]
        if any(finite(vector.split(",")) is None for vector in placed):
            raise _wrong_grid(header, name)
        if name == "spacedirections" and name in header.fields and len(placed) < axes - others:
            raise _wrong_grid(header, name)


def _wrong_grid(header: Header, name: str) -> InputError:
    return header.fault(f"its header does not say where its voxels lie, '{name}' is {shown(header.fields[name])}")


def write_labels(
    path: Path,
    layers: Sequence[NDArray[Any]],
    members: Sequence[Sequence[SegmentInfo]],
    geometry: Geometry,
) -> None:
    """Write the one layer of values; names and colors have no place in these files.

    Byte by byte: SimpleITK leaves an empty file on a full disk and says nothing.

    Raises:
        OSError: the file cannot be written.
    """
    del members
    write_array(path, layers, geometry)
