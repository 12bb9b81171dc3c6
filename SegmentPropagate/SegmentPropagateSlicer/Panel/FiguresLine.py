"""Volume and slices of the selected segment, in one line above the Segment Editor."""

from __future__ import annotations

import qt
from slicer.i18n import tr as _

from SegmentPropagateLib.errors import InputError
from SegmentPropagateSlicer.Panel.Context import Context
from SegmentPropagateSlicer.Scene.SliceGrid import SliceGrid
from SegmentPropagateSlicer.Scene.VolumeReader import VolumeReader
from SegmentPropagateSlicer.Worklist.Figures import Count, Figures, stampOf


class FiguresLine:
    """Counts in the background, a piece at each turn of the event loop; a new stroke begins anew.

    Args:
        context: `Context`.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self._stamp: tuple[object, ...] | None = None  # of what is shown or being counted
        self._count: Count | None = None
        self._timer = qt.QTimer(context.ui.figuresLabel)
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)
        self._timer.connect("timeout()", context.status.guarded(self._advance))

    def refresh(self) -> None:
        """Count where the segment has changed since, while somebody can see it."""
        if not self.context.isOpen:
            return
        segmentId, node = self.context.selectedSegmentId(), self.context.parameters.segmentation
        try:
            if node is None or not self.context.isThere(segmentId):
                raise InputError("")
            grid = SliceGrid(VolumeReader(self.context.parameters.volume).geometry, self.context.plane())
            stamp = (*stampOf(node, segmentId, grid), self.context.segmentName(segmentId))
            if stamp != self._stamp:
                self._count = Count(node, segmentId, grid)
                self._timer.start()
        except InputError:  # no image, or a segmentation that is stored as surfaces
            stamp, self._count = None, None
            self.context.ui.figuresLabel.text = ""
        self._stamp = stamp

    def _advance(self) -> None:
        figures = self._count.advance() if self._count is not None else None
        if figures is not None:
            self._count = None
            self.context.ui.figuresLabel.text = figuresText(str(self._stamp[-1]) if self._stamp else "", figures)
        elif self._count is not None:
            self._timer.start()

    def stop(self) -> None:
        """Count no longer, until the panel is opened again."""
        self._timer.stop()
        self._stamp = self._count = None


def figuresText(name: str, figures: Figures) -> str:
    """`Liver: 1,482.6 mL, 58 slices, 12 to 69`."""
    if figures.first is None:
        return _("{name}: empty").format(name=name)
    volume = f"{figures.volumeMl:,.1f}" if figures.volumeMl >= 10 else f"{figures.volumeMl:.3g}"
    if figures.slices == 1:
        return _("{name}: {volume} mL, slice {first}").format(name=name, volume=volume, first=figures.first)
    text = _("{name}: {volume} mL, {count} slices, {first} to {last}")
    return text.format(name=name, volume=volume, count=figures.slices, first=figures.first, last=figures.last)
