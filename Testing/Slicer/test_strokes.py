"""Corrections by drawing straight on the proposal, in any view: lent, taken, undone, discarded, queued."""

import numpy as np
import pytest
from SegmentPropagateSlicer.Logic import State

KEY, SLICE = 5, 8


@pytest.fixture
def reviewed(bench):
    """A proposal, and the Segment Editor's undo history."""
    history = bench.history = bench.slicer.vtkSegmentationHistory()
    history.SetSegmentation(bench.segmentation.GetSegmentation())
    bench.logic.setSegmentEditor(None, history.SaveState)
    bench.run()
    return bench


def draw(bench, where, value, segmentId=None):
    """A stroke as the Segment Editor does it: the state is kept for undo, then voxels change."""
    bench.history.SaveState()
    mask = bench.get(segmentId)
    mask[where] = value
    bench.set(segmentId or bench.segment, mask)


def take(bench):
    """The stroke has ended; returns whether anything was computed."""
    began = bench.logic.takeStrokes()
    bench.until(lambda: bench.logic.state not in State.BUSY)
    return began


def keys(bench):
    return [(key.sliceIndex, key.confirmed) for key in bench.logic.keys]


def corner(index):
    """Four voxels beside the object."""
    return np.s_[index, 0:2, 0:2]


def test_what_is_painted_on_the_proposal_is_a_key_and_only_its_stretch_is_computed(reviewed):
    asked = len(reviewed.process.requests)
    draw(reviewed, corner(SLICE), True)
    assert take(reviewed)
    assert keys(reviewed) == [(KEY, False), (SLICE, False)]
    assert len(reviewed.process.requests) == asked + 1
    assert not take(reviewed)  # once is enough
    expected = reviewed.truth.copy()
    expected[corner(SLICE)] = True
    reviewed.logic.accept()
    assert np.array_equal(reviewed.get(), expected)


def test_strokes_are_looked_for_a_piece_at_a_time_and_what_is_drawn_between_two_counts(reviewed):
    draw(reviewed, corner(SLICE), True)
    pieces = [reviewed.logic.takeStrokes(0) for _time in range(3)]
    draw(reviewed, corner(SLICE + 2), True)
    while pieces[-1] is None:
        pieces.append(reviewed.logic.takeStrokes(0))
    assert pieces[:3] == [None] * 3
    assert pieces[-1]
    assert keys(reviewed) == [(KEY, False), (SLICE, False), (SLICE + 2, False)]


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_the_eraser_takes_voxels_of_the_proposal_in_any_view(reviewed, plane):
    number = {"axial": SLICE, "coronal": 8, "sagittal": 12}[plane]
    reviewed.logic.lend(reviewed.segment, number, plane)
    erased = np.zeros_like(reviewed.truth)
    erased[SLICE, 8, 12] = True
    assert (reviewed.get() & erased).any(), "nothing was lent where she erases"
    draw(reviewed, erased, False)
    assert take(reviewed)
    assert keys(reviewed) == [(KEY, False), (SLICE, False)]
    reviewed.logic.accept()
    assert np.array_equal(reviewed.get(), reviewed.truth & ~erased)


@pytest.mark.parametrize("end", ["accept", "discard", "give back", "leave"])
def test_what_is_lent_and_not_drawn_upon_leaves_no_trace(reviewed, end):
    before = reviewed.fingerprint()
    for number, plane in ((SLICE, "axial"), (8, "coronal"), (3, "axial"), (KEY, "axial")):
        reviewed.logic.lend(reviewed.segment, number, plane)
    assert reviewed.fingerprint() != before
    assert not take(reviewed)
    assert keys(reviewed) == [(KEY, False)]
    if end == "accept":
        reviewed.logic.accept()
        assert np.array_equal(reviewed.get(), reviewed.truth)
        reviewed.history.RestorePreviousState()
    else:
        {
            "discard": reviewed.logic.discard,
            "give back": reviewed.logic.giveBackLent,
            "leave": lambda: reviewed.logic.setInputs(None, None),
        }[end]()
    assert reviewed.fingerprint() == before


def test_undo_takes_a_stroke_and_its_correction_back_and_redo_brings_them_again(reviewed):
    reviewed.logic.lend(reviewed.segment, SLICE, "axial")
    draw(reviewed, np.s_[SLICE, 8:10, 10:14], False)
    assert take(reviewed)
    erased = reviewed.get()
    reviewed.history.RestorePreviousState()
    assert take(reviewed)
    assert keys(reviewed) == [(KEY, False)]
    reviewed.history.RestoreNextState()
    assert take(reviewed)
    assert keys(reviewed) == [(KEY, False), (SLICE, False)]
    assert np.array_equal(reviewed.get(), erased)
    reviewed.history.RestorePreviousState()
    take(reviewed)
    reviewed.logic.accept()
    assert np.array_equal(reviewed.get(), reviewed.truth)


def test_a_second_stroke_on_a_slice_is_another_correction_and_undo_goes_back_one_by_one(reviewed):
    draw(reviewed, corner(SLICE), True)
    take(reviewed)
    draw(reviewed, np.s_[SLICE, -1, -1], True)
    assert take(reviewed)
    reviewed.history.RestorePreviousState()
    assert take(reviewed)
    expected = reviewed.truth.copy()
    expected[corner(SLICE)] = True
    reviewed.logic.accept()
    assert np.array_equal(reviewed.get(), expected)


def test_a_slice_erased_whole_is_locked_as_empty_until_something_is_drawn_there(reviewed):
    reviewed.logic.lend(reviewed.segment, SLICE, "axial")
    draw(reviewed, np.s_[SLICE], False)
    take(reviewed)
    assert keys(reviewed) == [(KEY, False), (SLICE, True)]
    assert not reviewed.get()[SLICE].any()
    draw(reviewed, corner(SLICE), True)
    assert take(reviewed)
    assert keys(reviewed) == [(KEY, False), (SLICE, False)]


def test_discard_keeps_what_was_painted_and_takes_back_the_rest(reviewed):
    before = reviewed.get()
    reviewed.logic.lend(reviewed.segment, SLICE, "axial")
    draw(reviewed, np.s_[SLICE, 8:10, 10:14], False)
    draw(reviewed, corner(SLICE), True)
    take(reviewed)
    reviewed.logic.discard()
    before[corner(SLICE)] = True
    assert np.array_equal(reviewed.get(), before)
    assert keys(reviewed) == [(KEY, False)]


def test_a_stroke_while_a_correction_is_computed_is_kept_and_taken_afterwards(reviewed):
    reviewed.use("slow")
    reviewed.run()
    draw(reviewed, corner(SLICE), True)
    assert reviewed.logic.takeStrokes()
    reviewed.until(lambda: reviewed.logic.state == State.RUNNING)
    reviewed.logic.lend(reviewed.segment, 3, "axial")
    draw(reviewed, corner(3), True)
    reviewed.until(lambda: reviewed.logic.state == State.REVIEW)
    assert take(reviewed)
    assert [index for index, _locked in keys(reviewed)] == [3, KEY, SLICE]
    expected = reviewed.truth.copy()
    expected[corner(SLICE)] = expected[corner(3)] = True
    reviewed.logic.accept()
    assert np.array_equal(reviewed.get(), expected)


def test_a_cancelled_correction_loses_no_stroke(reviewed):
    reviewed.use("slow")
    reviewed.run()
    draw(reviewed, corner(SLICE), True)
    reviewed.logic.takeStrokes()
    reviewed.until(lambda: reviewed.logic.state == State.RUNNING)
    reviewed.logic.cancel()
    reviewed.until(lambda: reviewed.logic.state == State.REVIEW)
    expected = reviewed.truth.copy()
    expected[corner(SLICE)] = True
    reviewed.logic.accept()
    assert np.array_equal(reviewed.get(), expected)


def test_a_locked_slice_and_one_outside_the_range_are_no_corrections(bench):
    bench.history = bench.slicer.vtkSegmentationHistory()
    bench.history.SetSegmentation(bench.segmentation.GetSegmentation())
    bench.run(3, 9)
    bench.logic.confirmSlices(bench.segment, [7])
    draw(bench, corner(7), True)
    draw(bench, corner(10), True)
    assert not take(bench)
    assert keys(bench) == [(KEY, False), (7, True)]
    bench.logic.accept()
    assert bench.get()[corner(7)].all()
    assert bench.get()[corner(10)].all()


def test_what_another_segment_holds_is_not_lent_over(reviewed):
    other = np.zeros_like(reviewed.truth)
    other[SLICE, 6:10, 10:14] = True
    otherId = reviewed.addSegment("Other", other)
    reviewed.logic.lend(reviewed.segment, SLICE, "axial")
    assert np.array_equal(reviewed.get(otherId), other)
    assert np.array_equal(reviewed.get()[SLICE], (reviewed.truth & ~other)[SLICE])


def test_a_prompt_used_in_review_is_a_correction_and_undo_takes_it_back(reviewed):
    reviewed.logic.previewPrompt(reviewed.segment, SLICE, boxRas=[(-10, 20, 30), (10, 40, 32)])
    reviewed.until(lambda: reviewed.logic.previewed is not None)
    reviewed.logic.usePreview()
    take(reviewed)
    assert [index for index, _locked in keys(reviewed)] == [KEY, SLICE]
    reviewed.history.RestorePreviousState()
    take(reviewed)
    assert keys(reviewed) == [(KEY, False)]
