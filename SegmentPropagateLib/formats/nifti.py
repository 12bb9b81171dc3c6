"""NIfTI-1, NIfTI-2 and Analyze 7.5 files, read and written without ITK.

ITK opens what lies beside the file that it was given (`case.nii` for `case.nii.gz`), fills up a file that was cut off
without a word, and keeps one of the two places that NIfTI gives a grid.
"""

from __future__ import annotations

import gzip
import io
import math
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.grids import image_of
from SegmentPropagateLib.formats.gzipped import MAGIC, open_gzip, read_to_end, skip
from SegmentPropagateLib.formats.kinds import Content
from SegmentPropagateLib.formats.nifti_header import HEADER_BYTES, Header, header_in, make_header
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.labels import SegmentInfo
from SegmentPropagateLib.wording import are, counted

_PAIRED_ENDINGS = (".hdr.gz", ".hdr", ".img.gz", ".img")
_MOST_PACKED = 1032  # times that gzip can make anything smaller
_CHUNK = 1 << 20


def recognizes(path: Path) -> bool:
    """Whether the path is one of a pair of files, by its name: one holds the header, the other the voxels."""
    return path.is_file() and path.name.lower().endswith(_PAIRED_ENDINGS)


def read(path: Path, content: Content) -> tuple[sitk.Image, None]:
    """Read a file, or either file of a pair; which modality made it, these files do not say.

    Raises:
        InputError: the file is damaged, cut off, no NIfTI file, or holds several volumes or several values per voxel.
    """
    del content  # a file holds one image
    try:
        header, voxels = _find_header(path)
        _check_kind(header, path)
        array = _scaled(_voxels(voxels, header), header)
    except (EOFError, ValueError, zlib.error) as error:  # ValueError: from here and the header
        raise InputError(f"'{path}' is damaged or cut off ({error}): copy or export it again.") from error
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}.") from error
    try:
        return image_of(array, Geometry(_shape(header), header.ijk_to_ras, header.frames)), None
    except InputError as error:
        raise InputError(f"'{path}' cannot be used. {error}") from error


def write_labels(
    path: Path,
    layers: Sequence[NDArray[np.unsignedinteger]],
    members: Sequence[Sequence[SegmentInfo]],
    geometry: Geometry,
) -> None:
    """Write the one layer of label values, at both places that the image's own file gives; names have no room here.

    Raises:
        InputError: NIfTI-1 cannot hold an array of that size or type.
        OSError: the file cannot be written.
    """
    del members
    (layer,) = layers
    try:
        header = make_header(layer.dtype, geometry)
    except ValueError as error:
        raise InputError(f"{error}: choose another kind of output.") from error
    with path.open("wb") as file, gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0) as packed:
        packed.write(header)  # without name and time: same masks, same bytes
        for plane in layer:
            packed.write(plane.astype(plane.dtype.newbyteorder("<"), copy=False).tobytes())


def _find_header(path: Path) -> tuple[Header, Path]:
    """The header that belongs to a file, and the file of its voxels."""
    with _unpacked(path) as file:
        start = file.read(HEADER_BYTES)
    if not start:
        raise InputError(f"'{path}' is empty (0 bytes): copy or export it again.")
    if not path.name.lower().endswith((".img", ".img.gz")):
        header = header_in(start)
        if header.single:
            return header, path
        if path.name.lower().endswith((".nii", ".nii.gz")):
            raise ValueError("its header is that of a pair of files")
        return header, _partner(path, ".img")
    with _unpacked(_partner(path, ".hdr")) as file:
        header = header_in(file.read(HEADER_BYTES))
    if header.single:
        raise ValueError("its header belongs to another file")
    return header, path


def _partner(path: Path, ending: str) -> Path:
    """The other file of a pair, whichever way its ending is spelled."""
    own = next(own for own in _PAIRED_ENDINGS if path.name.lower().endswith(own))
    stem = path.name[: -len(own)]
    names = (stem + spelled + packed for spelled in (ending, ending.upper()) for packed in ("", ".gz", ".GZ"))
    found = {file.resolve(): file for file in (path.with_name(name) for name in names) if file.is_file()}
    if len(found) != 1:
        names_found = " and ".join(f"'{file.name}'" for file in found.values()) or f"no '{stem}{ending}'"
        raise InputError(f"'{path}' is one of a pair of files, and {names_found} lies beside it: exactly one must.")
    return next(iter(found.values()))


def _check_kind(header: Header, path: Path) -> None:
    extra = header.sizes[3:]
    if header.kind is None or (len(extra) > 1 and extra[0] == 1):
        raise InputError(
            f"'{path}' has several values per voxel ({header.several or 'vectors'}): give a volume with one value per "
            f"voxel."
        )
    if extra:
        raise InputError(f"'{path}' is a series of {math.prod(extra)} volumes ({len(header.sizes)}-D): give one of it.")


def _shape(header: Header) -> tuple[int, int, int]:
    i, j, k = header.sizes
    return k, j, i


def _voxels(path: Path, header: Header) -> NDArray[Any]:
    """The stored values `(k, j, i)`; no more memory is taken than the file may have voxels for."""
    kind = cast("np.dtype[Any]", header.kind)
    needed = header.offset + math.prod(header.sizes) * kind.itemsize
    with _unpacked(path) as file:
        packed = not file.seekable()
        missing = needed - path.stat().st_size * (_MOST_PACKED if packed else 1)
        if missing > 0:
            raise ValueError(f"{counted(missing, 'byte')} of voxels {are(missing)} missing")
        skip(file, header.offset)
        array = np.empty(_shape(header), kind)
        unfilled = array.reshape(-1).view(np.uint8).data
        while len(unfilled) and (count := file.readinto(unfilled[:_CHUNK])):
            unfilled = unfilled[count:]
        if missing := len(unfilled):
            raise ValueError(f"{counted(missing, 'byte')} of voxels {are(missing)} missing")
        if packed:
            read_to_end(file)
    return array


def _scaled(array: NDArray[Any], header: Header) -> NDArray[Any]:
    """Values in the machine's byte order; scaled ones are float32, or float64 where they were that."""
    if not array.dtype.isnative:
        array = array.byteswap(inplace=True).view(array.dtype.newbyteorder("="))
    if header.scale == (1.0, 0.0):
        return array
    slope, inter = header.scale
    scaled = array if array.dtype.kind == "f" else np.empty(array.shape, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for stored, plane in zip(array, scaled, strict=True):
            plane[:] = stored.astype(np.float64) * slope + inter
    return scaled


@contextmanager
def _unpacked(path: Path) -> Iterator[io.BufferedIOBase]:
    """A file to read from, through gzip where its first bytes say so, whatever its name says."""
    with path.open("rb") as raw:
        zipped = raw.read(len(MAGIC)) == MAGIC
        raw.seek(0)
        yield open_gzip(raw) if zipped else raw
