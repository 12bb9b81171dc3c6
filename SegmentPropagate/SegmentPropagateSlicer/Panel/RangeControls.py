"""First and last slice of the range, each segment's own along each plane: a kidney does not end where a liver does."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import qt
import slicer
from slicer.i18n import tr as _

from SegmentPropagateLib.errors import InputError
from SegmentPropagateSlicer.Panel.Context import Context
from SegmentPropagateSlicer.Scene.SliceGrid import Ends, rangeEnds, unionOfEnds


class RangeControls:
    """Two numbers, each taken from the view, or both from a ROI or the whole volume.

    Args:
        context: `Context`.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        ui, guarded = context.ui, context.status.guarded
        ui.firstSpinBox.connect("valueChanged(int)", guarded(lambda: self._take(first=ui.firstSpinBox.value)))
        ui.lastSpinBox.connect("valueChanged(int)", guarded(lambda: self._take(last=ui.lastSpinBox.value)))
        ui.firstFromViewButton.connect("clicked()", guarded(self.firstFromView))
        ui.lastFromViewButton.connect("clicked()", guarded(self.lastFromView))
        ui.wholeRangeButton.connect("clicked()", guarded(self.wholeVolume))
        self._roiMenu = qt.QMenu(ui.rangeFromRoiButton)
        ui.rangeFromRoiButton.setMenu(self._roiMenu)
        self._roiMenu.connect("aboutToShow()", guarded(self.fillRoiMenu))

    def firstFromView(self) -> None:
        """The range begins at the slice in the view."""
        self._take(first=self.context.planeAndSlice()[1])

    def lastFromView(self) -> None:
        """The range ends at the slice in the view."""
        self._take(last=self.context.planeAndSlice()[1])

    def wholeVolume(self) -> None:
        """The range is the whole volume."""
        self.give(None, None)

    def fromRoi(self, roiNode: slicer.vtkMRMLMarkupsROINode) -> None:
        """The range is what a ROI covers."""
        self.give(*self.context.logic.sliceRangeOfRoi(roiNode, self.context.plane()))

    def fillRoiMenu(self) -> None:
        """List the regions of interest of the scene."""
        self._roiMenu.clear()
        nodes = slicer.util.getNodesByClass("vtkMRMLMarkupsROINode")
        for node in nodes:
            action = self._roiMenu.addAction(node.GetName())
            action.connect("triggered()", self.context.status.guarded(partial(self.fromRoi, node)))
        if not nodes:
            self._roiMenu.addAction(self.context.ui.rangeFromRoiButton.toolTip).enabled = False

    def given(self) -> Ends:
        """`(first, last)` as the user gave them for the selected segment; None where not."""
        return self.context.parameters.rangeOf(self._segmentId(), self.context.plane())

    def givenOf(self, segmentIds: Sequence[str]) -> dict[str, Ends]:
        """segmentId -> the same of several segments."""
        plane = self.context.plane()  # asked once: it is where the view is, and costs as much as all the rest
        return {segmentId: self.context.parameters.rangeOf(segmentId, plane) for segmentId in segmentIds}

    def _segmentId(self) -> str:
        return self.context.currentSegmentId() if self.context.segmentIds() else ""

    def give(self, first: int | None, last: int | None) -> None:
        """What `given` returns from now on.

        Raises:
            InputError: no segment is chosen.
        """
        if not self.context.segmentIds():
            raise InputError(_("Choose a segment first."))
        self.context.parameters.giveRange(self._segmentId(), self.context.plane(), first, last)

    def range(self, segmentIds: Sequence[str] = ()) -> tuple[int, int]:
        """`(first, last)` of the selected segment, or around those of several; what was not given is the volume's."""
        ends = unionOfEnds(self.givenOf(segmentIds).values()) if segmentIds else self.given()
        return rangeEnds(ends, self.context.logic.sliceCount(self.context.plane()))

    def _take(self, **ends: int) -> None:
        if not self._refreshing:
            first, last = self.given()
            self.give(**{"first": first, "last": last, **ends})

    _refreshing = False

    def refresh(self) -> None:
        """Show the parameters."""
        ui = self.context.ui
        count = self.context.logic.sliceCount(self.context.plane())
        self._refreshing = True
        for box, value in zip((ui.firstSpinBox, ui.lastSpinBox), self.range(), strict=True):
            box.setRange(0, max(0, count - 1))
            box.setValue(value)
            box.enabled = count > 0 and bool(self.context.segmentIds())
        self._refreshing = False
