"""Smaller messages for a network: masks as bits, voxels shuffled by byte and compressed without loss.

A packed message has `packed` (how) and `unpacked` (what array it was) in its header, and bytes for an array.
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.worker.messages import Message, MessageError, read_description, shown

LEVEL = 1  # of both compressors; a CT of 105 MB became 38 MB, and higher levels gain little
LARGEST_WINDOW = 1 << 27  # bytes that zstd may keep to look back


def packings() -> tuple[str, ...]:
    """How voxels can be packed here, the best first; zstd is no part of Slicer's Python."""
    return ("zstd", "zlib") if importlib.util.find_spec("zstandard") else ("zlib",)


def describe(array: NDArray[Any]) -> dict[str, Any]:
    """Type and shape of an array, as a header has them."""
    return {"dtype": array.dtype.newbyteorder("<").str, "shape": list(array.shape)}


def digest(array: NDArray[Any]) -> str:
    """Hexadecimal SHA-256 of type, shape and values."""
    found = hashlib.sha256(repr(sorted(describe(array).items())).encode())
    found.update(_bytes_of(array).data)
    return found.hexdigest()


def pack_mask(message: Message) -> Message:
    """The message with a bool array as bits, one eighth of its size; others as they are."""
    array = message.array
    if array is None or array.dtype != bool or not array.size:
        return message
    header = {**message.header, "packed": "bits", "unpacked": describe(array)}
    return Message(header, np.packbits(np.ascontiguousarray(array).reshape(-1)))


def pack_voxels(array: NDArray[Any], how: str) -> NDArray[np.uint8]:
    """The bytes of an array, all first bytes of its numbers before all second ones, compressed by `zstd` or `zlib`."""
    size = array.dtype.itemsize
    shuffled = np.ascontiguousarray(_bytes_of(array).reshape(-1, size).T).reshape(-1).data
    if how == "zstd":
        import zstandard  # comes with the server

        return np.frombuffer(zstandard.ZstdCompressor(level=LEVEL).compress(shuffled), np.uint8)
    return np.frombuffer(zlib.compress(shuffled, LEVEL), np.uint8)


def unpack(message: Message, largest_bytes: int) -> Message:
    """The message as it was before it was packed.

    Args:
        message: packed or not.
        largest_bytes: that its array may have.

    Raises:
        MessageError: it is larger, or was packed otherwise than it says.
    """
    header = dict(message.header)
    how, described = header.pop("packed", None), header.pop("unpacked", None)
    if how is None:
        return message
    dtype, shape = read_description(described)
    size = math.prod(shape) * dtype.itemsize
    if size > largest_bytes:
        raise MessageError(f"An array of {size >> 20} MiB is too large: up to {largest_bytes >> 20} MiB are taken.")
    if message.array is None or message.array.dtype != np.uint8 or message.array.ndim != 1:
        raise MessageError("A packed array is no list of bytes.")
    array = _unpacked(how, message.array, dtype, size).reshape(shape)
    array.setflags(write=False)
    return Message(header, array)


def _unpacked(how: object, packed: NDArray[np.uint8], dtype: np.dtype[Any], size: int) -> NDArray[Any]:
    if how == "bits" and dtype.kind == "b":
        if len(packed) != -(-size // 8):
            raise MessageError(f"{len(packed)} bytes are not the bits of {size} pixels.")
        return np.unpackbits(packed, count=size).view(bool)
    if how == "zstd" and how in packings():
        plain = _unpack_zstd(packed, size)
    elif how == "zlib":
        plain = _unpack_zlib(packed, size)
    else:
        raise MessageError(f"An array was packed in an unknown way: {shown(how)}.")
    if plain is None or len(plain) != size:
        raise MessageError("A packed array is damaged.")
    shuffled = np.frombuffer(plain, np.uint8).reshape(dtype.itemsize, -1)
    array = np.empty(shuffled.shape[1], dtype)
    for place, row in enumerate(shuffled):  # a quarter of the time that a transposed copy takes
        array.view(np.uint8).reshape(-1, dtype.itemsize)[:, place] = row
    if dtype.kind == "b" and size and shuffled.max() > 1:
        raise MessageError("A packed bool array has values other than 0 and 1.")
    return array


def _unpack_zlib(packed: NDArray[np.uint8], size: int) -> bytes | None:
    """At most so many bytes and one: a small message may stand for a huge one."""
    tool = zlib.decompressobj()
    try:
        plain = tool.decompress(packed.data, size + 1)
    except zlib.error:
        return None
    return plain if tool.eof and not tool.unused_data else None


def _unpack_zstd(packed: NDArray[np.uint8], size: int) -> bytes | None:
    """One frame that says itself that it has so many bytes; no more than that are then made."""
    import zstandard

    try:
        if zstandard.frame_content_size(packed.data) != size:
            return None
        return zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW).decompress(
            packed.data, allow_extra_data=False
        )
    except (zstandard.ZstdError, MemoryError):
        return None


def _bytes_of(array: NDArray[Any]) -> NDArray[np.uint8]:
    """The values as bytes, little endian and in C order; a plain array is not copied."""
    plain = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
    return plain.reshape(-1).view(np.uint8)
