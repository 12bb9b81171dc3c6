"""How long somebody has worked on a case, breaks left out."""

from __future__ import annotations

import time
from collections.abc import Callable

BREAK_S = 30.0
"""A longer time in which nothing was done is a break."""


class WorkTime:
    """Adds up the time between one thing that she does and the next.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.begin()

    def begin(self, seconds: float = 0.0) -> None:
        """A case is opened, on which she has worked so long before."""
        self.seconds, self._last = seconds, self._clock()

    @property
    def now(self) -> float:
        """Seconds of the clock."""
        return self._clock()

    @property
    def pause(self) -> float:
        """Seconds since she has done something last."""
        return self._clock() - self._last

    def note(self) -> None:
        """She has done something."""
        now = self._clock()
        if now - self._last <= BREAK_S:
            self.seconds += now - self._last
        self._last = now

    def skip(self) -> None:
        """What has passed since she did something last was no work: she has waited for the end of a run."""
        self._last = self._clock()
