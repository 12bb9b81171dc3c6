"""Bounding boxes, against all coordinates looked at one by one."""

import numpy as np
import pytest

from SegmentPropagateLib.volumes.boxes import bounding_box, first_and_last

SHAPES = [(9,), (6, 11), (1, 7), (5, 7, 6), (3, 4, 2, 5)]


@pytest.mark.parametrize("shape", SHAPES)
def test_an_empty_mask_has_no_box(shape):
    assert bounding_box(np.zeros(shape, dtype=bool)) is None
    with pytest.raises(ValueError, match="empty"):
        first_and_last(np.zeros(shape, dtype=bool))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_box_of_one_voxel_is_that_voxel(shape):
    for place in np.ndindex(shape):
        mask = np.zeros(shape, dtype=bool)
        mask[place] = True
        assert bounding_box(mask) == tuple(slice(index, index + 1) for index in place)
        assert first_and_last(mask) == tuple((index, index) for index in place)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_box_holds_every_voxel_and_touches_one_on_every_side(shape, order):
    rng = np.random.default_rng(4)
    for _ in range(50):
        mask = np.asarray(rng.random(shape) > 0.9, order=order)
        places = np.argwhere(mask)
        if not len(places):
            continue
        expected = list(zip(places.min(axis=0), places.max(axis=0), strict=True))
        assert bounding_box(mask) == tuple(slice(first, last + 1) for first, last in expected)
        assert first_and_last(mask) == tuple(expected)


def test_a_full_mask_is_its_own_box():
    mask = np.ones((3, 4), dtype=bool)
    assert bounding_box(mask) == (slice(0, 3), slice(0, 4))
    assert np.shares_memory(mask[bounding_box(mask)], mask)
