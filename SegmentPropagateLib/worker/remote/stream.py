"""A stream of bytes that outlives its connection: what both ends of a network keep, and how they end it.

Every binary message of the WebSocket is a piece of the stream, and both sides count them. What was sent is kept until
the other side says how many pieces it has; after a lost connection it says so again, and the rest is sent anew. Texts
are JSON between client and gateway (counts, the greeting), and are not counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from enum import IntEnum

from SegmentPropagateLib.worker.messages import MessageError

VERSION = 1
"""Version of what client and gateway say to each other; the requests inside have one of their own."""
PIECE_BYTES = 1 << 18
WINDOW_BYTES = 4 << 20  # on their way at a time: 20 ms at 1 Gbit/s, and what a frozen reader costs
PING_S = 20.0
SILENCE_S = 60.0  # a side that answers no ping for so long has gone; large volumes keep a slow line busy for long


class Close(IntEnum):
    """Why the gateway ends a connection for good; the close frame has a sentence besides."""

    NORMAL = 1000
    REFUSED = 4400
    IDLE = 4408
    CONNECTED = 4409
    GONE = 4410
    FULL = 4429
    DIED = 4500


class Outbox:
    """The pieces that the other side may not have yet.

    Attributes:
        count: pieces put in so far.
        acknowledged: of these, how many the other side has.
        held_bytes: of the others.
    """

    def __init__(self) -> None:
        self.count = self.acknowledged = self.held_bytes = 0
        self._pieces: deque[memoryview] = deque()
        self._sent = self._sent_bytes = 0  # of those that are held

    def put(self, parts: Iterable[bytes | memoryview]) -> None:
        """Append bytes; large ones are not copied, small ones go together."""
        views = [memoryview(part) for part in parts]
        if sum(map(len, views)) <= PIECE_BYTES:
            views = [memoryview(b"".join(views))]
        for whole in views:
            for start in range(0, len(whole), PIECE_BYTES):
                piece = whole[start : start + PIECE_BYTES]
                self._pieces.append(piece)
                self.count += 1
                self.held_bytes += len(piece)

    def next(self) -> memoryview | None:
        """The piece to send now; None where there is none, or enough is on its way."""
        if self._sent == len(self._pieces) or self._sent_bytes >= WINDOW_BYTES:
            return None
        piece = self._pieces[self._sent]
        self._sent += 1
        self._sent_bytes += len(piece)
        return piece

    def acknowledge(self, count: object) -> None:
        """The other side has so many pieces.

        Raises:
            MessageError: it cannot have.
        """
        if type(count) is not int or not self.acknowledged <= count <= self.acknowledged + self._sent:
            raise MessageError(f"The other side says that it has {count!a:.40} pieces.")
        while self.acknowledged < count:
            size = len(self._pieces.popleft())
            self.acknowledged += 1
            self.held_bytes -= size
            self._sent -= 1
            self._sent_bytes -= size

    def rewind(self, count: object) -> None:
        """A new connection: the other side has so many pieces, and all others are to be sent.

        Raises:
            MessageError: it cannot have.
        """
        self.acknowledge(count)
        self._sent = self._sent_bytes = 0
