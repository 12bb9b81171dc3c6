"""What the annotator has drawn or placed, as the library's prompts on one slice."""

import numpy as np
import slicer
from slicer.i18n import tr as _

from SegmentPropagateLib.errors import InputError
from SegmentPropagateSlicer.Scene.SliceGrid import cornersOfRoi
from SegmentPropagateSlicer.Scene.VolumeReader import worldFromLocal


class PromptReader:
    """Reads segments and markups on the slices of a `SliceGrid`.

    Args:
        grid: the slices.
    """

    def __init__(self, grid):
        self.grid = grid

    def segmentMask(self, segmentationNode, segmentId, sliceIndex):
        """What a segment holds on a slice: bool `(rows, columns)`, nearest voxel where its grid is another one."""
        self.grid.checkIndex(sliceIndex)
        image, label = labelmapOf(segmentationNode, segmentId)
        rows, columns = self.grid.shape
        if image is None:
            return np.zeros((rows, columns), dtype=bool)
        values, first = arrayOf(image), np.array(image.GetExtent()[::2])
        matrix = indexFromWorld(segmentationNode, image) @ self.grid.worldFromSlice
        matrix[:3, 3] += matrix[:3, 0] * sliceIndex - first
        axes = np.arange(rows)[:, None], np.arange(columns)[None, :]
        (i, j, k), inside = nearestPlaces(matrix[:3, 1:], axes, values.shape[::-1])
        return (values[k, j, i] == label) & inside

    def box(self, roiNodeOrCorners):
        """`(i0, j0, i1, j1)` of a ROI node, or of corners in world RAS `(N, 3)`."""
        return self.grid.boxOnSlice(_corners(roiNodeOrCorners))

    def range(self, roiNodeOrCorners):
        """`(first, last)` slice within a ROI node, or within corners in world RAS `(N, 3)`."""
        return self.grid.indexRange(_corners(roiNodeOrCorners))

    def points(self, markupsNodeOrRas, sliceIndex, positive=None):
        """Points of a markups node (or world RAS `(N, 3)`) on a slice: `(M, 2)` column and row, and `(M,)` bool.

        Raises:
            InputError: none of them lies on the slice.
        """
        ras = markupsNodeOrRas
        if hasattr(ras, "GetNumberOfControlPoints"):
            ras = slicer.util.arrayFromMarkupsControlPoints(ras, world=True)
        ras = np.asarray(ras, dtype=float).reshape(-1, 3)
        flags = np.ones(len(ras), dtype=bool) if positive is None else np.asarray(positive, dtype=bool)
        points, here = self.grid.pointsOnSlice(ras, sliceIndex)
        if len(ras) and not here.any():
            raise InputError(_("None of the points lies on slice {index}: place them there.").format(index=sliceIndex))
        return points, flags[here]


def _corners(roiNodeOrCorners):
    return cornersOfRoi(roiNodeOrCorners) if hasattr(roiNodeOrCorners, "GetSize") else roiNodeOrCorners


def labelmapOf(segmentationNode, segmentId):
    """A segment's (maybe shared) labelmap and its value in it; `(None, 0)` while the segment is empty.

    Raises:
        InputError: no such segment, or a segmentation that is not stored as labelmaps.
    """
    segment = segmentationNode.GetSegmentation().GetSegment(segmentId)
    if segment is None:
        raise InputError(_("The segmentation has no segment '{id}' any more.").format(id=segmentId))
    if not segmentationNode.GetSegmentation().IsSourceRepresentationImageData():
        raise InputError(
            _(
                "The segmentation '{name}' is stored as surfaces: make 'Binary labelmap' its source representation."
            ).format(name=segmentationNode.GetName())
        )
    name = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    image = segment.GetRepresentation(name)
    if image is None or image.GetNumberOfPoints() == 0 or image.GetPointData().GetScalars() is None:
        return None, 0
    return image, segment.GetLabelValue()


def nearestPlaces(matrix, axes, sizes):
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
    places, inside = [], np.True_
    for (first, second, offset), size in zip(matrix, sizes, strict=True):
        place = np.full((1, 1), offset + 0.5)
        for step, axis in ((first, axes[0]), (second, axes[1])):
            if abs(step) * axis.size > 1e-6:  # else rounding noise of a parallel grid
                place = place + step * axis
        place = np.floor(place).astype(np.int32)
        inside = inside & (place >= 0) & (place < size)
        places.append(np.clip(place, 0, size - 1))
    return places, inside


def arrayOf(image):
    """View of a vtkOrientedImageData's voxels, `(k, j, i)`; its first voxel is at the extent's start."""
    from vtk.util.numpy_support import vtk_to_numpy

    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])


def indexFromWorld(segmentationNode, image):
    """4 x 4 matrix from world RAS to a labelmap's `(i, j, k)`."""
    import vtk

    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    world = worldFromLocal(segmentationNode, _("segmentation"))
    return np.linalg.inv(world @ slicer.util.arrayFromVTKMatrix(matrix))
