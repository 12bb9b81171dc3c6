"""How well a segmentation matches a reference: DSC, IoU, ASSD, NSD, and DSC slice by slice.

Masks are bool arrays of one shape; spacings are in mm in the order of the array axes. The *surface* of a mask is its
border voxels: those with a 6-neighbor outside the mask, voxels beyond the array counting as outside (MedPy, and MONAI
without subvoxels, take the same). Distances are between voxel centers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.volumes.boxes import bounding_box

Mask = NDArray[np.bool_]

NSD_TOLERANCE_MM = 2.0  # as MedSAM2


def dice(prediction: Mask, reference: Mask) -> float:
    """Dice similarity coefficient, `2 |A and B| / (|A| + |B|)`; 1 when both are empty.

    Example:
        >>> dice(np.array([True, True, True, False]), np.array([True, False, False, False]))
        0.5
    """
    _check_shapes(prediction, reference)
    total = np.count_nonzero(prediction) + np.count_nonzero(reference)
    return float(2 * np.count_nonzero(prediction & reference) / total) if total else 1.0


def iou(prediction: Mask, reference: Mask) -> float:
    """Intersection over union (Jaccard index); 1 when both are empty."""
    _check_shapes(prediction, reference)
    union = np.count_nonzero(prediction | reference)
    return float(np.count_nonzero(prediction & reference) / union) if union else 1.0


def assd_mm(prediction: Mask, reference: Mask, spacing_mm: tuple[float, float, float]) -> float:
    """Average symmetric surface distance: all distances of both directions, pooled, then averaged.

    0 when both are empty; NaN when one is: a distance to nothing is undefined, count such cases beside the average.
    """
    distances = surface_distances_mm(prediction, reference, spacing_mm)
    if distances is None:
        return 0.0 if not prediction.any() and not reference.any() else float("nan")
    return float(np.concatenate(distances).mean())


def nsd(
    prediction: Mask,
    reference: Mask,
    spacing_mm: tuple[float, float, float],
    tolerance_mm: float = NSD_TOLERANCE_MM,
) -> float:
    """Normalized surface distance: share of both surfaces' voxels within the tolerance of the other surface.

    1 when both are empty, 0 when one is. Area-weighted definitions (DeepMind's `surface-distance`, MONAI with
    subvoxels) give other values on the same masks.
    """
    distances = surface_distances_mm(prediction, reference, spacing_mm)
    if distances is None:
        return 1.0 if not prediction.any() and not reference.any() else 0.0
    return float((np.concatenate(distances) <= tolerance_mm).mean())


def surface_distances_mm(
    prediction: Mask, reference: Mask, spacing_mm: tuple[float, float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Distance of each border voxel of one mask to the nearest of the other: `(from prediction, from reference)`.

    None when a mask is empty. Only the box around both masks is looked at, the result is the same.
    """
    _check_shapes(prediction, reference)
    box = bounding_box(prediction | reference)
    if box is None or not prediction.any() or not reference.any():
        return None
    surfaces = [_border(mask[box]) for mask in (prediction, reference)]
    to_other = [ndimage.distance_transform_edt(~surface, sampling=spacing_mm) for surface in reversed(surfaces)]
    return to_other[0][surfaces[0]], to_other[1][surfaces[1]]


class SliceDice(NamedTuple):
    """DSC per slice, averaged apart over slices with and without the object.

    Args:
        present: mean DSC of slices on which the reference has the object; NaN when there is none.
        absent: share of the other slices that the prediction leaves empty, too; NaN when there is none.
    """

    present: float
    absent: float


def slice_dice(prediction: Mask, reference: Mask) -> SliceDice:
    """Mean slice DSC on target-present and target-absent slices of bool arrays `(slices, rows, columns)`.

    Leave out key slices before: their mask was given.
    """
    _check_shapes(prediction, reference)
    scores: dict[bool, list[float]] = {True: [], False: []}
    for found, wanted in zip(prediction, reference, strict=True):
        scores[bool(wanted.any())].append(dice(found, wanted))
    return SliceDice(*(float(np.mean(scores[kind])) if scores[kind] else float("nan") for kind in (True, False)))


def _border(mask: Mask) -> Mask:
    return mask & ~ndimage.binary_erosion(mask)  # the default: 6 neighbors, outside counts as background


def _check_shapes(prediction: Mask, reference: Mask) -> None:
    if prediction.shape != reference.shape:
        raise InputError(f"Prediction and reference must have one shape, got {prediction.shape} and {reference.shape}.")
