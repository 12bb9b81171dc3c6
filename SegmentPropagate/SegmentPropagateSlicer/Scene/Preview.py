"""The proposal in the views: a segmentation node of its own, written slice by slice, never saved with the scene."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util.numpy_support import numpy_to_vtk

from SegmentPropagateSlicer.Scene.Labelmaps import LABELMAP, arrayOf, segmentOf
from SegmentPropagateSlicer.Scene.SliceGrid import SliceGrid
from SegmentPropagateSlicer.Values.Proposal import Proposal, emptyProposal

ATTRIBUTE = "SegmentPropagate.Preview"
OPACITY_FILL, OPACITY_OUTLINE = 0.35, 1.0

Outline = tuple[str, Sequence[float], Mapping[int, Proposal]]
"""Name, color, and what is on which slices."""


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
        self.end()
        rows, columns = grid.shape
        node = _newNode()
        image = _blankImage(volumeNode, grid, ((first, last), (0, rows - 1), (0, columns - 1)))
        labels = {segmentId: value for value, segmentId in enumerate(segmentIds, start=1)}
        for segmentId, value in labels.items():
            original = segmentOf(segmentationNode, segmentId)
            _addSegment(node, segmentId, original.GetName(), original.GetColor(), image, value)
        self._shown = _Shown(node, _display(node, volumeNode), grid, first, labels, image)

    def showOutlines(
        self, volumeNode: slicer.vtkMRMLScalarVolumeNode, grid: SliceGrid, outlines: Sequence[Outline]
    ) -> None:
        """Show outlines on some slices, of what may have no segment yet; `show` changes none of them."""
        self.end()
        node = _newNode()
        image = slicer.vtkOrientedImageData()
        for number, (name, color, proposals) in enumerate(outlines, start=1):
            image = _imageOf(volumeNode, grid, proposals)
            _addSegment(node, str(number), name, color, image, 1)
        self._shown = _Shown(node, _display(node, volumeNode), grid, 0, {}, image)

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
        if shown is None:
            return
        for node in (shown.node, shown.display):
            if node.GetScene() is not None:
                node.GetScene().RemoveNode(node)
        for segmentId in shown.node.GetSegmentation().GetSegmentIDs():  # else each is erased voxel by voxel: seconds
            segmentOf(shown.node, segmentId).RemoveAllRepresentations()


def _newNode() -> slicer.vtkMRMLSegmentationNode:
    node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLSegmentationNode")
    node.UnRegister(None)
    node.SetName(_("Proposal"))
    node.SetHideFromEditors(True)
    node.SetSaveWithScene(False)
    node.SetAttribute(ATTRIBUTE, "1")
    return cast("slicer.vtkMRMLSegmentationNode", node)


def _addSegment(
    node: slicer.vtkMRMLSegmentationNode,
    segmentId: str,
    name: str,
    color: Sequence[float],
    image: slicer.vtkOrientedImageData,
    value: int,
) -> None:
    segment = slicer.vtkSegment()
    segment.SetName(name)
    segment.SetColor(*((1 + channel) / 2 for channel in color))
    segment.AddRepresentation(LABELMAP, image)
    segment.SetLabelValue(value)
    node.GetSegmentation().AddSegment(segment, segmentId)


def _display(
    node: slicer.vtkMRMLSegmentationNode, volumeNode: slicer.vtkMRMLScalarVolumeNode
) -> slicer.vtkMRMLSegmentationDisplayNode:
    """Bring the node into the scene, where the volume is, and show it in the slice views."""
    slicer.mrmlScene.AddNode(node)
    node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetSaveWithScene(False)
    display.SetOpacity2DFill(OPACITY_FILL)
    display.SetOpacity2DOutline(OPACITY_OUTLINE)
    display.SetVisibility3D(False)  # a surface per slice would stall the views
    return display


def _write(shown: _Shown, segmentId: str, sliceIndex: int, proposal: Proposal) -> None:
    stack = np.moveaxis(arrayOf(shown.image), shown.grid.axis, 0)
    if not 0 <= sliceIndex - shown.first < len(stack):
        return
    view, label = stack[sliceIndex - shown.first], shown.labels[segmentId]
    view[view == label] = 0
    view[proposal.place][proposal.box] = label


def _imageOf(
    volumeNode: slicer.vtkMRMLScalarVolumeNode, grid: SliceGrid, proposals: Mapping[int, Proposal]
) -> slicer.vtkOrientedImageData:
    """Outlines in an image that is no larger than they are: memory that is written to for the first time takes long."""
    full = {index: proposal for index, proposal in proposals.items() if proposal.area}
    if not full:
        return slicer.vtkOrientedImageData()
    sides = zip(*(proposal.place for proposal in full.values()), strict=True)
    rows, columns = ((min(s.start for s in side), max(s.stop for s in side) - 1) for side in sides)
    image = _blankImage(volumeNode, grid, ((min(full), max(full)), rows, columns))
    stack = np.moveaxis(arrayOf(image), grid.axis, 0)
    for index, proposal in full.items():
        (row, column), (height, width) = proposal.origin, proposal.box.shape
        top, left = row - rows[0], column - columns[0]
        stack[index - min(full), top : top + height, left : left + width] |= proposal.box
    return image


def _blankImage(
    volumeNode: slicer.vtkMRMLScalarVolumeNode, grid: SliceGrid, box: Sequence[tuple[int, int]]
) -> slicer.vtkOrientedImageData:
    """Zeros within a box: first and last slice, row and column."""
    across = [axis for axis in range(3) if axis != grid.axis]
    extent = [0] * 6
    for axis, ends in zip((grid.axis, *across), box, strict=True):
        extent[4 - 2 * axis : 6 - 2 * axis] = ends
    image = slicer.vtkOrientedImageData()
    image.SetExtent(extent)
    voxels = np.zeros(image.GetNumberOfPoints(), dtype=np.uint8)  # unlike VTK's, costs nothing until written to
    image.GetPointData().SetScalars(numpy_to_vtk(voxels))
    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(matrix)
    image.SetImageToWorldMatrix(matrix)
    return image
