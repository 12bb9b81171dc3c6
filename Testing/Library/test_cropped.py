"""Maps of which only a box is kept beside the same maps in whole."""

from __future__ import annotations

import numpy as np
import pytest

from SegmentPropagateLib.volumes.cropped import Cropped, combined

SHAPE = (9, 12)
BOXES = {
    "apart": ((slice(0, 3), slice(1, 4)), (slice(5, 9), slice(7, 12))),
    "overlapping": ((slice(1, 6), slice(2, 9)), (slice(4, 8), slice(5, 11))),
    "one within the other": ((slice(0, 9), slice(0, 12)), (slice(4, 8), slice(5, 11))),
    "the same": ((slice(2, 4), slice(2, 4)), (slice(2, 4), slice(2, 4))),
    "one empty": ((slice(0, 0), slice(0, 0)), (slice(5, 9), slice(7, 12))),
    "both empty": ((slice(0, 0), slice(0, 0)), (slice(3, 3), slice(2, 2))),
}


def drawn(box, outside, seed):
    size = [span.stop - span.start for span in box]
    return Cropped(np.random.default_rng(seed).normal(size=size).astype(np.float32), box, SHAPE, outside)


@pytest.mark.parametrize("boxes", BOXES.values(), ids=BOXES)
def test_what_is_made_of_several_maps_is_what_is_made_of_the_whole_ones(boxes):
    one, other = drawn(boxes[0], -9.0, 1), drawn(boxes[1], -1024.0, 2)

    def mean(own, their):
        return np.log1p(np.exp(np.clip(own, -9, 9))) + 0.3 * np.clip(their, -9, 9)

    found = combined(mean, one, other)
    np.testing.assert_array_equal(found.whole, mean(one.whole, other.whole))
    np.testing.assert_array_equal(found.above(0.4), mean(one.whole, other.whole) > 0.4)


@pytest.mark.parametrize("boxes", BOXES.values(), ids=BOXES)
def test_another_box_shows_what_the_whole_map_has_there(boxes):
    own = drawn(boxes[0], 3.0, 1)
    np.testing.assert_array_equal(own.on(boxes[1]), own.whole[boxes[1]])


def test_only_what_differs_from_its_surroundings_is_kept():
    whole = np.full(SHAPE, -6, np.float32)
    whole[3:5, 7] = 2
    kept = combined(
        lambda values: np.clip(values, -6, 6), Cropped(whole[1:9, 2:11], (slice(1, 9), slice(2, 11)), SHAPE, -9)
    )
    assert kept.trimmed().box == (slice(3, 5), slice(7, 8))
    np.testing.assert_array_equal(kept.trimmed().whole, whole)
    nothing = Cropped(np.full((2, 2), -6, np.float32), (slice(1, 3), slice(1, 3)), SHAPE, -6).trimmed()
    assert nothing.values.size == 0
    assert (nothing.whole == -6).all()


def test_a_mask_is_one_value_within_and_another_without():
    mask = np.zeros(SHAPE, bool)
    mask[2, 3] = mask[6, 8] = True
    for given in (mask, mask & False):
        np.testing.assert_array_equal(Cropped.of_mask(given, 6, -6).whole, np.where(given, 6, -6))


def test_a_whole_map_stays_as_it_is():
    whole = np.random.default_rng(3).normal(size=SHAPE).astype(np.float32)
    np.testing.assert_array_equal(Cropped.of(whole).whole, whole)
