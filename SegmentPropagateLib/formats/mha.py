"""MetaImage files, byte by byte: SimpleITK leaves an empty one on a full disk and says nothing.

Format: https://itk.org/Wiki/ITK/MetaIO/Documentation.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.formats.grids import ijk_to_lps
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.labels import SegmentInfo

_TYPES = {
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


def write_labels(
    path: Path,
    layers: Sequence[NDArray[Any]],
    members: Sequence[Sequence[SegmentInfo]],
    geometry: Geometry,
) -> None:
    """Write the one layer of values; names and colors have no place in these files.

    Raises:
        OSError: the file cannot be written.
    """
    del members
    (layer,) = layers
    pack = zlib.compressobj(6)
    packed = [*(pack.compress(plane.tobytes()) for plane in layer), pack.flush()]
    matrix = ijk_to_lps(geometry)
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    fields = {
        "ObjectType": "Image",
        "NDims": 3,
        "BinaryData": True,
        "BinaryDataByteOrderMSB": sys.byteorder == "big",
        "CompressedData": True,
        "CompressedDataSize": sum(map(len, packed)),
        "TransformMatrix": _words((matrix[:3, :3] / spacing).T.ravel()),  # axis after axis
        "Offset": _words(matrix[:3, 3]),
        "CenterOfRotation": "0 0 0",
        "ElementSpacing": _words(spacing),
        "DimSize": " ".join(map(str, layer.shape[::-1])),
        "ElementType": _TYPES[layer.dtype.str[1:]],
        "ElementDataFile": "LOCAL",  # the last line: the voxels follow
    }
    with path.open("wb") as file:
        file.write("".join(f"{key} = {value}\n" for key, value in fields.items()).encode())
        file.writelines(packed)


def _words(values: Iterable[float]) -> str:
    return " ".join(repr(float(value) + 0.0) for value in values)  # + 0.0: no -0.0
