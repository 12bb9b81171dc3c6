"""The markups that a prompt is placed with: a box, a line, points on the object, points beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
import slicer
from numpy.typing import NDArray
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from SegmentPropagateSlicer.Scene.Parameters import Parameters

ROLES = ("box", "line", "positivePoints", "negativePoints")
ALONE = ("box", "line")  # a new one takes the place of the one before
BLUE, GREEN, RED = (0.23, 0.51, 0.84), (0.18, 0.66, 0.31), (0.85, 0.25, 0.23)


class Placement(VTKObservationMixin):
    """Makes the markups nodes when they are first needed and turns Slicer's place mode on and off.

    Args:
        parameters: `Parameters`, which remember the nodes.
        onPlaced: called when a point or the box was placed or moved.
    """

    def __init__(self, parameters: Parameters, onPlaced: Callable[..., None]) -> None:
        VTKObservationMixin.__init__(self)
        self.parameters, self._onPlaced = parameters, onPlaced

    def node(self, role: str) -> slicer.vtkMRMLMarkupsNode | None:
        """The markups node of a role: one of `ROLES`."""
        node: slicer.vtkMRMLMarkupsNode | None = getattr(self.parameters, role)
        return node

    def _newNode(self, role: str) -> slicer.vtkMRMLMarkupsNode:
        kind, name, color = {
            "box": ("vtkMRMLMarkupsROINode", _("Prompt box"), BLUE),
            "line": ("vtkMRMLMarkupsLineNode", _("Longest diameter"), BLUE),
            "positivePoints": ("vtkMRMLMarkupsFiducialNode", _("Object"), GREEN),
            "negativePoints": ("vtkMRMLMarkupsFiducialNode", _("Not the object"), RED),
        }[role]
        node = cast("slicer.vtkMRMLMarkupsNode", slicer.mrmlScene.AddNewNodeByClass(kind, name))
        node.CreateDefaultDisplayNodes()
        display = node.GetDisplayNode()
        display.SetSelectedColor(*color)
        display.SetColor(*color)
        display.SetPointLabelsVisibility(False)
        if role == "box":
            display.SetFillVisibility(False)
        setattr(self.parameters, role, node)
        return node

    def nodes(self) -> list[slicer.vtkMRMLMarkupsNode]:
        """The nodes that exist."""
        return [node for node in map(self.node, ROLES) if node is not None]

    def start(self, role: str) -> None:
        """Let the mouse place: one box, one line, or points until right-click."""
        node = self.node(role) or self._newNode(role)
        for event in (node.PointPositionDefinedEvent, node.PointEndInteractionEvent):
            if not self.hasObserver(node, event, self._onPlaced):
                self.addObserver(node, event, self._onPlaced)
        markups = slicer.modules.markups.logic()
        if role in ALONE:
            node.RemoveAllControlPoints()
        markups.SetActiveList(node)
        markups.StartPlaceMode(role not in ALONE)

    def stop(self) -> None:
        """Give the mouse back to the views."""
        interaction = self.interactionNode()
        interaction.SetCurrentInteractionMode(interaction.ViewTransform)

    def interactionNode(self) -> slicer.vtkMRMLInteractionNode:
        """The vtkMRMLInteractionNode of the application."""
        return slicer.app.applicationLogic().GetInteractionNode()

    def placing(self) -> str | None:
        """The role whose node the mouse places now, or None."""
        interaction = self.interactionNode()
        if interaction.GetCurrentInteractionMode() != interaction.Place:
            return None
        active = slicer.app.applicationLogic().GetSelectionNode().GetActivePlaceNodeID()
        for role in ROLES:
            node = self.node(role)
            if node is not None and node.GetID() == active:
                return role
        return None

    def clear(self) -> None:
        """Remove what was placed."""
        for node in self.nodes():
            node.RemoveAllControlPoints()

    def points(self) -> tuple[NDArray[np.float64], list[bool]]:
        """World RAS of all points `(N, 3)`, and whether each lies on the object."""
        positive = self._positions("positivePoints")
        negative = self._positions("negativePoints")
        flags = [True] * len(positive) + [False] * len(negative)
        return np.concatenate([positive, negative]), flags

    def hasBox(self) -> bool:
        """Whether a box with an extent was placed."""
        node = self.parameters.box
        return node is not None and node.GetNumberOfDefinedControlPoints() > 0 and min(sorted(node.GetSize())[1:]) > 0

    def hasLine(self) -> bool:
        """Whether a line with both ends was placed."""
        return len(self._positions("line")) == 2

    def _positions(self, role: str) -> NDArray[np.float64]:
        node = self.node(role)
        if node is None or node.GetNumberOfDefinedControlPoints() == 0:
            return np.zeros((0, 3))
        defined = [n for n in range(node.GetNumberOfControlPoints())
                   if node.GetNthControlPointPositionStatus(n) == node.PositionDefined]  # fmt: skip
        return np.array([node.GetNthControlPointPositionWorld(n) for n in defined])
