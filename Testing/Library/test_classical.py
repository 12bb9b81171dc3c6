"""The propagator without a network, on drawn objects."""

import subprocess
import sys

import numpy as np
import pytest

from SegmentPropagateLib.classical import ClassicalPropagator
from SegmentPropagateLib.prompts import BoxPrompt, PointsPrompt
from SegmentPropagateLib.propagator import ImageStack, Lane, PropagationSettings

SHAPE = (24, 64, 72)
SPACING_MM = (2.0, 1.0, 1.0)


def grid():
    return np.mgrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]].astype(float)


def ellipsoid():
    """Slices 4..20, largest at 12."""
    z, y, x = grid()
    return ((z - 12) / 8.5) ** 2 + ((y - 30) / 13) ** 2 + ((x - 36) / 17) ** 2 <= 1


def tube(first=4, last=18):
    """A slanting tube with blunt ends."""
    z, y, x = grid()
    return ((y - 24 - z) ** 2 + (x - 30 - 0.5 * z) ** 2 <= 64) & (z >= first) & (z <= last)


def stack_of(mask, contrast=80.0):
    noise = np.random.default_rng(0).normal(0, 8, SHAPE)
    _, y, _ = grid()
    values = 100 + 0.3 * y + contrast * mask + noise
    return ImageStack(values.astype(np.float32), np.zeros(SHAPE, dtype=np.uint8), SPACING_MM)


def lanes_of(key, first=0, last=SHAPE[0] - 1, object_id=1):
    legs = range(key - 1, first - 1, -1), range(key + 1, last + 1)
    return [Lane(object_id, (key,), (leg,)) for leg in legs if leg]


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


@pytest.mark.parametrize(("draw", "least"), [(ellipsoid, 0.9), (tube, 0.9)])
def test_a_clear_object_is_found_on_every_slice(draw, least):
    truth = draw()
    result, _ = propagate(stack_of(truth), lanes_of(12), {12: truth[12]})
    assert dice(result, truth) > least


def test_the_mask_stops_where_a_tube_ends_bluntly():
    truth = tube()
    result, updates = propagate(stack_of(truth), lanes_of(12), {12: truth[12]})
    assert not result[:3].any()
    assert not result[20:].any()
    assert all(update.presence <= 0 for update in updates if update.slice_index < 3)
    assert all(update.presence > 0 for update in updates if 6 <= update.slice_index <= 16)


def test_every_lane_gets_one_update_per_slice_and_lanes_take_turns():
    truth = ellipsoid()
    lanes = lanes_of(12, 9, 16)
    _, updates = propagate(stack_of(truth), lanes, {12: truth[12]})
    assert [update.slice_index for update in updates] == [11, 13, 10, 14, 9, 15, 16]
    assert all(update.logits.dtype == np.float32 for update in updates)
    assert all(np.array_equal(update.logits > 0, update.mask) for update in updates)


def test_flipping_the_stack_flips_the_result():
    truth = tube()
    stack = stack_of(truth)
    flipped = ImageStack(stack.values[::-1], stack.gray[::-1], stack.spacing_mm)
    result, _ = propagate(stack, lanes_of(12), {12: truth[12]})
    mirrored, _ = propagate(flipped, lanes_of(SHAPE[0] - 13), {SHAPE[0] - 13: truth[12]})
    assert np.array_equal(result, mirrored[::-1])


def test_two_runs_give_the_same_bits():
    truth = ellipsoid()
    runs = [propagate(stack_of(truth), lanes_of(12, 8, 16), {12: truth[12]})[1] for _ in range(2)]
    assert all(np.array_equal(a.logits, b.logits) for a, b in zip(*runs, strict=True))


def test_between_two_keys_the_far_key_has_its_say():
    truth = tube()
    wide = truth[16] | np.roll(truth[16], 5, axis=1)  # the annotator wants more of it on slice 16
    stack = stack_of(truth)
    lanes = [Lane(1, (8, 16), (range(9, 13),)), Lane(1, (8, 16), (range(15, 12, -1),))]
    both, updates = propagate(stack, lanes, {8: truth[8], 16: wide})
    alone, _ = propagate(stack, [Lane(1, (8,), (range(9, 16),))], {8: truth[8]})
    assert sorted(update.slice_index for update in updates) == list(range(9, 16))
    assert both[15].sum() > 1.15 * alone[15].sum()
    assert dice(both[9], truth[9]) > 0.9


def test_a_coupled_lane_fills_both_legs():
    truth = ellipsoid()
    lane = Lane(1, (12,), (range(13, 18), range(11, 6, -1)))
    result, updates = propagate(stack_of(truth), [lane], {12: truth[12]})
    assert [update.slice_index for update in updates] == list(lane.slices)
    assert dice(result[7:18], truth[7:18]) > 0.9


def test_a_lane_that_stops_early_gives_empty_masks_for_the_rest():
    truth = tube(8, 14)
    settings = PropagationSettings(stop_after_empty=1)
    _, updates = propagate(stack_of(truth), lanes_of(12), {12: truth[12]}, settings)
    assert len(updates) == SHAPE[0] - 1
    assert not any(update.mask.any() for update in updates if update.slice_index > 16)


def test_closing_the_run_cancels_it():
    truth = ellipsoid()
    propagator = ClassicalPropagator()
    propagator.open(stack_of(truth), PropagationSettings())
    run = propagator.run(lanes_of(12), {1: {12: truth[12]}})
    next(run)
    run.close()
    assert list(run) == []


def test_several_objects_do_not_disturb_each_other():
    truth = ellipsoid()
    stack = stack_of(truth)
    propagator = ClassicalPropagator()
    propagator.open(stack, PropagationSettings())
    lanes = [*lanes_of(12, 10, 14), *lanes_of(11, 10, 14, object_id=2)]
    together = [u for u in propagator.run(lanes, {1: {12: truth[12]}, 2: {11: truth[11]}}) if u.object_id == 1]
    _, alone = propagate(stack, lanes_of(12, 10, 14), {12: truth[12]})
    assert all(np.array_equal(a.mask, b.mask) for a, b in zip(together, alone, strict=True))


def test_an_object_at_the_edge_and_of_one_pixel_is_carried():
    truth = np.zeros(SHAPE, dtype=bool)
    truth[:, 0, 0] = True
    result, _ = propagate(stack_of(truth, 200.0), lanes_of(12, 11, 13), {12: truth[12]})
    assert result.shape == SHAPE


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
    assert dice(propagator.segment(12, prompt), truth[12]) > 0.9


def test_torch_is_not_needed():
    code = "import sys, SegmentPropagateLib.classical; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
