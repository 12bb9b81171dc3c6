"""While she draws, the worker is told what, so that it is ready when she presses Propagate; nothing of that shows."""

import time
from contextlib import suppress

import qt

from SegmentPropagateLib.errors import SegmentPropagateError
from SegmentPropagateSlicer.Panel.Context import Context
from SegmentPropagateSlicer.Panel.RangeControls import RangeControls

PAUSE_MS = 2000
"""Between two tellings; the first is at once, as corrections are computed soon after a stroke."""


class Ahead:
    """Tells the logic, now and then, what is being outlined.

    Args:
        context: `Context`.
        rangeControls: `RangeControls`.
    """

    def __init__(self, context: Context, rangeControls: RangeControls) -> None:
        self.context, self.rangeControls = context, rangeControls
        self._isDrawn, self._told = False, 0.0
        self._timer = qt.QTimer(context.ui.propagateButton)
        self._timer.setSingleShot(True)
        self._timer.connect("timeout()", context.status.guarded(self.tell))
        context.logic.keysChanged.connect(self.noteDrawn)
        context.logic.stateChanged.connect(self.stop)  # what a run, Accept or Discard changes was not drawn

    def noteDrawn(self) -> None:
        """An outline or the keys have changed."""
        if self.context.isOpen:
            self._isDrawn = True
            self.noteSettings()

    def noteSettings(self) -> None:
        """The range or another setting may have changed; before anything is drawn that is nothing to get ready for."""
        if self._isDrawn and not self._timer.active:
            passed = round(1000 * (time.monotonic() - self._told))
            self._timer.setInterval(max(0, PAUSE_MS - passed))
            self._timer.start()

    def tell(self) -> None:
        """Tell what the chosen view shows of the segment; what is missing is said when she asks for a run."""
        context, self._told = self.context, time.monotonic()
        with suppress(SegmentPropagateError):
            (plane, index), segmentId = context.planeAndSlice(), context.currentSegmentId()
            settings = context.parameters.runSettings(plane)
            context.logic.getAhead(segmentId, index, self.rangeControls.given(), settings)

    def stop(self, *_state: str) -> None:
        """Nothing is told of what was drawn before."""
        self._isDrawn = False
        self._timer.stop()
