"""Accept is one undo step and obeys the Segment Editor's masking and overwrite mode; neighbors stay bit-identical."""

import numpy as np
import pytest
from SegmentPropagateSlicer.Values.Proposal import proposalOfMask


@pytest.fixture
def editor(bench):
    """A Segment Editor node, obeyed by the bench's logic."""
    node = bench.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    bench.logic.setSegmentEditor(node)
    return node


def neighborOf(bench):
    """A segment that lies half in the object and half beside it."""
    mask = np.zeros_like(bench.truth)
    mask[2:11, 4:16, 12:22] = True
    return bench.addSegment("Neighbor", mask), mask


def test_accept_undo_redo_are_bit_identical(bench):
    before = bench.fingerprint()
    bench.run()
    bench.logic.accept()
    after = bench.fingerprint()
    assert after != before
    bench.logic.undo()
    assert bench.fingerprint() == before
    bench.logic.redo()
    assert bench.fingerprint() == after


def test_accept_of_several_segments_is_one_step(bench):
    other = bench.addSegment("Other")
    bench.draw(other, 6)
    before = bench.fingerprint()
    bench.run(segmentIds=[bench.segment, other])
    bench.logic.accept()
    bench.logic.undo()
    assert bench.fingerprint() == before


def test_the_embedded_editor_is_asked_once_to_keep_the_state(bench, editor):
    saved = []
    history = bench.slicer.vtkSegmentationHistory()
    history.SetSegmentation(bench.segmentation.GetSegmentation())
    bench.logic.setSegmentEditor(editor, lambda: saved.append(history.SaveState()))
    before = bench.fingerprint()
    bench.run()
    bench.logic.accept()
    assert len(saved) == 1
    history.RestorePreviousState()
    assert bench.fingerprint() == before


def test_an_accept_that_changes_nothing_leaves_no_step(bench):
    saved = []
    bench.run()
    bench.logic.accept()
    bench.logic.setSegmentEditor(None, lambda: saved.append(1))
    bench.run()
    assert bench.logic.accept() == {bench.segment: 0}
    assert saved == []


def test_segments_may_overlap_where_the_editor_allows_it(bench, editor):
    neighbor, mask = neighborOf(bench)
    editor.SetOverwriteMode(editor.OverwriteNone)
    bench.run()
    bench.logic.accept()
    assert np.array_equal(bench.get(), bench.truth)
    assert np.array_equal(bench.get(neighbor), mask)


def test_other_segments_give_way_where_the_editor_overwrites_and_only_there(bench, editor):
    neighbor, mask = neighborOf(bench)
    editor.SetOverwriteMode(editor.OverwriteAllSegments)
    before = bench.get()
    bench.run(4, 8)
    bench.logic.accept()
    added = bench.get() & ~before
    assert np.array_equal(bench.get(neighbor), mask & ~added)
    outside = [0, 1, 2, 3, 9, 10, 11]
    assert np.array_equal(bench.get(neighbor)[outside], mask[outside])


def test_overlaps_that_were_there_outside_the_range_survive_overwriting(bench, editor):
    overlap = np.zeros_like(bench.truth)
    overlap[1, 2:6, 2:6] = True
    editor.SetOverwriteMode(editor.OverwriteNone)
    bench.set(bench.segment, bench.get() | overlap)
    neighbor = bench.addSegment("Neighbor", overlap)
    editor.SetOverwriteMode(editor.OverwriteAllSegments)
    bench.run(4, 8)
    bench.logic.accept()
    assert np.array_equal(bench.get(neighbor), overlap)
    assert np.array_equal(bench.get()[1], overlap[1])


def test_only_visible_segments_give_way_where_the_editor_says_so(bench, editor):
    hidden, mask = neighborOf(bench)
    bench.segmentation.GetDisplayNode().SetSegmentVisibility(hidden, False)
    editor.SetOverwriteMode(editor.OverwriteVisibleSegments)
    bench.run()
    bench.logic.accept()
    assert np.array_equal(bench.get(hidden), mask)
    assert np.array_equal(bench.get(), bench.truth)


@pytest.mark.parametrize(
    ("mode", "allowed"),
    [
        ("EditAllowedInsideSingleSegment", lambda own, neighbor: neighbor),
        ("EditAllowedOutsideAllSegments", lambda own, neighbor: ~neighbor),
        ("EditAllowedInsideAllSegments", lambda own, neighbor: own | neighbor),
        ("EditAllowedOutsideVisibleSegments", lambda own, neighbor: ~neighbor),
    ],
)
def test_masking_by_segments_is_obeyed_in_adding_and_in_removing(bench, editor, mode, allowed):
    stray = bench.get()
    stray[7, 0:10, 10:24] = True  # partly outside the object: to be removed
    bench.set(bench.segment, stray)
    neighbor, mask = neighborOf(bench)
    editor.SetOverwriteMode(editor.OverwriteNone)
    editor.SetMaskMode(getattr(bench.segmentation, mode))
    editor.SetMaskSegmentID(neighbor)
    editable = allowed(bench.get(), bench.get(neighbor))
    bench.run()
    bench.logic.accept()
    expected = np.where(editable, bench.truth, stray)
    expected[5] = stray[5]  # the key slice
    assert np.array_equal(bench.get(), expected)
    assert np.array_equal(bench.get(neighbor), mask)


def test_masking_by_intensity_is_obeyed(bench, editor):
    editor.SetSourceVolumeIntensityMask(True)
    editor.SetSourceVolumeIntensityMaskRange(40, 60)
    voxels = bench.slicer.util.arrayFromVolume(bench.volume)
    bench.run()  # computed on the volume as it was: the object is bright
    voxels[:, :, ::2] = 50
    bench.slicer.util.arrayFromVolumeModified(bench.volume)
    bench.logic.accept()
    expected = bench.truth & (voxels == 50)
    expected[5] = bench.truth[5]
    assert np.array_equal(bench.get(), expected)


def test_neighbors_in_a_shared_labelmap_stay_bit_identical(bench):
    """Segments that do not overlap share one labelmap: the case in which a sloppy write erases the other."""
    neighbor = bench.addSegment("Neighbor")
    mask = np.zeros_like(bench.truth)
    mask[:, 0, :] = True
    mask[:, -1, :] = True
    stray = bench.get()
    stray[8, 1:4, 1:4] = True
    bench.set(bench.segment, stray)
    bench.set(neighbor, mask)
    bench.segmentation.GetSegmentation().CollapseBinaryLabelmaps(False)
    assert bench.segmentation.GetSegmentation().GetNumberOfLayers() == 1
    bench.run()
    bench.logic.accept()
    assert np.array_equal(bench.get(neighbor), mask)
    assert np.array_equal(bench.get(), bench.truth)
    bench.logic.undo()
    assert np.array_equal(bench.get(neighbor), mask)
    assert np.array_equal(bench.get(), stray)


def shareOneLabelmap(bench):
    """Two segments as the Segment Editor leaves them: one labelmap, the propagated one with the value 2 in it."""
    first = np.zeros_like(bench.truth)
    first[:, 0:3, :] = True
    segmentation = bench.segmentation.GetSegmentation()
    drawn = bench.get()
    bench.logic.setKeys([])
    segmentation.RemoveAllSegments()
    neighbor, bench.segment = bench.addSegment("First"), bench.addSegment("Second")
    bench.set(neighbor, first)
    bench.set(bench.segment, drawn & ~first)
    segmentation.CollapseBinaryLabelmaps(False)
    assert segmentation.GetNumberOfLayers() == 1
    assert segmentation.GetSegment(bench.segment).GetLabelValue() == 2
    bench.logic.addKey(bench.segment, 5)
    return neighbor, bench.get(neighbor)


@pytest.mark.parametrize("mode", ["OverwriteAllSegments", "OverwriteNone"])
def test_a_segment_with_another_value_in_a_shared_labelmap_is_written_as_itself(bench, editor, mode):
    neighbor, mask = shareOneLabelmap(bench)
    editor.SetOverwriteMode(getattr(editor, mode))
    before = bench.fingerprint()
    bench.run()
    bench.logic.editSlice(bench.segment, 7)
    assert np.array_equal(bench.get()[7], bench.truth[7])
    bench.logic.accept()
    expected = bench.truth.copy()
    expected[5] &= ~mask[5]  # the key slice, as drawn
    assert np.array_equal(bench.get(), expected)
    added = expected & mask
    assert np.array_equal(bench.get(neighbor), mask & ~added if mode == "OverwriteAllSegments" else mask)
    bench.logic.undo()
    bench.logic.undo()
    assert bench.fingerprint() == before


def test_a_slice_copied_for_correction_gives_back_what_it_cut_from_others(bench, editor):
    neighbor, _mask = neighborOf(bench)
    editor.SetOverwriteMode(editor.OverwriteAllSegments)
    before = bench.fingerprint()
    bench.run()
    bench.logic.editSlice(bench.segment, 7)
    assert bench.fingerprint() != before
    bench.logic.discard()
    assert np.array_equal(bench.get(neighbor)[7], _mask[7])
    assert bench.fingerprint() == before


def test_a_copied_slice_can_be_undone_by_itself(bench):
    before = bench.fingerprint()
    bench.run()
    bench.logic.editSlice(bench.segment, 7)
    bench.logic.undo()
    assert bench.fingerprint() == before


def test_a_proposal_keeps_the_mask_it_was_made_of(bench):
    for mask in (bench.truth[5], np.zeros_like(bench.truth[5])):
        proposal = proposalOfMask(mask)
        assert np.array_equal(proposal.mask, mask)
        assert proposal.area == mask.sum()
