"""NRRD files as we write them, and the fields of their headers; without ITK, which the panel need not load for that."""

from __future__ import annotations

import gzip
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.formats.headers import LONGEST_HEADER, exact
from SegmentPropagateLib.volumes.geometry import Geometry

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


class Layer(Protocol):
    """What an array has."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the voxels."""

    @property
    def shape(self) -> tuple[int, ...]:
        """`(k, j, i)`."""

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """The planes `(j, i)`."""


def write_array(
    path: Path,
    layers: Sequence[Layer],
    geometry: Geometry,
    fields: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write layers, and what else is known of them.

    Args:
        path: of the file.
        layers: arrays `(k, j, i)` of one type and shape, or what gives their planes; several become a list per voxel.
        geometry: their grid.
        fields: what a header has as `key:=value`; a line break becomes `\\n` there.

    Raises:
        OSError: the file cannot be written.
    """
    said = (f"{key}:={_escape(value)}" for key, value in fields.items())
    lines = [*_grid_lines(layers, geometry.ijk_to_lps), *said, "", ""]
    with path.open("wb") as file:
        file.write("\n".join(lines).encode(errors="surrogateescape"))  # names as they were read
        with gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0) as packed:  # same masks, same bytes
            for planes in zip(*layers, strict=True):
                packed.write(np.stack(planes, axis=-1).tobytes())


def _grid_lines(layers: Sequence[Layer], matrix: NDArray[np.float64]) -> list[str]:
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
    return f"({','.join(exact(values))})"


def read_fields(path: Path) -> dict[str, str]:
    """What the header of a file has as `key:=value`.

    Raises:
        ValueError: it is no NRRD file.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = re.split(rb"\r?\n\r?\n", file.read(LONGEST_HEADER), maxsplit=1)[0]
    if not head.startswith(b"NRRD"):
        raise ValueError(f"{path.name} does not begin as NRRD files do")
    lines = re.split(r"\r?\n", head.decode("utf-8", "replace"))
    return {key: _unescape(value) for key, mark, value in (line.partition(":=") for line in lines) if mark}


def _unescape(value: str) -> str:
    """What was to be written where a header has this text; ITK hands it out so."""
    return re.sub(r"\\([\\n])", lambda found: "\n" if found[1] == "n" else "\\", value)


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\r", " ").replace("\n", "\\n")
