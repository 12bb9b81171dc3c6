import pytest

from SegmentPropagateLib.classical.tapering import ANYWHERE, AT_THE_END, shrinkage
from SegmentPropagateLib.propagator import Lane

SLICES = 20


def along(leg, keys=(10,)):
    lane = Lane(1, keys, (leg,))
    return [shrinkage(lane, leg, index, SLICES) for index in leg]


@pytest.mark.parametrize("leg", [range(11, 16), range(9, 4, -1)])
def test_towards_a_stated_end_masks_shrink_more_and_more(leg):
    values = along(leg)
    assert values == sorted(values)
    assert values[0] == pytest.approx(ANYWHERE + AT_THE_END / 25)
    assert values[-1] == pytest.approx(ANYWHERE + AT_THE_END)


@pytest.mark.parametrize("leg", [range(11, 20), range(9, -1, -1)])
def test_a_range_that_ends_with_the_volume_says_nothing_about_the_end(leg):
    assert along(leg) == [ANYWHERE] * len(leg)


@pytest.mark.parametrize("leg", [range(6, 10), range(9, 5, -1)])
def test_between_two_keys_nothing_shrinks(leg):
    assert along(leg, keys=(5, 10)) == [0.0] * len(leg)
