"""The keyboard shortcuts of the panel, on while the module is open; `Widget` says which there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import qt
import slicer

TAKEN = "0123456789ZYQWI/*,.<>" + "FBGTVR[]{}"
"""Single keys of the Segment Editor, and of the slice views."""


class Shortcuts:
    """Single letters, as in the Segment Editor; they count only while the mouse is over a slice view or the panel.

    No Shift: Slicer moves the crosshair, and with it the slices, while it is held.

    Args:
        actions: key sequence -> slot without arguments.
        parent: the panel; the shortcuts belong to the main window where there is one.
    """

    def __init__(self, actions: Mapping[str, Callable[[], object]], parent: qt.QWidget) -> None:
        self._actions, self._parent = actions, parent
        self._shortcuts: list[qt.QShortcut] = []

    def install(self) -> None:
        """Turn them on; calling it twice does no harm."""
        if self._shortcuts:
            return
        for sequence, slot in self._actions.items():
            shortcut = qt.QShortcut(slicer.util.mainWindow() or self._parent)
            shortcut.setKey(qt.QKeySequence(sequence))
            shortcut.connect("activated()", partial(self._run, slot))
            self._shortcuts.append(shortcut)

    def uninstall(self) -> None:
        """Turn them off."""
        for shortcut in self._shortcuts:
            shortcut.setEnabled(False)
            shortcut.deleteLater()
        self._shortcuts = []

    def _run(self, slot: Callable[[], object]) -> None:
        position, layout = qt.QCursor.pos(), slicer.app.layoutManager()
        views = [layout.sliceWidget(name) for name in layout.sliceViewNames()] if layout else []
        if any(
            widget.visible and widget.rect.contains(widget.mapFromGlobal(position)) for widget in [self._parent, *views]
        ):
            slot()
