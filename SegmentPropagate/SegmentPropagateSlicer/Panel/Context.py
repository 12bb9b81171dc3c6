"""What the sections of the panel share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import slicer
from numpy.typing import NDArray
from slicer.i18n import tr as _

from SegmentPropagateLib.errors import InputError
from SegmentPropagateSlicer.Logic import SegmentPropagateLogic
from SegmentPropagateSlicer.Panel.StatusLine import NotYet, StatusLine
from SegmentPropagateSlicer.Scene.Parameters import ALL_VISIBLE, Parameters
from SegmentPropagateSlicer.Scene.PromptReader import PromptReader
from SegmentPropagateSlicer.Scene.SliceGrid import BesideVolume, SliceGrid
from SegmentPropagateSlicer.Scene.VolumeReader import VolumeReader

PLANES = ("axial", "coronal", "sagittal")
VIEWS = ("Red", "Green", "Yellow")
EFFECT = "Propagate"
"""Name of our effect in Segment Editors."""


def planeTitle(plane: str) -> str:
    """A plane in the user's language; anything else is a view that the user turned."""
    if plane == "axial":  # each is looked up when it is wanted: a list asks for as many as it has rows
        return _("axial")
    if plane == "coronal":
        return _("coronal")
    return _("sagittal") if plane == "sagittal" else _("oblique")


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
    viewAtPaint: str = ""  # the view that was chosen when something was drawn last
    isOpen: bool = False  # whether the panel is on the screen: it makes no nodes while another module is
    isSettling: bool = False  # whether a scene is being closed or loaded: what selectors do is nobody's choice
    _places: dict[str, tuple[str, int] | InputError] | None = field(default=None, init=False)  # of views, see `still`

    def icon(self, name: str) -> str:
        """Path of one of our icons."""
        return str(self.resources / "Icons" / f"{name}.png")

    def sliceNode(self) -> slicer.vtkMRMLSliceNode | None:
        """The vtkMRMLSliceNode of the chosen view."""
        return sliceNodeOf(self.parameters.view)

    def shownImage(self, view: str | None = None) -> slicer.vtkMRMLScalarVolumeNode | None:
        """The image in the background of a view, the chosen one unless named, or None."""
        composite = compositeOf(view or self.parameters.view)
        node = slicer.mrmlScene.GetNodeByID(composite.GetBackgroundVolumeID() or "") if composite else None
        return cast("slicer.vtkMRMLScalarVolumeNode", node) if isImage(node) else None

    def planeAndSlice(self, view: str | None = None) -> tuple[str, int]:
        """Plane and slice number that a view shows, the chosen one unless named.

        Raises:
            InputError: no volume, another volume in the view, or an oblique view.
        """
        view, places = view or self.parameters.view, {} if self._places is None else self._places
        if view not in places:
            try:
                places[view] = self._placeIn(view)
            except InputError as error:
                places[view] = error
        found = places[view]
        if isinstance(found, InputError):
            raise found
        return found

    def _placeIn(self, view: str) -> tuple[str, int]:
        if self.parameters.volume is None:
            raise InputError(_("Choose an image first."))
        self._checkShown(view)
        return placeInView(self.logic, view)

    @contextmanager
    def still(self) -> Iterator[None]:
        """Within it nothing moves, so each view is asked once what it shows: in a refresh 14 times, 0.6 ms each."""
        self._places = {}
        try:
            yield
        finally:
            self._places = None

    def _checkShown(self, view: str) -> None:
        """InputError where a view shows another image only: what is seen there is not what is worked on."""
        volume, shown, composite = self.parameters.volume, self.shownImage(view), compositeOf(view)
        if volume is None or shown is None or composite is None or shown is volume:
            return
        if composite.GetForegroundVolumeID() == volume.GetID():
            return
        text = _(
            "The {view} view shows '{shown}', not '{name}': choose '{shown}' as image, or show '{name}' in the view."
        )
        raise InputError(text.format(view=view, shown=shown.GetName(), name=volume.GetName()))

    def nothingToDrawOn(self) -> NotYet:
        """What is wrong when there is no segment to be outlined."""
        text = _("Choose a segment first.") if self.parameters.volume else _("Load an image first.")
        return NotYet(text, lambda: not self.segmentIds())

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

    def selectedSegmentId(self) -> str:
        """The segment that is selected in the Segment Editor; empty where none is."""
        selected: str = self.ui.segmentEditor.currentSegmentID()
        return selected or ""

    def currentSegmentId(self) -> str:
        """The segment that is outlined: the chosen one, or the editor's among all visible ones.

        Raises:
            InputError: there is none.
        """
        ids = self.segmentIds()
        if not ids:
            raise InputError(_("Choose a segment first."))
        selected = self.selectedSegmentId()
        return selected if selected in ids else ids[0]

    def viewOfOutline(self) -> str | None:
        """The view that a segment was outlined in, where the chosen one shows no more of it than a line across.

        None where that is not so, and where the view was chosen after the outline was drawn: then it is meant.
        Such a line as key would be carried through the range, and Accept would put what comes of it where she drew.
        """
        if self.parameters.view != self.viewAtPaint:
            return None
        segmentId = self.currentSegmentId()
        mask = self._maskIn(self.parameters.view, segmentId)
        if not mask.any() or isOutline(mask):
            return None
        for name in VIEWS:
            with suppress(InputError):  # a view that shows something else
                if isOutline(self._maskIn(name, segmentId)):
                    return name
        return None

    def _maskIn(self, view: str, segmentId: str) -> NDArray[np.bool_]:
        plane, index = self.planeAndSlice(view)
        segmentation = self.parameters.segmentation
        if segmentation is None:
            raise InputError(_("Choose a segmentation first."))
        reader = PromptReader(SliceGrid(VolumeReader(self.parameters.volume).geometry, plane))
        return reader.segmentMask(segmentation, segmentId, index)

    def isThere(self, segmentId: str) -> bool:
        """Whether the segmentation has such a segment."""
        node = self.parameters.segmentation
        return node is not None and node.GetSegmentation().GetSegment(segmentId) is not None

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
        self.sayOfSegment(text.format(number=place[2]))

    def sayOfSegment(self, sentence: str) -> None:
        """Say something of the selected segment, as long as it is the selected one."""
        segmentId = self.selectedSegmentId()
        self.status.follow(lambda: sentence if self.selectedSegmentId() == segmentId else "")

    def sayOfWritten(self, sentence: str, segmentIds: Iterable[str], hint: str = "") -> None:
        """Say what was written into segments, until that is undone, or another one is selected.

        Args:
            sentence: what was written.
            segmentIds: into which segments.
            hint: what can be done with it, as long as these are the segments that are worked on.
        """
        about = {self.selectedSegmentId(), *segmentIds}
        undone = _("Undone: nothing of that is there any more. Redo in the Segment Editor brings it back.")

        def tell() -> str:
            isHere = any(map(self.isThere, about))
            if isHere and self.selectedSegmentId() not in about:
                return ""
            if not isHere:  # another image is worked on
                return sentence
            return undone if self.logic.isUndone else " ".join(filter(None, [sentence, hint]))

        self.status.follow(tell)

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


def isImage(node: slicer.vtkMRMLNode | None) -> bool:
    """Whether a node is a volume that can be segmented, and no label map."""
    return bool(node and node.IsA("vtkMRMLScalarVolumeNode") and not node.IsA("vtkMRMLLabelMapVolumeNode"))


def isOutline(mask: NDArray[np.bool_]) -> bool:
    """Whether a mask `(rows, columns)` is somewhere two pixels wide and high, so more than a line."""
    return bool((mask[1:, 1:] & mask[:-1, 1:] & mask[1:, :-1] & mask[:-1, :-1]).any())


def compositeOf(viewName: str) -> slicer.vtkMRMLSliceCompositeNode | None:
    """The vtkMRMLSliceCompositeNode of a view, which says what is shown there; or None."""
    return slicer.mrmlScene.GetSingletonNode(viewName, "vtkMRMLSliceCompositeNode")


def sliceNodeOf(viewName: str) -> slicer.vtkMRMLSliceNode | None:
    """The vtkMRMLSliceNode of a view, or None."""
    return slicer.mrmlScene.GetSingletonNode(viewName, "vtkMRMLSliceNode")


def placeInView(logic: SegmentPropagateLogic, viewName: str) -> tuple[str, int]:
    """Plane and slice number that a view shows; InputError where it shows no slice of the image, or is oblique."""
    node, problems = sliceNodeOf(viewName), list[InputError]()
    if node is None:
        raise InputError(_("There is no view '{view}' in this layout.").format(view=viewName))
    for plane in PLANES:
        try:
            return plane, logic.sliceIndexInView(node, plane)
        except InputError as error:
            problems.append(error)
    raise next((problem for problem in problems if isinstance(problem, BesideVolume)), problems[0])
