"""What the annotator has drawn or placed, as the library's prompts on one slice."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from numpy.typing import ArrayLike, NDArray
from slicer.i18n import tr as _

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.propagation.prompts import LinePrompt
from SegmentPropagateLib.volumes.boxes import bounding_box
from SegmentPropagateSlicer.Scene.Labelmaps import (
    Labelmap,
    arrayOf,
    indexFromWorld,
    labelmapOf,
    nearestPlaces,
    valuesAt,
)
from SegmentPropagateSlicer.Scene.SliceGrid import SliceGrid, cornersOfRoi

KEPT = 16
"""Slices of labelmaps that a reader keeps: as many as segments have keys on, and 4 MB of 512 x 512."""


class PromptReader:
    """Reads segments and markups on the slices of a `SliceGrid`.

    Segments that share a labelmap have its slice read once: make another reader when something may have changed.

    Args:
        grid: the slices.
    """

    def __init__(self, grid: SliceGrid) -> None:
        self.grid = grid
        self._values: dict[tuple[slicer.vtkOrientedImageData, int], NDArray[Any]] = {}

    def segmentMask(
        self, segmentationNode: slicer.vtkMRMLSegmentationNode, segmentId: str, sliceIndex: int
    ) -> NDArray[np.bool_]:
        """What a segment holds on a slice: bool `(rows, columns)`, nearest voxel where its grid is another one."""
        return self.labelmapMask(segmentationNode, labelmapOf(segmentationNode, segmentId), sliceIndex)

    def labelmapMask(
        self, segmentationNode: slicer.vtkMRMLSegmentationNode, labelmap: Labelmap, sliceIndex: int
    ) -> NDArray[np.bool_]:
        """The same of a labelmap that lies where those of a segmentation do."""
        image, label = labelmap
        if image is None:
            return np.zeros(self.grid.shape, dtype=bool)
        return self._keptValues(segmentationNode, image, sliceIndex) == label

    def heldMask(self, segmentationNode: slicer.vtkMRMLSegmentationNode, sliceIndex: int) -> NDArray[np.bool_]:
        """What any segment holds on a slice: bool `(rows, columns)`; quick where segments share their labelmaps."""
        ids = segmentationNode.GetSegmentation().GetSegmentIDs()
        held = np.zeros(self.grid.shape, dtype=bool)
        for image in {labelmapOf(segmentationNode, segmentId)[0] for segmentId in ids}:
            if image is not None:
                held |= self._keptValues(segmentationNode, image, sliceIndex) > 0
        return held

    def _keptValues(
        self, segmentationNode: slicer.vtkMRMLSegmentationNode, image: slicer.vtkOrientedImageData, sliceIndex: int
    ) -> NDArray[Any]:
        if (image, sliceIndex) not in self._values:
            if len(self._values) == KEPT:
                self._values.clear()
            self._values[image, sliceIndex] = self._valuesOf(segmentationNode, image, sliceIndex)
        return self._values[image, sliceIndex]

    def _valuesOf(
        self, segmentationNode: slicer.vtkMRMLSegmentationNode, image: slicer.vtkOrientedImageData, sliceIndex: int
    ) -> NDArray[Any]:
        """A labelmap's values on a slice, 0 beyond it."""
        self.grid.checkIndex(sliceIndex)
        rows, columns = self.grid.shape
        values, first = arrayOf(image), np.array(image.GetExtent()[::2])
        matrix = indexFromWorld(segmentationNode, image) @ self.grid.worldFromSlice
        matrix[:3, 3] += matrix[:3, 0] * sliceIndex - first
        axes = np.arange(rows)[:, None], np.arange(columns)[None, :]
        places, inside = nearestPlaces(matrix[:3, 1:], axes, values.shape[::-1])
        inside, found = np.broadcast_to(inside, self.grid.shape), np.zeros(self.grid.shape, dtype=values.dtype)
        box = bounding_box(inside)
        if box is not None:
            found[box] = valuesAt(values, [_within(box, place) for place in places])
            if not inside[box].all():  # as on a tilted grid
                found[box] *= inside[box]
        return found

    def box(self, roiNodeOrCorners: slicer.vtkMRMLMarkupsROINode | ArrayLike) -> tuple[float, float, float, float]:
        """`(i0, j0, i1, j1)` of a ROI node, or of corners in world RAS `(N, 3)`."""
        return self.grid.boxOnSlice(_corners(roiNodeOrCorners))

    def range(self, roiNodeOrCorners: slicer.vtkMRMLMarkupsROINode | ArrayLike) -> tuple[int, int]:
        """`(first, last)` slice within a ROI node, or within corners in world RAS `(N, 3)`."""
        return self.grid.indexRange(_corners(roiNodeOrCorners))

    def points(
        self,
        markupsNodeOrRas: slicer.vtkMRMLMarkupsNode | ArrayLike,
        sliceIndex: int,
        positive: ArrayLike | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Points of a markups node (or world RAS `(N, 3)`) on a slice: `(M, 2)` column and row, and `(M,)` bool.

        Raises:
            InputError: none of them lies on the slice.
        """
        given = markupsNodeOrRas
        if isinstance(given, slicer.vtkMRMLMarkupsNode):
            given = slicer.util.arrayFromMarkupsControlPoints(given, world=True)
        ras = np.asarray(given, dtype=float).reshape(-1, 3)
        flags = np.ones(len(ras), dtype=bool) if positive is None else np.asarray(positive, dtype=bool)
        points, here = self.grid.pointsOnSlice(ras, sliceIndex)
        if len(ras) and not here.any():
            raise InputError(_("None of the points lies on slice {index}: place them there.").format(index=sliceIndex))
        return points, flags[here]

    def line(self, lineNodeOrRas: slicer.vtkMRMLMarkupsNode | ArrayLike, sliceIndex: int) -> LinePrompt:
        """A line node (or its ends in world RAS `(2, 3)`) as a prompt on a slice.

        Raises:
            InputError: an end lies on another slice, or both are at one place.
        """
        ends, _flags = self.points(lineNodeOrRas, sliceIndex)
        if len(ends) != 2:
            raise InputError(_("Both ends of the line must lie on slice {index}.").format(index=sliceIndex))
        return LinePrompt((*ends[0].tolist(), *ends[1].tolist()))


def _within(box: tuple[slice, ...], place: NDArray[np.int32]) -> NDArray[np.int32]:
    """What is in a box of an array that broadcasts."""
    return place[tuple(span if size > 1 else slice(None) for span, size in zip(box, place.shape, strict=True))]


def _corners(roiNodeOrCorners: slicer.vtkMRMLMarkupsROINode | ArrayLike) -> ArrayLike:
    if isinstance(roiNodeOrCorners, slicer.vtkMRMLMarkupsROINode):
        return cornersOfRoi(roiNodeOrCorners)
    return roiNodeOrCorners
