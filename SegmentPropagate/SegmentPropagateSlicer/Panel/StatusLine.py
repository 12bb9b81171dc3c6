"""The one place where the panel says how things stand, and the border at which exceptions end."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import partial

import qt
from slicer.i18n import tr as _

from SegmentPropagateLib.errors import InputError, SegmentPropagateError

RED_ON_LIGHT, RED_ON_DARK = "#c62828", "#ff7b70"
LONGEST_LOG = 20000


class NotYet(InputError):
    """Something has to be done first; said only as long as that is so.

    Args:
        sentence: what is missing.
        isSo: whether it is still missing.
    """

    def __init__(self, sentence: str, isSo: Callable[[], bool]) -> None:
        InputError.__init__(self, sentence)
        self.isSo = isSo


class StatusLine:
    """One sentence below the button, and what the worker printed under *Details*.

    Args:
        label: QLabel for the sentence.
        details: QPlainTextEdit for the log.
        section: the fold around the log.
    """

    def __init__(self, label: qt.QLabel, details: qt.QPlainTextEdit, section: qt.QWidget) -> None:
        self.label, self.details, self.section = label, details, section
        self._isActing, self._kept = False, dict[str, str]()  # sentence -> its style, of the action that goes on
        self._following: Callable[[], object] = bool
        self._added = "", ""  # a sentence and its style
        label.setTextFormat(qt.Qt.PlainText)  # names of segments and files stand in it, which may look like HTML
        details.maximumBlockCount = 2000
        self.clear()

    def clear(self) -> None:
        """Say nothing."""
        self._show("", "")

    def say(self, sentence: str) -> None:
        """Say how things stand; after what `note` and `complain` have said in the same action."""
        self._show(" ".join([*self._kept, sentence]), max(self._kept.values(), default=""))

    def follow(self, tell: Callable[[], str]) -> None:
        """Say how things stand as `say` does, and at each `refresh` how they stand then, until something else is said.

        Args:
            tell: gives the sentence; an empty text where there is nothing to be said any more.
        """
        kept = tuple(self._kept.items())

        def show() -> None:
            told = tell()
            sentences = [*(sentence for sentence, _style in kept), *filter(None, [told])]
            self._display(" ".join(sentences), max((style for _sentence, style in kept), default=""))
            self._following = show if told else bool

        self._added = "", ""
        show()

    def add(self, sentence: str, isWrong: bool = False) -> None:
        """Say what has come of itself after what is said already, which she has just done and has yet to read."""
        before, style = self._added
        self._added = " ".join(filter(None, [before, sentence])), self._red() if isWrong else style
        self._display(*self._said)

    def refresh(self) -> None:
        """What was said to `follow` may have changed."""
        self._following()

    def note(self, sentence: str) -> None:
        """Say something that must not be missed, whatever else is said in the same action."""
        self._keep(sentence, "")

    def complain(self, sentence: str) -> None:
        """Say what went wrong; it stays until something is said in another action."""
        self._keep(sentence, self._red())

    def _red(self) -> str:
        dark = self.label.palette.color(qt.QPalette.Window).lightness() < 128
        return f"color: {RED_ON_DARK if dark else RED_ON_LIGHT}"

    def _keep(self, sentence: str, style: str) -> None:
        kept = {**self._kept, sentence: style}
        self._show(" ".join(kept), max(kept.values()))
        if self._isActing:
            self._kept = kept

    def _clearUnless(self, isSo: Callable[[], bool]) -> None:
        if not isSo():
            self.clear()

    def log(self, text: str) -> None:
        """Keep a line of the worker's stderr."""
        self.details.appendPlainText(text.rstrip()[-LONGEST_LOG:])
        self.section.setVisible(True)

    def guarded(self, function: Callable[[], object]) -> Callable[..., None]:
        """A slot without arguments that calls `function` and turns whatever it raises into one sentence."""

        def slot(*_signalArguments: object) -> None:
            isOutermost, self._isActing = not self._isActing, True
            if isOutermost:
                self._kept = {}
            try:
                function()
            except SegmentPropagateError as error:
                self.complain(str(error))
                if isinstance(error, NotYet):
                    self._following = partial(self._clearUnless, error.isSo)
            except Exception as error:  # noqa: BLE001  the panel's border: nothing may escape into Qt
                self.log(traceback.format_exc())
                self.complain(_("Something unexpected went wrong ({error}); see Details.").format(error=error))
            finally:
                if isOutermost:
                    self._isActing, self._kept = False, {}

        return slot

    def _show(self, sentence: str, style: str) -> None:
        self._following, self._added = bool, ("", "")
        self._display(sentence, style)

    def _display(self, sentence: str, style: str) -> None:
        self._said = sentence, style
        added, its = self._added
        sentence = " ".join(filter(None, [sentence, added]))
        self.label.setStyleSheet(max(style, its))
        self.label.text = sentence
        self.label.setVisible(bool(sentence))
