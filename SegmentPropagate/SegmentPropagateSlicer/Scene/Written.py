"""Whether what was written into segments is there still: neither Undo nor Redo tells what it brings back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import slicer

from SegmentPropagateSlicer.Scene.Labelmaps import labelmapOf
from SegmentPropagateSlicer.Scene.Lattice import Lattice, isStoredOn, readVoxels


class Written:
    """Looks at some voxels of what was written.

    Args:
        segmentationNode: vtkMRMLSegmentationNode that it was written into.
        samples: segmentId -> lattices of one voxel each, and whether it was added, else removed.
    """

    def __init__(
        self, segmentationNode: slicer.vtkMRMLSegmentationNode, samples: Mapping[str, Sequence[tuple[Lattice, bool]]]
    ) -> None:
        self._node, self._samples = segmentationNode, samples

    @property
    def isThere(self) -> bool:
        """Whether one of them is as it was written; also where that cannot be told, as it is stored otherwise now."""
        segmentation = self._node.GetSegmentation()
        present = {i: voxels for i, voxels in self._samples.items() if segmentation.GetSegment(i) is not None}
        return any(self._has(i, voxel, isAdded) for i, voxels in present.items() for voxel, isAdded in voxels)

    def _has(self, segmentId: str, voxel: Lattice, isAdded: bool) -> bool:
        if not isStoredOn(self._node, segmentId, voxel):
            return True
        return bool(readVoxels(*labelmapOf(self._node, segmentId), voxel.extent).any()) == isAdded
