"""What streams of gzip hold, read a MiB at a time.

Python's own reader takes 8 KiB at a time up to 3.11 and asks for the interpreter's lock after each: beside a thread
that imports torch, a volume of 100 MB took 3.3 s to read, and 2.6 s a MiB at a time.
"""

from __future__ import annotations

import io
import zlib
from typing import Any, BinaryIO

MAGIC = b"\x1f\x8b"
"""The first bytes of a stream."""

_FIRST, _MOST = 1 << 13, 1 << 20  # bytes that a stream is fed at a time: zlib copies what is behind its end
_LONGEST_TAIL = 64 << 20  # bytes after the voxels that are read for the check sum


def open_gzip(file: BinaryIO) -> io.BufferedReader:
    """The bytes that one or several streams hold, one behind the other, from where the file stands.

    Zeros and other bytes behind the last stream are passed over, as gzip does. Reading raises EOFError where a stream
    is cut off, and zlib.error where it is damaged, which a stream's last bytes tell.
    """
    return io.BufferedReader(_Streams(file))


def skip(file: io.BufferedIOBase, count: int) -> None:
    """Read so many bytes, or all that are left."""
    while count > 0 and (piece := file.read(min(count, _MOST))):
        count -= len(piece)


def read_to_end(file: io.BufferedIOBase) -> int:
    """Read on to the end of a packed file, where its check sum is, and return how many bytes there were.

    Raises:
        EOFError, zlib.error: it is damaged or cut off.
        ValueError: it goes on without end.
    """
    size = 0
    while block := file.read(_MOST):
        size += len(block)
        if size > _LONGEST_TAIL:
            raise ValueError("it goes on after its voxels")
    return size


class _Streams(io.RawIOBase):
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._packed = memoryview(b"")
        self._stream, self._feed = _unpacker(), _FIRST

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        room = memoryview(buffer)
        while not self._stream.eof or self._next_begins():
            if not self._packed:
                self._packed = memoryview(self._file.read(_MOST))
            fed = self._packed[: self._feed]
            piece = self._stream.decompress(fed, len(room))
            left = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
            self._packed = self._packed[len(fed) - len(left) :]
            self._feed = min(2 * self._feed, _MOST)
            if piece:
                room[: len(piece)] = piece
                return len(piece)
            if not fed and not self._stream.eof:
                raise EOFError("a stream of gzip is cut off")
        return 0

    def _next_begins(self) -> bool:
        """Go on to the stream behind the one that has ended, if there is one."""
        zeros = True
        while zeros:
            if len(self._packed) < len(MAGIC):
                self._packed = memoryview(bytes(self._packed) + self._file.read(_MOST))
            start = bytes(self._packed[:_FIRST])
            zeros = start.startswith(b"\0")
            self._packed = self._packed[len(start) - len(start.lstrip(b"\0")) :]
        if begins := self._packed[: len(MAGIC)] == MAGIC:
            self._stream, self._feed = _unpacker(), _FIRST
        return begins


def _unpacker() -> Any:
    return zlib.decompressobj(zlib.MAX_WBITS | 16)
