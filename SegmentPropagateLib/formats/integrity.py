"""Truncated images: ITK reads a cut-off NIfTI without a word and the rest is noise or zeros."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Any

from SegmentPropagateLib.errors import InputError

_CHUNK = 1 << 20


def check_complete(path: Path) -> None:
    """Raise InputError where a NIfTI file holds fewer bytes than its header announces."""
    name = path.name.lower()
    try:
        if name.endswith((".nii", ".nii.gz")):
            missing = _missing_nifti_bytes(path)
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
