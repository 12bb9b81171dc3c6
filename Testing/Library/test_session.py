import weakref

import numpy as np
import pytest
from doubles import SignaturePropagator, ThresholdPropagator, drawn_volume

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.propagation.prompts import BoxPrompt, MaskPrompt, PointsPrompt
from SegmentPropagateLib.propagation.propagator import PropagationSettings
from SegmentPropagateLib.propagation.session import Session


def _session(propagator=None, **settings):
    volume, truth = drawn_volume()
    session = Session(propagator or ThresholdPropagator(), volume, settings=PropagationSettings(**settings))
    return session, truth


def _painted(seed):
    return MaskPrompt(np.random.default_rng(seed).random((20, 24)) > 0.7)


def _run(session, first=0, last=11):
    return list(session.propagate(first, last))


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize("pass_mode", ["independent", "coupled"])
def test_one_outlined_slice_becomes_the_drawn_object(plane, pass_mode):
    volume, truth = drawn_volume()
    session = Session(ThresholdPropagator(), volume, plane=plane, settings=PropagationSettings(pass_mode=pass_mode))
    middle = len(session.stack) // 2
    session.add_key(1, middle, MaskPrompt(np.moveaxis(truth, session.axis, 0)[middle]))
    _run(session, 0, len(session.stack) - 1)
    assert (session.mask(1) == truth).all()


def test_a_box_and_points_become_the_mask_of_the_key_slice():
    session, truth = _session()
    assert (session.add_key(1, 6, BoxPrompt((0, 0, 23, 19))) == truth[6]).all()
    assert (session.add_key(2, 5, PointsPrompt([[12, 10]], [True])) == truth[5]).all()
    assert session.results(1)[6].source == "key"


def test_slices_outside_the_range_are_never_touched():
    session, truth = _session()
    session.add_key(1, 6, MaskPrompt(truth[6]))
    updates = _run(session, 4, 7)
    assert sorted(update.slice_index for update in updates) == [4, 5, 7]
    assert session.mask(1).any(axis=(1, 2)).nonzero()[0].tolist() == [4, 5, 6, 7]


def test_a_key_slice_keeps_every_pixel_that_the_user_drew():
    session, _ = _session(SignaturePropagator())
    painted = {2: _painted(1), 6: _painted(2), 9: _painted(3)}
    for index, prompt in painted.items():
        session.add_key(1, index, prompt)
    _run(session)
    for index, prompt in painted.items():
        assert (session.mask(1)[index] == prompt.mask).all()


def test_a_corrected_slice_gives_what_a_run_from_scratch_with_both_keys_gives():
    corrected, _ = _session(SignaturePropagator())
    corrected.add_key(1, 3, _painted(1))
    _run(corrected)
    corrected.add_key(1, 8, _painted(2))
    _run(corrected)
    scratch, _ = _session(SignaturePropagator())
    scratch.add_key(1, 3, _painted(1))
    scratch.add_key(1, 8, _painted(2))
    _run(scratch)
    assert (corrected.mask(1) == scratch.mask(1)).all()


def test_a_correction_recomputes_only_the_stretch_beside_it():
    session, _ = _session(SignaturePropagator())
    session.add_key(1, 3, _painted(1))
    session.add_key(2, 5, _painted(3))
    _run(session)
    session.add_key(1, 8, _painted(2))
    recomputed = {(update.object_id, update.slice_index) for update in _run(session)}
    assert recomputed == {(1, index) for index in (4, 5, 6, 7, 9, 10, 11)}
    assert _run(session) == []


def test_painting_a_key_again_recomputes_both_of_its_sides():
    session, _ = _session(SignaturePropagator())
    for index, seed in ((2, 1), (6, 2), (10, 3)):
        session.add_key(1, index, _painted(seed))
    _run(session)
    session.add_key(1, 2, _painted(9))
    assert {update.slice_index for update in _run(session)} == {0, 1, 3, 4, 5}


@pytest.mark.parametrize("other", [(2, 8), (4, 7), (5, 11)])
def test_changing_the_range_equals_a_run_over_the_new_range(other):
    changed, _ = _session(SignaturePropagator())
    changed.add_key(1, 5, _painted(1))
    _run(changed, 4, 8)
    _run(changed, *other)
    fresh, _ = _session(SignaturePropagator())
    fresh.add_key(1, 5, _painted(1))
    _run(fresh, *other)
    inside = slice(other[0], other[1] + 1)
    assert (changed.mask(1)[inside] == fresh.mask(1)[inside]).all()
    assert _run(changed, *other) == []


@pytest.mark.parametrize("pass_mode", ["independent", "coupled"])
@pytest.mark.parametrize("cancel_after", range(11))
def test_cancelling_at_any_slice_leaves_the_previous_result_intact(cancel_after, pass_mode):
    session, _ = _session(SignaturePropagator(), pass_mode=pass_mode)
    session.add_key(1, 3, _painted(1))
    _run(session)
    session.add_key(1, 3, _painted(2))
    before = session.mask(1)
    run = session.propagate(0, 11)
    for _ in range(cancel_after):
        next(run)
    run.close()
    assert (session.mask(1) == before).all()
    fresh, _ = _session(SignaturePropagator(), pass_mode=pass_mode)
    fresh.add_key(1, 3, _painted(2))
    _run(session)
    _run(fresh)
    assert (session.mask(1) == fresh.mask(1)).all()


def test_closing_the_run_closes_the_propagator_at_once():
    propagator = ThresholdPropagator()
    session, truth = _session(propagator)
    session.add_key(1, 6, MaskPrompt(truth[6]))
    run = session.propagate(0, 11)
    next(run)
    run.close()
    assert propagator.closed
    assert len(propagator.visited) == 1


def test_a_confirmed_slice_is_never_changed_again():
    session, _ = _session(SignaturePropagator())
    session.add_key(1, 3, _painted(1))
    _run(session)
    confirmed = session.mask(1)[7]
    session.confirm(1, 7)
    session.add_key(1, 3, _painted(2))
    _run(session)
    assert (session.mask(1)[7] == confirmed).all()


def test_a_removed_key_no_longer_conditions_anything():
    session, _ = _session(SignaturePropagator())
    session.add_key(1, 3, _painted(1))
    session.add_key(1, 8, _painted(2))
    _run(session)
    session.remove_key(1, 8)
    _run(session)
    fresh, _ = _session(SignaturePropagator())
    fresh.add_key(1, 3, _painted(1))
    _run(fresh)
    assert (session.mask(1) == fresh.mask(1)).all()


def test_objects_never_share_a_voxel_and_the_surer_one_keeps_it():
    session, truth = _session()
    session.add_key(1, 6, MaskPrompt(truth[6]))
    session.add_key(2, 7, MaskPrompt(truth[7]))  # the double gives object 2 the larger logits
    _run(session)
    masks = session.masks()
    assert not (masks[1] & masks[2]).any()
    assert (masks[1][6] == truth[6]).all()  # drawn by the user
    assert (masks[2][5] == truth[5]).all()
    assert ((masks[1] | masks[2]) == truth).all()


def test_the_source_of_every_slice_is_told():
    session, truth = _session()
    session.add_key(1, 6, MaskPrompt(truth[6]))
    _run(session)
    sources = {index: result.source for index, result in session.results(1).items()}
    assert sources == {
        index: "key" if index == 6 else "propagated" if truth[index].any() else "empty" for index in range(12)
    }


class _EarlyPropagator(ThresholdPropagator):
    """Ends every lane after two slices."""

    def run(self, lanes, key_masks):
        for update in super().run(lanes, key_masks):
            if abs(update.slice_index - 6) <= 2:
                yield update


def test_a_lane_that_ends_early_leaves_the_rest_of_its_slices_empty():
    session, truth = _session()
    session.add_key(1, 6, MaskPrompt(truth[6]))
    _run(session)
    early, _ = _session(_EarlyPropagator())
    early.add_key(1, 6, MaskPrompt(truth[6]))
    _run(early)
    assert early.mask(1).any(axis=(1, 2)).nonzero()[0].tolist() == [4, 5, 6, 7, 8]
    assert early.results(1)[10].source == "empty"
    assert len(early.results(1)) == 12


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [(8, 3, "reversed"), (-1, 5, "outside"), (0, 12, "outside"), (7, 11, "leaves out the key slice")],
)
def test_a_range_that_cannot_be_is_refused_in_one_sentence(first, last, words):
    session, truth = _session()
    session.add_key(1, 6, MaskPrompt(truth[6]))
    with pytest.raises(InputError, match=words):
        session.propagate(first, last)


@pytest.mark.parametrize(
    ("prompt", "index", "words"),
    [
        (MaskPrompt(np.zeros((20, 24), bool)), 6, "empty"),
        (MaskPrompt(np.ones((5, 5), bool)), 6, "rows and columns"),
        (BoxPrompt((0, 0, 24, 19)), 6, "beyond the slice"),
        (PointsPrompt([[30, 3]], [True]), 6, "outside the slice"),
        (BoxPrompt((0, 0, 2, 2)), 6, "found no object"),
        (MaskPrompt(np.ones((20, 24), bool)), 12, "outside the volume"),
    ],
)
def test_a_prompt_that_cannot_be_is_refused_in_one_sentence(prompt, index, words):
    session, _ = _session()
    with pytest.raises(InputError, match=words):
        session.add_key(1, index, prompt)
    assert session.object_ids == ()


def test_a_run_that_goes_on_holds_no_full_logits_of_slices_it_has_passed():
    session, truth = _session()
    session.add_key(1, 6, MaskPrompt(truth[6]))
    passed = []
    for update in session.propagate():
        assert sum(logits() is not None for logits in passed) <= 1  # the slice before, which the double may still hold
        passed.append(weakref.ref(update.part.values))
    assert len(passed) == 11


def test_ends_that_several_objects_share_are_no_ones_own():
    session, truth = _session()
    session.add_key(1, 6, MaskPrompt(truth[6]))
    session.add_key(2, 4, MaskPrompt(truth[6]))
    assert {lane.given_ends for lane in session.plan(2, 11)} == {()}


def test_an_end_that_is_named_reaches_the_lanes_and_one_left_open_does_not():
    session, truth = _session()
    session.add_key(1, 6, MaskPrompt(truth[6]))
    assert session.ends(2) == (2, 11)
    assert [lane.given_ends for lane in session.plan(2, 11)] == [(2,), (11,)]
    assert [lane.given_ends for lane in session.plan(2)] == [(2,), ()]
    assert [lane.given_ends for lane in session.plan()] == [(), ()]
    _run(session, 2, None)
    assert [lane.slices[-1] for lane in session.plan(2, 11)] == [11]  # what the user now states changes that way alone


def test_propagating_without_any_key_says_what_to_do():
    session, _ = _session()
    with pytest.raises(InputError, match="outline or box the object"):
        session.propagate(0, 3)
