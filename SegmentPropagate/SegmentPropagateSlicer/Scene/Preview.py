"""The proposal in the views: a segmentation node of its own, written slice by slice, never saved with the scene."""

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util.numpy_support import numpy_to_vtk

from SegmentPropagateSlicer.Scene.Labelmaps import arrayOf
from SegmentPropagateSlicer.Values.Proposal import emptyProposal

ATTRIBUTE = "SegmentPropagate.Preview"
OPACITY_FILL, OPACITY_OUTLINE = 0.35, 1.0


class Preview:
    """All proposed segments share one labelmap that covers the range; a slice costs a slice."""

    def __init__(self):
        self._node = None
        self._grid = None
        self._first = 0
        self._labels = {}
        self._image = None

    @property
    def node(self):
        """The vtkMRMLSegmentationNode; None while there is nothing to show."""
        return self._node

    def begin(self, volumeNode, grid, segmentationNode, segmentIds, first, last):
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
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLSegmentationNode")
        node.UnRegister(None)
        node.SetName(_("Proposal"))
        node.SetHideFromEditors(True)
        node.SetSaveWithScene(False)
        node.SetAttribute(ATTRIBUTE, "1")
        self._grid, self._first = grid, first
        self._image = self._blankImage(volumeNode, first, last)
        self._labels = {segmentId: value for value, segmentId in enumerate(segmentIds, start=1)}
        representation = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
        for segmentId, value in self._labels.items():
            original = segmentationNode.GetSegmentation().GetSegment(segmentId)
            segment = slicer.vtkSegment()
            segment.SetName(original.GetName())
            segment.SetColor(*((1 + channel) / 2 for channel in original.GetColor()))
            segment.AddRepresentation(representation, self._image)
            segment.SetLabelValue(value)
            node.GetSegmentation().AddSegment(segment, segmentId)
        self._node = slicer.mrmlScene.AddNode(node)
        self._node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
        self._node.CreateDefaultDisplayNodes()
        display = self._node.GetDisplayNode()
        display.SetSaveWithScene(False)
        display.SetOpacity2DFill(OPACITY_FILL)
        display.SetOpacity2DOutline(OPACITY_OUTLINE)
        display.SetVisibility3D(False)  # a surface per slice would stall the views

    def show(self, segmentId, sliceIndex, proposal):
        """Replace what one segment shows on one slice."""
        if self._node is None or segmentId not in self._labels:
            return
        self._write(segmentId, sliceIndex, proposal)
        self._image.Modified()

    def showAgain(self, proposals, places):
        """Show what was proposed before, on the slices of `places`; both are `{segmentId: {slice: Proposal}}`."""
        if self._node is None:
            return
        for segmentId, slices in places.items():
            for sliceIndex in slices:
                before = proposals.get(segmentId, {}).get(sliceIndex) or emptyProposal(self._grid.shape)
                self._write(segmentId, sliceIndex, before)
        self._image.Modified()

    def end(self):
        """Take the preview out of the scene."""
        node, self._node, self._image = self._node, None, None
        if node is not None and node.GetScene() is not None:
            node.GetScene().RemoveNode(node)

    def _write(self, segmentId, sliceIndex, proposal):
        stack = np.moveaxis(arrayOf(self._image), self._grid.axis, 0)
        if not 0 <= sliceIndex - self._first < len(stack):
            return
        view, label = stack[sliceIndex - self._first], self._labels[segmentId]
        view[view == label] = 0
        view[proposal.place][proposal.box] = label

    def _blankImage(self, volumeNode, first, last):
        extent = [0, 0, 0, 0, 0, 0]
        for axis, size in enumerate(self._grid.geometry.shape_kji[::-1]):
            extent[2 * axis : 2 * axis + 2] = 0, size - 1
        ijk = 2 - self._grid.axis
        extent[2 * ijk : 2 * ijk + 2] = first, last
        image = slicer.vtkOrientedImageData()
        image.SetExtent(extent)
        voxels = np.zeros(image.GetNumberOfPoints(), dtype=np.uint8)  # unlike VTK's, costs nothing until written to
        image.GetPointData().SetScalars(numpy_to_vtk(voxels))
        matrix = vtk.vtkMatrix4x4()
        volumeNode.GetIJKToRASMatrix(matrix)
        image.SetImageToWorldMatrix(matrix)
        return image
