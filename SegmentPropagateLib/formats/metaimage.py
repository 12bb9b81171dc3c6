"""MetaImage files: `.mha`, and `.mhd` with its voxels in a file beside it.

Format: https://itk.org/Wiki/ITK/MetaIO/Documentation
"""

from __future__ import annotations

import math
import os
import re
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from SegmentPropagateLib.formats import itk
from SegmentPropagateLib.formats.headers import LONGEST_HEADER, MOST_LINES, Header, check_room, exact, shown
from SegmentPropagateLib.formats.kinds import Content
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.labels import SegmentInfo

_CHUNK = 1 << 20
_LONGEST_LINE = 30_000  # MetaIO keeps a field in 32 kB
_WHOLE = {"CHAR": 1, "SHORT": 2, "INT": 4, "LONG": 4, "LONG_LONG": 8}
_KINDS = {  # as numpy has them
    **{f"MET_{word}": f"i{size}" for word, size in _WHOLE.items()},
    **{f"MET_U{word}": f"u{size}" for word, size in _WHOLE.items()},
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
_YES_NO = {"true": True, "1": True, "false": False, "0": False}
_PLAIN = {"ElementToIntensityFunctionSlope": 1.0, "ElementToIntensityFunctionOffset": 0.0}  # ITK takes all for these
_NUMBERS = {  # field -> how many there are, as a power of the number of axes
    **dict.fromkeys(("Offset", "Position", "Origin", "CenterOfRotation", "ElementSpacing", "ElementSize"), 1),
    **dict.fromkeys(("TransformMatrix", "Rotation", "Orientation"), 2),
}
_LONGEST = {  # characters of fields that mean something to MetaIO; all other names are free
    **dict.fromkeys(("DimSize", *_NUMBERS), 490),  # it reads 500, and then nothing that follows
    **dict.fromkeys(  # these it copies into 255 without looking at their length
        (
            *("Comment", "AcquisitionDate", "ObjectType", "ObjectSubType", "TransformType", "Name", "DistanceUnits"),
            *("AnatomicalOrientation", "Modality", "ImagePosition", "Color", "ElementType", "ElementDataFile"),
            *("ElementMin", "ElementMax", *_PLAIN),
        ),
        250,
    ),
}
_TYPES = {  # of the arrays that are written
    "u1": "MET_UCHAR",
    "u2": "MET_USHORT",
    "u4": "MET_UINT",
    "u8": "MET_ULONG_LONG",
    "i1": "MET_CHAR",
    "i2": "MET_SHORT",
    "i4": "MET_INT",
    "i8": "MET_LONG_LONG",
    "f4": "MET_FLOAT",
    "f8": "MET_DOUBLE",
}


def read(path: Path, content: Content) -> tuple[sitk.Image, None]:
    """Read an image; which modality made it, ITK does not say of these files.

    Raises:
        InputError: the header is wrong or claims more than is there, the packed voxels are damaged, or the file holds
            several volumes.
        RuntimeError: SimpleITK cannot read it.
    """
    del content  # a file holds one image
    header = _read_header(path)
    (axes,) = header.whole("NDims", span=(2, 4))
    sizes = header.whole("DimSize", axes)
    for name, power in _NUMBERS.items():
        if name in header.fields and 0 in header.numbers(name, axes**power) and name.startswith("Element"):
            raise header.fault(f"the '{name}' of its voxels is 0 along an axis")
    header.check_lengths("DistanceUnits")
    for name, usual in _PLAIN.items():
        if name in header.fields and header.numbers(name, 1) != [usual]:
            raise header.fault(f"its values are to be changed by '{name}', save it with values as they are meant")
    _check_voxels(header, sizes)
    return itk.load(path, "MetaImageIO"), None


def _read_header(path: Path) -> Header:
    with path.open("rb") as file:
        start = file.read(LONGEST_HEADER)
    header = Header(path, {}, 0)
    fields: dict[str, str] = {}
    place = 0
    for number, line in enumerate(start.split(b"\n")):
        place += len(line) + 1
        text = line.decode("latin-1").strip()
        field = re.fullmatch(r"([^=:\0-\x1f]{1,200}?)\s*[=:]\s*([^\0-\x08\x0a-\x1f]*)", text)  # as `0008|103e = CT`
        if (text and field is None) or len(line) > _LONGEST_LINE or number > MOST_LINES:
            raise header.fault(f"it is damaged or no MetaImage file, its header has the line {shown(text)}")
        if field is None:
            continue
        name, value = field.groups()
        if name in fields:
            raise header.fault(f"its header has two lines for '{name}'")
        if name in ("DimSize", *_NUMBERS) and "NDims" not in fields:
            raise header.fault(f"its header has 'NDims' behind '{name}' or not at all")
        if len(value) > _LONGEST.get(name, _LONGEST_LINE):
            raise header.fault(f"its header has {len(value)} characters of '{name}'")
        fields[name] = value
        if name == "ElementDataFile":
            return Header(path, fields, place)
    raise header.fault("it is damaged or no MetaImage file, its header has no 'ElementDataFile'")


def _check_voxels(header: Header, sizes: list[int]) -> None:
    (channels,) = header.whole("ElementNumberOfChannels", span=(1, 1000), default="1")
    count = math.prod(sizes) * channels
    kind = header.choice("ElementType", _KINDS)
    needed = count * np.dtype(kind).itemsize
    packed = header.choice("CompressedData", _YES_NO, "False")
    name, source, start = header.text("ElementDataFile"), header.path, header.end
    if name not in ("LOCAL", "Local", "local"):
        source, start = header.data_file(os.fsdecode(name.encode("latin-1"))), 0
    present = source.stat().st_size - start
    lowest = 0 if packed else -1  # which stands for the end of the file
    highest = 0 if packed or start else present  # MetaIO counts from the start of a file that holds the header too
    (skip,) = header.whole("HeaderSize", span=(lowest, highest), default="0")
    if not header.choice("BinaryData", _YES_NO, "True"):
        needed = 2 * count - 1  # a digit and a space
        text = source.read_bytes()[start + max(skip, 0) :]
        if packed or not re.fullmatch(rb"[\s\d.eE+-]*", text):  # at which MetaIO writes to stderr
            raise header.fault("it is damaged, its voxels are to be text and are not")
        header.check_text(text, count, kind)
        if not text[-1:].isspace():  # MetaIO takes the end of the file for a fault
            raise header.fault("the text of its voxels does not end in a line end: add one, or save it as binary")
    if packed:
        (present,) = header.whole("CompressedDataSize", span=(1, present), default="" if start else str(present))
    check_room(header.path, needed + max(skip, 0), present, packed=packed)
    if packed and _unpacked_size(source, start, present, needed) != needed:
        raise header.fault("it is damaged or cut off, its packed voxels do not unpack: copy or export it again")


def _unpacked_size(source: Path, start: int, present: int, enough: int) -> int:
    """How many bytes a stream of zlib holds, -1 where it is damaged: MetaIO goes on with what it got."""
    unpacker, size = zlib.decompressobj(zlib.MAX_WBITS | 32), 0  # which takes gzip as well
    with source.open("rb") as file:
        file.seek(start)
        try:
            while (packed := file.read(min(_CHUNK, present))) and size <= enough:
                present -= len(packed)
                while packed and size <= enough:
                    size += len(unpacker.decompress(packed, _CHUNK))
                    packed = unpacker.unconsumed_tail
        except zlib.error:
            return -1
    return size if unpacker.eof else -1


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
    (layer,) = layers
    pack = zlib.compressobj(6)
    packed = [*(pack.compress(plane.tobytes()) for plane in layer), pack.flush()]
    matrix = geometry.ijk_to_lps
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    fields = {
        "ObjectType": "Image",
        "NDims": 3,
        "BinaryData": True,
        "BinaryDataByteOrderMSB": sys.byteorder == "big",
        "CompressedData": True,
        "CompressedDataSize": sum(map(len, packed)),
        "TransformMatrix": " ".join(exact((matrix[:3, :3] / spacing).T.ravel())),  # axis after axis
        "Offset": " ".join(exact(matrix[:3, 3])),
        "CenterOfRotation": "0 0 0",
        "ElementSpacing": " ".join(exact(spacing)),
        "DimSize": " ".join(map(str, layer.shape[::-1])),
        "ElementType": _TYPES[layer.dtype.str[1:]],
        "ElementDataFile": "LOCAL",  # the last line: the voxels follow
    }
    with path.open("wb") as file:
        file.write("".join(f"{key} = {value}\n" for key, value in fields.items()).encode())
        file.writelines(packed)
