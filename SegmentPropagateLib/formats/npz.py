"""MedSAM2 archives."""

from __future__ import annotations

import math
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import SimpleITK as sitk
from numpy.lib import format as npy
from numpy.typing import NDArray

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.headers import check_room
from SegmentPropagateLib.formats.kinds import Content

KEYS: Mapping[Content, str] = {"image": "imgs", "labels": "gts"}

_GRID = {"spacing": np.ones(3), "direction": np.eye(3).ravel(), "origin": np.zeros(3)}
_CHUNK = 1 << 20
_DAMAGED = (ValueError, TypeError, SyntaxError, EOFError, ArithmeticError, NotImplementedError, zlib.error)


def read(path: Path, content: Content) -> tuple[sitk.Image, None]:
    """Read one array of a MedSAM2 archive; its spacing, direction and origin are SimpleITK's, in x, y, z.

    Raises:
        InputError: no such archive, or it is damaged, incomplete or packed in another way than numpy does.
    """
    key = KEYS[content]
    try:
        with zipfile.ZipFile(path) as archive:
            array = _array(archive, key, path)
            grid = {name: _grid_numbers(archive, name, path) for name in _GRID}
    except (zipfile.BadZipFile, *_DAMAGED) as error:
        raise InputError(f"'{path}' is no MedSAM2 archive (.npz), or it is damaged.") from error
    if array.ndim != 3 or min(array.shape) < 1:
        raise InputError(
            f"'{key}' in '{path}' has shape {array.shape}: it must be one number per (slice, row, column)."
        )
    image = sitk.GetImageFromArray(_plain(array))
    image.SetSpacing(grid["spacing"])
    image.SetDirection(grid["direction"])
    image.SetOrigin(grid["origin"])
    return image, None


def _grid_numbers(archive: zipfile.ZipFile, name: str, path: Path) -> list[float]:
    if f"{name}.npy" not in archive.namelist():
        numbers = _GRID[name]
    else:
        numbers = _array(archive, name, path).astype(np.float64).ravel()
    right = numbers.size == _GRID[name].size and np.isfinite(numbers).all()
    if not right or (name == "spacing" and numbers.min() <= 0):
        raise InputError(f"'{path}' needs a spacing of 3 (above 0), a direction of 9 and an origin of 3 numbers.")
    return list(numbers.tolist())


def _array(archive: zipfile.ZipFile, key: str, path: Path) -> NDArray[Any]:
    """One array, of which no more is read than its header and the archive agree upon."""
    try:
        member = archive.getinfo(f"{key}.npy")
    except KeyError as error:
        raise InputError(f"'{path}' has no array '{key}': MedSAM2 files hold 'imgs', 'gts' and 'spacing'.") from error
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or member.flag_bits & 1:
        raise InputError(
            f"'{key}' in '{path}' is encrypted or packed in another way than `numpy.savez_compressed` does."
        )
    with cast(zipfile.ZipExtFile, archive.open(member)) as file:
        shape, is_fortran, kind = _read_header(file)
        if kind.kind not in "buif":
            raise InputError(f"'{key}' in '{path}' is of type {kind.name}: it must be numbers.")
        needed = math.prod(shape) * kind.itemsize
        if min(shape, default=1) < 0 or needed != member.file_size - file.tell():
            raise ValueError("the array has another size than its member of the archive")
        packed = member.compress_type == zipfile.ZIP_DEFLATED
        check_room(path, needed, member.compress_size, packed=packed)
        array = np.empty(math.prod(shape), dtype=kind)
        buffer, place = memoryview(array.view(np.uint8)), 0  # type: ignore[arg-type]
        while count := file.readinto(buffer[place : place + _CHUNK]):
            place += count
        if place < needed or file.read(1):  # which also makes it compare its checksum
            raise ValueError("the array has another size than its member of the archive")
    return array.reshape(shape, order="F" if is_fortran else "C")


def _read_header(file: zipfile.ZipExtFile) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether the first index runs fastest, and type."""
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):  # the third is for names of fields, of which images have none
        raise ValueError(f"version {version}")
    try:
        return npy.read_array_header_1_0(file) if version == (1, 0) else npy.read_array_header_2_0(file)
    except (MemoryError, RecursionError, tokenize.TokenError) as error:  # of an expression that is nested too deeply
        raise ValueError("no header") from error


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    """The array in a type that SimpleITK knows, in this machine's order of bytes."""
    others = {"?": np.uint8, "e": np.float32, "g": np.float64}  # bool, half, long double
    kind = others.get(array.dtype.char, array.dtype.newbyteorder("="))
    return np.ascontiguousarray(array, dtype=kind)
