"""Drafts from finished cases: shown and ticked, written only when asked for, beside what is drawn, in one undo step."""

import numpy as np
import pytest
from SegmentPropagateSlicer.Logic import State
from SegmentPropagateSlicer.Scene.Labelmaps import LABELMAP
from SegmentPropagateSlicer.Values.Suggestion import Support
from suggest_double import answer, draft, further
from suggest_fixtures import DOUBT, DRAFTS, LEFT, RIGHT, SHAPE, named, use

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.writing import write_segmentation, write_volume
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.labels import SegmentInfo
from SegmentPropagateLib.volumes.volume import Volume
from SegmentPropagateLib.worker.replies import Failed, Suggesting


def outline(box):
    mask = np.zeros(SHAPE, bool)
    mask[box] = True
    return mask


def shown(bench):
    """What the preview shows: slices that have something, by name."""
    node = bench.logic.preview.node
    if node is None:
        return {}
    segmentation = node.GetSegmentation()
    arrays = {
        segmentation.GetSegment(i).GetName(): bench.slicer.util.arrayFromSegmentBinaryLabelmap(node, i, bench.volume)
        for i in segmentation.GetSegmentIDs()
    }
    return {name: np.flatnonzero(array.any(axis=(1, 2))).tolist() for name, array in arrays.items()}


# ---- looking --------------------------------------------------------------------------------------------------------


def test_outlines_of_what_was_asked_for_are_shown_and_nothing_is_written(suggested):
    (request,) = suggested.process.asked
    assert (request.labels, request.folders) == (("Organ", "Spleen", "Pancreas", "Stomach"), ("/finished",))
    assert request.setup.shape_kji == suggested.truth.shape
    assert shown(suggested) == {"Organ": [6], "Spleen": [6], "Pancreas": [7]}
    assert suggested.fingerprint() == {suggested.segment: ([], ())}
    assert suggested.logic.keys == ()


def test_what_is_sure_is_ticked_one_line_says_all_and_what_is_not_here_cannot_be_ticked(suggested):
    assert [(one.sentence, one.isTicked, one.reason) for one in suggested.suggestions.all] == [
        ("Organ: slice 6, 2 to 9, sure", True, ""),
        ("Spleen: slice 6, open to 8, sure", True, ""),
        ("Pancreas: slice 7, 5 to 8, unsure", False, DOUBT),
        ("Stomach: not here", False, "It lies beyond the field of view of the image."),
    ]
    suggested.suggestions.tick(4, True)
    suggested.suggestions.tick(3, True)
    assert [one.number for one in suggested.suggestions.ticked] == [1, 2, 3]


def test_what_shows_an_outline_is_no_larger_than_that(asked):
    """Twenty labels, each on an image of all its slices, took a tenth of a second to fill."""
    answer(asked.process, DRAFTS, [further(1, 9, LEFT, SHAPE)])
    segmentation = asked.logic.preview.node.GetSegmentation()
    image = segmentation.GetSegment(segmentation.GetNthSegmentID(0)).GetRepresentation(LABELMAP)
    assert image.GetExtent() == (3, 8, 4, 11, 6, 9)


def test_outlines_come_back_after_something_else_was_shown(suggested):
    before = shown(suggested)
    suggested.logic.previewPrompt(suggested.segment, 5, pointsRas=[suggested.logic.slicePositionRas(5)])
    suggested.until(lambda: suggested.logic.previewed is not None)
    assert shown(suggested) == {"Organ": [5]}
    suggested.logic.dropPreview()
    assert shown(suggested) == before
    suggested.draw(suggested.segment, 5)
    suggested.run()
    assert set(shown(suggested)) == {"Organ"}
    suggested.logic.discard()
    assert shown(suggested) == before


# ---- using ----------------------------------------------------------------------------------------------------------


def test_what_is_ticked_becomes_keys_in_its_segments_in_one_undo_step(suggested):
    before = suggested.fingerprint()
    used = use(suggested)
    spleen = named(suggested, "Spleen")
    assert {segmentId: (one.first, one.last) for segmentId, one in used.items()} == {
        suggested.segment: (2, 9),
        spleen: (None, 8),
    }
    assert np.array_equal(suggested.get()[6] | suggested.get(spleen)[6], outline(LEFT) | outline(RIGHT))
    assert np.flatnonzero(suggested.get().any(axis=(1, 2))).tolist() == [6]
    assert {(key.segmentId, key.sliceIndex) for key in suggested.logic.keys} == {(suggested.segment, 6), (spleen, 6)}
    assert shown(suggested) == {"Pancreas": [7]}
    suggested.logic.undo()
    assert suggested.fingerprint() == before


def test_what_was_used_can_be_propagated_and_is_not_used_twice(suggested):
    use(suggested)
    assert [one.isUsed for one in suggested.suggestions.all] == [True, True, False, False]
    with pytest.raises(InputError, match="Tick what is to be used first"):
        use(suggested)
    suggested.run(2, 9)
    assert suggested.logic.state == State.REVIEW


def test_the_surer_of_two_has_what_both_claim(asked):
    unsure = draft(1, "Organ", "unsure", index=6, box=LEFT, ends=(2, 9), reason=DOUBT, shape=SHAPE)
    answer(asked.process, (unsure, *DRAFTS[1:]))
    asked.suggestions.tick(1, True)
    use(asked)
    assert np.array_equal(asked.get(named(asked, "Spleen"))[6], outline(RIGHT))
    assert np.array_equal(asked.get()[6], outline(LEFT) & ~outline(RIGHT))


def test_further_key_slices_are_shown_with_the_first_and_used_with_it(asked):
    answer(asked.process, DRAFTS, [further(1, index, LEFT, SHAPE) for index in (9, 3)])
    assert asked.suggestions.all[0].sentence == "Organ: slice 6 and 2 more, 2 to 9, sure"
    assert shown(asked)["Organ"] == [3, 6, 9]
    before = asked.fingerprint()
    use(asked)
    assert np.flatnonzero(asked.get().any(axis=(1, 2))).tolist() == [3, 6, 9]
    assert {key.sliceIndex for key in asked.logic.keys if key.segmentId == asked.segment} == {3, 6, 9}
    assert asked.suggestions.all[0].sentence == "Organ: slice 6 and 2 more, 2 to 9, keys now"
    asked.logic.undo()
    assert asked.fingerprint() == before


def test_of_several_key_slices_those_are_used_on_which_nobody_has_drawn(asked):
    answer(asked.process, DRAFTS, [further(1, 9, LEFT, SHAPE)])
    segmentId, mask = drawnInside(asked)
    used = use(asked)
    assert segmentId in used
    mask[9][LEFT] = True
    assert np.array_equal(asked.get(), mask)


# ---- nothing is lost ------------------------------------------------------------------------------------------------


def drawnBeside(bench):
    """Another segment holds part of where the outline would go."""
    mask = np.zeros_like(bench.truth)
    mask[6, 4:8, 3:6] = True
    return bench.addSegment("Mine", mask), mask


def drawnInside(bench):
    """The segment itself is drawn on the key slice."""
    mask = np.zeros_like(bench.truth)
    mask[6, 0:3, 0:3] = True
    bench.set(bench.segment, mask)
    return bench.segment, mask


def locked(bench):
    """The key slice is locked as empty."""
    bench.logic.confirmSlices(bench.segment, [6])
    return bench.segment, np.zeros_like(bench.truth)


@pytest.mark.parametrize(
    ("drawn", "when"),
    [(drawnBeside, "before"), (drawnBeside, "after"), (drawnInside, "after"), (locked, "before")],
    ids=["beside, before", "beside, after", "inside, after", "locked, before"],
)
def test_what_is_drawn_or_locked_stays(asked, drawn, when):
    if when == "before":
        segmentId, mask = drawn(asked)
    answer(asked.process, DRAFTS)
    if when == "after":
        segmentId, mask = drawn(asked)
    used = use(asked)
    assert np.array_equal(asked.get(segmentId), mask)
    assert (asked.segment in used) == (drawn is drawnBeside)
    assert named(asked, "Spleen") in used
    assert not (asked.get() & asked.get(named(asked, "Spleen"))).any()


def test_where_all_is_drawn_nothing_changes_and_it_is_said(suggested):
    drawnInside(suggested)
    suggested.suggestions.tick(2, False)
    before = suggested.fingerprint()
    with pytest.raises(InputError, match="something is drawn already, or the slice is locked"):
        use(suggested)
    assert suggested.fingerprint() == before
    assert [one.number for one in suggested.suggestions.ticked] == [1]


def test_nothing_is_used_while_a_proposal_waits(suggested):
    suggested.draw(suggested.segment, 5)
    suggested.run()
    with pytest.raises(InputError, match="A proposal waits for review"):
        use(suggested)
    suggested.logic.discard()
    assert use(suggested)


def test_suggestions_for_an_image_that_has_moved_are_not_written(suggested):
    before = suggested.fingerprint()
    suggested.volume.SetOrigin(1, 2, 3)
    with pytest.raises(InputError, match="has been moved"):
        use(suggested)
    assert suggested.fingerprint() == before
    assert len(suggested.suggestions.ticked) == 2


@pytest.mark.parametrize("leave", ["other inputs", "scene closed"])
def test_suggestions_that_go_with_their_image_are_said_to_be_gone(suggested, leave):
    said = []
    suggested.logic.noticeGiven.connect(said.append)
    if leave == "other inputs":
        suggested.logic.setInputs(None, None)
    else:
        suggested.slicer.mrmlScene.Clear(False)
    assert said == ["The suggestions are gone with their image; no segment was changed."]
    assert suggested.suggestions.all == ()
    assert suggested.logic.preview.node is None


# ---- cancelling, and what goes wrong --------------------------------------------------------------------------------


@pytest.mark.parametrize("drafts", [(), DRAFTS[:2]], ids=["before the first", "between two"])
def test_cancel_leaves_nothing_and_what_comes_later_is_not_taken(asked, drafts):
    said = []
    asked.logic.statusChanged.connect(said.append)
    for one in (Suggesting(1, 9), *drafts):
        asked.process.answer(one)
    asked.logic.cancel()
    assert said[-1] == "Cancelled: everything is as it was before."
    assert asked.process.cancelled == [-1]
    answer(asked.process, DRAFTS)
    assert (asked.suggestions.all, asked.suggestions.isAsking, shown(asked)) == ((), False, {})
    asked.draw(asked.segment, 5)
    asked.run()
    assert asked.logic.state == State.REVIEW


@pytest.mark.parametrize("end", ["cancelled", "failed"])
def test_a_second_time_that_comes_to_nothing_leaves_the_first(suggested, end):
    before = shown(suggested)
    suggested.logic.suggest(Support(folders=("/others",)))
    suggested.process.answer(draft(1, "Liver", index=3, box=LEFT, ends=(None, None), shape=SHAPE))
    if end == "cancelled":
        suggested.logic.cancel()
    else:
        suggested.process.answer(Failed("died", "The computing process ended unexpectedly."))
    assert suggested.errors == ([] if end == "cancelled" else ["The computing process ended unexpectedly."])
    assert [one.name for one in suggested.suggestions.all] == ["Organ", "Spleen", "Pancreas", "Stomach"]
    assert shown(suggested) == before


def test_nothing_else_is_asked_of_the_worker_meanwhile(asked):
    asked.draw(asked.segment, 5)
    for act in (
        lambda: asked.logic.startSession([asked.segment]),
        lambda: asked.logic.previewPrompt(asked.segment, 5, pointsRas=[asked.logic.slicePositionRas(5)]),
        lambda: asked.logic.suggest(Support(folders=("/finished",))),
    ):
        with pytest.raises(InputError, match="Suggestions are being made: wait for them, or cancel"):
            act()


@pytest.mark.slow  # a process that imports the filters
def test_the_worker_reads_the_finished_cases_and_answers(bench, tmp_path):
    """The image is far too small for a body, which is told for every label."""
    geometry = Geometry(bench.truth.shape, np.eye(4))
    write_volume(tmp_path / "a.nrrd", Volume(bench.truth.astype(np.int16), geometry))
    write_segmentation(tmp_path / "a.seg.nrrd", {1: bench.truth}, geometry, [SegmentInfo(1, "Liver", (1, 0, 0))])
    bench.use(model="classical")  # the tests' own model is not known there
    bench.logic.suggest(Support(folders=(str(tmp_path),)), ["Liver", "Spleen"])
    bench.until(lambda: bench.logic.suggestions.all)
    assert [one.sentence for one in bench.logic.suggestions.all] == ["Liver: not here", "Spleen: not here"]
    bench.logic.suggest(Support(folders=(str(tmp_path / "none"),)))
    bench.until(lambda: bench.errors)
    assert "does not exist" in bench.errors[0]
