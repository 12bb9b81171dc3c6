"""What the panel shows follows the segments, and what went wrong is not hidden by what is said next."""

import errno
import os

import pytest
from day import dayOf, drawFolder
from SegmentPropagateSlicer.Review.Keys import Keys
from SegmentPropagateSlicer.Scene import SegmentationCopy

FULL = "the disk is full, free some space"


def segmentOf(panel):
    return panel.segmentation.GetSegmentation().GetSegment(panel.segmentId)


@pytest.fixture
def day(slicer, warmWorker, tmp_path):
    """A proposal of a box in a worklist."""
    with dayOf(slicer, warmWorker) as found:
        found.open(drawFolder(tmp_path / "scans", "a"))
        found.click("boxButton")
        found.clickBox()
        yield found


# ---- segments that are renamed and removed -------------------------------------------------------------------------


def test_a_segment_that_is_renamed_has_its_new_name_everywhere(reviewed):
    segmentOf(reviewed).SetName("肝臓")
    reviewed.settle()
    assert reviewed.ui.promptHint.text.startswith("肝臓:")
    assert reviewed.ui.sliceInfo.text.startswith("肝臓, ")
    assert reviewed.ui.keyTable.item(0, 1).text() == "肝臓"


def test_the_key_of_a_segment_that_was_removed_is_not_listed_and_comes_back_with_it(prompted):
    segmentation = prompted.segmentation.GetSegmentation()
    prompted.ui.segmentEditor.setCurrentSegmentID(segmentation.GetNthSegmentID(1))
    prompted.settle()
    segment = segmentOf(prompted)
    segmentation.RemoveSegment(prompted.segmentId)
    prompted.settle()
    assert prompted.ui.keyTable.rowCount == 0
    segmentation.AddSegment(segment, prompted.segmentId)
    prompted.settle()
    assert prompted.ui.keyTable.rowCount == 1


def test_a_proposal_whose_segments_are_gone_can_still_be_ended(reviewed):
    reviewed.segmentation.GetSegmentation().RemoveSegment(reviewed.segmentId)
    reviewed.settle()
    assert "undo that, or discard it" in reviewed.ui.sliceInfo.text
    assert not reviewed.ui.correctButton.enabled
    reviewed.press("discardButton")
    assert ("discard",) in reviewed.logic.calls


def test_a_key_more_leaves_the_rows_of_the_others_alone(prompted):
    for index in (12, 24):
        prompted.logic.confirmSlices(prompted.segmentId, [index], True, "axial")
        prompted.settle()
    table = prompted.ui.keyTable
    cell = table.item(1, 4)
    prompted.logic.confirmSlices(prompted.segmentId, [6], True, "axial")
    prompted.settle()
    assert [table.item(row, 0).text() for row in range(table.rowCount)] == ["6", "12", "18", "24"]
    assert table.item(2, 4) is cell
    assert max(size.height() for size in cell.icon().availableSizes()) <= 16  # a picture beside it is 44 high
    prompted.logic.setKeys([key for key in prompted.logic.keys if key.sliceIndex != 12])
    prompted.settle()
    assert [table.item(row, 0).text() for row in range(table.rowCount)] == ["6", "18", "24"]


def test_keys_that_are_made_together_are_told_once(bench):
    told, keys = [], Keys()
    keys.segmentationNode = bench.segmentation
    bench.set(bench.segment, bench.truth)
    keys.changed.connect(lambda: told.append(len(list(keys))))
    keys.addAll(bench.grid(), [(bench.segment, index) for index in (4, 5, 6)])
    assert told == [3]
    keys.add(bench.grid(), bench.segment, 7)
    assert told == [3, 4]


def test_removing_the_segment_of_a_proposal_is_no_stroke_and_nothing_is_said_of_a_closed_scene(day):
    day.node.GetSegmentation().RemoveSegment(day.node.GetSegmentation().GetNthSegmentID(0))
    day.widget.strokes.noteDrawn()
    day.widget.strokes.take()
    assert day.logic.state == "review"
    assert "key slice" not in day.sentence()
    day.click("discardButton")
    assert day.sentence()
    day.app.mrmlScene.Clear(False)
    day.settle()
    assert day.sentence() == ""


# ---- sentences ------------------------------------------------------------------------------------------------------


def test_that_nothing_could_be_saved_is_not_hidden_by_what_is_said_next(day, monkeypatch):
    def refuse(*_arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(SegmentationCopy, "write_array", refuse)
    day.click("nextObjectButton")
    day.cases.autosave.settle()
    assert FULL in day.sentence()
    assert "Accepted: " not in day.sentence()
    assert "Next: " in day.sentence()
    assert "color" in day.ui.statusLabel.styleSheet
    assert day.cases.casework.isUnsaved
    day.click("nextObjectButton")
    assert FULL not in day.sentence()


def test_that_anothers_file_was_kept_is_not_hidden_either(day, tmp_path):
    (tmp_path / "scans" / "a.seg.nrrd").write_bytes(b"hers")
    day.click("acceptButton")
    day.cases.autosave.settle()
    assert "was changed by another program: it is kept" in day.sentence()
    assert "Accepted: " in day.sentence()
    assert (tmp_path / "scans" / "a.seg.nrrd").read_bytes() == b"hers"
