"""Nothing that an annotator drew, proposed or locked disappears without her saying so."""

import numpy as np
import pytest
from SegmentPropagateSlicer.Logic import State

from SegmentPropagateLib.errors import InputError


def paint(bench, index, rows, value=True, segmentId=None):
    """A stroke of four pixels per row; returns where it is."""
    stroke = np.zeros_like(bench.truth)
    stroke[index, rows, 0:4] = True
    mask = bench.get(segmentId)
    mask[stroke] = value
    bench.set(segmentId or bench.segment, mask)
    return stroke


# ---- painted in review without Edit slice ---------------------------------------------------------------------------


def test_what_is_painted_in_review_stays_and_the_proposal_comes_beside_it(bench):
    bench.run()
    stroke = paint(bench, 8, slice(0, 4))
    bench.logic.accept()
    assert np.array_equal(bench.get(), bench.truth | stroke)


def test_what_is_painted_during_the_run_stays(bench):
    bench.use("slow")
    bench.logic.startSession([bench.segment], 3, 8)
    bench.until(lambda: bench.logic.state == State.RUNNING)
    stroke = paint(bench, 7, slice(0, 4))
    bench.until(lambda: bench.logic.state == State.REVIEW)
    bench.logic.accept()
    assert (bench.get() & stroke).sum() == stroke.sum() == 16


def test_what_is_erased_in_review_stays_erased(bench):
    bench.run()
    bench.logic.accept()
    bench.run()
    mask, erased = bench.get(), np.zeros_like(bench.truth)
    erased[8, :, :12] = True
    bench.set(bench.segment, mask & ~erased)
    bench.logic.accept()
    assert np.array_equal(bench.get(), bench.truth & ~erased)


def test_a_stroke_survives_editing_the_slice_afterwards(bench):
    bench.run()
    stroke = paint(bench, 8, slice(0, 4))
    bench.logic.editSlice(bench.segment, 8)
    assert np.array_equal(bench.get()[8], (bench.truth | stroke)[8])
    bench.logic.accept()
    assert np.array_equal(bench.get(), bench.truth | stroke)


@pytest.mark.parametrize("edited", [False, True], ids=["painted", "edited and painted"])
def test_a_corrected_slice_is_the_proposal_with_what_was_painted(bench, edited):
    bench.run()
    if edited:
        bench.logic.editSlice(bench.segment, 8)
    stroke = paint(bench, 8, slice(0, 4))
    bench.logic.correct(bench.segment, 8)
    bench.until(lambda: bench.logic.state == State.REVIEW)
    bench.logic.accept()
    assert np.array_equal(bench.get(), bench.truth | stroke)
    assert [key.sliceIndex for key in bench.logic.keys] == [5, 8]


def test_a_painted_slice_is_locked_as_the_proposal_with_what_was_painted(bench):
    bench.run()
    stroke = paint(bench, 8, slice(0, 4))
    bench.logic.confirmSlices(bench.segment, [8])
    bench.logic.accept()
    assert np.array_equal(bench.get(), bench.truth | stroke)


def test_strokes_survive_the_correction_of_another_slice_and_another_run(bench):
    bench.run()
    stroke = paint(bench, 8, slice(0, 4)) | paint(bench, 3, slice(0, 2))
    bench.logic.editSlice(bench.segment, 6)
    bench.logic.correct(bench.segment, 6)
    bench.until(lambda: bench.logic.state == State.REVIEW)
    bench.run()
    bench.logic.accept()
    assert np.array_equal(bench.get(), bench.truth | stroke)


def test_a_slice_copied_but_not_edited_takes_what_is_proposed_anew(bench):
    stray = bench.get()
    stray[8, 0:3, 0:3] = True
    bench.set(bench.segment, stray)
    bench.run()
    bench.logic.editSlice(bench.segment, 8)
    bench.run()
    bench.logic.accept()
    assert np.array_equal(bench.get(), bench.truth)


def test_a_stroke_of_another_segment_in_review_is_not_overwritten(bench):
    other = bench.addSegment("Other")
    node = bench.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    node.SetOverwriteMode(node.OverwriteAllSegments)
    bench.logic.setSegmentEditor(node)
    bench.run()
    mask = np.zeros_like(bench.truth)
    mask[8] = bench.truth[8] & (np.indices(bench.truth[8].shape)[1] < 12)
    assert mask.any()
    bench.set(other, mask)
    bench.logic.accept()
    assert np.array_equal(bench.get(other), mask)
    assert np.array_equal(bench.get(), bench.truth & ~mask)


def test_the_key_of_another_segment_is_not_overwritten(bench):
    other = bench.addSegment("Other")
    bench.draw(other, 6)
    before = bench.get(other)
    bench.run()
    bench.logic.accept()
    assert np.array_equal(bench.get(other), before)
    assert np.array_equal(bench.get(), bench.truth & ~before)


def test_the_next_run_overwrites_again_what_was_accepted(bench):
    bench.run()
    stroke = paint(bench, 8, slice(0, 4))
    bench.logic.accept()
    assert (bench.get() & stroke).any()
    bench.run()
    bench.logic.accept()
    assert np.array_equal(bench.get(), bench.truth)


# ---- ranges of several segments -------------------------------------------------------------------------------------


def test_each_of_several_segments_stays_in_its_own_range(bench):
    other = bench.addSegment("Other")
    node = bench.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    node.SetOverwriteMode(node.OverwriteNone)
    bench.logic.setSegmentEditor(node)
    stroke = paint(bench, 9, slice(0, 4), segmentId=other)
    bench.draw(other, 6)
    bench.logic.startSession([bench.segment, other], ends={bench.segment: (2, None), other: (4, 7)})
    bench.until(lambda: bench.logic.state not in State.BUSY)
    assert bench.logic.proposed[2:] == (2, 11)
    assert [score["sliceIndex"] for score in bench.logic.reviewScores(other)] == [4, 5, 6, 7]
    bench.logic.correct(other, 6)
    bench.until(lambda: bench.logic.state not in State.BUSY)
    bench.logic.accept()
    assert np.array_equal(bench.get(other)[4:8], bench.truth[4:8])
    assert np.array_equal(np.delete(bench.get(other), range(4, 8), 0), np.delete(stroke, range(4, 8), 0))
    assert np.array_equal(bench.get()[2:], bench.truth[2:])


def test_a_key_outside_a_segments_own_range_does_not_count(bench):
    other = bench.addSegment("Other")
    bench.draw(other, 6)
    with pytest.raises(InputError, match="Segment 'Other' has no axial key slice from 7 to 9"):
        bench.logic.startSession([bench.segment, other], ends={other: (7, 9)})


# ---- proposals that wait -------------------------------------------------------------------------------------------


def test_a_run_for_another_segment_waits_for_the_review_of_the_first(bench):
    other = bench.addSegment("Other")
    bench.draw(other, 6)
    bench.run()
    with pytest.raises(InputError, match="proposal for 'Organ' waits for review: accept or discard it first"):
        bench.logic.startSession([other], 0, 11)
    assert bench.logic.state == State.REVIEW
    bench.logic.discard()
    bench.run(segmentIds=[other])
    assert bench.logic.proposed[0] == (other,)


def test_a_run_for_the_same_segment_or_for_more_replaces_its_proposal(bench):
    other = bench.addSegment("Other")
    bench.draw(other, 6)
    bench.run()
    bench.run(2, 9)
    bench.run(segmentIds=[bench.segment, other])
    assert bench.logic.proposed == ((bench.segment, other), "axial", 0, 11)


def test_a_proposal_for_a_segment_that_is_gone_keeps_nobody_waiting(bench):
    other = bench.addSegment("Other")
    bench.draw(other, 6)
    bench.run()
    bench.segmentation.GetSegmentation().RemoveSegment(bench.segment)
    bench.run(segmentIds=[other])
    assert bench.logic.proposed[0] == (other,)


@pytest.mark.parametrize("leave", ["other inputs", "image removed", "scene closed"])
def test_a_proposal_that_goes_with_its_inputs_is_said_to_be_gone(bench, leave):
    bench.run()
    said = []
    bench.logic.noticeGiven.connect(said.append)
    {
        "other inputs": lambda: bench.logic.setInputs(None, bench.segmentation),
        "image removed": lambda: bench.slicer.mrmlScene.RemoveNode(bench.volume),
        "scene closed": lambda: bench.slicer.mrmlScene.Clear(False),
    }[leave]()
    assert said == ["The proposal is gone with its image or segmentation; no segment was changed."]
