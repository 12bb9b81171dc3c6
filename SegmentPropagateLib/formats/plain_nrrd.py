"""NRRD files, byte by byte: SimpleITK leaves an empty one on a full disk and says nothing.

Format: https://teem.sourceforge.net/nrrd/format.html.
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.formats.grids import ijk_to_lps
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.labels import SegmentInfo

_TYPES = {
    "u1": "unsigned char",
    "u2": "unsigned short",
    "u4": "unsigned int",
    "u8": "unsigned long long",
    "i1": "signed char",
    "i2": "short",
    "i4": "int",
    "i8": "long long",
    "f4": "float",
    "f8": "double",
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
    write_array(path, layers, geometry)


def write_array(path: Path, layers: Sequence[NDArray[Any]], geometry: Geometry, fields: Sequence[str] = ()) -> None:
    """Write layers, and what else is known of them.

    Args:
        path: of the file.
        layers: arrays `(k, j, i)` of one type and shape; several become a list per voxel.
        geometry: their grid.
        fields: lines `key:=value`.

    Raises:
        OSError: the file cannot be written.
    """
    lines = [*_grid_lines(layers, ijk_to_lps(geometry)), *fields, "", ""]
    with path.open("wb") as file:
        file.write("\n".join(lines).encode(errors="surrogateescape"))  # names as they were read
        with gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as packed:  # same masks, same bytes
            for planes in zip(*layers, strict=True):
                packed.write(np.stack(planes, axis=-1).tobytes())


def _grid_lines(layers: Sequence[NDArray[Any]], matrix: NDArray[np.float64]) -> list[str]:
    kind = layers[0].dtype
    sizes, directions, kinds = (
        list(layers[0].shape[::-1]),
        [_vector(matrix[:3, axis]) for axis in range(3)],
        ["domain"] * 3,
    )
    if len(layers) > 1:
        sizes, directions, kinds = [len(layers), *sizes], ["none", *directions], ["list", *kinds]
    return [
        "NRRD0004",
        "# Complete NRRD file format specification at:",
        "# http://teem.sourceforge.net/nrrd/format.html",
        f"type: {_TYPES[kind.str[1:]]}",
        f"dimension: {len(sizes)}",
        "space: left-posterior-superior",
        f"sizes: {' '.join(map(str, sizes))}",
        f"space directions: {' '.join(directions)}",
        f"kinds: {' '.join(kinds)}",
        *([f"endian: {sys.byteorder}"] if kind.itemsize > 1 else []),
        "encoding: gzip",
        f"space origin: {_vector(matrix[:3, 3])}",
    ]


def _vector(values: NDArray[np.float64]) -> str:
    return "(" + ",".join(repr(float(value) + 0.0) for value in values) + ")"  # + 0.0: no -0.0
