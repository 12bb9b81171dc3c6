import itertools

import numpy as np
import pytest

from SegmentPropagateLib.propagation.lanes import plan_lanes


def _keys(*indices, areas=None):
    masks = {}
    for position, index in enumerate(indices):
        mask = np.zeros((6, 6), dtype=bool)
        mask.ravel()[: (areas or range(1, len(indices) + 1))[position]] = True
        masks[index] = mask
    return masks


@pytest.mark.parametrize("mode", ["independent", "coupled"])
@pytest.mark.parametrize("keys", list(itertools.chain(*(itertools.combinations(range(9), n) for n in (1, 2, 3)))))
def test_every_slice_of_the_range_is_covered_once_and_no_key_slice_is(mode, keys):
    lanes = plan_lanes(1, _keys(*keys), 0, 8, mode)
    filled = sorted(index for lane in lanes for index in lane.slices)
    assert filled == [index for index in range(9) if index not in keys]


def test_a_single_key_starts_one_lane_per_direction_that_ends_at_the_range():
    up, down = sorted(plan_lanes(1, _keys(5), 2, 9, "independent"), key=lambda lane: -lane.slices[0])
    assert up.slices == (6, 7, 8, 9)
    assert down.slices == (4, 3, 2)
    assert up.keys == down.keys == (5,)


def test_the_stretch_between_two_keys_is_reached_from_both_and_knows_both():
    lanes = plan_lanes(1, _keys(2, 7), 0, 9, "independent")
    assert [(lane.keys, lane.slices) for lane in lanes] == [
        ((2,), (1, 0)),
        ((2, 7), (3, 4)),
        ((2, 7), (6, 5)),
        ((7,), (8, 9)),
    ]


@pytest.mark.parametrize("areas", [(3, 9), (9, 3), (4, 4)])
def test_flipping_the_volume_flips_the_plan(areas):
    keys = _keys(2, 6, areas=areas)
    if areas == (4, 4):
        keys[6] = np.roll(keys[6], 1)
    flipped = {8 - index: mask for index, mask in keys.items()}
    plan = {(lane.keys, lane.slices) for lane in plan_lanes(1, keys, 0, 8, "independent")}
    mirrored = {
        (tuple(sorted(8 - key for key in lane.keys)), tuple(8 - index for index in lane.slices))
        for lane in plan_lanes(1, flipped, 0, 8, "independent")
    }
    assert plan == mirrored


def test_a_coupled_lane_runs_forward_and_then_in_reverse():
    (lane,) = plan_lanes(1, _keys(3, 6), 1, 8, "coupled")
    assert lane.keys == (3, 6)
    assert [list(leg) for leg in lane.legs] == [[4, 5], [7, 8], [2, 1]]


def test_keys_beyond_the_range_bound_nothing():
    assert plan_lanes(1, _keys(9), 0, 5, "independent") == []


@pytest.mark.parametrize("mode", ["independent", "coupled"])
def test_a_lane_knows_which_of_its_slices_the_user_named_as_an_end(mode):
    keys = _keys(5, 8)
    lanes = plan_lanes(1, keys, 2, 11, mode, given_ends=(2, 11))
    assert {end for lane in lanes for end in lane.given_ends} == {2, 11}
    assert all(set(lane.given_ends) <= set(lane.slices) for lane in lanes)
    assert {end for lane in plan_lanes(1, keys, 2, 11, mode, given_ends=(11,)) for end in lane.given_ends} == {11}
    assert not any(lane.given_ends for lane in plan_lanes(1, keys, 2, 11, mode))
