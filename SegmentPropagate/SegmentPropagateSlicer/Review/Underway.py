"""A write that goes on in pieces: what is to be written may be large, and nothing should stop meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from SegmentPropagateSlicer.Runs.RunController import RunController
from SegmentPropagateSlicer.Values.Pieces import doneWithin


def _nothing(*_args: object) -> None:
    """Do nothing."""


class Underway:
    """Goes on with the steps of a write as long as it may; before the last one nothing has changed.

    Args:
        control: has the state.
    """

    def __init__(self, control: RunController) -> None:
        self._control = control
        self._steps: Generator[float, None, Any] | None = None
        self._check: Callable[[], object] = _nothing
        self._ended: Callable[[Any], object] = _nothing

    @property
    def isGoingOn(self) -> bool:
        """Whether a write has begun, and not ended."""
        return self._steps is not None

    def begin(
        self,
        steps: Generator[float, None, Any],
        check: Callable[[], object],
        ended: Callable[[Any], object] = _nothing,
    ) -> None:
        """Write by these steps; the first one is done by `goOn`.

        Args:
            steps: yield how much is done, 0..1, and return what has been written.
            check: raises where it can no longer be written.
            ended: called with what the steps return.
        """
        self._steps, self._check, self._ended = steps, check, ended

    def goOn(self, seconds: float | None) -> Any:
        """Write for that long, or to the end where that is None.

        Returns:
            what the steps return; None where there is more to do, or nothing has begun.

        Raises:
            SegmentPropagateError: it cannot be written; everything is as it was.
        """
        if self._steps is None:
            return None
        try:
            self._check()
            share, result = doneWithin(self._steps, seconds)
        except BaseException:
            self.stop()
            raise
        if result is None:
            self._control.noteWriting(share or 0.0)
        else:
            self._steps = None
            self._control.endWriting()
            self._ended(result)
        return result

    def stop(self) -> bool:
        """Write nothing, a proposal waits again; returns whether there was something to stop."""
        steps, self._steps = self._steps, None
        if steps is not None:
            steps.close()
            self._control.endWriting()
        return steps is not None
