"""Writing a piece at each turn of the event loop, so that neither the panel nor the views stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt

from SegmentPropagateSlicer.Logic import SegmentPropagateLogic
from SegmentPropagateSlicer.Panel.StatusLine import StatusLine
from SegmentPropagateSlicer.Values.State import State

PIECE_S = 0.025
"""What is written within it is written at once: most proposals."""


class Writing:
    """Has a logic write something, and goes on with what comes after it.

    Args:
        parent: widget that the timer goes with.
        status: `StatusLine` that says what goes wrong.
        logic: gives the `SegmentPropagateLogic`.
    """

    def __init__(self, parent: qt.QWidget, status: StatusLine, logic: Callable[[], SegmentPropagateLogic]) -> None:
        self._logic = logic
        self._write: Callable[[float | None], Any] = bool
        self._then: Callable[[Any], object] = bool
        self._timer = qt.QTimer(parent)
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)
        self._timer.connect("timeout()", status.guarded(lambda: self._goOn(PIECE_S)))

    def start(self, write: Callable[[float | None], Any], then: Callable[[Any], object]) -> None:
        """Write.

        Args:
            write: writes for so many seconds, or to the end for None; returns None as long as there is more to do.
            then: called with what `write` has returned once all is written, and else never.
        """
        self._write, self._then = write, then
        self._advance(PIECE_S)

    def finish(self) -> None:
        """She goes on: what is being written is written to its end now."""
        self._goOn(None)

    def stop(self) -> None:
        """The panel is closed."""
        self._timer.stop()

    def _goOn(self, seconds: float | None) -> None:
        self._timer.stop()
        if self._logic().state == State.WRITING:  # else it was cancelled
            self._advance(seconds)

    def _advance(self, seconds: float | None) -> None:
        written = self._write(seconds)
        if written is None:
            self._timer.start()
        else:
            self._then(written)
