"""The proposal in the views: a segmentation node of its own, written slice by slice, never saved with the scene."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util.numpy_support import numpy_to_vtk

from SegmentPropagateSlicer.Scene.Labelmaps import arrayOf, segmentOf
from SegmentPropagateSlicer.Scene.SliceGrid import SliceGrid
from SegmentPropagateSlicer.Values.Proposal import Proposal, emptyProposal

ATTRIBUTE = "SegmentPropagate.Preview"
OPACITY_FILL, OPACITY_OUTLINE = 0.35, 1.0


@dataclass(eq=False)
class _Shown:
    """What is in the scene while there is a preview."""

    node: slicer.vtkMRMLSegmentationNode
    display: slicer.vtkMRMLSegmentationDisplayNode
    grid: SliceGrid
    first: int
    labels: dict[str, int]
    image: slicer.vtkOrientedImageData


class Preview:
    """All proposed segments share one labelmap that covers the range; a slice costs a slice."""

    def __init__(self) -> None:
        self._shown: _Shown | None = None

    @property
    def node(self) -> slicer.vtkMRMLSegmentationNode | None:
        """The vtkMRMLSegmentationNode; None while there is nothing to show."""
        return self._shown.node if self._shown else None

    def begin(
        self,
        volumeNode: slicer.vtkMRMLScalarVolumeNode,
        grid: SliceGrid,
        segmentationNode: slicer.vtkMRMLSegmentationNode,
        segmentIds: Sequence[str],
        first: int,
        last: int,
    ) -> None:
        """Show empty segments in the colors of the real ones, lightened.

        Args:
            volumeNode: gives the voxel grid and the parent transform.
            grid: its `SliceGrid`.
            segmentationNode: holds the real segments.
            segmentIds: which of them are proposed.
            first: first slice that may be shown.
            last: last one, inclusive.
        """
        originals = {segmentId: segmentOf(segmentationNode, segmentId) for segmentId in segmentIds}
        looks = {i: (original.GetName(), original.GetColor()) for i, original in originals.items()}
        self.beginWith(volumeNode, grid, looks, first, last)

    def beginWith(
        self,
        volumeNode: slicer.vtkMRMLScalarVolumeNode,
        grid: SliceGrid,
        looks: Mapping[str, tuple[str, Sequence[float]]],
        first: int,
        last: int,
    ) -> None:
        """The same for what has no segment yet; `looks` are names and colors, at most 255."""
        self.end()
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLSegmentationNode")
        node.UnRegister(None)
        node.SetName(_("Proposal"))
        node.SetHideFromEditors(True)
        node.SetSaveWithScene(False)
        node.SetAttribute(ATTRIBUTE, "1")
        image = _blankImage(volumeNode, grid, first, last)
        labels = {segmentId: value for value, segmentId in enumerate(looks, start=1)}
        representation = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
        for segmentId, value in labels.items():
            name, color = looks[segmentId]
            segment = slicer.vtkSegment()
            segment.SetName(name)
            segment.SetColor(*((1 + channel) / 2 for channel in color))
            segment.AddRepresentation(representation, image)
            segment.SetLabelValue(value)
            node.GetSegmentation().AddSegment(segment, segmentId)
        slicer.mrmlScene.AddNode(node)
        node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
        node.CreateDefaultDisplayNodes()
        display = node.GetDisplayNode()
        self._shown = _Shown(node, display, grid, first, labels, image)
        display.SetSaveWithScene(False)
        display.SetOpacity2DFill(OPACITY_FILL)
        display.SetOpacity2DOutline(OPACITY_OUTLINE)
        display.SetVisibility3D(False)  # a surface per slice would stall the views

    def show(self, segmentId: str, sliceIndex: int, proposal: Proposal) -> None:
        """Replace what one segment shows on one slice."""
        if self._shown is None or segmentId not in self._shown.labels:
            return
        _write(self._shown, segmentId, sliceIndex, proposal)
        self._shown.image.Modified()

    def showAgain(self, proposals: Mapping[str, Mapping[int, Proposal]], places: Mapping[str, Iterable[int]]) -> None:
        """Show what was proposed before, on the slices of `places`; both are `{segmentId: {slice: Proposal}}`."""
        shown = self._shown
        if shown is None:
            return
        for segmentId, slices in places.items():
            for sliceIndex in slices:
                before = proposals.get(segmentId, {}).get(sliceIndex) or emptyProposal(shown.grid.shape)
                _write(shown, segmentId, sliceIndex, before)
        shown.image.Modified()

    def end(self) -> None:
        """Take the preview out of the scene, and its display node, which the scene would keep."""
        shown, self._shown = self._shown, None
        for node in (shown.node, shown.display) if shown else ():
            if node.GetScene() is not None:
                node.GetScene().RemoveNode(node)


def _write(shown: _Shown, segmentId: str, sliceIndex: int, proposal: Proposal) -> None:
    stack = np.moveaxis(arrayOf(shown.image), shown.grid.axis, 0)
    if not 0 <= sliceIndex - shown.first < len(stack):
        return
    view, label = stack[sliceIndex - shown.first], shown.labels[segmentId]
    view[view == label] = 0
    view[proposal.place][proposal.box] = label


def _blankImage(
    volumeNode: slicer.vtkMRMLScalarVolumeNode, grid: SliceGrid, first: int, last: int
) -> slicer.vtkOrientedImageData:
    extent = [0, 0, 0, 0, 0, 0]
    for axis, size in enumerate(grid.geometry.shape_kji[::-1]):
        extent[2 * axis : 2 * axis + 2] = 0, size - 1
    ijk = 2 - grid.axis
    extent[2 * ijk : 2 * ijk + 2] = first, last
    image = slicer.vtkOrientedImageData()
    image.SetExtent(extent)
    voxels = np.zeros(image.GetNumberOfPoints(), dtype=np.uint8)  # unlike VTK's, costs nothing until written to
    image.GetPointData().SetScalars(numpy_to_vtk(voxels))
    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(matrix)
    image.SetImageToWorldMatrix(matrix)
    return image
