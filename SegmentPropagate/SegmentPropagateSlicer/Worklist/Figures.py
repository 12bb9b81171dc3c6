"""Volume and slices of a segment, counted a piece at a time so that the panel never stops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from SegmentPropagateSlicer.Scene.Labelmaps import arrayOf, indexFromWorld, labelmapOf
from SegmentPropagateSlicer.Scene.Labelmaps import stampOf as stampOfLabelmap
from SegmentPropagateSlicer.Scene.SliceGrid import SliceGrid

VOXELS_AT_ONCE = 1 << 23
"""Take 5 ms."""


@dataclass(frozen=True)
class Figures:
    """What a segment measures.

    Args:
        volumeMl: in milliliters.
        slices: number of slices of the image that hold some of it.
        first: the first of them; None for an empty segment.
        last: the last of them.
    """

    volumeMl: float
    slices: int
    first: int | None
    last: int | None


class Count:
    """Counts the voxels of one segment.

    Args:
        segmentationNode: stored as labelmaps.
        segmentId: which segment.
        grid: the slices of the image, whose numbers the figures have.
    """

    def __init__(self, segmentationNode: slicer.vtkMRMLSegmentationNode, segmentId: str, grid: SliceGrid) -> None:
        image, self._label = labelmapOf(segmentationNode, segmentId)
        self._array, self._extent = np.zeros((0, 1, 1), np.uint8), (0, -1) * 3
        self._world: NDArray[np.floating[Any]] = np.eye(4)
        if image is not None:
            self._array, self._extent = arrayOf(image), image.GetExtent()
            self._world = np.linalg.inv(indexFromWorld(segmentationNode, image))
        self._across = (np.linalg.inv(grid.worldFromSlice) @ self._world)[0]  # slice number from (i, j, k, 1)
        self._axis = int(np.abs(self._across[:3]).argmax())  # of i, j, k, which runs across the slices
        self._counts: list[NDArray[np.intp]] = []  # per layer k of the labelmap; a number, or one for each i or j

    def advance(self) -> Figures | None:
        """Count some more; the figures once all is counted."""
        layers, start = max(1, VOXELS_AT_ONCE // self._array[0].size if len(self._array) else 1), len(self._counts)
        for plane in self._array[start : start + layers]:
            across = None if self._axis == 2 else self._axis  # a plane is (j, i): summed over j for each i
            self._counts.append(np.asarray(np.count_nonzero(plane == self._label, axis=across)))
        return self._figures() if len(self._counts) == len(self._array) else None

    def _figures(self) -> Figures:
        table = np.array(self._counts)
        along = table if self._axis == 2 else table.sum(axis=0)
        held = np.flatnonzero(along)
        if not len(held):
            return Figures(0.0, 0, None, None)
        places = np.ones((len(held), 4))
        places[:, :3] = [(low + high) / 2 for low, high in zip(self._extent[::2], self._extent[1::2], strict=True)]
        places[:, self._axis] = self._extent[2 * self._axis] + held
        numbers = np.rint(places @ self._across).astype(int)
        volume = float(along.sum() * abs(np.linalg.det(self._world[:3, :3])) / 1000)
        return Figures(volume, len(set(numbers)), int(numbers.min()), int(numbers.max()))


def stampOf(segmentationNode: slicer.vtkMRMLSegmentationNode, segmentId: str, grid: SliceGrid) -> tuple[object, ...]:
    """What is equal as long as the figures of a segment are."""
    stamp = stampOfLabelmap(labelmapOf(segmentationNode, segmentId))
    return segmentId, *stamp, grid.plane, grid.worldFromSlice.tobytes()
