"""Who computes: a few slots, and a queue that is first in, first out."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

Tell = Callable[[int], None]


class Slots:
    """So many requests are computed at once.

    Args:
        count: how many.
        remind_s: one who waits is told anew after so long.
    """

    def __init__(self, count: int, remind_s: float) -> None:
        self._free, self._remind_s = count, remind_s
        self._waiting: deque[tuple[asyncio.Future[None], Tell]] = deque()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @property
    def free(self) -> int:
        """How many slots nobody has."""
        return self._free

    @asynccontextmanager
    async def held(self, tell: Tell) -> AsyncIterator[None]:
        """Have a slot during the block; until then `tell(n)` says how many have to end before, whenever it changes."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        place = turn, tell
        self._waiting.append(place)
        try:
            self._call()
            if not turn.done():
                tell(self._waiting.index(place) + 1)
            while not turn.done():
                await asyncio.wait([turn], timeout=self._remind_s)
                if not turn.done():
                    tell(self._waiting.index(place) + 1)
            yield
        finally:
            if place in self._waiting:
                self._waiting.remove(place)
                self._tell_all()
            else:
                self._free += 1
                if self._call():
                    self._tell_all()

    def _call(self) -> bool:
        """Give the free slots away; whether anybody got one."""
        called = False
        while self._free and self._waiting:
            self._waiting.popleft()[0].set_result(None)
            self._free -= 1
            called = True
        return called

    def _tell_all(self) -> None:
        for ahead, (_turn, tell) in enumerate(self._waiting, start=1):
            tell(ahead)
