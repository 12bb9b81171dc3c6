"""What the Segment Editor allows: its masking, and which segments give way to others."""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray

from SegmentPropagateSlicer.Scene.Kept import Kept
from SegmentPropagateSlicer.Scene.Labelmaps import arrayOf
from SegmentPropagateSlicer.Scene.Lattice import Lattice, holdersOf, indexOfExtent, placesInVolume, voxelsOfSlices
from SegmentPropagateSlicer.Scene.SliceGrid import SliceGrid
from SegmentPropagateSlicer.Scene.VolumeReader import VolumeReader

EDIT_EVERYWHERE = 0
"""vtkMRMLSegmentationNode.EditAllowedEverywhere"""


class EditRules:
    """The settings of a Segment Editor, as they are whenever one asks.

    Args:
        editorNode: has them; None allows everything, and all segments give way.
    """

    def __init__(self, editorNode: slicer.vtkMRMLSegmentEditorNode | None = None) -> None:
        self._editorNode = editorNode

    @property
    def allowsOverlap(self) -> bool:
        """Whether the editor lets segments overlap."""
        node = self._editorNode
        return node is not None and node.GetOverwriteMode() == node.OverwriteNone

    @property
    def isMasked(self) -> bool:
        """Whether other segments say where one may be changed."""
        return self._editorNode is not None and self._editorNode.GetMaskMode() != EDIT_EVERYWHERE

    def editable(
        self,
        segmentationNode: slicer.vtkMRMLSegmentationNode,
        volumeNode: slicer.vtkMRMLScalarVolumeNode,
        grid: SliceGrid,
        segmentId: str,
        lattice: Lattice,
        editable: NDArray[np.bool_],
    ) -> NDArray[np.bool_]:
        """Make those of a mask `(k, j, i)` False where the editor's masking allows no change; returns the mask."""
        node = self._editorNode
        if node is None:
            return editable
        if self.isMasked:
            geometry = slicer.vtkOrientedImageData()
            geometry.SetExtent(lattice.extent)
            geometry.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
            geometry.SetImageToWorldMatrix(lattice.matrix)
            forbidden = slicer.vtkOrientedImageData()
            segmentationNode.GenerateEditMask(
                forbidden, node.GetMaskMode(), geometry, segmentId, node.GetMaskSegmentID() or ""
            )
            editable &= arrayOf(forbidden) == 0
        if node.GetSourceVolumeIntensityMask():
            low, high = node.GetSourceVolumeIntensityMaskRange()
            stack = np.moveaxis(VolumeReader(node.GetSourceVolumeNode() or volumeNode).voxels, grid.axis, 0)
            for k, (places, _inside) in enumerate(placesInVolume(lattice, grid)):
                values = stack[tuple(places)]
                editable[k] &= (values >= low) & (values <= high)
        return editable

    def fixedByOthers(
        self,
        segmentationNode: slicer.vtkMRMLSegmentationNode,
        segmentId: str,
        lattice: Lattice,
        added: NDArray[np.bool_],
        kept: Kept,
    ) -> NDArray[np.bool_] | None:
        """Of what is added, what others would lose that is finished, on their keys, or drawn just now."""
        found: NDArray[np.bool_] | None = None
        others = self.overwritten(segmentationNode, segmentId)
        for other, part, held in holdersOf(segmentationNode, others, lattice, added):
            fixed = voxelsOfSlices(part, kept.given.get(other, ()))
            fixed |= other in kept.finished.get(segmentId, ())
            if kept.held is not None:
                fixed |= kept.held.drawn(other, part)
            found = np.zeros(lattice.shape, dtype=bool) if found is None else found
            found[indexOfExtent(part.extent, lattice.extent)] |= fixed & held
        return found

    def overwritten(self, segmentationNode: slicer.vtkMRMLSegmentationNode, segmentId: str) -> list[str]:
        """The other segments that give way to this one."""
        node = self._editorNode
        others = [i for i in segmentationNode.GetSegmentation().GetSegmentIDs() if i != segmentId]
        if node is None or node.GetOverwriteMode() == node.OverwriteAllSegments:
            return others
        if node.GetOverwriteMode() == node.OverwriteNone:
            return []
        display = segmentationNode.GetDisplayNode()
        return [i for i in others if display is None or display.GetSegmentVisibility(i)]
