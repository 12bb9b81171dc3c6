"""What the Segment Editor allows: its masking, and which segments give way to others."""

from __future__ import annotations

import numpy as np
import slicer
from numpy.typing import NDArray

from SegmentPropagateSlicer.Scene.Kept import Kept
from SegmentPropagateSlicer.Scene.Lattice import (
    Lattice,
    holdersOf,
    indexOfExtent,
    placesInVolume,
    voxelsHeldByAny,
    voxelsOfSlices,
)
from SegmentPropagateSlicer.Scene.SliceGrid import SliceGrid
from SegmentPropagateSlicer.Scene.VolumeReader import VolumeReader


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
        isInside, segmentIds = self._limits(segmentationNode, node, segmentId)
        if isInside or segmentIds:
            editable &= voxelsHeldByAny(segmentationNode, segmentIds, lattice) == isInside
        if node.GetSourceVolumeIntensityMask():
            low, high = node.GetSourceVolumeIntensityMaskRange()
            stack = np.moveaxis(VolumeReader(node.GetSourceVolumeNode() or volumeNode).voxels, grid.axis, 0)
            for k, (places, _inside) in enumerate(placesInVolume(lattice, grid)):
                values = stack[tuple(places)]
                editable[k] &= (values >= low) & (values <= high)
        return editable

    def _limits(
        self, segmentationNode: slicer.vtkMRMLSegmentationNode, node: slicer.vtkMRMLSegmentEditorNode, segmentId: str
    ) -> tuple[bool, list[str]]:
        """Whether one may change what is inside of some segments, or outside of them, and which these are.

        As Slicer's `GenerateEditMask` has it, which goes through whole labelmaps, however small a part is asked for:
        with 12 segments on 600 slices that is a second.
        """
        modes, ids = slicer.vtkMRMLSegmentationNode, list(segmentationNode.GetSegmentation().GetSegmentIDs())
        single, visible = node.GetMaskSegmentID(), _visible(segmentationNode, ids)
        isInside, limiting = {
            modes.EditAllowedInsideAllSegments: (True, ids),
            modes.EditAllowedInsideVisibleSegments: (True, visible),
            modes.EditAllowedOutsideAllSegments: (False, ids),
            modes.EditAllowedOutsideVisibleSegments: (False, visible),
            modes.EditAllowedInsideSingleSegment: (True, [i for i in ids if i == single]),
        }.get(node.GetMaskMode(), (False, []))
        return isInside, limiting if isInside else [i for i in limiting if i != segmentId]

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
        return _visible(segmentationNode, others)


def _visible(segmentationNode: slicer.vtkMRMLSegmentationNode, segmentIds: list[str]) -> list[str]:
    display = segmentationNode.GetDisplayNode()
    return [i for i in segmentIds if display is None or display.GetSegmentVisibility(i)]
