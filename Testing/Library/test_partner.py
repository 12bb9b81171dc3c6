"""Averaging a network with the classical propagator, on two doubles that say what they are told to."""

import threading
from contextlib import contextmanager

import numpy as np
import pytest

from SegmentPropagateLib.propagation.prompts import BoxPrompt
from SegmentPropagateLib.propagation.propagator import Lane, PropagationSettings, SliceUpdate
from SegmentPropagateLib.propagators.classical.carrier import ABSENT
from SegmentPropagateLib.propagators.partner import PartnerPropagator
from SegmentPropagateLib.volumes.cropped import Cropped
from SegmentPropagateLib.volumes.stack import ImageStack

KEY = np.ones((1, 4), dtype=bool)
LANES = [Lane(1, (2,), (range(1, -1, -1),)), Lane(1, (2,), (range(3, 5),))]


class Says:
    """Gives the same logits and presence on every slice; `order` sorts the updates."""

    def __init__(self, logits, presence=3.0, order=1, iou=0.7):
        self.info = {"model": "double", "family": "drawn"}
        self.logits, self.presence, self.order = np.array([logits], dtype=np.float32), presence, order
        self.opened, self.closed, self.iou = None, False, iou

    def open(self, stack, settings):
        self.opened = stack, settings

    def segment(self, slice_index, prompt, known=None):
        return self.logits > 0

    def run(self, lanes, key_masks):
        try:
            for index in sorted((index for lane in lanes for index in lane.slices), key=lambda i: self.order * i):
                mask = self.logits > 0 if self.presence > 0 else np.zeros((1, 4), dtype=bool)
                yield SliceUpdate(1, index, mask, self.presence, self.iou, Cropped.of(self.logits))
        finally:
            self.closed = True


def run(network, partner):
    return list(PartnerPropagator(network, partner).run(LANES, {1: {2: KEY}}))


def test_the_mask_is_where_the_mean_of_both_is_above_one_half():
    updates = run(Says([4, 0.5, -4, -1]), Says([4, -4, 1, 5]))
    assert [update.slice_index for update in updates] == [0, 1, 3, 4]
    for update in updates:
        assert update.mask.tolist() == [[True, False, False, True]]
        assert np.array_equal(update.logits > 0, update.mask)
        assert update.presence > 0


def test_where_both_are_sure_and_disagree_the_partner_wins():
    for update in run(Says([-9, 9, 9, -9]), Says([9, -9, 9, -9])):
        assert update.mask.tolist() == [[True, False, True, False]]


def test_where_the_partner_doubts_itself_the_network_wins():
    for update in run(Says([-9, 9, 9, -9]), Says([9, -9, 9, -9], iou=0.1)):
        assert update.mask.tolist() == [[False, True, True, False]]


def test_updates_are_paired_by_slice_whatever_the_order():
    updates = run(Says([1, 1, -1, -1], order=-1), Says([1, -1, 1, -1]))
    assert [update.slice_index for update in updates] == [4, 3, 1, 0]


def test_the_partner_decides_that_the_object_has_ended():
    assert not any(update.mask.any() for update in run(Says([9, 9, 9, 9]), Says([9, 9, 9, 9], presence=-1.0)))


def test_a_network_that_sees_nothing_is_overruled_where_the_partner_is_sure():
    for update in run(Says([-9, -9, -9, -9], presence=-2.0), Says([9, 3, 1, -2])):
        assert update.mask.tolist() == [[True, True, False, False]]
        assert update.presence > 0


def test_closing_the_run_closes_both():
    network, partner = Says([1, 1, 1, 1]), Says([1, 1, 1, 1])
    updates = PartnerPropagator(network, partner).run(LANES, {1: {2: KEY}})
    next(updates)
    updates.close()
    assert network.closed
    assert partner.closed


def test_what_is_to_hold_meanwhile_holds_until_both_are_closed():
    held = []

    @contextmanager
    def beside():
        held.append("begun")
        try:
            yield
        finally:
            held.append(network.closed and partner.closed)

    network, partner = Says([1, 1, 1, 1]), Says([1, 1, 1, 1])
    updates = PartnerPropagator(network, partner, beside).run(LANES, {1: {2: KEY}})
    next(updates)
    assert held == ["begun"]
    updates.close()
    assert held == ["begun", True]


@pytest.mark.parametrize("stuck", [0, 1])
def test_one_that_fails_to_close_does_not_keep_the_other_open(stuck):
    class Stuck(Says):
        def run(self, lanes, key_masks):
            try:
                yield from super().run(lanes, key_masks)
            finally:
                raise OSError("stuck")

    both = [Says([1, 1, 1, 1]), Says([1, 1, 1, 1])]
    other = both[1 - stuck]
    both[stuck] = Stuck([1, 1, 1, 1])
    updates = PartnerPropagator(*both).run(LANES, {1: {2: KEY}})
    next(updates)
    with pytest.raises(OSError, match="stuck"):
        updates.close()
    assert other.closed


class Ends(Says):
    """Says the same until a slice on which the object has ended."""

    def __init__(self, logits, last):
        super().__init__(logits)
        self.last = last

    def run(self, lanes, key_masks):
        for update in super().run(lanes, key_masks):
            gone = update.slice_index > self.last
            yield SliceUpdate(1, update.slice_index, update.mask & (not gone), ABSENT if gone else 3.0, 0.7)


class Tracks(Says):
    """Looks at slices as long as it is not told to leave their lane."""

    def __init__(self, logits):
        super().__init__(logits)
        self.looked, self.left = [], []

    def leave(self, lane):
        self.left.append(lane)

    def run(self, lanes, key_masks):
        for update in super().run(lanes, key_masks):
            if not any(update.slice_index in lane.slices for lane in self.left):
                self.looked.append(update.slice_index)
                yield update


@pytest.mark.parametrize(
    ("keys", "leg", "looked"),
    [
        pytest.param((2,), range(3, 8), [3, 4, 5], id="the network looks once more, and not at the rest"),
        pytest.param((2, 8), range(3, 8), [3, 4, 5, 6, 7], id="an object may come back before the next key"),
    ],
)
def test_beyond_an_object_s_end_the_network_need_not_look(keys, leg, looked):
    network = Tracks([1, 1, -1, -1])
    lanes = [Lane(1, keys, (leg,))]
    updates = list(PartnerPropagator(network, Ends([1, 1, -1, -1], 4)).run(lanes, {1: {2: KEY}}))
    assert network.looked == looked
    plain = list(PartnerPropagator(Says([1, 1, -1, -1]), Ends([1, 1, -1, -1], 4)).run(lanes, {1: {2: KEY}}))
    assert [update.slice_index for update in updates] == [3, 4, 5, 6, 7]
    for update, other in zip(updates, plain, strict=True):
        assert (update.slice_index, update.presence) == (other.slice_index, other.presence)
        assert np.array_equal(update.mask, other.mask)


class InOrder(Says):
    """Speaks of slices in the order that it is given, and waits before one of them until it is let on."""

    def __init__(self, order, waits_before=None):
        super().__init__([1, 1, -1, -1])
        self.order, self.waits_before, self.go_on, self.said = order, waits_before, threading.Event(), []

    def run(self, lanes, key_masks):
        said = {update.slice_index: update for update in super().run(lanes, key_masks)}
        for index in self.order:
            if index == self.waits_before:
                assert self.go_on.wait(10)
            self.said.append(index)
            yield said[index]


BETWEEN_AND_BEYOND = [Lane(1, (2, 5), (range(3, 5),)), Lane(1, (5,), (range(6, 8),))]


def test_a_slice_of_which_both_have_spoken_waits_for_no_other_lane():
    network, partner = InOrder([3, 6, 4, 7]), InOrder([6, 7, 3, 4], waits_before=3)
    updates = PartnerPropagator(network, partner).run(BETWEEN_AND_BEYOND, {1: {2: KEY, 5: KEY}})
    assert next(updates).slice_index == 6
    assert network.said == [3, 6]
    partner.go_on.set()
    rest = [update.slice_index for update in updates]
    assert sorted(rest) == [3, 4, 7]
    assert rest.index(3) < rest.index(4)


def test_a_network_holds_no_more_than_agreed_for_a_partner_that_is_behind(monkeypatch):
    monkeypatch.setattr("SegmentPropagateLib.propagators.partner.MOST_HELD", 0)
    network, partner = InOrder([3, 6, 4, 7]), InOrder([6, 7, 3, 4])
    updates = PartnerPropagator(network, partner).run(BETWEEN_AND_BEYOND, {1: {2: KEY, 5: KEY}})
    assert next(updates).slice_index == 3
    assert network.said == [3]
    assert sorted(update.slice_index for update in updates) == [4, 6, 7]


def test_both_get_the_stack_and_the_partner_answers_prompts():
    network, partner = Says([-1, -1, -1, -1]), Says([1, -1, 1, 1])
    both = PartnerPropagator(network, partner)
    gray = np.zeros((5, 1, 4), dtype=np.uint8)
    stack, settings = ImageStack(gray, gray, (1.0, 1.0, 1.0)), PropagationSettings()
    both.open(stack, settings)
    assert network.opened == partner.opened == (stack, settings)
    assert both.segment(2, BoxPrompt((0, 0, 3, 0))).tolist() == [[True, False, True, True]]
    assert both.info["partner"] == "double"
