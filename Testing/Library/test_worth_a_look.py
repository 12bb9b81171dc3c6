"""Which slices of a result people are asked to look at."""

import math

import pytest

from SegmentPropagateLib.propagation.review import EXPECTED_IOU, LOST_SHARE, Seen, to_correct, worth_a_look

KEY = Seen(100, 1.0, is_key=True)


def sure(area):
    return Seen(area, EXPECTED_IOU + 0.01, is_key=False)


def unsure(area):
    return Seen(area, EXPECTED_IOU - 0.01, is_key=False)


def test_a_slice_whose_overlap_is_expected_to_be_low_is_named():
    assert worth_a_look({4: sure(90), 5: KEY, 6: unsure(90), 7: sure(80)}) == {6: "unsure"}


def test_a_key_is_never_named():
    assert worth_a_look({5: Seen(100, 0.1, is_key=True)}) == {}


@pytest.mark.parametrize("opinion", [None, math.nan])
def test_without_an_opinion_nothing_is_named(opinion):
    assert worth_a_look({5: KEY, 6: Seen(90, opinion, is_key=False)}) == {}


@pytest.mark.parametrize(("area", "named"), [(100 * LOST_SHARE, True), (100 * LOST_SHARE - 1, False)])
def test_an_object_that_is_gone_at_once_is_named_where_it_is_missing_first(area, named):
    slices = {3: Seen(0, None, is_key=False), 4: Seen(0, None, is_key=False), 5: sure(area), 6: KEY}
    assert worth_a_look(slices) == ({4: "lost"} if named else {})


def test_an_object_that_is_gone_between_two_keys_is_named_on_both_sides():
    slices = {0: KEY, 1: sure(90), 2: sure(0), 3: sure(0), 4: sure(0), 5: sure(90), 6: KEY}
    assert worth_a_look(slices) == {2: "lost", 4: "lost"}


def test_without_a_key_no_slice_is_lost():
    assert worth_a_look({3: sure(0), 4: sure(90)}) == {}


def test_the_stretch_with_most_to_mend_comes_first_and_is_corrected_where_half_of_that_lies_on_either_side():
    large = {index: Seen(100, 0.5, is_key=False) for index in range(10, 15)}
    small = {index: Seen(10, 0.5, is_key=False) for index in (2, 3)}
    first, second = to_correct({**small, 5: KEY, 6: sure(90), **large})
    assert (first.slices, first.place, first.wrong) == ((10, 11, 12, 13, 14), 12, 250)
    assert (second.slices, second.place) == ((2, 3), 2)


def test_nothing_is_to_be_corrected_where_nothing_is_in_doubt():
    assert to_correct({4: sure(90), 5: KEY}) == []
