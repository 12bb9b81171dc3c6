"""A few of many, evenly."""

import pytest

from SegmentPropagateLib.volumes.choice import evenly


@pytest.mark.parametrize(
    ("many", "count", "ends", "chosen"),
    [
        (0, 3, True, []),
        (3, 3, True, [0, 1, 2]),
        (3, 5, False, [0, 1, 2]),
        (11, 3, True, [0, 5, 10]),
        (11, 3, False, [2, 5, 8]),
        (11, 1, False, [5]),
        (11, 0, True, []),
    ],
)
def test_the_outermost_are_chosen_or_stand_off_as_far_as_the_others(many, count, ends, chosen):
    assert evenly(range(many), count, ends=ends) == chosen


@pytest.mark.parametrize("ends", [True, False])
def test_none_is_chosen_twice_and_order_is_kept(ends):
    for many in range(30):
        for count in range(1, 30):
            chosen = evenly(range(many), count, ends=ends)
            assert chosen == sorted(set(chosen))
            assert min(count, many) // 2 <= len(chosen) <= count
