"""A volume node as the library sees it: voxels (k, j, i) and a matrix from voxel indices to world RAS."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from slicer.i18n import tr as _

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.volumes.geometry import Geometry


def worldFromLocal(node: slicer.vtkMRMLTransformableNode) -> NDArray[np.float64]:
    """4 x 4 matrix of the node's parent transforms, identity without any.

    Args:
        node: vtkMRMLTransformableNode: a volume or a segmentation.

    Raises:
        InputError: for a non-linear transform.
    """
    transform = node.GetParentTransformNode()
    if transform is None:
        return np.eye(4)
    if not transform.IsTransformToWorldLinear():
        what = _("segmentation") if node.IsA("vtkMRMLSegmentationNode") else _("volume")
        raise InputError(
            _("The {what} is under a transform that is not linear: harden the transform, or remove it.").format(
                what=what
            )
        )
    matrix = vtk.vtkMatrix4x4()
    transform.GetMatrixTransformToWorld(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def _localMatrix(node: slicer.vtkMRMLScalarVolumeNode) -> NDArray[np.float64]:
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


class VolumeReader:
    """Reads one volume node; nothing is copied and nothing is kept but the node.

    Args:
        volumeNode: vtkMRMLScalarVolumeNode.

    Raises:
        InputError: no volume, a volume without voxels, or one with several components.
    """

    def __init__(self, volumeNode: slicer.vtkMRMLScalarVolumeNode | None) -> None:
        if volumeNode is None:
            raise InputError(_("Choose a source volume first."))
        image = volumeNode.GetImageData()
        if image is None or image.GetNumberOfPoints() == 0:
            raise InputError(_("The volume '{name}' holds no voxels.").format(name=volumeNode.GetName()))
        if image.GetNumberOfScalarComponents() != 1:
            raise InputError(
                _("The volume '{name}' has {count} components per voxel: convert it to a scalar volume first.").format(
                    name=volumeNode.GetName(), count=image.GetNumberOfScalarComponents()
                )
            )
        self.node = volumeNode

    @property
    def identity(self) -> str:
        """Changes whenever the voxels do, and is never used twice: VTK's modification times only grow."""
        image = self.node.GetImageData()
        modified = max(image.GetMTime(), image.GetPointData().GetScalars().GetMTime())
        return f"{self.node.GetID()}@{modified}"

    @property
    def voxels(self) -> np.ndarray:
        """View of the voxels, `(k, j, i)`."""
        return slicer.util.arrayFromVolume(self.node)

    def isIn(self, file: Path) -> bool:
        """Whether a file has these voxels at this place; parent transforms, which no file has, are left aside."""
        other, storage = slicer.vtkMRMLScalarVolumeNode(), slicer.vtkMRMLVolumeArchetypeStorageNode()
        storage.SetFileName(str(file))
        storage.SetSingleFile(True)
        if not storage.ReadData(other):
            return False
        mine, its = (_localMatrix(node) for node in (self.node, other))
        return np.allclose(mine, its, rtol=1e-5, atol=1e-3) and np.array_equal(self.voxels, VolumeReader(other).voxels)

    @property
    def geometry(self) -> Geometry:
        """`Geometry` in world RAS: the volume's own matrix under its parent transforms.

        Raises:
            InputError: its axes are not at right angles, as of no image that is read from a file.
        """
        local = _localMatrix(self.node)
        geometry = Geometry(self.node.GetImageData().GetDimensions()[::-1], worldFromLocal(self.node) @ local)
        if not geometry.at_right_angles:
            text = _(
                "The volume '{name}' cannot be segmented: its axes are not at right angles, resample it to a regular "
                "grid, as Resample Scalar/Vector/DWI Volume of 3D Slicer does."
            )
            raise InputError(text.format(name=self.node.GetName()))
        return geometry

    @property
    def modality(self) -> str | None:
        """DICOM modality such as `CT` or `MR`; None where the scene does not say."""
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self.node.GetScene())
        if hierarchy is None:
            return None
        item = hierarchy.GetItemByDataNode(self.node)
        parent = hierarchy.GetItemParent(item) if item else 0
        for place in (item, parent):
            value = hierarchy.GetItemAttribute(place, "DICOM.Modality") if place else ""
            if value:
                return value
        return None
