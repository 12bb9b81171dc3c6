"""What a session knows of an object beside its prompt: the same object on other slices, and other finished objects."""

import numpy as np
import pytest
from doubles import ThresholdPropagator, drawn_volume
from test_gray_tuning import BOX, CLICK, ONE_HALF, WHOLE, halves, stack_of
from test_prompted import MIDDLE, SHAPE, ellipse, points

from SegmentPropagateLib.propagation.prompts import BoxPrompt, Known, MaskPrompt
from SegmentPropagateLib.propagation.propagator import Lane, PropagationSettings
from SegmentPropagateLib.propagation.session import Session
from SegmentPropagateLib.propagators.classical.engine import ClassicalPropagator
from SegmentPropagateLib.reports.metrics import dice


@pytest.fixture(scope="module")
def propagator():
    propagator = ClassicalPropagator()
    propagator.open(stack_of(halves(3)), PropagationSettings())
    return propagator


def test_an_outline_on_another_slice_tells_what_a_box_means(propagator):
    alone = dice(propagator.segment(2, BOX), WHOLE)
    assert dice(propagator.segment(2, BOX, Known({0: WHOLE})), WHOLE) > alone + 0.05


def test_an_outline_by_which_its_own_slice_is_found_less_well_is_not_heard(propagator, monkeypatch):
    def worse_with(image, spacing, prompt, grays=None):
        return WHOLE if grays is None else ONE_HALF

    monkeypatch.setattr("SegmentPropagateLib.propagators.prompted.known.outline", worse_with)
    assert np.array_equal(propagator.segment(2, BOX, Known({1: WHOLE})), propagator.segment(2, BOX))


def test_an_outline_of_the_slice_itself_and_an_empty_one_take_no_part(propagator):
    useless = Known({2: WHOLE, 1: np.zeros(SHAPE, bool)})
    assert np.array_equal(propagator.segment(2, CLICK, useless), propagator.segment(2, CLICK))


def test_a_changed_outline_is_learned_anew(propagator):
    before = propagator.segment(2, CLICK, Known({0: ONE_HALF}))
    propagator.segment(2, CLICK, Known({0: WHOLE}))
    assert np.array_equal(propagator.segment(2, CLICK, Known({0: ONE_HALF})), before)


def test_what_an_outline_tells_is_learned_while_nobody_waits(monkeypatch):
    propagator = ClassicalPropagator()
    propagator.open(stack_of(halves(3)), PropagationSettings())
    for _ in propagator.get_ahead([Lane(1, (0,), (range(1, 2),))], {1: {0: ONE_HALF}}):
        pass
    monkeypatch.setattr("SegmentPropagateLib.propagators.prompted.known.outline", None)  # what takes the time
    for prompt in (BOX, CLICK):
        assert propagator.segment(2, prompt, Known({0: ONE_HALF})).any()


@pytest.mark.parametrize("prompt", [BOX, CLICK], ids=["box", "click"])
def test_a_finished_object_is_left_out(propagator, prompt):
    other = ellipse() & (np.arange(SHAPE[1]) < MIDDLE[0] - 8)
    found = propagator.segment(2, prompt, Known({}, (other,)))
    assert found.any()
    assert not (found & other).any()


@pytest.mark.parametrize("prompt", [BOX, CLICK], ids=["box", "click"])
def test_a_finished_object_that_the_prompt_lies_in_is_no_border(propagator, prompt):
    around = np.ones(SHAPE, bool)
    assert np.array_equal(propagator.segment(2, prompt, Known({}, (around,))), propagator.segment(2, prompt))


def test_a_click_on_a_finished_object_means_it(propagator):
    both = points((MIDDLE[0] - 12, MIDDLE[1], True), (MIDDLE[0] + 12, MIDDLE[1], True))
    other = WHOLE & (np.arange(SHAPE[1]) < MIDDLE[0] - 8)
    assert np.array_equal(propagator.segment(2, both, Known({}, (other,))), propagator.segment(2, both))


def test_a_box_on_another_slice_of_an_object_hears_of_its_keys():
    heard = []

    class Listening(ThresholdPropagator):
        def segment(self, slice_index, prompt, known=None):
            heard.append(known)
            return super().segment(slice_index, prompt)

    volume, mask = drawn_volume()
    session = Session(Listening(), volume)
    session.add_key(1, 5, MaskPrompt(mask[5]))
    session.add_key(2, 4, MaskPrompt(mask[4]))
    session.add_key(1, 7, BoxPrompt((0, 0, 23, 19)))
    assert [*heard[0].outlines] == [5]
    assert np.array_equal(heard[0].outlines[5], mask[5])
    assert not heard[0].others  # a key of another object may itself be a guess
