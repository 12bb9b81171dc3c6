"""What the keys of the panel do, and why not where they cannot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import qt
from slicer.i18n import tr as _

from SegmentPropagateSlicer.Panel.Context import Context
from SegmentPropagateSlicer.Panel.PromptSection import PromptSection
from SegmentPropagateSlicer.Panel.RangeControls import RangeControls
from SegmentPropagateSlicer.Panel.ReviewSection import nothingToReview, segmentsRemoved
from SegmentPropagateSlicer.Panel.RunSection import RunSection
from SegmentPropagateSlicer.Panel.StatusLine import NotYet
from SegmentPropagateSlicer.Panel.Writing import Writing
from SegmentPropagateSlicer.Values.State import State


class _IsOff(NotYet):
    """A key's button can do nothing now."""


class KeyActions:
    """Keys press buttons. One that is off says why: nobody sees a button that she does not press.

    Args:
        context: `Context`.
        prompt: has the key slices.
        rangeControls: has the first and the last slice.
        run: starts and cancels.
        writing: ends before anything else is done.
        refresh: shows everywhere how things stand.
    """

    def __init__(
        self,
        context: Context,
        prompt: PromptSection,
        rangeControls: RangeControls,
        run: RunSection,
        writing: Writing,
        refresh: Callable[[], None],
    ) -> None:
        self._context, self._writing, self._refresh = context, writing, refresh
        ui, guarded = context.ui, context.status.guarded
        buttons = {"N": ui.nextButton, "E": ui.editButton, "C": ui.correctButton, "A": ui.acceptButton,
                   "D": ui.discardButton, "O": ui.nextObjectButton, "X": ui.nextCaseButton,
                   "H": ui.previousCaseButton}  # fmt: skip
        acting: dict[str, Callable[[], object]] = {
            "K": prompt.addKey,
            "S": rangeControls.firstFromView,
            "L": rangeControls.lastFromView,
            "U": self._toggleLock,
            **{key: partial(self._press, button) for key, button in buttons.items()},
        }
        self.slots: Mapping[str, Callable[[], object]] = {
            "P": guarded(run.toggle),
            **{key: guarded(partial(self._act, slot)) for key, slot in acting.items()},
        }

    def _act(self, slot: Callable[[], object]) -> None:
        """A key may follow Accept at once: no button is off because of what is still being written."""
        wasWriting = self._context.logic.state == State.WRITING
        if wasWriting:
            self._writing.finish()
            self._refresh()
        try:
            slot()
        except _IsOff:
            if not wasWriting:  # else it is told what was written
                raise

    def _toggleLock(self) -> None:
        """The button that is there: in review the one beside the strip."""
        ui = self._context.ui
        self._press(ui.lockButton if self._context.logic.state == State.REVIEW else ui.lockSliceButton)

    def _press(self, button: qt.QPushButton) -> None:
        if not button.enabled:
            self._refresh()  # what has just come may not be shown yet
        if not button.enabled:
            raise _IsOff(*self._whyNot(button))
        button.click()

    def _whyNot(self, button: qt.QPushButton) -> tuple[str, Callable[[], bool]]:
        """A sentence, and whether it still holds."""
        context, ui, state = self._context, self._context.ui, self._context.logic.state
        if state == State.CANCELLING:
            return _("The run is being stopped: wait a moment."), lambda: context.logic.state == state
        if state in State.BUSY:
            text = _("A run is going on: wait for its end, or cancel it.")
            return text, lambda: context.logic.state in State.BUSY
        reviewing = (ui.nextButton, ui.editButton, ui.correctButton, ui.acceptButton, ui.discardButton, ui.lockButton)
        if button in reviewing:
            text = str(segmentsRemoved() if state == State.REVIEW else nothingToReview())
        elif button == ui.previousCaseButton:
            text = _("Open a worklist under Cases first.")
        else:
            text = str(context.nothingToDrawOn())
        return text, lambda: not button.enabled
