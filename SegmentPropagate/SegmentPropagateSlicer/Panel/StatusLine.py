"""The one place where the panel says how things stand, and the border at which exceptions end."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import qt
from slicer.i18n import tr as _

from SegmentPropagateLib.errors import SegmentPropagateError

RED_ON_LIGHT, RED_ON_DARK = "#c62828", "#ff7b70"
LONGEST_LOG = 20000


class StatusLine:
    """One sentence below the button, and what the worker printed under *Details*.

    Args:
        label: QLabel for the sentence.
        details: QPlainTextEdit for the log.
        section: the fold around the log.
    """

    def __init__(self, label: qt.QLabel, details: qt.QPlainTextEdit, section: qt.QWidget) -> None:
        self.label, self.details, self.section = label, details, section
        details.maximumBlockCount = 2000
        self.clear()

    def clear(self) -> None:
        """Say nothing."""
        self._show("", "")

    def say(self, sentence: str) -> None:
        """Say how things stand."""
        self._show(sentence, "")

    def complain(self, sentence: str) -> None:
        """Say what went wrong; it stays until the next sentence."""
        dark = self.label.palette.color(qt.QPalette.Window).lightness() < 128
        self._show(sentence, f"color: {RED_ON_DARK if dark else RED_ON_LIGHT}")

    def log(self, text: str) -> None:
        """Keep a line of the worker's stderr."""
        self.details.appendPlainText(text.rstrip()[-LONGEST_LOG:])
        self.section.setVisible(True)

    def guarded(self, function: Callable[[], object]) -> Callable[..., None]:
        """A slot without arguments that calls `function` and turns whatever it raises into one sentence."""

        def slot(*_signalArguments: object) -> None:
            try:
                function()
            except SegmentPropagateError as error:
                self.complain(str(error))
            except Exception as error:  # noqa: BLE001  the panel's border: nothing may escape into Qt
                self.log(traceback.format_exc())
                self.complain(_("Something unexpected went wrong ({error}); see Details.").format(error=error))

        return slot

    def _show(self, sentence: str, style: str) -> None:
        self.label.setStyleSheet(style)
        self.label.text = sentence
        self.label.setVisible(bool(sentence))
