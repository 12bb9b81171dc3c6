"""What is suggested is used a piece at a time: one undo step, or nothing at all."""

import numpy as np
import pytest
from day import dayOf, drawFolder
from SegmentPropagateSlicer.Logic import State
from SegmentPropagateSlicer.Panel import Writing
from SegmentPropagateSlicer.Scene.Labelmaps import labelmapOf
from SegmentPropagateSlicer.Scene.Voxels import Voxels
from suggest_double import SuggestingProcess, answer
from suggest_fixtures import DRAFTS, LEFT, named, use

from SegmentPropagateLib.errors import InputError


def inPieces(bench):
    """Use what is ticked; yields before each piece but the first."""
    while use(bench, 0.0) is None:
        assert bench.logic.state == State.WRITING
        yield


def stroke(bench):
    """A slice that was suggested is drawn upon."""
    mask = bench.get()
    mask[6, 0:3, 0:3] = True
    bench.set(bench.segment, mask)


def removeSegment(bench):
    bench.segmentation.GetSegmentation().RemoveSegment(bench.segment)


def test_nothing_changes_before_the_last_piece_and_all_is_one_undo_step(suggested, monkeypatch):
    before, shares, made = suggested.fingerprint(), [], len(suggested.fingerprint())
    suggested.logic.writingProgressed.connect(shares.append)
    with monkeypatch.context() as without:
        without.setattr(Voxels, "add", None)  # which would do it in one block
        for _piece in inPieces(suggested):
            assert suggested.fingerprint() == before
            assert suggested.logic.keys == ()
    assert len(shares) > 4
    assert shares == sorted(shares)
    assert suggested.logic.state == State.IDLE
    assert len(suggested.logic.keys) == 2
    assert len(suggested.fingerprint()) == made + 1
    suggested.logic.undo()
    assert suggested.fingerprint() == before


def test_no_undo_step_is_made_before_the_last_piece_as_the_use_may_be_cancelled(suggested):
    """An empty one would have Undo do nothing that can be seen."""
    before, kept = suggested.fingerprint(), []
    suggested.logic.setSegmentEditor(None, lambda: kept.append(suggested.fingerprint()))
    counts = [len(kept) for _piece in inPieces(suggested)]
    assert set(counts) == {0}
    assert kept == [before]


def test_cancel_leaves_all_as_it_was_and_says_so(suggested):
    before, said, pieces = suggested.fingerprint(), [], inPieces(suggested)
    suggested.logic.statusChanged.connect(said.append)
    next(pieces)
    suggested.logic.cancel()
    assert (suggested.fingerprint(), suggested.logic.state, suggested.logic.keys) == (before, State.IDLE, ())
    assert said == ["Cancelled: everything is as it was before."]
    assert len(suggested.suggestions.ticked) == 2
    assert set(use(suggested)) == {suggested.segment, named(suggested, "Spleen")}


def test_a_failure_midway_leaves_all_as_it_was(suggested):
    before, pieces = suggested.fingerprint(), inPieces(suggested)
    next(pieces)
    suggested.volume.SetOrigin(1, 2, 3)
    with pytest.raises(InputError, match="has been moved"):
        next(pieces)
    assert (suggested.fingerprint(), suggested.logic.state, suggested.logic.keys) == (before, State.IDLE, ())


def test_what_is_drawn_between_two_pieces_stays_and_its_slice_is_left_out(suggested):
    pieces = inPieces(suggested)
    next(pieces)
    stroke(suggested)
    list(pieces)
    assert suggested.get().sum() == 9
    assert [key.segmentId for key in suggested.logic.keys] == [named(suggested, "Spleen")]


def test_a_segment_that_is_removed_meanwhile_is_made_again(suggested):
    pieces = inPieces(suggested)
    next(pieces)
    removeSegment(suggested)
    list(pieces)
    organ = named(suggested, "Organ")
    assert suggested.get(organ)[6][LEFT].any()
    assert {key.segmentId for key in suggested.logic.keys} == {organ, named(suggested, "Spleen")}


@pytest.mark.parametrize("leave", ["other inputs", "scene closed"])
def test_what_has_begun_is_used_before_anything_leaves(suggested, leave):
    told = []
    suggested.logic.keysChanged.connect(lambda: told.append(len(suggested.logic.keys)))
    next(inPieces(suggested))
    if leave == "scene closed":
        suggested.slicer.mrmlScene.Clear(False)
    else:
        suggested.logic.setInputs(None, None)
        assert suggested.get()[6][LEFT].any()
    assert suggested.logic.state == State.IDLE
    assert 2 in told


def test_nothing_else_begins_meanwhile(suggested):
    suggested.draw(suggested.segment, 5)
    next(inPieces(suggested))
    for begin in (lambda: suggested.run(), lambda: suggested.logic.useAsDraft(suggested.segment)):
        with pytest.raises(InputError, match="Outlines are being written: wait a moment, or cancel"):
            begin()
    with pytest.raises(InputError, match="There is no proposal to review"):
        suggested.logic.accept()


def test_segments_that_share_an_empty_labelmap_go_on_sharing_it(suggested):
    """Each layer more is an image more in the views, and in the file."""
    spleen = suggested.addSegment("Spleen")
    use(suggested)
    image = labelmapOf(suggested.segmentation, suggested.segment)[0]
    assert image is labelmapOf(suggested.segmentation, spleen)[0]
    assert not np.array_equal(suggested.get(), suggested.get(spleen))


def test_what_is_drawn_on_it_then_is_heard_of(suggested):
    use(suggested)
    told, segmentation = [], suggested.segmentation.GetSegmentation()
    tag = segmentation.AddObserver(segmentation.SourceRepresentationModified, lambda *_event: told.append(1))
    for segmentId in (suggested.segment, named(suggested, "Spleen")):
        told.clear()
        suggested.set(segmentId, suggested.get(segmentId) | suggested.truth)
        assert told
    segmentation.RemoveObserver(tag)


def test_the_editor_hears_once_of_all_segments_that_are_made(suggested):
    """Slicer's lists are filled anew each time: with 20 segments that took longer than to write them."""
    told, node = [], suggested.segmentation
    before = node.GetSegmentation().GetNumberOfSegments()
    suggested.segmentation.GetSegmentation().RemoveAllSegments()
    kinds = suggested.slicer.vtkSegmentation
    tags = [node.AddObserver(kind, lambda *_event: told.append(1)) for kind in (kinds.SegmentAdded,)]
    use(suggested)
    assert node.GetSegmentation().GetNumberOfSegments() == before + 1 > 1
    assert len(told) == 1
    for tag in tags:
        node.RemoveObserver(tag)


# ---- in the panel ---------------------------------------------------------------------------------------------------


@pytest.fixture
def day(slicer, warmWorker, tmp_path, monkeypatch):
    """Two outlines are suggested for an opened case, and are written in small pieces."""
    monkeypatch.setattr(Writing, "PIECE_S", 0.0)
    process = SuggestingProcess(warmWorker)
    with dayOf(slicer, process) as found:
        found.open(drawFolder(tmp_path / "scans", "a"))
        found.widget.suggest.useSupport(str(tmp_path))
        found.click("suggestButton")
        found.click("suggestAllButton")
        answer(process, DRAFTS)
        found.settle()
        yield found


def test_the_panel_is_busy_can_cancel_and_a_key_does_not_wait_for_the_end(day):
    day.ui.addKeyButton.click()
    day.widget.refresh()
    assert day.logic.state == State.WRITING
    assert (day.ui.propagateButton.text, day.ui.addKeyButton.enabled) == ("Cancel", False)
    assert "Writing" in day.ui.progressBar.format
    day.key("P")  # what the button says
    assert day.sentence() == "Cancelled: everything is as it was before."
    assert (day.logic.state, day.names(), day.logic.keys) == (State.IDLE, ["Segment_1"], ())
    day.ui.addKeyButton.click()
    day.key("P")  # once more
    assert day.logic.keys == ()
    day.ui.addKeyButton.click()
    day.key("N")  # any other key
    assert (day.logic.state, day.names(), len(day.logic.keys)) == (State.IDLE, ["Organ", "Spleen"], 2)
    assert day.sentence().startswith("Keys and ranges now: Organ, Spleen.")
