"""What the sections of the panel share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from SegmentPropagateLib.errors import InputError
from SegmentPropagateSlicer.Logic import SegmentPropagateLogic
from SegmentPropagateSlicer.Panel.StatusLine import StatusLine
from SegmentPropagateSlicer.Scene.Parameters import ALL_VISIBLE, Parameters

PLANES = ("axial", "coronal", "sagittal")
VIEWS = ("Red", "Green", "Yellow")


def planeTitle(plane: str) -> str:
    """A plane in the user's language; anything else is a view that the user turned."""
    titles = {"axial": _("axial"), "coronal": _("coronal"), "sagittal": _("sagittal")}
    return titles.get(plane, _("oblique"))


@dataclass
class Context:
    """One per panel.

    Args:
        ui: the widgets of the .ui file by name.
        logic: `SegmentPropagateLogic`.
        parameters: `Parameters` of the current scene.
        status: `StatusLine`.
        resources: the module's folder Resources.
    """

    ui: Any  # its names are those of the .ui file, which `check_api.py` compares
    logic: SegmentPropagateLogic
    parameters: Parameters
    status: StatusLine
    resources: Path

    def icon(self, name: str) -> str:
        """Path of one of our icons."""
        return str(self.resources / "Icons" / f"{name}.png")

    def sliceNode(self) -> slicer.vtkMRMLSliceNode | None:
        """The vtkMRMLSliceNode of the chosen view."""
        return sliceNodeOf(self.parameters.view)

    def shownVolume(self) -> slicer.vtkMRMLNode | None:
        """The volume in the background of the chosen view, or None."""
        composite = slicer.mrmlScene.GetSingletonNode(self.parameters.view, "vtkMRMLSliceCompositeNode")
        return slicer.mrmlScene.GetNodeByID(composite.GetBackgroundVolumeID() or "") if composite else None

    def planeAndSlice(self) -> tuple[str, int]:
        """Plane and slice number that the chosen view shows.

        Raises:
            InputError: no volume, or an oblique view.
        """
        node = self.sliceNode()
        if node is None or self.parameters.volume is None:
            raise InputError(_("Choose an image first."))
        problems = []
        for plane in PLANES:
            try:
                return plane, self.logic.sliceIndexInView(node, plane)
            except InputError as error:
                problems.append(error)
        raise problems[0]

    def plane(self) -> str:
        """The plane of the chosen view; axial while there is none."""
        try:
            return self.planeAndSlice()[0]
        except InputError:
            return PLANES[0]

    def segmentIds(self) -> list[str]:
        """The segments to propagate."""
        node = self.parameters.segmentation
        if node is None:
            return []
        ids = list(node.GetSegmentation().GetSegmentIDs())
        if self.parameters.segment != ALL_VISIBLE:
            return [self.parameters.segment] if self.parameters.segment in ids else []
        display = node.GetDisplayNode()
        return [i for i in ids if display is None or display.GetSegmentVisibility(i)]

    def currentSegmentId(self) -> str:
        """The segment that is outlined and reviewed: the chosen one, or the editor's among all visible ones.

        Raises:
            InputError: there is none.
        """
        ids = self.segmentIds()
        if not ids:
            raise InputError(_("Choose a segment first."))
        selected: str = self.ui.segmentEditor.currentSegmentID()
        return selected if selected in ids else ids[0]

    def segmentName(self, segmentId: str) -> str:
        """The name that the user gave it."""
        node = self.parameters.segmentation
        segment = node.GetSegmentation().GetSegment(segmentId) if node else None
        return segment.GetName() if segment else segmentId

    def isLocked(self, segmentId: str, plane: str, sliceIndex: int) -> bool:
        """Whether a slice of a segment is locked."""
        place = segmentId, plane, sliceIndex
        return any(key.confirmed and key.place == place for key in self.logic.keys)

    def sayLocked(self, place: tuple[str, str, int], locked: bool) -> None:
        """Say what locking or unlocking a `(segmentId, plane, sliceIndex)` has done."""
        held = next((key.areaMm2 for key in self.logic.keys if key.place == place), 0)
        if not locked:
            text = _("Slice {number} is no longer locked.")
        elif held:
            text = _("Slice {number} is locked: no run changes it.")
        else:
            text = _("Slice {number} is locked as empty: no run puts the object there.")
        self.status.say(text.format(number=place[2]))

    def jumpToSlice(self, sliceIndex: int, plane: str | None = None) -> None:
        """Show a slice in the chosen view; where that has another plane, a view that has this one is chosen."""
        plane = plane or self.plane()
        names = [name for name in (self.parameters.view, *VIEWS) if self._shows(name, plane)]
        if names:
            self.parameters.view = names[0]
        node, (r, a, s) = self.sliceNode(), self.logic.slicePositionRas(sliceIndex, plane)
        if node is not None:
            node.JumpSliceByOffsetting(float(r), float(a), float(s))

    def _shows(self, viewName: str, plane: str) -> bool:
        node = sliceNodeOf(viewName)
        try:
            return node is not None and self.logic.sliceIndexInView(node, plane) is not None
        except InputError:
            return False


def sliceNodeOf(viewName: str) -> slicer.vtkMRMLSliceNode | None:
    """The vtkMRMLSliceNode of a view, or None."""
    return slicer.mrmlScene.GetSingletonNode(viewName, "vtkMRMLSliceNode")
