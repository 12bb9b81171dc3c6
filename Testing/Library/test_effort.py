"""Effort of a correction, against counting pixel by pixel."""

import numpy as np
import pytest

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.reports.effort import Effort, added_path_mm, measure_effort

SHAPE = (5, 9, 11)
SPACING = (3.0, 1.5, 0.5)


def blobs(seed):
    rng = np.random.default_rng(seed)
    mask = np.zeros(SHAPE, bool)
    for _ in range(3):
        k, j, i = (int(rng.integers(0, size - 3)) for size in SHAPE)
        mask[k : k + 2, j : j + int(rng.integers(2, 6)), i : i + int(rng.integers(2, 7))] = True
    return mask


def is_border(mask, k, j, i):
    """A pixel of the object with one of its 4 neighbors outside it, or beyond the slice."""
    if not mask[k, j, i]:
        return False
    places = [(j - 1, i), (j + 1, i), (j, i - 1), (j, i + 1)]
    return any(not (0 <= row < SHAPE[1] and 0 <= column < SHAPE[2] and mask[k, row, column]) for row, column in places)


def counted(before, after):
    """Effort of one object, pixel by pixel."""
    slices, edited, voxels, path = set(), set(), 0, 0
    for k, j, i in np.ndindex(*SHAPE):
        if before[k, j, i] or after[k, j, i]:
            slices.add(k)
        if before[k, j, i] != after[k, j, i]:
            edited.add(k)
            voxels += 1
        path += is_border(after, k, j, i) and not is_border(before, k, j, i)
    return Effort(len(slices), len(edited), voxels, path * (SPACING[1] + SPACING[2]) / 2)


@pytest.mark.parametrize("seed", range(12))
def test_effort_is_what_counting_pixel_by_pixel_gives(seed):
    before, after = blobs(seed), blobs(seed + 100)
    assert measure_effort({1: before}, {1: after}, SPACING) == pytest.approx(counted(before, after))


def test_objects_add_up_and_share_their_slices():
    before, after = {1: blobs(1), 2: blobs(2)}, {1: blobs(3), 2: blobs(4)}
    both, one, other = (
        measure_effort({label: before[label] for label in labels}, {label: after[label] for label in labels}, SPACING)
        for labels in ((1, 2), (1,), (2,))
    )
    assert both.voxels_changed == one.voxels_changed + other.voxels_changed
    assert both.added_path_mm == pytest.approx(one.added_path_mm + other.added_path_mm)
    assert max(one.slices_edited, other.slices_edited) <= both.slices_edited <= both.slices <= SHAPE[0]


def test_what_is_accepted_as_it_was_proposed_costs_nothing():
    mask = blobs(5)
    effort = measure_effort({1: mask}, {1: mask.copy()}, SPACING)
    assert effort.untouched
    assert effort[1:] == (0, 0, 0.0)


def test_a_label_that_one_side_lacks_is_empty_there():
    mask = blobs(6)
    assert measure_effort({}, {1: mask}, SPACING) == pytest.approx(counted(np.zeros(SHAPE, bool), mask))
    removed = measure_effort({1: mask}, {}, SPACING)
    assert (removed.voxels_changed, removed.added_path_mm) == (mask.sum(), 0.0)  # wiping draws no outline


def test_masks_of_two_shapes_are_refused():
    with pytest.raises(InputError, match="one shape"):
        measure_effort({1: np.zeros(SHAPE, bool)}, {1: np.zeros((1, 2, 3), bool)}, SPACING)


def test_the_added_path_of_a_square_beside_its_place_is_told_in_mm():
    before, after = np.zeros((2, 1, 10, 10), bool)
    before[0, 2:6, 2:6] = True
    after[0, 2:6, 3:7] = True
    assert added_path_mm(before, after, (2.0, 2.0)) == 12.0  # of 12 border pixels 6 lie on old ones
