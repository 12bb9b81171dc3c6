"""The image, the segmentation and the settings that are worked with, and the slices that they give."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from SegmentPropagateLib.errors import InputError
from SegmentPropagateSlicer.Scene.PromptReader import PromptReader
from SegmentPropagateSlicer.Scene.SliceGrid import SliceGrid
from SegmentPropagateSlicer.Scene.VolumeReader import VolumeReader
from SegmentPropagateSlicer.Values.RunSettings import RunSettings
from SegmentPropagateSlicer.Values.Signal import Signal


class Inputs(VTKObservationMixin):
    """Set together, and given up when one of them leaves the scene.

    Signals: `inputsLeft(sentence)` before they are others, with what to say if a run is going on; `inputsTaken()`.
    """

    def __init__(self) -> None:
        VTKObservationMixin.__init__(self)
        self.inputsLeft, self.inputsTaken = Signal("sentence"), Signal()
        self.settings = RunSettings()
        self.volumeNode: slicer.vtkMRMLScalarVolumeNode | None = None
        self.segmentationNode: slicer.vtkMRMLSegmentationNode | None = None

    def observeScene(self) -> None:
        """Call once, when the signals are connected; `removeObservers` ends it."""
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.NodeAboutToBeRemovedEvent, self._onNodeAboutToBeRemoved)
        self.addObserver(scene, scene.StartCloseEvent, self._onSceneAboutToClose)

    def setInputs(
        self,
        volumeNode: slicer.vtkMRMLScalarVolumeNode | None,
        segmentationNode: slicer.vtkMRMLSegmentationNode | None,
    ) -> None:
        """Choose what to work on; a change ends the run, drops the proposal and forgets the keys."""
        sentence = _("The image or the segmentation was changed during the run; nothing was written.")
        if volumeNode is not self.volumeNode or segmentationNode is not self.segmentationNode:
            self._take(volumeNode, segmentationNode, sentence)

    def setSettings(self, settings: RunSettings) -> None:
        """Take a `RunSettings` for the next run."""
        self.settings = settings

    def sliceCount(self, plane: str | None = None) -> int:
        """Number of slices of the volume along the plane; 0 without a volume."""
        try:
            return self._grid(plane).count
        except InputError:
            return 0

    def sliceIndexInView(self, sliceNode: slicer.vtkMRMLSliceNode, plane: str | None = None) -> int:
        """Slice number that a vtkMRMLSliceNode shows; InputError for an oblique view or another plane."""
        return self._grid(plane).indexInView(sliceNode)

    def sliceRangeOfRoi(self, roiNode: slicer.vtkMRMLMarkupsROINode, plane: str | None = None) -> tuple[int, int]:
        """`(first, last)` slice that a vtkMRMLMarkupsROINode covers."""
        return PromptReader(self._grid(plane)).range(roiNode)

    def slicePositionRas(self, sliceIndex: int, plane: str | None = None) -> NDArray[np.float64]:
        """World RAS of the slice's center, to jump the views to it."""
        return self._grid(plane).centerRas(sliceIndex)

    # ---- inside -------------------------------------------------------------------------------------------------

    def _grid(self, plane: str | None = None) -> SliceGrid:
        return SliceGrid(VolumeReader(self.volumeNode).geometry, plane or self.settings.plane)

    def _nodes(self) -> tuple[slicer.vtkMRMLScalarVolumeNode, slicer.vtkMRMLSegmentationNode]:
        if self.segmentationNode is None:
            raise InputError(_("Choose a segmentation first."))
        return VolumeReader(self.volumeNode).node, self.segmentationNode

    def _take(self, volumeNode: Any, segmentationNode: Any, sentence: str) -> None:
        self.inputsLeft.emit(sentence)
        self.volumeNode, self.segmentationNode = volumeNode, segmentationNode
        self.inputsTaken.emit()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeAboutToBeRemoved(self, _caller: Any, _event: str, node: slicer.vtkMRMLNode) -> None:
        if node is self.volumeNode:
            sentence = _("The image was removed from the scene during the run; nothing was written.")
            self._take(None, self.segmentationNode, sentence)
        elif node is self.segmentationNode:
            sentence = _("The segmentation was removed from the scene during the run; nothing was written.")
            self._take(self.volumeNode, None, sentence)

    def _onSceneAboutToClose(self, _caller: Any, _event: str) -> None:
        self._take(None, None, _("The scene was closed during the run; nothing was written."))
