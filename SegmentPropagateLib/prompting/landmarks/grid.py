"""A volume as a localizer sees it: gray values from air to bone, on voxels of a few points of the lattice each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.prompting.atlas.grid import MM, Body


def modality_of(body: Body) -> str:
    """As the card of a localizer has it."""
    return "CT" if body.is_ct else "other"


def image_of(body: Body, step: int) -> NDArray[np.float32]:
    """Means of `step` points along each axis, float32 0..1 `(S, A, R)`; 0 beyond the field of view.

    The last voxel along an axis is the mean of the points that are left.
    """
    image = np.where(body.inside, body.wide, np.float32(0))
    for axis, size in enumerate(image.shape):
        starts = np.arange(0, size, step)
        counts = np.diff([*starts, size]).astype(np.float32)
        shape = [-1 if other == axis else 1 for other in range(3)]
        image = np.add.reduceat(image, starts, axis) / counts.reshape(shape)
    return image.astype(np.float32)


def mask_of(body: Body, step: int) -> NDArray[np.bool_]:
    """Voxels of `image_of` that have a point of the body; there is always one, also where the middle is air."""
    mask = body.body
    for axis, size in enumerate(mask.shape):
        mask = np.logical_or.reduceat(mask, np.arange(0, size, step), axis)
    return mask


def to_voxels(points: NDArray[Any], step: int) -> NDArray[np.float64]:
    """Points of the lattice, `(..., 3)`, as places among the voxels of `image_of`."""
    return (np.asarray(points, dtype=np.float64) - (step - 1) / 2) / step


def to_points(voxels: NDArray[Any], step: int) -> NDArray[np.float64]:
    """The way back."""
    return np.asarray(voxels, dtype=np.float64) * step + (step - 1) / 2


def voxel_mm(step: int) -> float:
    """Side of a voxel."""
    return MM * step
