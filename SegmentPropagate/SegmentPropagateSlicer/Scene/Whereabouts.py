"""Where image and segmentation were when something was computed: at another place its outlines would be wrong."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from slicer.i18n import tr as _

from SegmentPropagateLib.errors import InputError
from SegmentPropagateSlicer.Scene.Labelmaps import labelmapOf, referenceOf
from SegmentPropagateSlicer.Scene.VolumeReader import VolumeReader, worldFromLocal

TOLERANCE = 1e-3
"""Share of a voxel that rounding may move a corner by, e.g. when a transform is hardened."""


class Whereabouts:
    """The grids of both nodes in the world, and which array held the voxels of the image.

    Voxels that are changed in place do not count: they change no place, and masking by intensity asks the present ones.

    Args:
        volumeNode: vtkMRMLScalarVolumeNode.
        segmentationNode: vtkMRMLSegmentationNode.
        segmentIds: the segments that are going to be written.

    Raises:
        InputError: a segmentation that is not stored as labelmaps, or a node that is under a warping transform.
    """

    def __init__(
        self,
        volumeNode: slicer.vtkMRMLScalarVolumeNode,
        segmentationNode: slicer.vtkMRMLSegmentationNode,
        segmentIds: Iterable[str],
    ) -> None:
        self._volumeNode, self._segmentationNode = volumeNode, segmentationNode
        reader = VolumeReader(volumeNode)
        self._geometry = reader.geometry
        self._voxels = vtk.vtkWeakReference()  # an image that is replaced need not stay in memory
        self._voxels.Set(volumeNode.GetImageData().GetPointData().GetScalars())
        self._reference = _worldOfReference(segmentationNode)
        self._segments = {segmentId: _worldOfSegment(segmentationNode, segmentId) for segmentId in segmentIds}

    def check(self) -> None:
        """InputError, saying what has changed and what to do, where an outline would not go where it was computed."""
        reader = VolumeReader(self._volumeNode)
        if reader.geometry.shape_kji == self._geometry.shape_kji and self._isElsewhere(
            self._geometry.ijk_to_ras, reader.geometry.ijk_to_ras
        ):
            raise _moved(_("image"), self._volumeNode)
        if self._volumeNode.GetImageData().GetPointData().GetScalars() is not self._voxels.Get():
            text = _(
                "The voxels of the image '{name}' are others than when the proposal was computed: bring them back, or "
                "discard the proposal and compute it again."
            )
            raise InputError(text.format(name=self._volumeNode.GetName()))
        if self._segmentationIsElsewhere():
            raise _moved(_("segmentation"), self._segmentationNode)

    def _segmentationIsElsewhere(self) -> bool:
        reference = _worldOfReference(self._segmentationNode)
        if self._isElsewhere(self._reference, reference):
            return True
        known = self._segmentationNode.GetSegmentation().GetSegmentIDs()
        for segmentId, before in self._segments.items():
            now = _worldOfSegment(self._segmentationNode, segmentId) if segmentId in known else None
            # A segment with a grid of its own gets the reference's when it is painted on, where it was.
            if self._isElsewhere(before, now) and self._isElsewhere(now, reference, unlessKnown=True):
                return True
        return False

    def _isElsewhere(
        self, before: NDArray[np.float64] | None, now: NDArray[np.float64] | None, unlessKnown: bool = False
    ) -> bool:
        """Whether two grids differ within the volume's number of voxels; of one that is not known, `unlessKnown`."""
        if before is None or now is None:
            return unlessKnown
        if np.array_equal(before, now):  # as a rule; asked for each segment before each piece of a write
            return False
        size = np.array(self._geometry.shape_kji[::-1])
        corners = np.stack(np.meshgrid(*[(0, last) for last in size - 1]), -1).reshape(-1, 3)
        steps = np.c_[corners, np.ones(len(corners))] @ (now - before)[:3].T
        smallest = np.linalg.norm(before[:3, :3], axis=0).min()
        return bool(np.linalg.norm(steps, axis=1).max() > TOLERANCE * smallest)


def _moved(what: str, node: slicer.vtkMRMLNode) -> InputError:
    text = _(
        "The {what} '{name}' has been moved, or has another geometry, since the proposal was computed: move it back, "
        "or discard the proposal and compute it again."
    )
    return InputError(text.format(what=what, name=node.GetName()))


def _worldOfReference(segmentationNode: slicer.vtkMRMLSegmentationNode) -> NDArray[np.float64] | None:
    """World RAS from the index of the reference geometry, 4 x 4; None for a segmentation that has none."""
    image = referenceOf(segmentationNode)
    return None if image is None else _worldOfImage(segmentationNode, image)


def _worldOfSegment(segmentationNode: slicer.vtkMRMLSegmentationNode, segmentId: str) -> NDArray[np.float64] | None:
    """World RAS from the index of a segment's labelmap, 4 x 4; None for an empty segment."""
    image, _label = labelmapOf(segmentationNode, segmentId)
    return None if image is None else _worldOfImage(segmentationNode, image)


def _worldOfImage(
    segmentationNode: slicer.vtkMRMLSegmentationNode, image: slicer.vtkOrientedImageData
) -> NDArray[np.float64]:
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return worldFromLocal(segmentationNode) @ slicer.util.arrayFromVTKMatrix(matrix)
