"""A locked slice is never changed again, whatever is propagated, corrected or accepted later."""

import numpy as np
import pytest
from SegmentPropagateSlicer.Logic import State
from SegmentPropagateSlicer.Scene.Labelmaps import arrayOf

from SegmentPropagateLib.errors import InputError


@pytest.fixture
def locked(bench):
    """An accepted segment whose slice 8 was repainted, with a hole, and then locked."""
    bench.run()
    bench.logic.accept()
    mask = bench.get()
    mask[8, :, ::2] = False
    mask[8, 0, 0] = True
    bench.set(bench.segment, mask)
    bench.logic.confirmSlices(bench.segment, [8])
    return bench


def keysOf(bench):
    return [(key.plane, key.sliceIndex, key.confirmed) for key in bench.logic.keys]


def test_a_slice_locked_on_an_accepted_segment_survives_the_next_run(locked):
    before = locked.get()
    assert keysOf(locked) == [("axial", 5, False), ("axial", 8, True)]
    locked.run()
    assert next(s for s in locked.logic.reviewScores(locked.segment) if s["sliceIndex"] == 8)["confirmed"]
    locked.logic.accept()
    assert np.array_equal(locked.get()[8], before[8])


def test_a_locked_slice_survives_the_correction_of_another(locked):
    before = locked.get()
    locked.run()
    locked.logic.editSlice(locked.segment, 7)
    locked.logic.correct(locked.segment, 7)
    locked.until(lambda: locked.logic.state == State.REVIEW)
    locked.logic.accept()
    assert np.array_equal(locked.get()[8], before[8])


def test_a_locked_slice_survives_a_run_along_another_plane(locked):
    before = locked.get()
    rest = before.copy()
    rest[[6, 9]] = False
    locked.set(locked.segment, rest)
    locked.use(plane="coronal")
    locked.draw(locked.segment, 9, "coronal")
    shown = locked.get()
    locked.run()
    locked.logic.accept()
    after = locked.get()
    assert np.array_equal(after[8], shown[8])
    assert np.array_equal(after[[6, 9]], locked.truth[[6, 9]])


def test_a_locked_slice_survives_another_segment_that_overwrites(locked):
    before, other = locked.get(), locked.addSegment("Other")
    node = locked.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    node.SetOverwriteMode(node.OverwriteAllSegments)
    locked.logic.setSegmentEditor(node)
    locked.draw(other, 6)
    locked.run(4, 9, [other])
    locked.logic.accept()
    after = locked.get()
    assert np.array_equal(after[8], before[8])
    assert not after[7].any()  # not locked: it gave way
    assert np.array_equal(locked.get(other)[8], locked.truth[8] & ~before[8])


def test_a_locked_slice_survives_a_segment_with_another_grid(slicer, locked):
    """The other segment's labelmap is finer: the lock is found in its own grid."""
    before, other = locked.get(), locked.addSegment("Other")
    fine = slicer.vtkOrientedImageData()
    matrix = slicer.util.vtkMatrixFromArray(
        np.array([[0.75, 0, 0, -20.375], [0, 0.75, 0, 14.625], [0, 0, 1.5, 6.25], [0, 0, 0, 1]])
    )
    mask = np.repeat(np.repeat(np.repeat(locked.truth, 2, 0), 2, 1), 2, 2)
    mask[np.arange(len(mask)) // 2 != 6] = False
    fine.SetDimensions(*mask.shape[::-1])
    fine.AllocateScalars(3, 1)  # VTK_UNSIGNED_CHAR
    arrayOf(fine)[...] = mask
    fine.SetImageToWorldMatrix(matrix)
    segment = locked.segmentation.GetSegmentation().GetSegment(other)
    segment.AddRepresentation(slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName(), fine)
    segment.SetLabelValue(1)
    locked.logic.addKey(other, 6)
    locked.run(5, 9, [other])
    assert locked.logic.accept()[other] > 0
    assert np.array_equal(locked.get()[8], before[8])


def test_a_locked_slice_can_be_edited_only_after_unlocking(locked):
    locked.run()
    with pytest.raises(InputError, match="Slice 8 is locked: unlock it"):
        locked.logic.correct(locked.segment, 8)
    locked.logic.confirmSlices(locked.segment, [7])
    with pytest.raises(InputError, match="Slice 7 is locked: unlock it"):
        locked.logic.editSlice(locked.segment, 7)
    with pytest.raises(InputError, match="Slice 7 is locked: unlock it"):
        locked.logic.previewPrompt(locked.segment, 7, boxRas=[[0, 0, 0], [9, 9, 9]])
    locked.logic.confirmSlices(locked.segment, [7], confirmed=False)
    locked.logic.editSlice(locked.segment, 7)


def test_a_slice_locked_as_empty_is_proposed_as_empty(bench):
    bench.logic.confirmSlices(bench.segment, [8])
    bench.run()
    found = {score["sliceIndex"]: score for score in bench.logic.reviewScores(bench.segment)}
    assert (found[8]["source"], found[8]["confirmed"]) == ("empty", True)
    assert found[7]["source"] == "propagated"
    bench.logic.accept()
    assert not bench.get()[8].any()


def test_slices_of_the_view_are_locked_whatever_plane_was_propagated_last(locked):
    locked.logic.confirmSlices(locked.segment, [9], plane="coronal")
    assert ("coronal", 9, True) in keysOf(locked)
    locked.logic.confirmSlices(locked.segment, [9], confirmed=False, plane="coronal")
    assert ("coronal", 9, False) in keysOf(locked)  # what is drawn there can still be a key


def test_a_script_that_names_its_keys_keeps_the_locks(locked):
    before = locked.get()
    locked.logic.propagate(locked.volume, locked.segmentation, [locked.segment], [5], model="threshold")
    assert np.array_equal(locked.get()[8], before[8])
    assert ("axial", 8, True) in keysOf(locked)


# ---- slices drawn upon in review -----------------------------------------------------------------------------------


def test_accept_keeps_what_was_painted_on_a_slice_that_was_edited_but_not_corrected(bench):
    bench.run()
    bench.logic.editSlice(bench.segment, 8)
    bench.logic.editSlice(bench.segment, 9)
    mask = bench.get()
    mask[8, 0, 0:3] = True
    bench.set(bench.segment, mask)
    bench.logic.accept()
    assert np.array_equal(bench.get()[8], mask[8])
    assert np.array_equal(bench.get()[9], bench.truth[9])


def test_a_slice_that_was_edited_is_locked_as_it_was_painted(bench):
    bench.run()
    bench.logic.editSlice(bench.segment, 8)
    mask = bench.get()
    mask[8, 0, 0:3] = True
    bench.set(bench.segment, mask)
    bench.logic.confirmSlices(bench.segment, [8])
    bench.logic.accept()
    assert np.array_equal(bench.get()[8], mask[8])


def test_editing_a_key_slice_takes_the_brush_and_discard_takes_it_back(bench):
    before = bench.fingerprint()
    bench.run()
    bench.logic.editSlice(bench.segment, 5)
    mask = bench.get()
    mask[5, 0, 0:3] = True
    bench.set(bench.segment, mask)
    bench.logic.discard()
    assert bench.fingerprint() == before
    assert keysOf(bench) == [("axial", 5, False)]


def test_discard_forgets_no_key_of_another_segment_on_an_edited_slice(bench):
    other = bench.addSegment("Other")
    bench.draw(other, 8)
    bench.run(segmentIds=[bench.segment, other])
    bench.logic.editSlice(bench.segment, 8)
    mask = bench.get()
    mask[8, 0, 0] = True
    bench.set(bench.segment, mask)
    bench.logic.correct(bench.segment, 8)
    bench.until(lambda: bench.logic.state == State.REVIEW)
    bench.logic.discard()
    assert {(key.segmentId, key.sliceIndex) for key in bench.logic.keys} == {(bench.segment, 5), (other, 8)}


def test_a_slice_that_was_erased_is_corrected_by_locking_it(bench):
    bench.run()
    bench.logic.editSlice(bench.segment, 8)
    mask = bench.get()
    mask[8] = False
    bench.set(bench.segment, mask)
    with pytest.raises(InputError, match="Nothing is left on slice 8: lock it to keep it empty"):
        bench.logic.correct(bench.segment, 8)
    bench.logic.confirmSlices(bench.segment, [8])
    bench.logic.accept()
    assert not bench.get()[8].any()
    assert bench.get()[7].any()


def test_a_locked_slice_that_the_user_erases_stays_erased(locked):
    mask = locked.get()
    mask[8] = False
    locked.set(locked.segment, mask)
    locked.run()
    locked.logic.accept()
    assert not locked.get()[8].any()
    assert ("axial", 8, True) in keysOf(locked)
