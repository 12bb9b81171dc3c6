"""One user's session: it outlives its connections, but not for ever."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Any

from SegmentPropagateLib.server.clerk import Clerk
from SegmentPropagateLib.server.house import House
from SegmentPropagateLib.server.settings import RefusedError
from SegmentPropagateLib.wording import counted
from SegmentPropagateLib.worker.messages import Decoder, Message, MessageError, encode
from SegmentPropagateLib.worker.remote.stream import Close, Outbox

IDLE = "Nothing was asked for {time}, so the session was ended; the next run opens another."
LOST = "The connection was lost for too long, so the session was ended."
UNREAD = "Nothing was read for {seconds:.0f} s while others waited, so the run was ended: propagate again."
_CHECKS = 10  # so often is looked at the clock during the shortest of the times
_LONGEST_CHECK_S = 1.0


class Lease:
    """A session.

    Args:
        user: whose it is.
        house: what the users share.

    Attributes:
        key: a secret that a connection shows to go on with this session.
        outbox: replies that the user may not have yet.
        received: pieces of requests that have come.
        changed: set when there is something to send.
        closed: the reason, when the session is over.
    """

    def __init__(self, user: str, house: House) -> None:
        self.user, self.key = user, secrets.token_urlsafe(32)
        self.outbox, self.received, self.changed = Outbox(), 0, asyncio.Event()
        self.closed: asyncio.Future[RefusedError] = asyncio.get_running_loop().create_future()
        self._house = house
        self._clerk = Clerk(user, house, self._emit, self.outbox)
        limits = house.settings
        self._decoder = Decoder((limits.header_bytes, limits.volume_bytes))
        self._line: asyncio.Future[None] | None = None  # of the connection there is; done when another took over
        self._read_at = self._lost_at = time.monotonic()

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection."""
        return self._line is not None

    def connect(self, received: object) -> asyncio.Future[None]:
        """A connection begins, whose other side has so many pieces; the future is done when another takes over.

        Raises:
            MessageError: it cannot have.
        """
        self.outbox.rewind(received)
        if self._line is not None:
            self._line.set_result(None)
        self._line = asyncio.get_running_loop().create_future()
        self._read_at = time.monotonic()
        self._make_room()
        return self._line

    def disconnect(self, line: asyncio.Future[None]) -> None:
        """A connection has ended; the session waits for another."""
        if self._line is line:
            self._line, self._lost_at = None, time.monotonic()

    def end(self, reason: RefusedError) -> None:
        """End the session."""
        if not self.closed.done():
            self.closed.set_result(reason)

    def feed(self, piece: bytes) -> None:
        """Take a piece of the user's requests; what is wrong with it ends the session."""
        try:
            for message in self._decoder.feed(piece):
                self._clerk.take(message)
        except MessageError as error:
            self.end(RefusedError(Close.REFUSED, f"The server refused what was sent: {error}"))
        except RefusedError as reason:
            self.end(reason)
        self.received += 1
        self.changed.set()

    def acknowledge(self, count: object) -> None:
        """The user has so many pieces.

        Raises:
            MessageError: he cannot have.
        """
        self.outbox.acknowledge(count)
        self._read_at = time.monotonic()
        self._make_room()
        self.changed.set()

    async def run(self) -> None:
        """Serve until the session is over, whatever ends it."""
        tasks = [asyncio.create_task(work) for work in (self._clerk.run(), self._watch())]
        try:
            ends: list[asyncio.Future[Any]] = [*tasks, self.closed]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
        except RefusedError as reason:
            self.end(reason)
        finally:
            self.end(RefusedError(Close.DIED, "The server failed: its log tells why."))  # unless there is a reason
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._clerk.close()

    async def _watch(self) -> None:
        """Look at the clock, and raise RefusedError when it is time."""
        limits = self._house.settings
        times = (limits.idle_s, limits.resume_s, limits.unread_s, limits.obey_s)
        pause_s = min(_LONGEST_CHECK_S, *(time_s / _CHECKS for time_s in times))
        while True:
            await asyncio.sleep(pause_s)
            now = time.monotonic()
            if not self.is_connected and now - self._lost_at > limits.resume_s:
                raise RefusedError(Close.GONE, LOST)
            if self._clerk.is_idle and now - self._clerk.active_since > limits.idle_s:
                raise RefusedError(Close.IDLE, IDLE.format(time=counted(round(limits.idle_s / 60), "minute")))
            self._clerk.check_worker()
            if self._clerk.holds_slot and self._house.slots.waiting and now - self._unread_since(now) > limits.unread_s:
                self._clerk.give_up(UNREAD.format(seconds=limits.unread_s))

    def _unread_since(self, now: float) -> float:
        if not self.is_connected:
            return self._lost_at
        if not self.outbox.held_bytes:
            self._read_at = now
        return self._read_at

    def _emit(self, message: Message) -> None:
        if not self.outbox.held_bytes:
            self._read_at = time.monotonic()
        self.outbox.put(encode(message))
        if self.outbox.held_bytes > self._house.settings.unread_bytes:
            self._clerk.room.clear()
        self.changed.set()

    def _make_room(self) -> None:
        if self.outbox.held_bytes <= self._house.settings.unread_bytes:
            self._clerk.room.set()
