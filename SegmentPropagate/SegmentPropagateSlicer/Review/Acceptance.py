"""Accept in pieces: what is to be written may be large, and nothing should stop meanwhile."""

from __future__ import annotations

from collections.abc import Mapping

from SegmentPropagateSlicer.Runs.RunController import RunController
from SegmentPropagateSlicer.Scene.SegmentWriter import Steps
from SegmentPropagateSlicer.Values.Pieces import doneWithin


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
        steps, review = self._steps, self._control.review
        if steps is None or review is None:
            return {}
        try:
            review.checkWhereabouts()
            share, changed = doneWithin(steps, seconds)
        except BaseException:
            self.stop()
            raise
        if changed is None:
            self._control.noteWriting(share or 0.0)
        else:
            self._steps = None
        return changed

    def stop(self) -> None:
        """Write nothing; the proposal waits again."""
        steps, self._steps = self._steps, None
        if steps is not None:
            steps.close()
            self._control.endWriting()
