"""Accept in pieces: what is to be written may be large, and nothing should stop meanwhile."""

from __future__ import annotations

import time
from collections.abc import Mapping

from SegmentPropagateSlicer.Runs.RunController import RunController
from SegmentPropagateSlicer.Scene.SegmentWriter import Steps


class Acceptance:
    """Goes on with the steps of a write as long as it may; before the last one nothing has changed.

    Args:
        control: has the proposal, and the state.
    """

    def __init__(self, control: RunController) -> None:
        self._control = control
        self._steps: Steps | None = None

    @property
    def isGoingOn(self) -> bool:
        """Whether a write has begun, and not ended."""
        return self._steps is not None

    def begin(self, steps: Steps) -> None:
        """Write by these steps; the first one is done by `goOn`."""
        self._steps = steps

    def goOn(self, seconds: float | None) -> Mapping[str, int] | None:
        """Write for that long, or to the end where that is None.

        Returns:
            segmentId -> number of voxels changed; None where there is more to do.

        Raises:
            SegmentPropagateError: it cannot be written; everything is as it was, and the proposal waits again.
        """
        steps, review, began = self._steps, self._control.review, time.perf_counter()
        if steps is None or review is None:
            return {}
        try:
            review.checkWhereabouts()
            while True:
                share = next(steps)
                if seconds is not None and time.perf_counter() - began > seconds:
                    self._control.noteWriting(share)
                    return None
        except StopIteration as end:
            self._steps = None
            return dict(end.value)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Write nothing; the proposal waits again."""
        steps, self._steps = self._steps, None
        if steps is not None:
            steps.close()
            self._control.endWriting()
