"""The panel on stand-in widgets over the real scene; runs are driven by the tests."""

import inspect
import re
from pathlib import Path

from panel_double import SIGNALS, DrivenLogic, drawnScores
from panel_fixtures import openedPanel, pressKey, shortcutsOf
from SegmentPropagateSlicer.Values.RunSettings import RunSettings

from SegmentPropagateLib.volumes.presets import PRESET_OF


def test_the_driven_logic_offers_what_the_real_one_does():
    from SegmentPropagateSlicer.Logic import SegmentPropagateLogic

    own = {name: f for name, f in vars(DrivenLogic).items() if inspect.isfunction(f)}
    own = {
        name: f for name, f in own.items() if name not in ("go", "outline", "tellDraft") and not name.startswith("_")
    }
    for name, function in own.items():
        real = inspect.signature(getattr(SegmentPropagateLogic, name))
        assert list(inspect.signature(function).parameters) == list(real.parameters), name
    logic = SegmentPropagateLogic()
    assert [name for name in SIGNALS if not hasattr(logic, name)] == []
    logic.shutdown()


# ---- inputs ---------------------------------------------------------------------------------------------------------


def test_an_empty_scene_asks_for_an_image_and_lets_nothing_run(slicer):
    with openedPanel(slicer, fill=False) as panel:
        assert panel.ui.estimateLabel.text == "Choose an image."
        assert not panel.ui.propagateButton.enabled
        assert not panel.ui.addKeyButton.enabled


def test_the_first_volume_and_segmentation_are_chosen_without_a_click(panel):
    assert panel.ui.volumeSelector.currentNode() is panel.volume
    assert panel.ui.segmentationSelector.currentNode() is panel.segmentation
    assert panel.logic.volumeNode is panel.volume
    assert panel.ui.segmentEditor.currentSegmentID() == panel.parameters.segment == panel.segmentId


def test_the_intensity_list_shows_every_preset_of_the_library(panel):
    box = panel.ui.intensitySelector
    shown = [(box.itemData(row), box.itemText(row)) for row in range(box.count)]
    assert shown == [(name, preset.title) for name, preset in PRESET_OF.items()]


def test_a_volume_that_is_loaded_while_the_panel_is_open_is_taken(slicer):
    from panel_double import fillScene

    with openedPanel(slicer, fill=False) as panel:
        volume = fillScene(slicer)[0]
        panel.settle()
        assert panel.parameters.volume is volume


def test_a_new_segmentation_gets_a_first_segment(panel):
    node = panel.ui.segmentationSelector.addNode()
    panel.settle()
    assert node.GetSegmentation().GetNumberOfSegments() == 1
    assert panel.parameters.segment == node.GetSegmentation().GetNthSegmentID(0)
    assert panel.logic.segmentationNode is node


def test_all_visible_segments_leaves_out_hidden_ones(panel):
    spleen = panel.segmentation.GetSegmentation().GetNthSegmentID(1)
    panel.parameters.segment = "*"
    assert panel.widget.context.segmentIds() == [panel.segmentId, spleen]
    panel.segmentation.GetDisplayNode().SetSegmentVisibility(spleen, False)
    assert panel.widget.context.segmentIds() == [panel.segmentId]


# ---- runs -----------------------------------------------------------------------------------------------------------


def test_without_a_key_the_panel_says_what_to_do_next(panel):
    assert panel.ui.estimateLabel.text == "Outline the object on one axial slice and use it as key."
    assert not panel.ui.propagateButton.enabled


def test_the_estimate_is_shown_before_running(prompted):
    assert prompted.ui.estimateLabel.text == "40 slices, 1 segment, about 14 s, 1.3 GB of memory."


def test_a_warning_of_the_estimate_is_shown(prompted):
    estimate = prompted.logic.estimate([prompted.segmentId], 0, 39)
    prompted.logic.estimate = lambda *_: {**estimate, "seconds": None, "warning": "This will not fit."}
    prompted.widget.refresh()
    assert prompted.ui.estimateLabel.text == (
        "40 slices, 1 segment, time not measured yet on this machine, 1.3 GB of memory. This will not fit."
    )


def test_propagate_becomes_cancel_and_back(prompted):
    prompted.press("propagateButton")
    assert prompted.said("startSession") == [("startSession", (prompted.segmentId,), None, None)]
    assert prompted.ui.propagateButton.text == "Cancel"
    prompted.logic.progressChanged.emit(9, 22, 12.0)
    prompted.settle()
    assert (prompted.ui.progressBar.value, prompted.ui.progressBar.maximum) == (9, 22)
    assert prompted.ui.progressBar.format == "%v of %m slices, 12 s left"
    assert not prompted.ui.volumeSelector.enabled
    assert prompted.ui.propagateButton.icon.isNull()
    prompted.press("propagateButton")
    assert not prompted.ui.propagateButton.icon.isNull()
    assert prompted.said("cancel")
    assert prompted.ui.propagateButton.text == "Propagate"
    assert prompted.ui.volumeSelector.enabled


def test_every_number_is_taken_from_the_spin_box_of_its_name_and_0_leaves_it_to_the_model(panel):
    from SegmentPropagateSlicer.Scene.Parameters import Parameters

    numbers = Parameters.wholeNumbers()
    assert {"imageSize", "stopAfterEmpty"} <= set(numbers)
    for name in numbers:
        box = getattr(panel.ui, f"{name}SpinBox")
        for value, taken in ((box.maximum, box.maximum), (0, None)):
            box.setValue(value)
            box.editingFinished.emit()
            assert getattr(panel.parameters, name) == taken


def test_the_chosen_settings_reach_the_logic(prompted):
    ui = prompted.ui
    ui.passModeSelector.setCurrentIndex(1)
    ui.passModeSelector.activated.emit(1)
    ui.stopAfterEmptySpinBox.setValue(3)
    ui.stopAfterEmptySpinBox.editingFinished.emit()
    ui.intensitySelector.setCurrentIndex(2)
    ui.intensitySelector.activated.emit(2)
    prompted.settle()
    prompted.press("propagateButton")
    settings = prompted.logic.settings
    assert (settings.passMode, settings.stopAfterEmpty, settings.intensity) == ("coupled", 3, "abdomen")
    assert (settings.plane, settings.imageSize) == ("axial", None)


def test_100_fast_clicks_on_propagate_start_and_cancel_in_turn(prompted):
    for _click in range(100):
        prompted.ui.propagateButton.click()
    prompted.settle()
    assert len(prompted.said("startSession")) == len(prompted.said("cancel")) == 50
    assert prompted.logic.state == "idle"
    assert prompted.sentence() == ""


def test_an_error_is_one_sentence_and_the_log_lies_folded_below(prompted):
    assert not prompted.ui.detailsSection.isVisible()
    prompted.logic.logReceived.emit("Traceback: out of memory\n")
    prompted.logic.errorOccurred.emit("The computing process ended unexpectedly.")
    prompted.settle()
    assert prompted.sentence() == "The computing process ended unexpectedly."
    assert prompted.ui.detailsSection.isVisible()
    assert prompted.ui.detailsSection.collapsed
    assert prompted.ui.detailsText.plainText == "Traceback: out of memory"


def test_an_unexpected_exception_ends_in_the_panel_and_not_in_qt(prompted):
    def broken(*_arguments):
        raise RuntimeError("boom")

    prompted.logic.startSession = broken
    prompted.press("propagateButton")
    assert prompted.sentence() == "Something unexpected went wrong (boom); see Details."
    assert "RuntimeError: boom" in prompted.ui.detailsText.plainText


def test_showing_the_panel_writes_nothing(prompted):
    """Not the logic's settings, which a script may have chosen, nor the parameters, nor the segments."""
    settings = prompted.logic.settings = RunSettings(model="chosen by a script", plane="coronal")
    nodes = prompted.parameters.node, prompted.volume, prompted.segmentation
    before, calls = [node.GetMTime() for node in nodes], list(prompted.logic.calls)
    prompted.widget.refresh()
    prompted.settle()
    assert prompted.ui.estimateLabel.text.startswith("40 slices, 1 segment")
    assert prompted.logic.settings is settings
    assert prompted.logic.calls == calls
    assert [node.GetMTime() for node in nodes] == before


def test_the_estimate_is_of_the_settings_that_are_shown(prompted):
    asked, estimate = [], prompted.logic.estimate
    prompted.logic.estimate = lambda *arguments: (asked.append(arguments[3]), estimate(*arguments))[1]
    prompted.parameters.model = "classical"
    prompted.settle()
    assert asked[-1] == prompted.parameters.runSettings("axial")
    assert asked[-1].model == "classical"


# ---- shortcuts ------------------------------------------------------------------------------------------------------


def test_every_shortcut_does_what_its_button_says(panel):
    pressKey(panel, "K")
    panel.showSlice(7)
    pressKey(panel, "S")
    panel.showSlice(29)
    pressKey(panel, "L")
    assert panel.widget.range.range() == (7, 29)
    pressKey(panel, "U")
    assert panel.said("confirmSlices") == [("confirmSlices", panel.segmentId, (29,), True)]
    panel.logic.setKeys([key for key in panel.logic.keys if not key.confirmed])
    pressKey(panel, "P")
    assert panel.said("startSession") == [("startSession", (panel.segmentId,), 7, 29)]
    review(panel)
    pressKey(panel, "N")
    assert panel.widget.context.planeAndSlice() == ("axial", 24)
    pressKey(panel, "E")
    assert panel.said("editSlice") == [("editSlice", panel.segmentId, 24)]
    pressKey(panel, "C")
    assert panel.said("correct") == [("correct", panel.segmentId, 24)]
    pressKey(panel, "U")
    assert panel.said("confirmSlices")[1:] == [("confirmSlices", panel.segmentId, (24,), True)]
    for key, act in (("A", "accept"), ("D", "discard"), ("O", "accept")):
        review(panel)
        before = len(panel.said(act))
        pressKey(panel, key)
        assert len(panel.said(act)) == before + 1


def review(panel):
    panel.logic.scores = drawnScores(7, 29, 18, jump=(24,))
    panel.logic.go("review")
    panel.settle()


def test_shortcuts_are_off_while_another_module_is_open_or_the_mouse_is_elsewhere(panel):
    from PySide6 import QtCore, QtGui, QtTest

    panel.widget.exit()
    pressKey(panel, "K")
    assert panel.said("addKey") == []
    panel.widget.enter()
    QtGui.QCursor.setPos(panel.widget.parent.mapToGlobal(QtCore.QPoint(-30, -30)))
    QtTest.QTest.keyClick(panel.widget.parent, QtCore.Qt.Key_K)
    panel.settle()
    assert panel.said("addKey") == []
    pressKey(panel, "K")
    assert panel.said("addKey")


def test_no_shortcut_is_one_of_the_segment_editor_or_of_the_slice_views(panel):
    from SegmentPropagateSlicer.Panel.Shortcuts import TAKEN

    sequences = shortcutsOf(panel.widget)
    assert len(set(sequences)) == len(sequences) == 13
    assert [sequence for sequence in sequences if sequence in TAKEN or len(sequence) > 1] == []


def test_every_shortcut_is_named_in_a_tooltip_in_the_help_and_in_the_readme(panel):
    from SegmentPropagate import helpText

    tips = " ".join(w.toolTip for w in vars(panel.ui).values() if hasattr(w, "toolTip"))
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    table = readme[readme.index("| key | does |") :].split("\n\n")[0]
    keys = helpText().split("Keys while")[1]
    for sequence in shortcutsOf(panel.widget):
        assert f"key {sequence})" in tips
        assert re.search(rf"\b{sequence} [a-z]", keys)
        assert re.search(rf"[|,] {sequence}[ ,]", table)


def test_the_next_segment_is_taken_after_accept_and_a_new_one_after_the_last(panel):
    segmentation, editor = panel.segmentation.GetSegmentation(), panel.ui.segmentEditor
    spleen = segmentation.GetNthSegmentID(1)
    for expected in (lambda: spleen, lambda: segmentation.GetNthSegmentID(2)):
        panel.press("addKeyButton")
        panel.press("propagateButton")
        review(panel)
        panel.press("nextObjectButton")
        assert panel.parameters.segment == editor.currentSegmentID() == expected()
        assert editor.mrmlSegmentEditorNode().GetActiveEffectName() == "Paint"


def test_everything_that_can_be_pressed_or_chosen_has_a_tooltip(panel):
    kinds = ("QPushButton", "QToolButton", "QComboBox", "QSpinBox", "qMRMLNodeComboBox")
    widgets = {name: w for name, w in vars(panel.ui).items() if name != "qt_header"}  # of the stand-in for ctk's fold
    without = [name for name, w in widgets.items() if w.className() in kinds and not w.toolTip]
    assert without == []


# ---- the scene ------------------------------------------------------------------------------------------------------


def test_closing_the_scene_empties_the_panel(reviewed):
    reviewed.app.mrmlScene.Clear(False)
    reviewed.settle()
    assert reviewed.logic.volumeNode is None
    assert reviewed.ui.volumeSelector.currentNode() is None
    assert not reviewed.ui.propagateButton.enabled


def test_deleting_the_volume_asks_for_another(prompted):
    prompted.app.mrmlScene.RemoveNode(prompted.volume)
    prompted.settle()
    assert prompted.logic.volumeNode is None
    assert prompted.ui.estimateLabel.text == "Choose an image."


def test_keys_and_choices_survive_saving_and_reopening_the_scene(slicer, tmp_path):
    path = str(tmp_path / "scene.mrb")
    with openedPanel(slicer) as panel:
        panel.press("addKeyButton")
        panel.widget.range.give(5, 30)
        panel.parameters.stopAfterEmpty = 2
        panel.settle()
        assert slicer.mrmlScene.WriteToMRB(path, None)
        slicer.mrmlScene.Clear(False)
        panel.settle()
        assert panel.logic.keys == ()
        assert slicer.mrmlScene.ReadFromMRB(path, True)
        panel.settle()
        assert [key.sliceIndex for key in panel.logic.keys] == [18]
        assert panel.widget.range.range() == (5, 30)
        assert panel.parameters.stopAfterEmpty == 2
        assert panel.ui.volumeSelector.currentNode().GetName() == "Abdomen CT"


def test_every_setting_of_a_run_is_a_parameter_with_the_same_default(slicer):
    from SegmentPropagateSlicer.Scene.Parameters import Parameters
    from SegmentPropagateSlicer.Values.RunSettings import RunSettings

    assert Parameters().runSettings("sagittal") == RunSettings(plane="sagittal")


def test_the_choices_of_the_advanced_section_are_shown_and_taken(slicer):
    rows = {"precisionSelector": "precision", "passModeSelector": "passMode", "roiSelector": "roi"}
    with openedPanel(slicer) as panel:
        for widget, parameter in rows.items():
            box = getattr(panel.ui, widget)
            for row in reversed(range(box.count)):
                box.setCurrentIndex(row)
                box.activated.emit(row)
                assert getattr(panel.parameters, parameter) == box.itemData(row)  # one that the parameter accepts
                panel.settle()
                assert box.currentIndex == row


def test_the_model_is_remembered_for_the_next_session(slicer):
    with openedPanel(slicer) as panel:
        assert panel.parameters.model == "starter"  # the first time, where nothing is missing
        panel.widget.model.choose("sam2.1-tiny")
    slicer.mrmlScene.Clear(False)
    with openedPanel(slicer) as panel:
        assert panel.parameters.model == "sam2.1-tiny"
        assert panel.ui.modelSelector.currentData == "sam2.1-tiny"
