"""Keys, runs, review and Accept, without a panel."""

import numpy as np
import pytest
from SegmentPropagateSlicer.Logic import State
from SegmentPropagateSlicer.Values.Key import Key

from SegmentPropagateLib.errors import InputError, SegmentPropagateError
from SegmentPropagateLib.worker.requests import Propagate, TakeVolume

# ---- runs ---------------------------------------------------------------------------------------------------------


def test_a_key_slice_becomes_the_object(bench):
    bench.run()
    assert bench.states == [State.STARTING, State.RUNNING, State.REVIEW]
    changed = bench.logic.accept()
    assert np.array_equal(bench.get(), bench.truth)
    assert changed == {bench.segment: int(bench.truth.sum() - bench.truth[5].sum())}
    assert bench.logic.state == State.IDLE
    assert not bench.errors


def test_slices_outside_the_range_are_not_touched(bench):
    before = bench.get()
    before[1, 2:4, 2:4] = before[10, 3, 3] = True
    bench.set(bench.segment, before)
    bench.run(3, 7)
    bench.logic.accept()
    after = bench.get()
    assert np.array_equal(after[3:8], bench.truth[3:8])
    assert np.array_equal(np.delete(after, range(3, 8), 0), np.delete(before, range(3, 8), 0))


def test_what_the_segment_held_in_the_range_gives_way_except_on_key_slices(bench):
    before = bench.get()
    before[3, 0:5, 0:5] = True
    before[5, 0:2, 0:2] = True
    bench.set(bench.segment, before)
    bench.run(2, 7)
    bench.logic.accept()
    assert np.array_equal(bench.get()[3], bench.truth[3])
    assert np.array_equal(bench.get()[5], before[5])


def test_the_segments_are_untouched_until_accept_and_after_discard(bench):
    before = bench.fingerprint()
    bench.run()
    assert bench.fingerprint() == before
    bench.logic.discard()
    assert bench.fingerprint() == before
    assert bench.logic.state == State.IDLE
    with pytest.raises(InputError, match="no proposal"):
        bench.logic.accept()


def test_the_proposal_is_seen_while_it_grows_and_is_gone_afterwards(bench):
    seen = []
    bench.logic.sliceUpdated.connect(lambda segmentId, index: seen.append(index))
    bench.run(2, 8)
    node = bench.logic.preview.node
    assert sorted(seen) == [2, 3, 4, 6, 7, 8]
    shown = bench.slicer.util.arrayFromSegmentBinaryLabelmap(node, bench.segment, bench.volume) > 0
    expected = bench.truth.copy()
    expected[[0, 1, 5, 9, 10, 11]] = False
    assert np.array_equal(shown, expected)
    assert not node.GetSaveWithScene()
    bench.logic.accept()
    assert node.GetScene() is None
    assert bench.logic.preview.node is None


def test_two_segments_are_propagated_in_one_pass(makeBench):
    bench = makeBench(key=None)
    other = bench.addSegment("Other")
    bench.draw(bench.segment, 5)
    bench.draw(other, 6)
    node = bench.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    node.SetOverwriteMode(node.OverwriteNone)
    bench.logic.setSegmentEditor(node)
    bench.run(segmentIds=[bench.segment, other])
    bench.logic.accept()
    assert np.array_equal(bench.get(), bench.truth)
    assert np.array_equal(bench.get(other), bench.truth)


def test_without_overlap_contested_voxels_go_to_one_segment(makeBench):
    bench = makeBench(key=None)
    other = bench.addSegment("Other")
    bench.draw(bench.segment, 5)
    bench.draw(other, 6)
    bench.run(3, 8, [bench.segment, other])
    bench.logic.accept()
    one, two = bench.get(), bench.get(other)
    assert not (one & two).any()
    assert np.array_equal((one | two)[3:9], bench.truth[3:9])


@pytest.mark.parametrize(
    ("first", "last", "sentence"),
    [
        (7, 3, "lies after"),
        (0, 99, "Slice 99 is outside"),
        (-1, 3, "Slice -1"),
        (6, 9, "no axial key slice from 6 to 9"),
    ],
)
def test_an_impossible_range_is_refused_in_one_sentence(bench, first, last, sentence):
    with pytest.raises(InputError, match=sentence):
        bench.logic.startSession([bench.segment], first, last)
    assert bench.logic.state == State.IDLE
    assert not bench.states


def test_an_end_that_is_left_open_is_the_volume_s_and_not_stated_to_the_worker(bench):
    bench.logic.startSession([bench.segment], None, 8)
    bench.until(lambda: bench.logic.state not in State.BUSY)
    assert bench.logic.proposed[2:] == (0, 8)
    assert (bench.process.requests[-1].first, bench.process.requests[-1].last) == (None, 8)


def test_a_second_run_waits_for_the_end_of_the_first(bench):
    bench.use("slow")
    bench.logic.startSession([bench.segment], 0, 11)
    with pytest.raises(InputError, match="cancel it first"):
        bench.logic.startSession([bench.segment], 0, 11)
    bench.logic.cancel()
    bench.until(lambda: bench.logic.state == State.IDLE)


def test_cancel_leaves_everything_as_it_was(bench):
    before = bench.fingerprint()
    bench.use("slow")
    bench.logic.startSession([bench.segment], 0, 11)
    bench.until(lambda: bench.logic.reviewScores(bench.segment)[2:])
    bench.logic.cancel()
    assert bench.logic.state == State.CANCELLING
    bench.until(lambda: bench.logic.state == State.IDLE)
    assert bench.fingerprint() == before
    assert bench.logic.preview.node is None
    assert not bench.errors


def test_progress_counts_slices_and_tells_the_time_left(bench):
    said = []
    bench.logic.progressChanged.connect(lambda *what: said.append(what))
    bench.use("slow")
    bench.run(3, 8)
    assert [(done, total) for done, total, _left in said] == [(n, 5) for n in range(6)]
    assert said[0][2] is None
    assert said[-1][2] == 0
    assert said[2][2] > 0


def test_one_call_does_it_all_for_scripts(bench):
    logic, other = bench.logic, bench.addSegment("Other")
    changed = logic.propagate(bench.volume, bench.segmentation, [bench.segment], [5], 2, 9, model="threshold")
    assert changed[bench.segment] > 0
    assert np.array_equal(bench.get()[2:10], bench.truth[2:10])
    assert not bench.get(other).any()
    with pytest.raises(SegmentPropagateError, match="no model"):
        logic.propagate(bench.volume, bench.segmentation, [bench.segment], {bench.segment: [5]}, model="nothing")
    with pytest.raises(InputError, match="Segment 'Other' is empty on axial slice 5"):
        logic.propagate(bench.volume, bench.segmentation, [other], [5])
    assert (
        logic.propagate(bench.volume, bench.segmentation, keys={bench.segment: [5]}, model="threshold", accept=False)
        == {}
    )
    assert logic.state == State.REVIEW


def test_an_estimate_is_known_after_the_first_run(bench):
    assert bench.logic.estimate([bench.segment], 0, 11)["seconds"] is None
    bench.use("slow")
    bench.run()
    found = bench.logic.estimate([bench.segment], 0, 11)
    assert (found["slices"], found["objects"]) == (12, 1)
    assert 0.5 < found["seconds"] < 20  # 12 slices of 0.05 s and the start
    assert found["memoryBytes"] > bench.truth.size * 3
    assert not found["warning"]


def test_a_volume_that_cannot_fit_is_warned_about(bench, monkeypatch):
    monkeypatch.setattr("SegmentPropagateSlicer.Runs.Estimates.available_memory_bytes", lambda: 10)
    assert "may not fit" in bench.logic.estimate([bench.segment], 0, 11)["warning"]


def test_the_volume_crosses_once_and_again_when_its_voxels_change(bench):
    def sent():
        return [type(request) for request in bench.process.requests]

    bench.run()
    bench.logic.accept()
    bench.run()
    bench.logic.discard()
    assert sent() == [TakeVolume, Propagate, Propagate]
    bench.slicer.util.arrayFromVolume(bench.volume)[...] = 0
    bench.slicer.util.arrayFromVolumeModified(bench.volume)
    bench.run()
    assert sent()[3:] == [TakeVolume, Propagate]
    assert all(score["source"] != "propagated" for score in bench.logic.reviewScores(bench.segment))


# ---- keys ---------------------------------------------------------------------------------------------------------


def test_an_empty_slice_is_no_key(bench):
    with pytest.raises(InputError, match="Segment 'Organ' is empty on axial slice 8"):
        bench.logic.addKey(bench.segment, 8)
    with pytest.raises(InputError, match="Slice 12 is outside"):
        bench.logic.addKey(bench.segment, 12)


def test_keys_are_listed_with_their_area_and_can_be_removed(bench):
    (key,) = bench.logic.keys
    assert (key.segmentId, key.plane, key.sliceIndex, key.confirmed) == (bench.segment, "axial", 5, False)
    assert key.areaMm2 == pytest.approx(bench.truth[5].sum() * 1.5 * 1.5)
    bench.logic.removeKey(key)
    assert bench.logic.keys == ()
    assert bench.get()[5].any()


def test_a_key_that_was_repainted_counts_as_it_is_now(bench):
    mask = bench.get()
    mask[5, 0, 0] = True
    bench.set(bench.segment, mask)
    bench.run(4, 6)
    assert bench.logic.keys[0].areaMm2 == pytest.approx(mask[5].sum() * 2.25)


def test_keys_that_are_restored_belong_to_segments_that_exist(bench):
    bench.logic.setKeys([Key(bench.segment, "axial", 5, 1.0), Key("gone", "axial", 5, 1.0)])
    assert [key.segmentId for key in bench.logic.keys] == [bench.segment]


def test_other_inputs_forget_the_keys_and_the_proposal(bench):
    bench.run()
    bench.logic.setInputs(bench.volume, None)
    assert bench.logic.keys == ()
    assert bench.logic.state == State.IDLE
    assert bench.logic.preview.node is None


# ---- correcting ---------------------------------------------------------------------------------------------------


def test_a_corrected_slice_becomes_a_key_and_only_its_stretch_is_computed_again(bench):
    bench.run()
    bench.logic.editSlice(bench.segment, 8)
    mask = bench.get()
    mask[8, 0, 0] = True
    bench.set(bench.segment, mask)
    totals = []
    bench.logic.progressChanged.connect(lambda done, total, _left: totals.append(total))
    bench.logic.correct(bench.segment, 8)
    bench.until(lambda: bench.logic.state == State.REVIEW)
    assert totals[-1] == 5  # 6, 7 and 9, 10, 11
    assert [key.sliceIndex for key in bench.logic.keys] == [5, 8]
    bench.logic.accept()
    expected = bench.truth.copy()
    expected[8, 0, 0] = True
    assert np.array_equal(bench.get(), expected)


def test_discard_takes_back_slices_that_were_copied_for_correction(bench):
    stray = bench.get()
    stray[8, 0:3, 0:3] = True
    bench.set(bench.segment, stray)
    before = bench.fingerprint()
    bench.run()
    bench.logic.editSlice(bench.segment, 8)
    assert np.array_equal(bench.get()[8], bench.truth[8])
    bench.logic.correct(bench.segment, 8)
    bench.until(lambda: bench.logic.state == State.REVIEW)
    bench.logic.discard()
    assert bench.fingerprint() == before
    assert [key.sliceIndex for key in bench.logic.keys] == [5]


def test_correcting_an_empty_slice_is_refused_and_the_proposal_stays(bench):
    bench.run()
    with pytest.raises(InputError, match="outline the object there first"):
        bench.logic.correct(bench.segment, 8)
    assert bench.logic.state == State.REVIEW


def test_a_correction_that_is_cancelled_leaves_the_proposal_in_review(bench):
    bench.use("slow")
    bench.run()
    scores = bench.logic.reviewScores(bench.segment)
    bench.logic.editSlice(bench.segment, 8)
    bench.logic.correct(bench.segment, 8)
    bench.until(lambda: bench.logic.state == State.RUNNING)
    bench.logic.cancel()
    bench.until(lambda: bench.logic.state == State.REVIEW)
    assert bench.logic.reviewScores(bench.segment) == scores
    node = bench.logic.preview.node
    shown = bench.slicer.util.arrayFromSegmentBinaryLabelmap(node, bench.segment, bench.volume) > 0
    assert np.array_equal(shown[6:], bench.truth[6:])
    bench.logic.accept()
    assert np.array_equal(bench.get(), bench.truth)


def test_a_confirmed_slice_is_never_changed(bench):
    mask = bench.get()
    mask[8, 0:2, 0:2] = True
    bench.set(bench.segment, mask)
    bench.logic.confirmSlices(bench.segment, [8, 3])  # 3 is empty, and stays so
    bench.run()
    bench.logic.accept()
    after = bench.get()
    assert np.array_equal(after[8], mask[8])
    assert not after[3].any()
    assert np.array_equal(after[[2, 4, 6, 7, 9]], bench.truth[[2, 4, 6, 7, 9]])
    bench.logic.confirmSlices(bench.segment, [3, 8], confirmed=False)
    assert [(key.sliceIndex, key.confirmed) for key in bench.logic.keys] == [(5, False), (8, False)]


def test_a_slice_confirmed_in_review_is_written_as_it_was_confirmed(bench):
    bench.run()
    bench.logic.confirmSlices(bench.segment, [7])
    assert next(s for s in bench.logic.reviewScores(bench.segment) if s["sliceIndex"] == 7)["confirmed"]
    bench.logic.editSlice(bench.segment, 9)
    bench.logic.correct(bench.segment, 9)
    bench.until(lambda: bench.logic.state == State.REVIEW)
    bench.logic.accept()
    assert np.array_equal(bench.get(), bench.truth)
    assert [key.sliceIndex for key in bench.logic.keys if key.confirmed] == [7]


def test_a_slice_confirmed_in_review_is_no_key_after_discard(bench):
    bench.run()
    bench.logic.confirmSlices(bench.segment, [7])
    bench.logic.discard()
    assert [key.sliceIndex for key in bench.logic.keys] == [5]
    assert not bench.get()[7].any()
