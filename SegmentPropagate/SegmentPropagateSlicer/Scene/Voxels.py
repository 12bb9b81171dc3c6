"""Voxels put into segments and taken out of them, with the segments' shared labelmaps kept right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import slicer
from numpy.typing import NDArray

from SegmentPropagateSlicer.Scene.Labelmaps import arrayOf, labelmapOf
from SegmentPropagateSlicer.Scene.Lattice import Lattice, holdersOf, isOnGrid


def addVoxels(
    segmentationNode: slicer.vtkMRMLSegmentationNode, segmentId: str, lattice: Lattice, added: NDArray[np.bool_]
) -> None:
    """Add voxels of a lattice, bool `(k, j, i)`, to a segment; no other segment loses them."""
    if added.any():
        image, module = lattice.image(added), slicer.vtkSlicerSegmentationsModuleLogic
        module.SetBinaryLabelmapToSegment(  # MODE_MERGE_MAX would write 1, which is another segment's value
            image, segmentationNode, segmentId, module.MODE_MERGE_MASK, image.GetExtent(), False, []
        )


def removeVoxels(
    segmentationNode: slicer.vtkMRMLSegmentationNode, segmentId: str, lattice: Lattice, removed: NDArray[np.bool_]
) -> None:
    """Take voxels of a lattice, bool `(k, j, i)`, from a segment."""
    if removed.any():
        keep, module = lattice.image(removed), slicer.vtkSlicerSegmentationsModuleLogic
        arrayOf(keep)[...] = 1 - arrayOf(keep)
        module.SetBinaryLabelmapToSegment(
            keep, segmentationNode, segmentId, module.MODE_MERGE_MIN, keep.GetExtent(), False, []
        )


def giveWay(
    segmentationNode: slicer.vtkMRMLSegmentationNode,
    others: Sequence[str],
    lattice: Lattice,
    added: NDArray[np.bool_],
) -> None:
    """Take from other segments what one gets; only from those that hold it, as each removal takes long."""
    onGrid = [i for i in others if isOnGrid(labelmapOf(segmentationNode, i), lattice)]
    for other, part, held in holdersOf(segmentationNode, onGrid, lattice, added):
        removeVoxels(segmentationNode, other, part, held)
    for other in [i for i in others if i not in onGrid]:
        removeVoxels(segmentationNode, other, lattice, added)
