"""Messages between the panel and the worker: a small JSON header and one raw array, length-prefixed.

A frame is `magic, version, header size, payload size` (18 bytes, little endian), the header as UTF-8 JSON, and the
array's bytes in C order. Nothing here knows what carries the bytes: pipes today, a socket as well.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.errors import SegmentPropagateError

VERSION = 1
MAX_HEADER_BYTES = 4 << 20
MAX_PAYLOAD_BYTES = 32 << 30  # far beyond any volume, far below what a corrupt length asks for
MAX_AXES = 8
CHUNK_BYTES = 1 << 20
_MAGIC = b"SPRO"
_PREFIX = struct.Struct("<4sHIQ")
_DTYPES = {
    np.dtype(name).newbyteorder("<").str for name in ("?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")
}


class MessageError(SegmentPropagateError):
    """Bytes that are no message of this version; the stream cannot be trusted any further."""


@dataclass(frozen=True, eq=False)
class Message:
    """One message.

    Args:
        header: JSON-able; `type` says what it is. The name `array` is taken by the frame.
        array: bool, integer or float array of any shape; read only when received; None without a payload.
    """

    header: Mapping[str, Any]
    array: NDArray[Any] | None = None

    @property
    def type(self) -> str:
        """What the message is."""
        return str(self.header.get("type", ""))


def encode(message: Message) -> tuple[bytes, memoryview]:
    """The frame as head (prefix and header) and payload; a C-ordered little-endian array is not copied."""
    header, payload = dict(message.header), memoryview(b"")
    if message.array is not None:
        array = np.ascontiguousarray(message.array).reshape(message.array.shape)
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        if array.dtype.str not in _DTYPES:
            raise MessageError(f"Arrays of type {message.array.dtype} cannot be sent.")
        header["array"] = {"dtype": array.dtype.str, "shape": list(array.shape)}
        payload = array.reshape(-1).view(np.uint8).data
    head = json.dumps(header, allow_nan=False, separators=(",", ":")).encode()
    if len(head) > MAX_HEADER_BYTES or len(payload) > MAX_PAYLOAD_BYTES:
        raise MessageError(f"A message of {len(head)} + {len(payload)} bytes is too large to be sent.")
    return _PREFIX.pack(_MAGIC, VERSION, len(head), len(payload)) + head, payload


class Decoder:
    """Turns bytes, in pieces of any size, into messages.

    Attributes:
        wanted: how many bytes are missing until the next step; reading no more than these never reads ahead.
    """

    def __init__(self) -> None:
        self._buffer, self._filled = bytearray(_PREFIX.size), 0
        self._header: Mapping[str, Any] | None = None
        self._sizes: tuple[int, int] | None = None

    @property
    def wanted(self) -> int:
        """Bytes missing until the prefix, the header or the payload is complete."""
        return len(self._buffer) - self._filled

    @property
    def between_messages(self) -> bool:
        """Whether the bytes so far end with a complete message."""
        return self._sizes is None and self._filled == 0

    def feed(self, data: bytes | memoryview) -> list[Message]:
        """Take bytes and return the messages they complete, in order.

        Raises:
            MessageError: for anything that is not a frame of this version.
        """
        messages, rest = [], memoryview(data)
        while len(rest):
            count = min(self.wanted, len(rest))
            self._buffer[self._filled : self._filled + count] = rest[:count]
            self._filled += count
            rest = rest[count:]
            if self.wanted:
                break
            message = self._step()
            if message is not None:
                messages.append(message)
        return messages

    def _step(self) -> Message | None:
        """Use the complete buffer: prefix, then header, then payload."""
        if self._sizes is None:
            self._sizes = _read_prefix(self._buffer)
            self._expect(self._sizes[0])
            return None
        if self._header is None:
            self._header = _read_header(self._buffer, self._sizes[1])
            if self._sizes[1]:
                self._expect(self._sizes[1])
                return None
        message = _assemble(self._header, self._buffer, self._sizes[1])
        self._header = self._sizes = None
        self._expect(_PREFIX.size)
        return message

    def _expect(self, size: int) -> None:
        self._buffer, self._filled = bytearray(size), 0


def read_message(stream: BinaryIO) -> Message | None:
    """The next message of a blocking stream; None where it ends between two messages.

    Raises:
        MessageError: for a stream that ends within a message, or holds something else.
    """
    decoder = Decoder()
    while True:
        data = stream.read(min(decoder.wanted, CHUNK_BYTES))
        if not data:
            if decoder.between_messages:
                return None
            raise MessageError("The other side ended in the middle of a message.")
        messages = decoder.feed(data)
        if messages:
            return messages[0]


def write_message(stream: BinaryIO, message: Message) -> None:
    """Write one message to a blocking stream and flush it."""
    for part in encode(message):
        stream.write(part)
    stream.flush()


def _read_prefix(data: bytes | bytearray) -> tuple[int, int]:
    magic, version, header_size, payload_size = _PREFIX.unpack(data)
    if magic != _MAGIC:
        raise MessageError("The other side sent something that is no message.")
    if version != VERSION:
        raise MessageError(f"The other side speaks version {version} of the messages, this side version {VERSION}.")
    if not 0 < header_size <= MAX_HEADER_BYTES or payload_size > MAX_PAYLOAD_BYTES:
        raise MessageError(f"A message announces {header_size} + {payload_size} bytes, which is out of bounds.")
    return header_size, payload_size


def _read_header(data: bytes | bytearray, payload_size: int) -> Mapping[str, Any]:
    try:
        header = json.loads(bytes(data))
    except (ValueError, RecursionError):
        raise MessageError("The header of a message is no JSON.") from None
    if not isinstance(header, dict):
        raise MessageError("The header of a message is no JSON object.")
    if payload_size and "array" not in header:
        raise MessageError("The header and the payload of a message do not belong together.")
    return header


def _assemble(header: Mapping[str, Any], payload: bytearray, payload_size: int) -> Message:
    if "array" not in header:
        return Message(header)
    rest = {key: value for key, value in header.items() if key != "array"}
    dtype, shape = _read_description(header["array"])
    if math.prod(shape) * dtype.itemsize != payload_size:
        raise MessageError(f"A message carries {payload_size} bytes for an array of shape {shape} {dtype.str}.")
    array = np.frombuffer(payload if payload_size else b"", dtype=dtype).reshape(shape)
    if dtype.kind == "b" and payload_size and array.view(np.uint8).max() > 1:
        raise MessageError("A message carries a bool array with values other than 0 and 1.")
    array.setflags(write=False)
    return Message(rest, array)


def _read_description(described: object) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """The type and the shape of a payload."""
    entries = described if isinstance(described, dict) else {}
    dtype, shape = entries.get("dtype"), entries.get("shape")
    sizes = shape if isinstance(shape, list) else [None]
    known = isinstance(dtype, str) and dtype in _DTYPES and len(sizes) <= MAX_AXES
    if not known or not all(type(size) is int and 0 <= size <= MAX_PAYLOAD_BYTES for size in sizes):
        raise MessageError(f"A message carries an array of unknown kind: {str(described)[:80]}.")
    if math.prod(size for size in sizes if size) > MAX_PAYLOAD_BYTES:  # also where one of them is 0
        raise MessageError(f"A message carries an array of shape {tuple(sizes)}, which is out of bounds.")
    return np.dtype(dtype), tuple(sizes)
