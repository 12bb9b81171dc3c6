"""Messages between the panel and the worker: a small JSON header and one raw array, length-prefixed.

A frame is `magic, version, header size, payload size` (18 bytes, little endian), the header as UTF-8 JSON, and the
array's bytes in C order. Nothing here knows what carries the bytes: pipes today, a socket as well.
"""

from __future__ import annotations

import json
import math
import reprlib
import struct
import sys
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, NoReturn

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.errors import SegmentPropagateError

VERSION = 1
MAX_HEADER_BYTES = 4 << 20
MAX_PAYLOAD_BYTES = 32 << 30  # far beyond any volume, far below what a corrupt length asks for
MAX_AXES = 8
SHOWN_CHARACTERS = 60
CHUNK_BYTES = 1 << 20
ROOM_BYTES = 1 << 19  # is made at a time for what is announced
JSON_GROWTH = 64  # a byte of JSON, such as the `[` of `[[[[`, becomes an object of at most so many bytes
SMALL_HEADER_BYTES = CHUNK_BYTES // JSON_GROWTH
_MAGIC = b"SPRO"
_PREFIX = struct.Struct("<4sHIQ")
_DTYPES = {
    np.dtype(name).newbyteorder("<").str for name in ("?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")
}


class MessageError(SegmentPropagateError):
    """Bytes that are no message of this version; the stream cannot be trusted any further."""


def shown(value: object) -> str:
    """What the other side sent, as a sentence can hold it: short, on one line, nothing that a terminal obeys."""
    if isinstance(value, np.ndarray):
        return f"an array {value.shape} of {value.dtype}"
    short = reprlib.Repr()  # neither long nor deep, whatever it is
    short.maxstring = short.maxother = SHOWN_CHARACTERS
    return printable(short.repr(value)[: 2 * SHOWN_CHARACTERS])


def printable(text: str) -> str:
    """The text with line breaks, control characters and halves of characters written as Python escapes."""
    return "".join(
        one if one.isprintable() or unicodedata.category(one) == "Zs" else ascii(one)[1:-1]  # Zs: spaces, as in French
        for one in text
    )


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
    if not _is_within_bounds(len(head), len(payload)):
        raise MessageError(f"A message of {len(head)} + {len(payload)} bytes is too large to be sent.")
    return _PREFIX.pack(_MAGIC, VERSION, len(head), len(payload)) + head, payload


class Decoder:
    """Turns bytes, in pieces of any size, into messages.

    Whatever the bytes announce, no more memory is taken than they have themselves, and 1 MB. One that has refused
    something refuses all that follows.

    Args:
        largest: bytes that a header and a payload may have.

    Attributes:
        wanted: how many bytes are missing until the next step; reading no more than these never reads ahead.
    """

    def __init__(self, largest: tuple[int, int] = (MAX_HEADER_BYTES, MAX_PAYLOAD_BYTES)) -> None:
        self._largest = largest
        self._buffer = _Buffer(_PREFIX.size)
        self._sizes: tuple[int, int] | None = None
        self._raw: bytes | None = None  # the header as it came
        self._header: _Header | None = None

    @property
    def wanted(self) -> int:
        """Bytes missing until the prefix, the header or the payload is complete."""
        return self._buffer.wanted

    @property
    def between_messages(self) -> bool:
        """Whether the bytes so far end with a complete message."""
        return self._sizes is None and self._buffer.wanted == _PREFIX.size

    def feed(self, data: bytes | memoryview) -> list[Message]:
        """Take bytes and return the messages they complete, in order.

        Raises:
            MessageError: for anything that is not a frame of this version.
        """
        messages, rest = [], memoryview(data)
        while len(rest):
            rest = rest[self._buffer.take(rest) :]
            message = None if self.wanted else self._step()
            if message is not None:
                messages.append(message)
        return messages

    def _step(self) -> Message | None:
        """Use the complete buffer: prefix, then header, then payload."""
        if self._sizes is None:
            self._sizes = _read_prefix(self._buffer.array.tobytes(), self._largest)
            self._buffer = _Buffer(self._sizes[0])
            return None
        if self._raw is None:
            self._raw = self._buffer.array.tobytes()
            if len(self._raw) <= SMALL_HEADER_BYTES:  # so that a wrong one is refused before the payload is there
                self._header = _read_header(self._raw, self._sizes[1])
            self._buffer = _Buffer(self._sizes[1])
            if self._sizes[1]:
                return None
        header = self._header or _read_header(self._raw, self._sizes[1])
        message = Message(header.fields, header.array_of(self._buffer.array))
        self._header = self._raw = self._sizes = None
        self._buffer = _Buffer(_PREFIX.size)
        return message


class _Buffer:
    """So many bytes, for which room is made as they come.

    Args:
        size: how many are to come.
    """

    def __init__(self, size: int) -> None:
        self._size, self._filled = size, 0
        self.array = np.empty(min(size, ROOM_BYTES), dtype=np.uint8)

    @property
    def wanted(self) -> int:
        return self._size - self._filled

    def take(self, data: memoryview) -> int:
        """Keep the first bytes of `data`; returns how many."""
        if self.wanted and self._filled == len(self.array):
            self._grow()
        count = min(len(self.array) - self._filled, len(data))
        self.array[self._filled : self._filled + count] = np.frombuffer(data[:count], dtype=np.uint8)
        self._filled += count
        return count

    def _grow(self) -> None:
        # Windows copies what it enlarges: in small steps a volume of 1 GB would be copied 1000 times.
        step = max(ROOM_BYTES, self._filled // 8 if sys.platform == "win32" else 0)
        try:
            self.array.resize(min(self._size, self._filled + step), refcheck=False)  # nobody else has seen it yet
        except MemoryError:
            raise MessageError(f"There is no memory left for a message of {self._size} bytes.") from None


@dataclass(frozen=True)
class _Header:
    """What a header says.

    Args:
        fields: all but the description of the array.
        dtype: of the payload; None where there is no array.
        shape: of the array.
    """

    fields: Mapping[str, Any]
    dtype: np.dtype[Any] | None = None
    shape: tuple[int, ...] = ()

    def array_of(self, payload: NDArray[np.uint8]) -> NDArray[Any] | None:
        """The array of a payload that has the size of the description."""
        if self.dtype is None:
            return None
        if self.dtype.kind == "b" and payload.size and payload.max() > 1:
            raise MessageError("A message carries a bool array with values other than 0 and 1.")
        array = payload.view(self.dtype).reshape(self.shape)
        array.setflags(write=False)
        return array


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


def _is_within_bounds(header_size: int, payload_size: int) -> bool:
    """Whether such sizes may be: JSON that needs more memory than 1 MB comes with a payload that needs more yet."""
    largest = min(MAX_HEADER_BYTES, max(SMALL_HEADER_BYTES, payload_size // JSON_GROWTH))
    return 0 < header_size <= largest and payload_size <= MAX_PAYLOAD_BYTES


def _read_prefix(data: bytes, largest: tuple[int, int]) -> tuple[int, int]:
    magic, version, header_size, payload_size = _PREFIX.unpack(data)
    if magic != _MAGIC:
        raise MessageError("The other side sent something that is no message.")
    if version != VERSION:
        raise MessageError(f"The other side speaks version {version} of the messages, this side version {VERSION}.")
    if not _is_within_bounds(header_size, payload_size) or header_size > largest[0] or payload_size > largest[1]:
        raise MessageError(f"A message announces {header_size} + {payload_size} bytes, which is out of bounds.")
    return header_size, payload_size


def _read_header(data: bytes, payload_size: int) -> _Header:
    """The one place that decides whether a header is one, and the payload the array that it describes."""
    try:
        header = json.loads(data.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise MessageError("The header of a message is no JSON.") from None
    if not isinstance(header, dict):
        raise MessageError("The header of a message is no JSON object.")
    if "array" not in header:
        if payload_size:
            raise MessageError("The header and the payload of a message do not belong together.")
        return _Header(header)
    dtype, shape = read_description(header.pop("array"))
    if math.prod(shape) * dtype.itemsize != payload_size:
        raise MessageError(f"A message carries {payload_size} bytes for an array of shape {shape} {dtype.str}.")
    return _Header(header, dtype, shape)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def read_description(described: object) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """The type and the shape of an array, as a header has them.

    Raises:
        MessageError: they are none that can be sent.
    """
    entries = described if isinstance(described, dict) else {}
    dtype, shape = entries.get("dtype"), entries.get("shape")
    sizes = shape if isinstance(shape, list) else [None]
    known = isinstance(dtype, str) and dtype in _DTYPES and len(sizes) <= MAX_AXES
    if not known or not all(type(size) is int and 0 <= size <= MAX_PAYLOAD_BYTES for size in sizes):
        raise MessageError(f"A message carries an array of unknown kind: {shown(described)}.")
    if math.prod(size for size in sizes if size) > MAX_PAYLOAD_BYTES:  # also where one of them is 0
        raise MessageError(f"A message carries an array of shape {tuple(sizes)}, which is out of bounds.")
    return np.dtype(dtype), tuple(sizes)
