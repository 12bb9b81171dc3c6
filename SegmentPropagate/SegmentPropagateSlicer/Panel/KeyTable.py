"""The list of key slices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial

import numpy as np
import qt
from numpy.typing import NDArray
from slicer.i18n import tr as _

from SegmentPropagateLib.errors import SegmentPropagateError
from SegmentPropagateSlicer.Panel.Context import PLANES, Context, planeTitle
from SegmentPropagateSlicer.Values.Key import Key

ROWS_SHOWN = 3
PICTURE, SYMBOL = 44, 16  # pixels
READING_S = 0.005
"""Between two turns of the event loop; an outline takes 1 to 6 ms."""
LOCK, REMOVE = 4, 5
"""Columns."""


class KeyTable:
    """Shows the keys, jumps to one on double-click, removes one by its cross.

    Args:
        context: `Context`.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self._shown: list[tuple[Key, str]] | None = None
        self._pictures: dict[Key, qt.QIcon] = {}  # Key -> QIcon; a key whose outline has changed is another Key
        self._waiting: list[Key] = []  # keys whose picture is to be drawn, one at a time, so that the panel never stops
        self._timer = qt.QTimer(context.ui.keyTable)
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)
        self._timer.connect("timeout()", self._drawNext)
        self._following = qt.QTimer(context.ui.keyTable)
        self._following.setSingleShot(True)
        self._following.setInterval(0)
        self._following.connect("timeout()", context.status.guarded(self._follow))
        context.logic.stateChanged.connect(self.follow)  # a review in which much was drawn may have ended
        self.table: qt.QTableWidget = context.ui.keyTable
        self.table.setColumnCount(6)
        self.table.setHorizontalHeaderLabels([_("Slice"), _("Segment"), _("Plane"), _("Area"), "", ""])
        small = [qt.QIcon(context.icon(name)).pixmap(SYMBOL, SYMBOL) for name in ("lock", "unlock")]
        self._lockIcon, self._unlockIcon = map(qt.QIcon, small)  # as pixmaps they stay smaller than the pictures
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(PICTURE + 4)
        self.table.setIconSize(qt.QSize(PICTURE, PICTURE))
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(1, qt.QHeaderView.Stretch)
        header.setHighlightSections(False)
        self._tips = {
            True: _("Locked: no run and no correction changes this slice. Press to unlock."),
            False: _("Lock this slice: no later run or correction changes it."),
        }
        icon(np.zeros((1, 1, 3), np.uint8))  # Qt loads what reads pictures: 20 ms, better now than while she draws
        self._tipOfRemove = _("Forget this key; the outline stays in the segment.")
        self.table.connect("cellClicked(int,int)", self._onClicked)
        self.table.connect("cellDoubleClicked(int,int)", context.status.guarded(self._jump))

    def _jump(self) -> None:
        row = self.table.currentRow()
        if self._shown and 0 <= row < len(self._shown):
            key = self._shown[row][0]
            self.context.jumpToSlice(key.sliceIndex, key.plane)

    def follow(self, *_state: str) -> None:
        """Segments may have changed: keys go and come back with their outlines, Undo or not."""
        if not self._following.active:
            self._following.start()

    def _follow(self) -> None:
        if not self.context.logic.followKeys(READING_S):
            self._following.start()

    def stop(self) -> None:
        """Draw no more pictures, and read no more outlines."""
        self._timer.stop()
        self._following.stop()

    def refresh(self) -> None:
        """Show the logic's keys."""
        keys = self._sorted(key for key in self.context.logic.keys if self.context.isThere(key.segmentId))
        shown = [(key, self.context.segmentName(key.segmentId)) for key in keys]
        suggests = self.context.parameters.promptMode == "suggest" and bool(self.context.logic.suggestions.all)
        self.table.setVisible(bool(shown) and not suggests)  # that list says what is a key; both do not fit a laptop
        if shown == self._shown:
            return
        before, self._shown = self._shown or [], shown
        self._pictures = {key: icon for key, icon in self._pictures.items() if key in keys}
        self._waiting = [key for key in keys if key not in self._pictures]
        if self._waiting:
            self._timer.start()
        head, tail = _common(before, shown)
        for _row in range(len(before) - head - tail):
            self.table.removeRow(head)
        texts = _Texts()
        for row in range(head, len(shown) - tail):
            self.table.insertRow(row)
            self._fill(row, *shown[row], texts)
        rowHeight = self.table.rowHeight(0) if shown else 0
        height = self.table.horizontalHeader().height + min(len(shown), ROWS_SHOWN) * rowHeight + 4
        self.table.setFixedHeight(height)

    def _fill(self, row: int, key: Key, name: str, texts: _Texts) -> None:
        for column, text in enumerate((str(key.sliceIndex), name, texts.planes[key.plane], texts.area(key))):
            self.table.setItem(row, column, qt.QTableWidgetItem(text))
        if key in self._pictures:
            self.table.item(row, 0).setIcon(self._pictures[key])
        lock, remove = qt.QTableWidgetItem(""), qt.QTableWidgetItem("✕")
        lock.setIcon(self._lockIcon if key.confirmed else self._unlockIcon)
        lock.setToolTip(self._tips[key.confirmed])
        remove.setToolTip(self._tipOfRemove)
        self.table.setItem(row, LOCK, lock)
        self.table.setItem(row, REMOVE, remove)

    def _sorted(self, keys: Iterable[Key]) -> list[Key]:
        """In the order of the segments, as the Segment Editor lists them, then by plane and slice."""
        node = self.context.parameters.segmentation
        ids = list(node.GetSegmentation().GetSegmentIDs()) if node else []
        return sorted(keys, key=lambda key: (ids.index(key.segmentId) if key.segmentId in ids else -1, *key.place[1:]))

    def _drawNext(self) -> None:
        key = self._waiting.pop(0) if self._waiting else None
        for row, (shown, _name) in enumerate(self._shown or ()):
            if shown == key:
                with suppress(SegmentPropagateError):  # the image or the segment has just gone
                    self._pictures[key] = icon(self.context.logic.keyPicture(key, PICTURE))
                    self.table.item(row, 0).setIcon(self._pictures[key])
        if self._waiting:
            self._timer.start()

    def _onClicked(self, row: int, column: int) -> None:
        self.context.status.guarded(partial(self._press, row, column))()

    def _press(self, row: int, column: int) -> None:
        """The last two columns are buttons; as widgets of their own, each row of them took half a millisecond."""
        if self._shown is None or not 0 <= row < len(self._shown):
            return
        key, logic = self._shown[row][0], self.context.logic
        if column == LOCK:
            logic.confirmSlices(key.segmentId, [key.sliceIndex], not key.confirmed, key.plane)
        elif column == REMOVE:
            logic.removeKey(key)


class _Texts:
    """What is the same in all rows, looked up once: Slicer takes 0.1 ms for each text, and there may be 100 rows."""

    def __init__(self) -> None:
        self.planes = {plane: planeTitle(plane) for plane in PLANES}
        self._area, self._empty = _("{area} mm²"), _("empty")

    def area(self, key: Key) -> str:
        """What a key measures; nothing where that is not known."""
        if key.areaMm2:
            return self._area.format(area=round(key.areaMm2))
        return self._empty if key.confirmed else ""


def _common(before: Sequence[object], after: Sequence[object]) -> tuple[int, int]:
    """How many rows are the same at the beginning, and at the end, so that these can stay."""
    least, counts = min(len(before), len(after)), [0, 0]
    for side, step in ((0, 1), (1, -1)):
        pairs = zip(before[::step], after[::step], strict=False)
        same = next((n for n, (one, other) in enumerate(pairs) if one != other), least)
        counts[side] = min(same, least - counts[0])
    return counts[0], counts[1]


def icon(picture: NDArray[np.uint8]) -> qt.QIcon:
    """A uint8 `(rows, columns, 3)` array as a QIcon, by way of a PPM file in memory: bytes that Qt reads by itself."""
    rows, columns = picture.shape[:2]
    pixmap = qt.QPixmap()
    pixmap.loadFromData(qt.QByteArray(b"P6 %d %d 255\n" % (columns, rows) + picture.tobytes()))
    return qt.QIcon(pixmap)
