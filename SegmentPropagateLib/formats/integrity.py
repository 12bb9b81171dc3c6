"""Truncated images: ITK reads a cut-off NIfTI without a word and the rest is noise or zeros."""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from pathlib import Path
from typing import Any

from SegmentPropagateLib.errors import InputError

_CHUNK = 1 << 20
_META_BYTES = {"CHAR": 1, "SHORT": 2, "INT": 4, "LONG": 4, "LONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}


def check_complete(path: Path) -> None:
    """Raise InputError where a NIfTI or MetaImage file holds fewer bytes than its header announces.

    NRRD needs no look: its reader counts for itself.
    """
    if path.stat().st_size == 0:
        raise InputError(f"'{path}' is empty (0 bytes): copy or export it again.")
    name = path.name.lower()
    try:
        if name.endswith((".nii", ".nii.gz")):
            missing = _missing_nifti_bytes(path)
        elif name.endswith((".mha", ".mhd")):
            missing = _missing_meta_bytes(path)
        else:
            return
    except (
        EOFError,
        OSError,
        zlib.error,
        ArithmeticError,
        ValueError,
        struct.error,
    ) as error:  # no gzip, or it ends early
        raise InputError(f"'{path}' is damaged or cut off ({error}): copy or export it again.") from error
    if missing > 0:
        raise InputError(f"'{path}' is cut off: {missing} bytes of voxels are missing, copy or export it again.")


def _missing_nifti_bytes(path: Path) -> int:
    """Bytes that lack in a NIfTI-1 or NIfTI-2 file (https://nifti.nimh.nih.gov, nifti1.h and nifti2.h)."""
    with path.open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
    with gzip.open(path) if zipped else path.open("rb") as file:
        header = file.read(544)
        size = len(header)
        while chunk := file.read(_CHUNK):  # to the end: gzip checks its sum there
            size += len(chunk)
    for order in "<>":
        kind = struct.unpack_from(order + "i", header)[0]
        if kind == 348:
            shape, bits, offset = _unpack(header, order, ("8h", 40), ("h", 72), ("f", 108))
        elif kind == 540:
            shape, bits, offset = _unpack(header, order, ("8q", 16), ("h", 14), ("q", 168))
        else:
            continue
        if not (1 <= shape[0] <= 7 and shape[1] > 0 and bits[0] > 0):
            raise ValueError("impossible sizes")
        sizes = [max(length, 1) for length in shape[1 : 1 + shape[0]]]  # some writers leave unused axes at 0
        return int(offset[0]) + math.prod(sizes) * bits[0] // 8 - size
    raise ValueError("no NIfTI header")


def _unpack(header: bytes, order: str, *fields: tuple[str, int]) -> list[tuple[Any, ...]]:
    return [struct.unpack_from(order + kind, header, place) for kind, place in fields]


def _missing_meta_bytes(path: Path) -> int:
    """Bytes that lack in a MetaImage file whose voxels follow the header, or lie in one other file."""
    with path.open("rb") as file:
        head = file.read(_CHUNK).split(b"ElementDataFile", 1)
    fields = dict(re.findall(r"^\s*(\w+)\s*=\s*(.*?)\s*$", head[0].decode("latin-1"), re.MULTILINE))
    if len(head) < 2 or not fields.keys() >= {"NDims", "DimSize", "ElementType"}:
        raise ValueError("no MetaImage header")
    target, _, rest = head[1].partition(b"\n")
    name = target.partition(b"=")[2].strip().decode("utf-8", "replace")
    if name.upper() == "LOCAL":
        present = len(rest) + max(path.stat().st_size - _CHUNK, 0)
    elif (path.parent / name).is_file():
        present = (path.parent / name).stat().st_size
    else:
        return 0
    return _announced_meta_bytes(fields) - present


def _announced_meta_bytes(fields: dict[str, str]) -> int:
    if fields.get("CompressedData", "").lower() == "true":
        return int(fields.get("CompressedDataSize", "0"))
    kind = re.fullmatch(r"MET_U?(\w+)", fields["ElementType"])
    if kind is None or kind[1] not in _META_BYTES:
        raise ValueError(f"unknown ElementType {fields['ElementType']}")
    width = _META_BYTES[kind[1]]
    shape = [int(n) for n in fields["DimSize"].split()]
    return math.prod(shape) * int(fields.get("ElementNumberOfChannels", "1")) * width
