"""Bank contents against an oracle that looks slices up in two dictionaries, one by one, as the released code does."""

import itertools

import numpy as np
import pytest

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.networks.memory import Bank, long_bank, select, short_bank
from SegmentPropagateLib.propagation.lanes import plan_lanes

SLICES = 24
LONG, SHORT_1, SHORT_3, SHORT_7 = long_bank(), short_bank(1), short_bank(3), short_bank(7)
NARROW = Bank(keeps_keys=True, recent=2, pointers=4)
POLICIES = {
    "M_O": (LONG,),
    "M_R=1": (SHORT_1,),
    "M_R=7": (SHORT_7,),
    "M_O+M_R=1": (LONG, SHORT_1),
    "M_O+M_R=3": (LONG, SHORT_3),
    "M_O+M_R=7": (LONG, SHORT_7),
    "M_O+M_O": (LONG, LONG),
    "2 recent": (NARROW,),
}


def oracle(  # noqa: C901 (as long as what it stands for)
    bank, index, reverse, prompted, propagated, slices
):
    """What SAM2Base and the short bank of SLM-SAM 2 gather, written down step by step."""
    sign = 1 if reverse else -1
    spatial, pointers = [], []
    maximum = min(slices, 16)
    if bank.keeps_keys:
        for key in sorted(prompted):
            spatial.append((key, 6))
            if (key >= index) if reverse else (key <= index):
                pointers.append((key, abs(index - key)))
        for back in range(bank.recent, 0, -1):
            if propagated.get(index + sign * back):
                spatial.append((index + sign * back, back - 1))
        for back in range(1, min(maximum, bank.pointers + 1)):
            if not 0 <= index + sign * back < slices:
                break
            if propagated.get(index + sign * back):
                pointers.append((index + sign * back, back))
        return tuple(spatial), tuple(pointers)
    for back in range(bank.recent, 0, -1):
        if propagated.get(index + sign * back) or prompted.get(index + sign * back):
            spatial.append((index + sign * back, back - 1))
    for back in range(1, min(bank.pointers, maximum - 1) + 1):
        if propagated.get(index + sign * back) or prompted.get(index + sign * back):
            pointers.append((index + sign * back, back))
    return tuple(spatial), tuple(pointers)


@pytest.mark.parametrize("pass_mode", ["independent", "coupled"])
@pytest.mark.parametrize("keys", [(0,), (11,), (23,), (5, 16), (3, 4, 20)])
@pytest.mark.parametrize("policy", POLICIES)
def test_every_step_reads_what_the_oracle_reads(policy, keys, pass_mode):
    for slices in (SLICES, 10**6):  # a longer stack only changes how far pointers reach
        for lane in plan_lanes(1, dict.fromkeys(keys, np.ones((2, 2), bool)), 0, SLICES - 1, pass_mode):
            filled = {}
            for index, step in [(index, leg.step) for leg in lane.legs for index in leg]:
                for bank in POLICIES[policy]:
                    reads = select(bank, index, step, lane.keys, filled.keys(), slices)
                    expected = oracle(bank, index, step < 0, dict.fromkeys(lane.keys, True), filled, slices)
                    assert (reads.spatial, reads.pointers) == expected
                filled[index] = True


def test_a_short_stack_limits_how_far_pointers_reach():
    reads = select(LONG, 4, 1, (0,), (1, 2, 3), slices=3)
    assert reads.pointers == ((0, 4), (3, 1), (2, 2))


def test_a_key_slice_is_a_recent_one_for_the_short_bank_only():
    assert select(SHORT_1, 6, 1, (5,), (), SLICES).spatial == ((5, 0),)
    assert select(LONG, 6, 1, (5,), (), SLICES).spatial == ((5, 6),)
    assert select(SHORT_1, 7, 1, (5,), (6,), SLICES).spatial == ((6, 0),)


def test_a_short_bank_without_a_neighbor_is_empty():
    assert select(SHORT_1, 9, 1, (5,), (6,), SLICES).spatial == ()


def test_the_reverse_leg_of_a_coupled_lane_reads_forward_memories():
    reads = select(LONG, 9, -1, (10,), range(11, SLICES), SLICES)
    assert reads.spatial == ((10, 6), (15, 5), (14, 4), (13, 3), (12, 2), (11, 1))
    assert reads.pointers[0] == (10, 1)
    assert [index for index, _ in reads.pointers[1:]] == list(range(11, 24))


@pytest.mark.parametrize(("keeps_keys", "recent"), [(True, 0), (True, 7), (False, 0), (False, 8)])
def test_a_bank_longer_than_the_temporal_encodings_is_refused(keeps_keys, recent):
    with pytest.raises(InputError, match="memory bank"):
        Bank(keeps_keys, recent, pointers=1)


def test_reading_does_not_depend_on_the_order_in_which_slices_were_filled():
    orders = itertools.permutations((6, 7, 8))
    assert len({select(LONG, 9, 1, (5,), order, SLICES) for order in orders}) == 1
