"""The list of key slices."""

import qt
from slicer.i18n import tr as _

from SegmentPropagateSlicer.Context import planeTitle

ROWS_SHOWN = 4


class KeyTable:
    """Shows the keys, jumps to one on double-click, removes one by its cross.

    Args:
        context: `Context`.
    """

    def __init__(self, context):
        self.context = context
        self._shown = None
        self.table = context.ui.keyTable
        self.table.setColumnCount(6)
        self.table.setHorizontalHeaderLabels([_("Slice"), _("Segment"), _("Plane"), _("Area"), "", ""])
        self._lockIcon, self._unlockIcon = (qt.QIcon(context.icon(name)) for name in ("lock", "unlock"))
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(24)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(1, qt.QHeaderView.Stretch)
        header.setHighlightSections(False)
        self.table.connect("cellDoubleClicked(int,int)", context.status.guarded(self._jump))

    def _jump(self):
        row = self.table.currentRow()
        if self._shown and 0 <= row < len(self._shown):
            key = self._shown[row][0]
            self.context.jumpToSlice(key.sliceIndex, key.plane)

    def refresh(self):
        """Show the logic's keys."""
        keys = self.context.logic.keys
        shown = [(key, self.context.segmentName(key.segmentId)) for key in keys]
        self.table.setVisible(bool(shown))
        if shown == self._shown:
            return
        self._shown = shown
        self.table.setRowCount(len(shown))
        for row, (key, name) in enumerate(shown):
            area = _("{area} mm²").format(area=round(key.areaMm2)) if key.areaMm2 else ""
            if key.confirmed and not key.areaMm2:
                area = _("empty")
            for column, text in enumerate((str(key.sliceIndex), name, planeTitle(key.plane), area)):
                self.table.setItem(row, column, qt.QTableWidgetItem(text))
            self.table.setCellWidget(row, 4, self._lockButton(key))
            self.table.setCellWidget(row, 5, self._removeButton(key))
        rowHeight = self.table.rowHeight(0) if shown else 0
        height = self.table.horizontalHeader().height + min(len(shown), ROWS_SHOWN) * rowHeight + 4
        self.table.setFixedHeight(height)

    def _lockButton(self, key):
        button = qt.QToolButton()
        button.setIcon(self._lockIcon if key.confirmed else self._unlockIcon)
        button.setAutoRaise(True)
        if key.confirmed:
            button.setToolTip(_("Locked: no run and no correction changes this slice. Press to unlock."))
        else:
            button.setToolTip(_("Lock this slice: no later run or correction changes it."))
        toggle = self.context.status.guarded(
            lambda: self.context.logic.confirmSlices(key.segmentId, [key.sliceIndex], not key.confirmed, key.plane)
        )
        button.connect("clicked()", toggle)
        return button

    def _removeButton(self, key):
        button = qt.QToolButton()
        button.setText("✕")
        button.setAutoRaise(True)
        button.setToolTip(_("Forget this key; the outline stays in the segment."))
        button.connect("clicked()", self.context.status.guarded(lambda: self.context.logic.removeKey(key)))
        return button
