"""Tapering and smoothing along lanes, on a double that says what it is told to."""

import numpy as np
import pytest

from SegmentPropagateLib.propagation.propagator import Lane, PropagationSettings, SliceUpdate
from SegmentPropagateLib.propagators.finishing import (
    AT_THE_END,
    CERTAIN,
    NEIGHBOR,
    OF_PAIR,
    FinishingPropagator,
    sureness,
)
from SegmentPropagateLib.volumes.cropped import Cropped
from SegmentPropagateLib.volumes.stack import ImageStack

KEY = np.array([[True, False]])
LANES = [Lane(1, (2,), (range(1, -1, -1),)), Lane(1, (2, 6), (range(3, 6),))]
GRAY = np.zeros((20, 1, 2), np.uint8)
STACK = ImageStack(GRAY, GRAY, (1.0, 1.0, 1.0))


class Says:
    """Gives each slice the logits it is told; None stands for an absent object."""

    def __init__(self, logits):
        self.info = {"model": "double"}
        self.logits, self.closed = logits, False

    def open(self, stack, settings):
        self.opened = stack, settings

    def run(self, lanes, key_masks):
        try:
            for lane in lanes:
                for index in lane.slices:
                    if index in self.logits:
                        values = self.logits[index]
                        logits = None if values is None else Cropped.of(np.array([values], np.float32))
                        mask = np.zeros((1, 2), bool) if logits is None else logits.above(0)
                        yield SliceUpdate(lane.object_id, index, mask, -1.0 if logits is None else 3.0, 0.5, logits)
        finally:
            self.closed = True


def run(logits, lanes=LANES, keys=None, excess=0.0):
    propagator = FinishingPropagator(Says(logits), excess)
    propagator.open(STACK, PropagationSettings())
    updates = propagator.run(lanes, {1: keys or {2: KEY, 6: KEY}})
    return {update.slice_index: update for update in updates}


def lowered(leg, keys=(10,), excess=0.25, given=True):
    """What is taken off the logits of a leg whose slices are all alike, so that smoothing changes nothing."""
    done = run(
        dict.fromkeys(leg, (3, 3)), [Lane(1, keys, (leg,), (leg[-1],) * given)], dict.fromkeys(keys, KEY | True), excess
    )
    unsmoothed = np.array([done[index].logits[0, 0] for index in leg])
    weights = np.eye(len(leg)) * (1 - 2 * NEIGHBOR) + (np.eye(len(leg), k=1) + np.eye(len(leg), k=-1)) * NEIGHBOR
    weights[-1, -1] += NEIGHBOR if leg[-1] + leg.step not in keys else 0
    unsmoothed[0] -= NEIGHBOR * CERTAIN
    unsmoothed[-1] -= NEIGHBOR * CERTAIN if leg[-1] + leg.step in keys else 0
    return 3 - np.linalg.solve(weights, unsmoothed)


def smoothed(before, own, after):
    return pytest.approx(own + NEIGHBOR * (before + after - 2 * own), abs=1e-5)


def test_each_slice_is_averaged_with_those_beside_it_and_keys_count_as_certain():
    done = run({1: (2, -1), 0: (1, 1), 3: (1, -3), 4: (-2, 1), 5: (4, -4)})
    assert list(done) == [1, 0, 3, 4, 5]
    assert done[1].logits[0, 0] == smoothed(CERTAIN, 2, 1)
    assert done[0].logits[0, 0] == smoothed(2, 1, 1)  # nothing beyond the end
    assert done[4].logits[0, 1] == smoothed(-3, 1, -4)
    assert done[5].logits[0, 0] == smoothed(-2, 4, CERTAIN)  # the key beyond
    for update in done.values():
        assert np.array_equal(update.mask, update.logits > 0)


def test_a_hole_on_one_slice_is_closed_by_its_neighbors():
    assert run({3: (5, -5), 4: (-0.5, 0.5), 5: (5, -5)})[4].mask.tolist() == [[True, False]]


def test_an_absent_object_stays_absent_and_its_neighbor_tapers():
    done = run({3: (1, 1), 4: None, 5: (5, 5)})
    assert not done[4].mask.any()
    assert done[4].presence < 0
    assert done[3].logits[0, 1] == smoothed(-CERTAIN, 1, -CERTAIN)


def test_a_mask_that_smoothing_empties_is_reported_as_absent():
    update = run({3: (0.2, -9), 4: None}, keys={2: ~KEY, 6: KEY})[3]
    assert not update.mask.any()
    assert update.presence < 0


def test_a_lane_that_ends_early_keeps_all_its_slices():
    assert sorted(run({1: (2, 2), 3: (1, 1), 4: (1, 1)})) == [1, 3, 4]


def test_the_expected_overlap_is_that_of_the_least_sure_slice_on_the_way_from_the_key():
    values = {3: 2.0, 4: 0.5, 5: 6.0}
    keys = {2: KEY | True, 6: KEY | True}
    done = run({index: (value, value) for index, value in values.items()}, keys=keys)
    own = {index: sureness(done[index].logits, done[index].mask) for index in values}
    assert own[4] < own[3] < own[5]
    for index, lowest in {3: own[3], 4: own[4], 5: own[4]}.items():
        assert done[index].predicted_iou == pytest.approx(OF_PAIR.of(lowest))


def test_closing_the_run_closes_the_other():
    inner = Says({1: (1, 1), 0: (1, 1)})
    updates = FinishingPropagator(inner).run(LANES, {1: {2: KEY, 6: KEY}})
    next(updates)
    updates.close()
    assert inner.closed


@pytest.mark.parametrize("leg", [range(11, 16), range(9, 4, -1)])
def test_towards_a_stated_end_less_and_less_is_believed(leg):
    values = lowered(leg)
    assert np.all(np.diff(values) > 0)
    assert values[0] == pytest.approx(0.25 + AT_THE_END / 25, abs=1e-4)
    assert values[-1] == pytest.approx(0.25 + AT_THE_END, abs=1e-4)


@pytest.mark.parametrize("leg", [range(11, 20), range(9, -1, -1)])
def test_an_object_that_the_end_of_the_volume_cuts_off_does_not_taper(leg):
    assert lowered(leg) == pytest.approx([0.25] * len(leg), abs=1e-4)


def test_an_object_whose_end_nobody_stated_does_not_taper():
    assert lowered(range(11, 16), given=False) == pytest.approx([0.25] * 5, abs=1e-4)


@pytest.mark.parametrize("leg", [range(6, 10), range(9, 5, -1)])
def test_between_two_keys_nothing_tapers(leg):
    assert lowered(leg, keys=(5, 10)) == pytest.approx([0.0] * len(leg), abs=1e-4)
