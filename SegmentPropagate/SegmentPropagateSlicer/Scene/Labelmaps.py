"""Segments as arrays: labelmaps, and where their voxels are in the world."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray
from slicer.i18n import tr as _

from SegmentPropagateLib.errors import InputError
from SegmentPropagateSlicer.Scene.VolumeReader import worldFromLocal

Labelmap = tuple["slicer.vtkOrientedImageData | None", int]
"""A (maybe shared) labelmap and a segment's value in it; `(None, 0)` for an empty segment."""

LABELMAP = "Binary labelmap"
"""vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()"""


def segmentOf(segmentationNode: slicer.vtkMRMLSegmentationNode, segmentId: str) -> slicer.vtkSegment:
    """A segment, or InputError where it is gone."""
    segment = segmentationNode.GetSegmentation().GetSegment(segmentId)
    if segment is None:
        raise InputError(_("The segmentation has no segment '{id}' any more.").format(id=segmentId))
    return segment


def labelmapOf(segmentationNode: slicer.vtkMRMLSegmentationNode, segmentId: str) -> Labelmap:
    """A segment's (maybe shared) labelmap and its value in it; `(None, 0)` while the segment is empty.

    Raises:
        InputError: no such segment, or a segmentation that is not stored as labelmaps.
    """
    segment = segmentOf(segmentationNode, segmentId)
    if not segmentationNode.GetSegmentation().IsSourceRepresentationImageData():
        raise InputError(
            _(
                "The segmentation '{name}' is stored as surfaces: make 'Binary labelmap' its source representation."
            ).format(name=segmentationNode.GetName())
        )
    image = segment.GetRepresentation(LABELMAP)
    return (image, segment.GetLabelValue()) if hasVoxels(image) else (None, 0)


def referenceOf(segmentationNode: slicer.vtkMRMLSegmentationNode) -> slicer.vtkOrientedImageData | None:
    """The grid of the image that a segmentation was made on, without voxels; None where it has none.

    Hardening a transform moves it with the segments.
    """
    converter, image = slicer.vtkSegmentationConverter, slicer.vtkOrientedImageData()
    parameter = converter.GetReferenceImageGeometryParameterName()
    text = segmentationNode.GetSegmentation().GetConversionParameter(parameter)
    return image if text and converter.DeserializeImageGeometry(text, image, False) else None


def stampOf(labelmap: Labelmap) -> tuple[object, ...]:
    """What is equal as long as nobody can have changed what a segment holds."""
    image, label = labelmap
    return (None,) if image is None else (image.GetAddressAsString(""), image.GetMTime(), label)


def hasVoxels(image: slicer.vtkOrientedImageData | None) -> bool:
    """Whether there is an image, and it is not empty: segments that hold nothing may share an empty one."""
    return image is not None and image.GetNumberOfPoints() > 0 and image.GetPointData().GetScalars() is not None


def nearestPlaces(
    matrix: NDArray[np.float64], axes: tuple[np.ndarray, np.ndarray], sizes: Sequence[int]
) -> tuple[list[NDArray[np.int32]], NDArray[np.bool_]]:
    """Nearest indices in an array of points on a plane grid, and which of them are inside.

    An index that depends on one of the axes only, as on parallel grids, is computed along that axis only; everything
    broadcasts to the full plane.

    Args:
        matrix: `(3, 3)`: per index, the step along the first and the second axis, and the offset.
        axes: coordinates along the first axis `(n, 1)` and along the second `(1, m)`.
        sizes: length of the array along each index.

    Returns:
        three integer arrays, kept within the array; and bool, where they had not to be.
    """
    places: list[NDArray[np.int32]] = []
    within: list[NDArray[np.bool_]] = []
    for (first, second, offset), size in zip(matrix, sizes, strict=True):
        place = np.full((1, 1), offset + 0.5)
        for step, axis in ((first, axes[0]), (second, axes[1])):
            if abs(step) * axis.size > 1e-6:  # else rounding noise of a parallel grid
                place = place + step * axis
        place = np.floor(place).astype(np.int32)
        within.append((place >= 0) & (place < size))
        places.append(np.clip(place, 0, size - 1))
    return places, reduce(np.logical_and, sorted(within, key=np.size))  # the whole plane at last, and once


def valuesAt(values: NDArray[Any], places: Sequence[NDArray[np.int32]]) -> NDArray[Any]:
    """Values `(k, j, i)` at the places i, j and k that `nearestPlaces` gives: an array of the plane `(n, m)`.

    Where two of them run along one axis each, step by step, it is a view: fifty times as fast as to index by arrays.
    """
    index = tuple(reversed(places))
    along = [tuple(axis for axis in (0, 1) if place.shape[axis] > 1) for place in index]
    isStraight = sorted(along) == [(), (0,), (1,)] and all((np.diff(place.ravel()) == 1).all() for place in index)
    if not isStraight:
        return values[index]
    block = values[tuple(slice(int(place.min()), int(place.max()) + 1) for place in index)]
    plane = block.squeeze(axis=along.index(()))
    return plane if along.index((0,)) < along.index((1,)) else plane.T


def arrayOf(image: slicer.vtkOrientedImageData) -> np.ndarray:
    """View of a vtkOrientedImageData's voxels, `(k, j, i)`; its first voxel is at the extent's start."""
    from vtk.util.numpy_support import vtk_to_numpy

    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])


def distinct(values: NDArray[Any]) -> list[int]:
    """Which numbers there are in an array of whole ones, none below 0; ascending.

    `numpy.unique` would sort them all, and has to import another module when it is first called: 80 ms.
    """
    found: list[int] = np.flatnonzero(np.bincount(values.ravel().astype(np.intp))).tolist()
    return found


def indexFromWorld(
    segmentationNode: slicer.vtkMRMLSegmentationNode, image: slicer.vtkOrientedImageData
) -> NDArray[np.float64]:
    """4 x 4 matrix from world RAS to a labelmap's `(i, j, k)`."""
    import vtk

    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    world = worldFromLocal(segmentationNode)
    return np.linalg.inv(world @ slicer.util.arrayFromVTKMatrix(matrix))
