"""The keyboard shortcuts of the panel, on while the module is open; `Widget` says which there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import qt
import slicer


class Shortcuts:
    """Shift and a letter, so that the single letters of the Segment Editor and the views stay free.

    Args:
        actions: key sequence -> slot without arguments.
        parent: a widget of the window; the main window is taken where there is one.
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
            shortcut.connect("activated()", slot)
            self._shortcuts.append(shortcut)

    def uninstall(self) -> None:
        """Turn them off."""
        for shortcut in self._shortcuts:
            shortcut.setEnabled(False)
            shortcut.deleteLater()
        self._shortcuts = []
