"""What a progress bar says of a run, and of what is written after it."""

from __future__ import annotations

import qt
from slicer.i18n import tr as _

from SegmentPropagateSlicer.Values.Amounts import duration


class Progress:
    """Follows the signals of a logic; the panel has one, and so has the effect.

    Args:
        bar: shows it.
    """

    def __init__(self, bar: qt.QProgressBar) -> None:
        self._bar = bar

    def show(self, done: int, total: int, text: str) -> None:
        """Show a count; a total of 0, one that is not known yet, is shown as busy, without a text."""
        self._bar.setRange(0, total)
        self._bar.setValue(done)
        self._bar.format = text if total else ""

    def showSlices(self, done: int, total: int, secondsLeft: float | None = None) -> None:
        """So many slices of a run have come."""
        text = _("%v of %m slices")
        if secondsLeft is not None:
            text += _(", {time} left").format(time=duration(secondsLeft))
        self.show(done, total, text)

    def showWriting(self, share: float) -> None:
        """So much of a proposal is written, 0..1."""
        self.show(round(100 * share), 100, _("Writing: %p %"))
