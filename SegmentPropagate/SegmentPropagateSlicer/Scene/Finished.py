"""Finished segments: what they hold on a slice, and which keep it when another one is accepted beside them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import slicer
from numpy.typing import NDArray

from SegmentPropagateLib.volumes.boxes import bounding_box
from SegmentPropagateSlicer.Scene.Labelmaps import segmentOf
from SegmentPropagateSlicer.Scene.PromptReader import PromptReader
from SegmentPropagateSlicer.Scene.SliceGrid import SliceGrid

RING = 2
"""Pixels around an outline that tell what it lies in."""
WITHIN = 0.5
"""Share of them that a segment has which the outline lies in: it gives way, as a liver does to its tumor."""


def finishedBeside(
    segmentationNode: slicer.vtkMRMLSegmentationNode,
    segmentId: str,
    keys: Iterable[tuple[SliceGrid, Sequence[int]]],
) -> frozenset[str]:
    """IDs of the *Completed* segments beside one; not of those that an outline of its lies in, or overlaps with.

    Args:
        segmentationNode: the segmentation.
        segmentId: the segment that is going to be written.
        keys: its key slices, `(SliceGrid, slice indices)` for each plane.
    """
    finished = set(_finished(segmentationNode, segmentId))
    for reader, index in _slices(keys) if finished else ():
        outline = reader.segmentMask(segmentationNode, segmentId, index)
        ring = _ringAround(outline)
        for other in tuple(finished):
            held = reader.segmentMask(segmentationNode, other, index)
            if (held & outline).any() or np.count_nonzero(held & ring) > WITHIN * np.count_nonzero(ring):
                finished.discard(other)
    return frozenset(finished)


def finishedOn(
    segmentationNode: slicer.vtkMRMLSegmentationNode, segmentId: str, grid: SliceGrid, sliceIndex: int
) -> list[NDArray[np.bool_]]:
    """What *Completed* segments beside one hold on a slice, bool `(rows, columns)` each; none of them is empty."""
    reader = PromptReader(grid)
    masks = [reader.segmentMask(segmentationNode, i, sliceIndex) for i in _finished(segmentationNode, segmentId)]
    return [mask for mask in masks if mask.any()]


def _finished(segmentationNode: slicer.vtkMRMLSegmentationNode, segmentId: str) -> list[str]:
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    others = [i for i in segmentationNode.GetSegmentation().GetSegmentIDs() if i != segmentId]
    return [i for i in others if logic.GetSegmentStatus(segmentOf(segmentationNode, i)) == logic.Completed]


def _slices(keys: Iterable[tuple[SliceGrid, Sequence[int]]]) -> Iterator[tuple[PromptReader, int]]:
    for grid, indices in keys:
        reader = PromptReader(grid)
        yield from ((reader, index) for index in indices)


def _ringAround(outline: NDArray[np.bool_]) -> NDArray[np.bool_]:
    ring = np.zeros_like(outline)
    box = bounding_box(outline)
    if box is None:
        return ring
    wide = tuple(slice(max(side.start - RING, 0), side.stop + RING) for side in box)
    padded = np.pad(outline[wide], RING)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * RING + 1, 2 * RING + 1))
    ring[wide] = windows.any(axis=(2, 3)) & ~outline[wide]
    return ring
