"""Stretches of drawn bodies as images and finished cases, half as large as people, which keeps the tests quick."""

import numpy as np

from SegmentPropagateLib.formats.writing import write_segmentation, write_volume
from SegmentPropagateLib.phantoms.bodies import make_body
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.volume import Volume

MM = 3.0  # of bodies drawn with voxels of 6 mm


def body(seed, cut=slice(26, 50)):
    """Values and labels of a stretch of a drawn body, `(k, j, i)`."""
    phantom = make_body(seed, mm=6.0, cropped=False).phantom
    return phantom.values[cut].copy(), phantom.labels[cut].copy()


def placed(array, start_mm=(0.0, 0.0, 0.0), matrix=None):
    """A geometry with voxels of 3 mm: toward left, back and head unless a matrix says otherwise."""
    affine = np.eye(4)
    affine[:3, :3] = np.diag([-MM, -MM, MM]) if matrix is None else matrix
    affine[:3, 3] = start_mm
    return Geometry(array.shape, affine)


def save_case(folder, name, values, labels, geometry):
    home = folder / name
    home.mkdir(parents=True)
    write_volume(home / "image.nii.gz", Volume(values, geometry))
    write_segmentation(home / "labels.nii.gz", {int(v): labels == v for v in np.unique(labels) if v}, geometry)


def whole(draft, shape):
    """The mask of a draft, bool `(k, j, i)`."""
    mask = np.zeros(shape, dtype=bool)
    for index, result in draft.slices.items():
        mask[index] = result.mask
    return mask
