"""Metrics against other people's implementations and by hand."""

import numpy as np
import pytest
from scipy import ndimage

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.reports.metrics import assd_mm, dice, iou, nsd, slice_dice, surface_distances_mm

# Recorded with MedPy 0.5.2 (dc, jc, assd) and MONAI 1.6.1 (compute_average_surface_distance(symmetric=True),
# compute_surface_dice at 2 mm): seed, spacing, DSC, IoU, ASSD MedPy, ASSD MONAI, NSD MONAI.
RECORDED = [
    (0, (1, 1, 1), 0.72097498396408, 0.56369107321966, 0.52399507182964, 0.5239951014518738, 0.9567464590072632),
    (1, (4, 1.5, 1.5), 0.59861857252494, 0.42716319824754, 1.57946567891488, 1.579465627670288, 0.7119541168212891),
    (2, (0.8, 2, 0.5), 0.72536047497880, 0.56907106734096, 0.47796802638518, 0.4779680073261261, 0.9563590884208679),
    (3, (5, 0.7, 0.9), 0.75633687653312, 0.60815253122945, 0.58073724692613, 0.580737292766571, 0.9253655076026917),
]
EMPTY = np.zeros((4, 6, 8), bool)
BALL = np.linalg.norm(np.indices((4, 6, 8)).T - (1.5, 2.5, 3.5), axis=-1).T < 2
MM = (3.0, 1.0, 2.0)


def blobs(seed):
    """Two similar blob patterns that also touch the border of the array."""
    rng = np.random.default_rng(seed)
    smooth = lambda: ndimage.gaussian_filter(rng.standard_normal((14, 30, 26)), (1.2, 2.5, 2.5))  # noqa: E731
    first = smooth()
    second = first + 0.6 * smooth()
    return first > 0.05, second > 0.07


@pytest.mark.parametrize("case", RECORDED)
def test_values_agree_with_medpy_and_monai(case):
    seed, spacing, dsc, jaccard, assd_medpy, assd_monai, nsd_monai = case
    prediction, reference = blobs(seed)
    assert dice(prediction, reference) == pytest.approx(dsc, abs=1e-10)
    assert iou(prediction, reference) == pytest.approx(jaccard, abs=1e-10)
    assert assd_mm(prediction, reference, spacing) == pytest.approx(assd_medpy, abs=1e-9)
    assert assd_mm(prediction, reference, spacing) == pytest.approx(assd_monai, abs=1e-6)
    assert nsd(prediction, reference, spacing) == pytest.approx(nsd_monai, abs=1e-6)


def test_a_shift_is_as_far_as_the_spacing_says():
    shifted = np.roll(np.pad(BALL, 4), 3, axis=2)
    box = np.zeros((8, 20, 20), bool)
    box[2:6, 5:15, 5:15] = True
    moved = np.roll(box, 2, axis=0)
    from_moved, from_box = surface_distances_mm(moved, box, (4.0, 1.0, 1.0))
    assert from_moved.max() == from_box.max() == 8.0  # two slices of 4 mm
    assert nsd(moved, box, (4.0, 1.0, 1.0), tolerance_mm=8.0) == 1.0
    assert nsd(moved, box, (4.0, 1.0, 1.0), tolerance_mm=7.9) < 1.0
    assert assd_mm(shifted, np.pad(BALL, 4), MM) > assd_mm(shifted, np.pad(BALL, 4), (3.0, 1.0, 1.0))


def test_a_single_voxel_a_known_distance_away():
    one, other = np.zeros((2, 5, 9, 9), bool)
    one[1, 2, 3] = other[3, 5, 7] = True
    distance = np.sqrt(6.0**2 + 3.0**2 + 8.0**2)
    assert assd_mm(one, other, MM) == pytest.approx(distance)
    assert nsd(one, other, MM, tolerance_mm=distance + 1e-9) == 1.0
    assert nsd(one, other, MM) == 0.0


def test_metrics_are_symmetric():
    prediction, reference = blobs(7)
    for metric in (dice, iou):
        assert metric(prediction, reference) == metric(reference, prediction)
    for metric in (assd_mm, nsd):
        assert metric(prediction, reference, MM) == pytest.approx(metric(reference, prediction, MM))


def test_equal_masks_are_perfect():
    assert (dice(BALL, BALL), iou(BALL, BALL), assd_mm(BALL, BALL, MM), nsd(BALL, BALL, MM)) == (1, 1, 0, 1)


def test_two_empty_masks_are_perfect():
    assert (dice(EMPTY, EMPTY), iou(EMPTY, EMPTY), assd_mm(EMPTY, EMPTY, MM), nsd(EMPTY, EMPTY, MM)) == (1, 1, 0, 1)


@pytest.mark.parametrize(("prediction", "reference"), [(EMPTY, BALL), (BALL, EMPTY)])
def test_one_empty_mask_scores_nothing_and_has_no_distance(prediction, reference):
    assert (dice(prediction, reference), iou(prediction, reference), nsd(prediction, reference, MM)) == (0, 0, 0)
    assert np.isnan(assd_mm(prediction, reference, MM))


def test_slice_dice_keeps_present_and_absent_slices_apart():
    reference, prediction = np.zeros((2, 5, 4, 4), bool)
    reference[:2, :2] = True
    prediction[0, :2] = True  # right
    prediction[1, 1:3] = True  # half right: DSC 0.5
    prediction[2, 0, 0] = True  # past the end; slices 3 and 4 are left empty
    assert slice_dice(prediction, reference) == pytest.approx((0.75, 2 / 3))


def test_slice_dice_is_undefined_without_such_slices():
    full = np.ones((3, 4, 4), bool)
    assert slice_dice(full, full).present == 1
    assert np.isnan(slice_dice(full, full).absent)
    assert np.isnan(slice_dice(full, ~full).present)
    assert slice_dice(full, ~full).absent == 0


def test_masks_of_two_shapes_are_refused():
    for metric in (dice, iou, slice_dice):
        with pytest.raises(InputError, match="must have one shape"):
            metric(EMPTY, EMPTY[:, :, :3])
    for metric in (assd_mm, nsd):
        with pytest.raises(InputError, match="must have one shape"):
            metric(EMPTY, EMPTY[1:], MM)
