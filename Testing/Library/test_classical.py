"""The propagator without a network, on drawn objects."""

import subprocess
import sys

import numpy as np
import pytest

from SegmentPropagateLib.propagation.prompts import BoxPrompt, PointsPrompt
from SegmentPropagateLib.propagation.propagator import Lane, PropagationSettings
from SegmentPropagateLib.propagators.classical.engine import ClassicalPropagator
from SegmentPropagateLib.volumes.stack import ImageStack

SHAPE = (16, 64, 72)
SPACING_MM = (2.0, 1.0, 1.0)


def grid():
    return np.mgrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]].astype(float)


def ellipsoid():
    """Slices 2..14, largest at 8."""
    z, y, x = grid()
    return ((z - 8) / 6.5) ** 2 + ((y - 30) / 13) ** 2 + ((x - 36) / 17) ** 2 <= 1


def tube(first=4, last=12, slope=1.0):
    """A slanting tube of radius 8 with blunt ends."""
    z, y, x = grid()
    return ((y - 30 - slope * (z - 8)) ** 2 + (x - 34) ** 2 <= 64) & (z >= first) & (z <= last)


def stack_of(mask, contrast=80.0):
    noise = np.random.default_rng(0).normal(0, 8, SHAPE)
    _, y, _ = grid()
    values = 100 + 0.3 * y + contrast * mask + noise
    return ImageStack(values.astype(np.float32), np.zeros(SHAPE, dtype=np.uint8), SPACING_MM)


def lanes_of(key, first=None, last=None, object_id=1):
    """One lane per direction; an end that is a number is the user's."""
    ends = 0 if first is None else first, SHAPE[0] - 1 if last is None else last
    legs = range(key - 1, ends[0] - 1, -1), range(key + 1, ends[1] + 1)
    return [
        Lane(object_id, (key,), (leg,), () if end is None else (end,))
        for leg, end in zip(legs, (first, last), strict=True)
    ]


def propagate(stack, lanes, keys, settings=None):
    """Masks of object 1 as `(k, j, i)`, and all updates."""
    propagator = ClassicalPropagator()
    propagator.open(stack, settings or PropagationSettings())
    updates = list(propagator.run(lanes, {1: keys}))
    result = np.zeros(SHAPE, dtype=bool)
    for key, mask in keys.items():
        result[key] = mask
    for update in updates:
        result[update.slice_index] = update.mask
    return result, updates


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def test_an_ellipsoid_is_found_from_tip_to_tip():
    truth = ellipsoid()
    result, updates = propagate(stack_of(truth), lanes_of(8), {8: truth[8]})
    assert dice(result, truth) > 0.92
    assert [update.slice_index for update in updates] == [7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15, 0]
    assert all(update.logits is None or np.array_equal(update.logits > 0, update.mask) for update in updates)


def test_the_mask_stops_where_a_tube_ends_bluntly():
    truth = tube()
    result, updates = propagate(stack_of(truth), lanes_of(8), {8: truth[8]})
    assert dice(result, truth) > 0.92
    assert not result[:3].any()
    assert not result[14:].any()
    assert all(update.presence <= 0 for update in updates if not 3 <= update.slice_index <= 13)
    assert all(update.presence > 0 for update in updates if 5 <= update.slice_index <= 11)


def test_a_stated_range_counts_as_evidence_that_the_object_is_there():
    truth = tube()
    _, opened = propagate(stack_of(truth), lanes_of(8)[1:], {8: truth[8]})
    for last in (11, SHAPE[0] - 1):
        _, stated = propagate(stack_of(truth), lanes_of(8, last=last)[1:], {8: truth[8]})
        assert stated[0].presence > opened[0].presence + 2
        assert np.array_equal(stated[0].mask, opened[0].mask)


def test_a_lane_ends_at_its_range():
    truth = ellipsoid()
    _, updates = propagate(stack_of(truth), lanes_of(8, 6, 11), {8: truth[8]})
    assert [update.slice_index for update in updates] == [7, 9, 6, 10, 11]


def test_the_working_region_follows_an_object_that_wanders_off():
    truth = tube(first=0, last=15, slope=3.4)  # 24 pixels from the key slice; its region reaches to 20
    result, _ = propagate(stack_of(truth), lanes_of(8), {8: truth[8]})
    assert dice(result, truth) > 0.9
    assert dice(result[1], truth[1]) > 0.8


def test_flipping_the_stack_flips_the_result():
    truth = tube()
    stack = stack_of(truth)
    flipped = ImageStack(stack.values[::-1], stack.gray[::-1], stack.spacing_mm)
    result, updates = propagate(stack, lanes_of(8, 4, 11), {8: truth[8]})
    mirrored, other = propagate(flipped, lanes_of(7, 4, 11), {7: truth[8]})
    assert np.array_equal(result, mirrored[::-1])
    assert {u.slice_index: u.presence for u in updates} == {15 - u.slice_index: u.presence for u in other}


def test_two_runs_give_the_same_bits():
    truth = ellipsoid()
    runs = [propagate(stack_of(truth), lanes_of(8, 6, 10), {8: truth[8]})[1] for _ in range(2)]
    assert all(np.array_equal(a.logits, b.logits) for a, b in zip(*runs, strict=True))


def test_between_two_keys_the_far_key_has_its_say():
    truth = tube()
    wide = truth[11] | np.roll(truth[11], 5, axis=1)  # the annotator wants more of it on slice 11
    stack = stack_of(truth)
    lanes = [Lane(1, (5, 11), (range(6, 9),)), Lane(1, (5, 11), (range(10, 8, -1),))]
    both, updates = propagate(stack, lanes, {5: truth[5], 11: wide})
    alone, _ = propagate(stack, [Lane(1, (5,), (range(6, 11),))], {5: truth[5]})
    assert sorted(update.slice_index for update in updates) == list(range(6, 11))
    assert both[10].sum() > 1.1 * alone[10].sum()
    assert dice(both[6], truth[6]) > 0.9


def test_of_a_correction_the_slices_beside_it_come_first_and_all_are_those_of_a_run_from_nothing():
    truth = ellipsoid()
    keys = {4: truth[4], 11: truth[11]}
    lanes = [Lane(1, (4, 11), (range(5, 8),)), Lane(1, (4, 11), (range(10, 7, -1),)), Lane(1, (11,), (range(12, 15),))]
    propagator = ClassicalPropagator()
    propagator.open(stack_of(truth), PropagationSettings())
    list(propagator.run(lanes_of(4)[1:], {1: {4: truth[4]}}))
    corrected = list(propagator.run(lanes, {1: keys}))
    order = [update.slice_index for update in corrected]
    assert sorted(order[:4]) == [9, 10, 12, 13]
    assert [index for index in order if index < 8] == [5, 6, 7]
    _, fresh = propagate(stack_of(truth), lanes, keys)
    expected = {update.slice_index: update.logits for update in fresh}
    assert all(np.array_equal(update.logits, expected[update.slice_index]) for update in corrected)


def test_a_coupled_lane_fills_both_legs():
    truth = ellipsoid()
    lane = Lane(1, (8,), (range(9, 12), range(7, 4, -1)))
    result, updates = propagate(stack_of(truth), [lane], {8: truth[8]})
    assert [update.slice_index for update in updates] == list(lane.slices)
    assert dice(result[5:12], truth[5:12]) > 0.92


def test_a_lane_that_stops_early_gives_empty_masks_for_the_rest():
    truth = tube(5, 10)
    _, updates = propagate(stack_of(truth), lanes_of(8), {8: truth[8]}, PropagationSettings(stop_after_empty=1))
    assert len(updates) == SHAPE[0] - 1
    assert not any(update.mask.any() for update in updates if update.slice_index > 12)


def test_closing_the_run_cancels_it():
    truth = ellipsoid()
    propagator = ClassicalPropagator()
    propagator.open(stack_of(truth), PropagationSettings())
    run = propagator.run(lanes_of(8), {1: {8: truth[8]}})
    next(run)
    run.close()
    assert list(run) == []


def test_several_objects_do_not_disturb_each_other():
    truth = ellipsoid()
    stack = stack_of(truth)
    propagator = ClassicalPropagator()
    propagator.open(stack, PropagationSettings())
    lanes = [*lanes_of(8, 7, 10), *lanes_of(7, 6, 9, object_id=2)]
    together = [u for u in propagator.run(lanes, {1: {8: truth[8]}, 2: {7: truth[7]}}) if u.object_id == 1]
    _, alone = propagate(stack, lanes_of(8, 7, 10), {8: truth[8]})
    assert all(np.array_equal(a.mask, b.mask) for a, b in zip(together, alone, strict=True))


def test_an_object_at_the_edge_and_of_one_pixel_is_carried():
    truth = np.zeros(SHAPE, dtype=bool)
    truth[:, 0, 0] = True
    result, _ = propagate(stack_of(truth, 200.0), lanes_of(8, 7, 9), {8: truth[8]})
    assert result[[7, 9], 0, 0].all()
    assert result[[7, 9]].sum() <= 12


@pytest.mark.parametrize(
    "prompt",
    [
        BoxPrompt((16.0, 14.0, 56.0, 46.0)),
        PointsPrompt(np.array([[36.0, 30.0], [5.0, 5.0]]), np.array([True, False]), BoxPrompt((17, 15, 55, 45))),
    ],
)
def test_a_box_is_turned_into_an_outline(prompt):
    truth = ellipsoid()
    propagator = ClassicalPropagator()
    propagator.open(stack_of(truth), PropagationSettings())
    assert dice(propagator.segment(8, prompt), truth[8]) > 0.9


def test_torch_is_not_needed():
    code = "import sys, SegmentPropagateLib.propagators.classical.engine; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
