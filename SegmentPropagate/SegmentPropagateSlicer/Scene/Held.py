"""What the segments held at a moment, to tell what was drawn since."""

from __future__ import annotations

import numpy as np
import slicer
from numpy.typing import NDArray

from SegmentPropagateSlicer.Scene.Labelmaps import Labelmap, labelmapOf
from SegmentPropagateSlicer.Scene.Lattice import Lattice, isOnGrid, readVoxels, voxelsHeldBy
from SegmentPropagateSlicer.Scene.PromptReader import PromptReader
from SegmentPropagateSlicer.Scene.SliceGrid import SliceGrid


class Held:
    """A copy of a segmentation's labelmaps; those that segments share are copied once.

    Args:
        segmentationNode: vtkMRMLSegmentationNode, stored as labelmaps.
    """

    def __init__(self, segmentationNode: slicer.vtkMRMLSegmentationNode) -> None:
        self._node = segmentationNode
        self._labelmaps: dict[str, Labelmap] = {}
        self._stamps: dict[str, tuple[object, ...]] = {}
        copies: dict[slicer.vtkOrientedImageData, slicer.vtkOrientedImageData] = {}
        for segmentId in segmentationNode.GetSegmentation().GetSegmentIDs():
            image, label = labelmapOf(segmentationNode, segmentId)
            self._stamps[segmentId] = _stamp(image, label)
            if image is None:
                continue
            if image not in copies:
                copies[image] = slicer.vtkOrientedImageData()
                copies[image].DeepCopy(image)
            self._labelmaps[segmentId] = copies[image], label

    def isUntouched(self, segmentId: str) -> bool:
        """Whether nobody can have drawn on a segment; False where it is not certain."""
        return self._stamps.get(segmentId) == _stamp(*labelmapOf(self._node, segmentId))

    def drawn(self, segmentId: str, lattice: Lattice) -> NDArray[np.bool_]:
        """Where a segment holds something else than then, on a lattice: bool `(k, j, i)`."""
        if self.isUntouched(segmentId):
            return np.zeros(lattice.shape, dtype=bool)
        now, then = labelmapOf(self._node, segmentId), self._labelmaps.get(segmentId, (None, 0))
        return self._voxels(now, lattice) ^ self._voxels(then, lattice)

    def _voxels(self, labelmap: Labelmap, lattice: Lattice) -> NDArray[np.bool_]:
        if isOnGrid(labelmap, lattice):  # as a rule, and ten times as fast
            return readVoxels(*labelmap, lattice.extent)
        return voxelsHeldBy(self._node, labelmap, lattice)

    def isDrawn(self, grid: SliceGrid, segmentId: str, sliceIndex: int) -> bool:
        """Whether a segment holds something else than then on a slice."""
        if self.isUntouched(segmentId):
            return False
        reader = PromptReader(grid)
        now = reader.segmentMask(self._node, segmentId, sliceIndex)
        before = reader.labelmapMask(self._node, self._labelmaps.get(segmentId, (None, 0)), sliceIndex)
        return not np.array_equal(now, before)


def _stamp(image: slicer.vtkOrientedImageData | None, label: int) -> tuple[object, ...]:
    return (None,) if image is None else (image.GetAddressAsString(""), image.GetMTime(), label)
