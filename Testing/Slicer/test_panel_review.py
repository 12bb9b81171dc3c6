"""The section Review of the panel: drift strip, several segments, locks; runs are driven by the tests."""

import time

import numpy as np
import pytest
from bench import DRAWN_WORKER, Store
from panel_double import drawnScores
from panel_fixtures import openedPanel
from SegmentPropagateSlicer.Logic import SegmentPropagateLogic, State
from SegmentPropagateSlicer.Runs.Estimates import Estimates
from SegmentPropagateSlicer.Runs.WorkerProcess import WorkerProcess


def test_review_appears_with_the_proposal_and_goes_with_it(reviewed):
    assert reviewed.ui.reviewSection.isVisible()
    assert reviewed.ui.sliceInfo.text == "Left kidney, slice 18: key slice, 960\u00a0mm²."
    reviewed.press("discardButton")
    assert reviewed.said("discard")
    assert reviewed.sentence() == "Discarded: the segment is as it was before the run."
    assert not reviewed.ui.reviewSection.isVisible()


def test_accept_says_how_much_changed_and_how_to_take_it_back(reviewed):
    reviewed.press("acceptButton")
    assert reviewed.sentence() == "Accepted: 1,200 voxels changed. Undo in the Segment Editor takes it back."


def test_accept_that_changes_nothing_offers_no_undo(reviewed):
    """There is no step for it: Undo would take back what was done before."""
    reviewed.logic.acceptWithin = lambda _seconds: {reviewed.segmentId: 0}
    reviewed.press("acceptButton")
    assert reviewed.sentence() == "Accepted: the segments hold what is proposed already, so nothing was changed."


def test_a_click_on_the_drift_strip_goes_to_that_slice(reviewed):
    strip = reviewed.widget.review.strip
    strip.label.onPressed(0.999)
    assert reviewed.widget.context.planeAndSlice() == ("axial", 29)
    strip.label.onPressed(0.0)
    assert reviewed.widget.context.planeAndSlice() == ("axial", 7)


def test_a_mouse_press_on_the_strip_is_a_click_on_a_bar(reviewed):
    from PySide6 import QtCore, QtTest

    label = reviewed.widget.review.strip.label
    QtTest.QTest.mouseClick(label, QtCore.Qt.LeftButton, pos=QtCore.QPoint(label.width - 2, 10))
    assert reviewed.widget.context.planeAndSlice() == ("axial", 29)


def test_the_strip_shows_keys_suspicion_and_locks_in_their_colors(reviewed):
    from SegmentPropagateSlicer.Panel import DriftStrip

    reviewed.logic.scores[2]["confirmed"] = True
    reviewed.widget.review.refresh()
    image = reviewed.widget.review.strip.label.pixmap.toImage()
    bar = image.width() / 23

    def color(index, y):
        return image.pixelColor(int((index - 7 + 0.4) * bar), y).name()

    foot = DriftStrip.SHARPNESS * (DriftStrip.HEIGHT - DriftStrip.GROUND - 1)
    ground = DriftStrip.SHARPNESS * (DriftStrip.HEIGHT - 2)
    assert color(18, foot) == DriftStrip.KEY
    assert color(24, foot) == DriftStrip.SUSPICIOUS
    assert color(20, foot) == DriftStrip.SURE
    assert color(9, ground) == DriftStrip.LOCKED
    assert color(10, ground) == "#000000"  # transparent


def test_next_suspicious_goes_to_the_slice_and_names_it(reviewed):
    reviewed.press("nextButton")
    assert reviewed.widget.context.planeAndSlice() == ("axial", 24)
    assert reviewed.sentence() == "Slice 24 is worth a look."
    assert reviewed.ui.sliceInfo.text.endswith("worth a look.")


def test_editing_and_correcting_name_the_slice_in_the_view(reviewed):
    reviewed.ui.strokesCheckBox.setChecked(False)
    reviewed.showSlice(24)
    reviewed.press("editButton")
    assert reviewed.ui.segmentEditor.mrmlSegmentEditorNode().GetActiveEffectName() == "Paint"
    reviewed.press("correctButton")
    assert reviewed.said("editSlice") == [("editSlice", reviewed.segmentId, 24)]
    assert reviewed.said("correct") == [("correct", reviewed.segmentId, 24)]


def test_a_locked_slice_is_shown_as_locked_and_can_be_unlocked(reviewed):
    reviewed.showSlice(20)
    reviewed.press("lockButton")
    assert reviewed.ui.lockButton.checked
    reviewed.showSlice(21)
    assert not reviewed.ui.lockButton.checked
    reviewed.showSlice(20)
    assert reviewed.ui.lockButton.checked
    reviewed.press("lockButton")
    assert [call[3] for call in reviewed.said("confirmSlices")] == [True, False]


def test_leaving_the_module_and_coming_back_keeps_the_proposal_and_the_keys(reviewed):
    replaced = len(reviewed.said("setKeys"))
    reviewed.widget.exit()
    reviewed.settle()
    reviewed.widget.enter()
    reviewed.settle()
    assert len(reviewed.said("setKeys")) == replaced
    assert reviewed.logic.state == "review"
    assert [key.sliceIndex for key in reviewed.logic.keys] == [18]
    assert reviewed.ui.acceptButton.enabled


# ---- several segments ----------------------------------------------------------------------------------------------


@pytest.fixture
def severalReviewed(panel):
    """A proposal for two segments: the kidney jumps on slice 24, the spleen a little less on 12."""
    panel.parameters.segment = "*"
    panel.widget.range.give(7, 29)
    panel.press("addKeyButton")
    spleen = panel.segmentation.GetSegmentation().GetNthSegmentID(1)
    panel.logic.addKey(spleen, 15, "axial")
    panel.settle()
    panel.press("propagateButton")
    scores = drawnScores(7, 29, 15, jump=(12,))
    scores[12 - 7]["predictedIou"] = 0.72
    panel.logic.scores = {panel.segmentId: drawnScores(7, 29, 18, jump=(24,)), spleen: scores}
    panel.logic.go("review")
    panel.settle()
    panel.spleen = spleen
    return panel


def test_the_strip_shows_the_segment_that_is_chosen_and_the_buttons_act_on_it(severalReviewed):
    panel = severalReviewed
    panel.showSlice(15)
    assert panel.ui.sliceInfo.text.startswith("Left kidney, slice 15: presence")
    panel.ui.segmentEditor.setCurrentSegmentID(panel.spleen)
    panel.settle()
    assert panel.ui.sliceInfo.text.startswith("Spleen, slice 15: key slice")
    panel.ui.strokesCheckBox.setChecked(False)
    panel.press("editButton")
    panel.press("correctButton")
    panel.press("lockButton")
    assert [call[1] for name in ("editSlice", "correct", "confirmSlices") for call in panel.said(name)] == (
        [panel.spleen] * 3
    )


def test_keys_are_listed_in_the_order_of_the_segments(severalReviewed):
    table = severalReviewed.ui.keyTable
    severalReviewed.logic.addKey(severalReviewed.segmentId, 4, "axial")
    severalReviewed.settle()
    rows = [(table.item(row, 1).text(), table.item(row, 0).text()) for row in range(table.rowCount)]
    assert rows == [("Left kidney", "4"), ("Left kidney", "18"), ("Spleen", "15")]


def test_the_strip_follows_the_segment_editor(severalReviewed):
    panel = severalReviewed
    panel.ui.segmentEditor.setCurrentSegmentID(panel.spleen)
    panel.settle()
    assert panel.widget.review.segmentId() == panel.spleen


def test_the_choice_outlives_a_correction_and_leaving_the_module(severalReviewed):
    panel = severalReviewed
    panel.ui.strokesCheckBox.setChecked(False)
    panel.widget.review.choose(panel.spleen)
    panel.press("correctButton")
    panel.logic.go("running")
    panel.settle()
    panel.widget.exit()
    panel.logic.go("review")
    panel.widget.enter()
    panel.settle()
    assert panel.widget.review.segmentId() == panel.spleen


def test_next_suspicious_goes_over_all_segments(severalReviewed):
    panel = severalReviewed
    seen = []
    for _press in range(3):
        panel.press("nextButton")
        name = panel.widget.context.segmentName(panel.widget.review.segmentId())
        seen.append((name, panel.widget.context.planeAndSlice()[1]))
    assert seen == [("Left kidney", 24), ("Spleen", 12), ("Left kidney", 24)]
    assert panel.sentence() == "Slice 24 of Left kidney is worth a look."


def test_the_end_of_a_run_names_the_slice_to_look_at_first(severalReviewed):
    assert severalReviewed.sentence() == (
        "The proposal is ready: look at slice 24 of Left kidney first, then accept or discard it."
    )


def test_a_segment_that_is_removed_in_review_is_no_longer_offered(severalReviewed):
    panel = severalReviewed
    panel.widget.review.choose(panel.spleen)
    panel.segmentation.GetSegmentation().RemoveSegment(panel.spleen)
    panel.widget.refresh()
    assert panel.widget.review.segmentId() == panel.segmentId
    assert panel.ui.sliceInfo.text.startswith("Left kidney")


# ---- views and the growing strip -----------------------------------------------------------------------------------


def test_the_strip_has_the_place_of_every_slice_from_the_start(prompted):
    prompted.widget.range.give(7, 29)
    prompted.press("propagateButton")
    prompted.logic.scores = drawnScores(7, 29, 18)[11:13]
    prompted.logic.sliceUpdated.emit(prompted.segmentId, 19)
    prompted.settle()
    strip = prompted.widget.review.strip
    assert [strip.indexAt(fraction) for fraction in (0.0, 0.5, 0.999)] == [7, 18, 29]


def test_a_view_of_another_plane_does_not_mislead_the_buttons(reviewed):
    reviewed.parameters.view = "Green"
    reviewed.settle()
    reviewed.ui.strokesCheckBox.setChecked(False)
    for name in ("editButton", "correctButton", "lockButton"):
        reviewed.press(name)
        assert reviewed.sentence() == (
            "The chosen view shows coronal slices, the proposal is axial: choose a view of that plane."
        )
    assert not reviewed.ui.lockButton.checked
    assert not any(reviewed.said(name) for name in ("editSlice", "correct", "confirmSlices"))


def test_a_click_on_a_bar_chooses_the_view_that_shows_that_plane(reviewed):
    reviewed.parameters.view = "Green"
    reviewed.settle()
    reviewed.widget.review.strip.label.onPressed(0.999)
    reviewed.settle()
    assert reviewed.parameters.view == "Red"
    assert reviewed.widget.context.planeAndSlice() == ("axial", 29)


def test_review_stays_open_while_a_correction_starts(reviewed):
    reviewed.logic.go("starting")
    reviewed.settle()
    assert reviewed.ui.reviewSection.isVisible()
    assert not reviewed.ui.acceptButton.enabled


def test_an_outline_that_was_shown_before_a_run_is_asked_for_again_in_review(slicer):
    """The real logic and a worker with drawn models: what is no longer shown is not offered."""
    logic = SegmentPropagateLogic(WorkerProcess(DRAWN_WORKER), Estimates(Store()))
    with openedPanel(slicer, logic=logic) as panel:
        panel.parameters.model, panel.parameters.intensity = "threshold", "none"
        panel.ui.strokesCheckBox.setChecked(False)  # else a click in review is a correction at once
        panel.press("addKeyButton")

        def until(isSo):
            end = time.monotonic() + 30
            while not isSo() and time.monotonic() < end:
                panel.settle()
            panel.settle()  # the panel is shown anew once the event that changed it is over
            assert isSo(), panel.sentence()

        panel.press("pointsButton")
        panel.widget.prompt.placement.node("positivePoints").AddControlPointWorld([54.0, 45.0, 54.0])
        until(lambda: logic.previewed)
        assert logic.previewed == (panel.segmentId, "axial", 18)
        assert panel.ui.addKeyButton.text == "Use this outline as key"
        panel.press("propagateButton")
        until(lambda: logic.state == State.REVIEW)
        panel.settle()
        assert panel.ui.addKeyButton.text == "Preview the outline"
        panel.press("addKeyButton")
        assert panel.sentence().startswith("Outlin")  # not a complaint that there is no outline
        until(lambda: logic.previewed)
        assert panel.ui.addKeyButton.text == "Use this outline as key"
        panel.press("acceptButton")
        panel.settle()
        assert logic.previewed is None
        assert panel.ui.addKeyButton.text == "Preview the outline"


def test_a_correction_runs_with_the_settings_that_are_shown(reviewed):
    reviewed.parameters.model = "classical"
    reviewed.ui.strokesCheckBox.setChecked(False)
    reviewed.press("correctButton")
    assert reviewed.logic.settings == reviewed.parameters.runSettings("axial")
    assert reviewed.logic.settings.model == "classical"


# ---- locks outside a review ----------------------------------------------------------------------------------------


def test_the_slice_in_the_view_is_locked_and_unlocked_without_a_proposal(panel):
    panel.showSlice(20)
    panel.press("lockSliceButton")
    assert panel.ui.lockSliceButton.checked
    assert panel.sentence() == "Slice 20 is locked: no run changes it."
    panel.showSlice(21)
    assert not panel.ui.lockSliceButton.checked
    panel.showSlice(20)
    panel.press("lockSliceButton")
    assert not panel.ui.lockSliceButton.checked
    assert [call[2:] for call in panel.said("confirmSlices")] == [((20,), True), ((20,), False)]


def test_the_key_list_shows_a_lock_and_takes_it_away(prompted):
    prompted.ui.keyTable.cellClicked.emit(0, 4)
    prompted.settle()
    assert prompted.logic.keys[0].confirmed
    assert prompted.ui.keyTable.item(0, 4).toolTip().startswith("Locked")
    prompted.ui.keyTable.cellClicked.emit(0, 4)
    prompted.settle()
    assert not prompted.logic.keys[0].confirmed


def test_a_slice_that_cannot_be_locked_is_not_shown_as_locked(panel):
    node = panel.app.mrmlScene.GetSingletonNode("Red", "vtkMRMLSliceNode")
    node.SetSliceToRASByNTP(0, 0.6, 0.8, 1, 0, 0, 48, 48, 54, 0)
    panel.settle()
    panel.press("lockSliceButton")
    assert "oblique" in panel.sentence()
    assert not panel.ui.lockSliceButton.checked
    node.SetOrientation("Axial")


def test_locks_survive_saving_and_reopening_the_scene_and_the_next_run(slicer, tmp_path):
    """The real logic and a worker with drawn models."""
    path, logic = str(tmp_path / "scene.mrb"), SegmentPropagateLogic(WorkerProcess(DRAWN_WORKER), Estimates(Store()))
    with openedPanel(slicer, logic=logic) as panel:

        def organ():
            node = panel.parameters.segmentation
            segmentId = node.GetSegmentation().GetNthSegmentID(0)
            return slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentId, panel.parameters.volume) > 0

        mask = organ()
        mask[14, 10:12, 10:30] = True  # what the model would never find
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            mask.astype(np.uint8), panel.segmentation, panel.segmentId, panel.volume
        )
        panel.press("addKeyButton")
        for index in (14, 21):  # drawn, and empty
            panel.showSlice(index)
            panel.press("lockSliceButton")
        assert "locked as empty" in panel.sentence()
        assert slicer.mrmlScene.WriteToMRB(path, None)
        slicer.mrmlScene.Clear(False)
        assert slicer.mrmlScene.ReadFromMRB(path, True)
        panel.settle()
        assert [(key.sliceIndex, key.confirmed) for key in logic.keys] == [(14, True), (18, False), (21, True)]
        panel.parameters.model, panel.parameters.intensity = "threshold", "none"
        panel.settle()
        panel.press("propagateButton")
        while logic.state in State.BUSY:
            slicer.app.processEvents()
        panel.settle()
        assert logic.state == State.REVIEW, panel.sentence()
        panel.press("acceptButton")
        after = organ()
        assert np.array_equal(after[[14, 18, 21]], mask[[14, 18, 21]])
        assert after[20].any()
