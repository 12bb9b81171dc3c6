"""Saving the open case without being asked for: after Accept, and in the first pause after a stroke."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Thread
from typing import Any

import qt

from SegmentPropagateLib.errors import InputError
from SegmentPropagateSlicer.Panel.Context import Context
from SegmentPropagateSlicer.Values.State import State
from SegmentPropagateSlicer.Worklist.Casework import Casework, Saving
from SegmentPropagateSlicer.Worklist.Preferences import Preferences
from SegmentPropagateSlicer.Worklist.WorkTime import WorkTime

SOON_MS, WRITING_MS = 2_000, 20
PAUSE_S, PAUSES_PER_SAVE = 3.0, 5.0
"""What Slicer has to write holds the views, for seconds where a segmentation is large. Saving waits until she has
rested for so long, or for so many times what the last one held."""


class Autosave:
    """Writes the open case, in a thread wherever that can be.

    Args:
        context: `Context`.
        casework: has the open case.
        workTime: gives the clock of her work.
        kept: gives what is to be found again with the case.
        preferences: after how many minutes she wants to have saved what was drawn.
    """

    def __init__(
        self,
        context: Context,
        casework: Casework,
        workTime: Callable[[], WorkTime],
        kept: Callable[[], Mapping[str, Any]],
        preferences: Preferences,
    ) -> None:
        self._context, self._casework, self._preferences = context, casework, preferences
        self._workTime, self._kept = workTime, kept
        self._timer = qt.QTimer(context.ui.caseTable)
        self._timer.setSingleShot(True)
        self._timer.setInterval(SOON_MS)
        self._timer.connect("timeout()", context.status.guarded(self.inPause))
        self._writing = qt.QTimer(context.ui.caseTable)
        self._writing.setInterval(WRITING_MS)
        self._writing.connect("timeout()", context.status.guarded(self._look))
        self._saving: Saving | None = None  # what is being written
        self._thread: Thread | None = None
        self._due: float | None = None  # since when she is waited for
        self._held = 0.0  # seconds that it held the views the last time

    def watch(self) -> None:
        """See to it that what was drawn is saved in time."""
        if self._preferences["autosaveMinutes"] and self._casework.isUnsaved and not self._timer.active:
            self._timer.start()

    def inPause(self) -> None:
        """Save what was drawn as soon as she rests; after the minutes that she has set, whatever she does."""
        work = self._workTime()
        self._due = work.now if self._due is None else self._due
        rests = work.pause >= max(PAUSE_S, PAUSES_PER_SAVE * self._held)
        if rests or work.now - self._due >= 60 * self._preferences["autosaveMinutes"] or not self._casework.isUnsaved:
            self.atOnce()
        else:
            self._timer.start()

    def atOnce(self) -> None:
        """Save the case where it has changed, or soon where a run goes on or it is being written."""
        self._due = None
        if self._saving is not None or self._context.logic.state in State.BUSY:
            self._timer.start()
        elif self._casework.isUnsaved:
            began = self._workTime().now
            self._context.logic.giveBackLent()
            self._saving = saving = self._casework.saving(kept=self._kept())
            if saving.needsSlicer:
                saving.write()
                self.settle()
            else:
                self._thread = Thread(target=saving.write, name="autosave")
                self._thread.start()
                self._writing.start()
            self._held = self._workTime().now - began

    def settle(self) -> None:
        """Wait for what is being written, and tell what came of it."""
        self._writing.stop()
        saving, thread, self._saving, self._thread = self._saving, self._thread, None, None
        if thread is not None:
            thread.join()
        if saving is not None:
            try:
                self._context.status.add(self._casework.saved(saving))
            except InputError as error:
                self._context.status.add(str(error), isWrong=True)

    def stop(self) -> None:
        """Settle, and save nothing more by itself."""
        self._timer.stop()
        self.settle()

    def _look(self) -> None:
        """The timer's, while a file is written."""
        if self._thread is None or not self._thread.is_alive():
            self.settle()
