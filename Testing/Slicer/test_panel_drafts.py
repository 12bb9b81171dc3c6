"""The panel's keys from a segment of another tool, and from a line across the object."""

import pytest


def test_the_segment_is_checked_and_its_trusted_slices_are_listed_as_keys(panel):
    panel.press("useDraftButton")
    assert panel.said("useAsDraft") == [("useAsDraft", panel.segmentId)]
    assert not panel.ui.useDraftButton.enabled
    panel.logic.tellDraft(panel.segmentId, [9, 10, 12], [8, 11])
    panel.settle()
    assert panel.ui.useDraftButton.enabled
    assert [panel.ui.keyTable.item(row, 0).text() for row in range(panel.ui.keyTable.rowCount)] == ["9", "10", "12"]
    assert panel.widget.range.given() == (8, 12)
    assert panel.sentence() == "Left kidney: 3 of 5 slices are keys now; Propagate redoes the others."
    panel.ui.keyTable.cellClicked.emit(1, 5)
    panel.settle()
    assert [key.sliceIndex for key in panel.logic.keys] == [9, 12]


ANSWERS = {
    "all 3 slices are keys now, none is in doubt": ([9, 10, 11], []),
    "outline one of its 2 slices by hand": ([], [9, 10]),
}


@pytest.mark.parametrize("told", ANSWERS)
def test_what_comes_of_it_is_told_in_a_sentence(panel, told):
    panel.press("useDraftButton")
    panel.logic.tellDraft(panel.segmentId, *ANSWERS[told])
    panel.settle()
    assert told in panel.sentence()


def test_drafts_are_for_painted_segments_and_not_for_a_review(reviewed):
    assert not reviewed.ui.useDraftButton.isVisible()


def test_a_line_is_placed_and_previewed_when_both_ends_are_there(panel):
    panel.press("lineButton")
    assert not panel.ui.useDraftButton.isVisible()
    placement = panel.widget.prompt.placement
    assert placement.placing() == "line"
    assert panel.ui.placePositiveButton.text == "Place line"
    line = placement.node("line")
    line.AddControlPointWorld([48.0, 45.0, 54.0])
    panel.settle()
    assert panel.said("previewPrompt") == []
    line.AddControlPointWorld([60.0, 45.0, 54.0])
    panel.settle()
    assert panel.said("previewPrompt")[-1][1:3] == (panel.segmentId, 18)
    assert panel.logic.line is line
    panel.press("paintButton")
    assert line.GetNumberOfControlPoints() == 0
