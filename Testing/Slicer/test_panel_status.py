"""The status line tells what is so now: not what was accepted and undone, nor what concerns another segment."""

import numpy as np
import pytest
from bench import MATRIX
from day import TRUTH, dayOf, drawFolder
from panel_double import fillScene
from panel_fixtures import openedPanel, pressKey

UNDONE = "Undone: nothing of that is there any more. Redo in the Segment Editor brings it back."
ACCEPTED = "Undo in the Segment Editor takes it back."


@pytest.fixture
def day(slicer, tmp_path, warmWorker):
    """An opened case, whose first segment is outlined by a box."""
    with dayOf(slicer, warmWorker) as found:
        found.open(drawFolder(tmp_path / "scans", "a"))
        found.widget.objects.preferences["boxAtOnce"] = 0
        yield found


def accept(day):
    """Propagate what is drawn on the shown slice, and accept it."""
    day.draw()
    day.press("addKeyButton")
    day.press("propagateButton")
    day.until("review")
    day.press("acceptButton")
    day.until("idle")


def addSegment(day):
    segmentId = day.node.GetSegmentation().AddEmptySegment("", "Other")
    day.settle()
    return segmentId


def select(day, segmentId):
    day.ui.segmentEditor.setCurrentSegmentID(segmentId)
    day.settle()


def test_after_undo_and_redo_of_an_accept_it_tells_which_of_them_is_so(day):
    accept(day)
    assert ACCEPTED in day.sentence()
    day.ui.segmentEditor.undo()
    day.settle()
    assert day.sentence() == UNDONE
    day.ui.segmentEditor.redo()
    day.settle()
    assert ACCEPTED in day.sentence()


def test_a_stroke_after_an_accept_is_no_undo(day):
    accept(day)
    mask = day.mask()
    mask[5, 0:3, 0:3] = True
    day.draw(mask)
    assert ACCEPTED in day.sentence()


def test_what_was_accepted_is_not_said_of_another_segment(day):
    other = addSegment(day)
    accept(day)
    select(day, other)
    assert day.sentence() == ""


def test_an_accept_that_a_notice_came_with_leaves_the_notice(day):
    addSegment(day)
    day.logic.accepted.connect(lambda _changed: day.widget.context.status.note("Keep this."))
    accept(day)
    day.ui.segmentEditor.undo()
    day.settle()
    assert day.sentence() == f"Keep this. {UNDONE}"


def test_an_image_that_came_in_review_is_told_of_beside_what_was_accepted(day):
    day.draw()
    day.press("addKeyButton")
    day.press("propagateButton")
    day.until("review")
    showAnotherImage(day)
    day.press("acceptButton")
    day.until("idle")
    accepted, follows = (
        "Accepted: 944 voxels changed.",
        "The view shows the image 'PET': it is the one that is worked on now.",
    )
    assert day.sentence() == f"{accepted} {follows}"  # Undo does not reach it from here
    day.widget.refresh()
    assert day.sentence() == f"{accepted} {follows}"
    showAnotherImage(day, "MR")
    assert day.sentence() == follows.replace("PET", "MR")


def showAnotherImage(day, name="PET"):
    """As Slicer does when an image is loaded."""
    volume = day.app.util.addVolumeFromArray(TRUTH.astype(np.int16), ijkToRAS=MATRIX, name=name)
    day.app.util.setSliceViewerLayers(background=volume)
    day.settle()


def test_what_a_lock_has_done_is_not_said_of_another_segment(day):
    other = addSegment(day)
    day.press("lockSliceButton")
    assert "locked" in day.sentence()
    select(day, other)
    assert day.sentence() == ""


def test_an_outline_that_is_dropped_is_not_offered_any_more(panel):
    panel.press("pointsButton")
    panel.logic.outline(panel.segmentId, 18, 300.0)
    panel.settle()
    assert panel.sentence().startswith("Outline on slice 18: 300 mm²")
    panel.press("clearPromptButton")
    assert panel.sentence() == ""


def test_a_proposal_that_has_gone_is_not_ready(reviewed):
    assert "ready" in reviewed.sentence()
    reviewed.logic.go("idle")
    reviewed.settle()
    assert reviewed.sentence() == ""


# ---- keys that cannot act now ---------------------------------------------------------------------------------------

RUNNING = "A run is going on: wait for its end, or cancel it."


@pytest.mark.parametrize("letter", "UNECAOXHD")
def test_a_key_that_can_do_nothing_during_a_run_says_so(prompted, letter):
    prompted.press("propagateButton")
    pressKey(prompted, letter)
    assert prompted.sentence() == RUNNING
    prompted.logic.go("cancelling")
    prompted.settle()
    pressKey(prompted, letter)
    assert prompted.sentence() == "The run is being stopped: wait a moment."
    assert {call[0] for call in prompted.logic.calls} <= {"setKeys", "addKey", "getAhead", "startSession"}


@pytest.mark.parametrize("letter", "NECAD")
def test_a_key_of_the_review_says_that_there_is_no_proposal(panel, letter):
    pressKey(panel, letter)
    assert panel.sentence() == "There is no proposal to review: propagate first."


def test_a_key_that_follows_what_has_just_come_acts_before_its_button_is_shown_as_on(reviewed):
    reviewed.ui.acceptButton.enabled = False
    pressKey(reviewed, "A")
    assert reviewed.said("accept")


def test_keys_say_what_is_missing(slicer):
    with openedPanel(slicer, fill=False) as panel:
        for letter, sentence in (("O", "Load an image first."), ("U", "Load an image first."),
                                 ("H", "Open a worklist under Cases first.")):  # fmt: skip
            pressKey(panel, letter)
            assert panel.sentence() == sentence


def test_what_is_missing_is_said_as_long_as_it_is(slicer):
    with openedPanel(slicer, fill=False) as panel:
        panel.press("boxButton")
        assert panel.sentence() == "Load an image first."
        fillScene(slicer)
        panel.settle()
        assert panel.sentence() == ""


def test_a_segment_that_is_only_locked_as_empty_has_no_key_and_stops_no_other(day):
    day.look()
    other = addSegment(day)
    day.draw()
    day.press("addKeyButton")
    select(day, other)
    day.press("lockSliceButton")
    assert day.ui.estimateLabel.text == "Outline the object on one axial slice and use it as key."
    assert not day.ui.propagateButton.enabled
    day.press("allSegmentsCheckBox")
    day.press("propagateButton")
    day.until("review")
    assert len(day.logic.proposed[0]) == 1


def test_a_key_that_is_added_during_a_run_is_told_to_be_of_the_next_one(prompted):
    prompted.press("propagateButton")
    pressKey(prompted, "K")
    assert prompted.sentence() == "Slice 18 is a key of the next run."


def test_a_run_says_what_is_waited_for_although_the_worker_is_there(day):
    day.draw()
    day.press("addKeyButton")
    day.press("propagateButton")
    day.until("review")
    said = []
    day.logic.statusChanged.connect(said.append)
    day.ui.propagateButton.click()
    assert said == ["Waiting for the computing process..."]
    day.until("review")
