"""The same anatomy stored in other ways, and segmentations on grids of their own."""

import numpy as np
from bench import MATRIX

TILT = np.deg2rad([25, -15])
ROTATION = np.eye(4)
ROTATION[:3, :3] = np.array(
    [[np.cos(TILT[0]), -np.sin(TILT[0]), 0], [np.sin(TILT[0]), np.cos(TILT[0]), 0], [0, 0, 1]]
) @ np.array([[1, 0, 0], [0, np.cos(TILT[1]), -np.sin(TILT[1])], [0, np.sin(TILT[1]), np.cos(TILT[1])]])


def stored(mask, matrix, order, flips):
    """The same voxels in the same place, with the array axes in another order and flipped; and its matrix."""
    columns, origin = [matrix[:3, 2 - axis] for axis in range(3)], matrix[:3, 3].copy()
    array = mask
    for axis, flip in enumerate(flips):
        if flip:
            array = np.flip(array, axis)
            origin += columns[axis] * (mask.shape[axis] - 1)
            columns[axis] = -columns[axis]
    array = np.ascontiguousarray(array.transpose(order))
    new = np.eye(4)
    for axis, old in enumerate(order):
        new[:3, 2 - axis] = columns[old]
    new[:3, 3] = origin
    return array, new


def segmentOnGrid(slicer, bench, factor, matrixOfGrid=None):
    """A segmentation whose voxels are `factor` times finer than the volume's, with one key slice drawn in them."""
    fine = np.eye(4)
    fine[:3, :3] = np.eye(3) / factor
    fine[:3, 3] = (1 / factor - 1) / 2  # the corners of the grids agree
    shape = tuple(size * factor for size in bench.truth.shape)
    grid = (MATRIX @ fine) if matrixOfGrid is None else matrixOfGrid
    reference = slicer.util.addVolumeFromArray(np.zeros(shape, np.uint8), ijkToRAS=grid, name="Fine")
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Fine segmentation")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    return segmentation, reference
