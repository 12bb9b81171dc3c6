"""Suggest beside Paint, Box and Points: finished cases chosen, all labels asked for, ticked, and used as keys."""

import json
import time

import numpy as np
import pytest
from day import dayOf, drawFolder
from panel_fixtures import openedPanel
from SegmentPropagateSlicer.Panel import SuggestSection
from suggest_double import DOUBT, answer, draft

from SegmentPropagateLib.worker.replies import Suggesting

LAPTOP = 900
SLOT_S = 0.05


@pytest.fixture
def suggesting(panel, tmp_path):
    """All labels have been asked for in one press."""
    (tmp_path / "finished").mkdir()
    panel.widget.suggest.useSupport(str(tmp_path / "finished"))
    panel.press("suggestButton")
    panel.press("suggestAllButton")
    return panel


@pytest.fixture
def suggested(suggesting):
    """Two are sure, one is unsure, one is not here."""
    answer(suggesting.logic.runner)
    suggesting.settle()
    return suggesting


def boxes(panel):
    """The check boxes of the list."""
    table = panel.ui.suggestionTable
    return [table.cellWidget(row, 0) for row in range(table.rowCount)]


def entries(panel):
    box = panel.ui.supportSelector
    return [box.itemText(row) for row in range(box.count)]


def sliceShown(panel):
    return panel.widget.context.planeAndSlice()[1]


# ---- asking ---------------------------------------------------------------------------------------------------------


def test_without_finished_cases_one_sentence_says_what_to_do(panel):
    panel.press("suggestButton")
    panel.press("suggestAllButton")
    assert panel.sentence() == "Choose a folder of finished cases first, or open a worklist under Cases."
    assert not panel.said("suggest")


def test_progress_is_shown_and_the_button_cancels(suggesting):
    suggesting.logic.runner.answer(Suggesting(7, 23))
    suggesting.settle()
    assert (suggesting.ui.progressBar.value, suggesting.ui.progressBar.maximum) == (7, 23)
    assert suggesting.ui.propagateButton.text == "Cancel"
    assert not suggesting.ui.suggestAllButton.enabled
    suggesting.press("propagateButton")
    assert suggesting.logic.runner.cancelled == [1]
    assert suggesting.ui.propagateButton.text == "Propagate"
    answer(suggesting.logic.runner)
    suggesting.settle()
    assert not suggesting.ui.suggestionTable.isVisible()
    assert suggesting.ui.suggestAllButton.enabled


# ---- the list -------------------------------------------------------------------------------------------------------


def test_a_line_for_each_label_ticked_where_it_is_sure(suggested):
    assert suggested.said("suggest")[0][2] == ()  # without a template, all that the finished cases have
    found = [(box.text, box.isChecked(), box.isEnabled()) for box in boxes(suggested)]
    assert found == [
        ("Left kidney: slice 18, 7 to 29, sure", True, True),
        ("Spleen: slice 15, 6 to open, sure", True, True),
        (f"Pancreas: slice 20, 16 to 24, unsure. {DOUBT}", False, True),
        ("Stomach: not here. It lies beyond the field of view of the image.", False, False),
    ]
    assert suggested.sentence().startswith("3 of 4 are suggested, 2 of them with confidence")
    assert sliceShown(suggested) == 18


def test_a_tick_shows_the_slice_and_counts(suggested):
    before = boxes(suggested)
    boxes(suggested)[2].click()
    suggested.settle()
    assert sliceShown(suggested) == 20
    assert suggested.ui.addKeyButton.text == "Use 3 ticked as keys"
    for row in range(3):
        boxes(suggested)[row].click()
        suggested.settle()
    assert not suggested.ui.addKeyButton.enabled
    assert boxes(suggested) == before  # none is replaced while it tells that it was clicked


def test_the_rows_of_the_list_are_written_once_after_it_has_changed_and_not_within_the_change(suggested, monkeypatch):
    """Their texts take 25 ms for 20 rows, and *Use* changes the list in the piece that writes the segments."""
    made = []
    monkeypatch.setattr(SuggestSection, "rowText", lambda one: made.append(one) or one.name)
    suggested.logic.suggestions.tick(3, True)
    assert made == []
    for _again in range(3):
        suggested.settle()
        suggested.widget.refresh()
    assert [one.name for one in made] == ["Left kidney", "Spleen", "Pancreas", "Stomach"]


def test_the_list_stays_while_something_is_painted_and_fits_the_screen(suggested):
    for index in (3, 9, 12):
        suggested.logic.addKey(suggested.segmentId, index, "axial")
    suggested.press("suggestAllButton")
    answer(suggested.logic.runner, [draft(n, f"Organ {n}", reason=DOUBT) for n in range(1, 40)])
    suggested.settle()
    assert len(boxes(suggested)) == 39
    assert suggested.widget.parent.sizeHint.height() <= LAPTOP
    suggested.press("paintButton")
    assert not suggested.ui.suggestBox.isVisible()
    suggested.press("suggestButton")
    assert suggested.ui.suggestBox.isVisible()


# ---- using ----------------------------------------------------------------------------------------------------------


def test_what_is_used_has_its_range_and_is_propagated_in_one_run(suggested):
    suggested.press("addKeyButton")
    assert suggested.said("useSuggestions")
    kidney, spleen = suggested.segmentation.GetSegmentation().GetSegmentIDs()
    parameters = suggested.parameters
    assert (parameters.rangeOf(kidney, "axial"), parameters.rangeOf(spleen, "axial")) == ((7, 29), (6, None))
    assert parameters.segment == "*"
    assert "Keys and ranges now: Left kidney, Spleen." in suggested.sentence()


@pytest.mark.slow
def test_a_single_one_is_selected_and_its_range_is_filled(suggested):
    boxes(suggested)[0].click()
    suggested.press("addKeyButton")
    assert suggested.widget.context.segmentName(suggested.parameters.segment) == "Spleen"
    assert (suggested.ui.firstSpinBox.value, suggested.ui.lastSpinBox.value) == (6, 39)


def test_one_press_asks_for_the_template_and_what_is_missing_is_made_as_it_has_it(panel, tmp_path):
    path = tmp_path / "organs.json"
    path.write_text(json.dumps([{"name": "pancreas", "color": "#ff8000", "type": ["SCT", "15776009", "Pancreas"]}]))
    panel.widget.objects.choose(str(path))
    panel.widget.suggest.useSupport(str(tmp_path))
    panel.press("suggestButton")
    panel.press("suggestAllButton")
    ((_word, support, names),) = panel.said("suggest")
    assert (support.folders, support.cases, names) == ((str(tmp_path),), (), ("pancreas",))
    answer(panel.logic.runner, [draft(1, "Pancreas")])
    panel.settle()
    panel.press("addKeyButton")
    segment = panel.segmentation.GetSegmentation().GetNthSegment(2)
    assert (segment.GetName(), np.round(segment.GetColor(), 2).tolist()) == ("pancreas", [1.0, 0.5, 0.0])
    assert "SCT^15776009^Pancreas" in segment.GetTerminology()


@pytest.mark.slow
def test_no_slot_of_a_long_list_holds_the_panel(suggesting):
    runner, widget = suggesting.logic.runner, suggesting.widget
    drafts = [draft(n, f"Organ {n}") for n in range(1, 31)]
    slots = [
        lambda: answer(runner, drafts),
        widget.suggest.refresh,
        lambda: suggesting.logic.suggestions.tick(7, False),
        widget.suggest.refresh,
        lambda: widget.prompt.chooseMode("paint"),
        lambda: widget.prompt.chooseMode("suggest"),
    ]
    for slot in slots:
        begin = time.process_time()  # of this process: others may be busy
        slot()
        assert time.process_time() - begin < SLOT_S


# ---- finished cases -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_folder_is_remembered(suggesting, tmp_path):
    assert entries(suggesting) == ["finished", "Another folder..."]
    with openedPanel(suggesting.app) as again:
        assert entries(again)[0] == "finished"
        assert again.ui.supportSelector.currentData == str(tmp_path / "finished")


@pytest.mark.slow
def test_with_a_worklist_its_finished_cases_are_taken(slicer, tmp_path):
    folder = drawFolder(tmp_path / "scans")
    with dayOf(slicer) as day:
        day.open(folder)
        day.click("suggestButton")
        assert day.ui.supportSelector.currentText == "Finished cases of the worklist (0)"
        day.click("suggestAllButton")
        assert day.sentence() == "No other case of the worklist is done yet: choose a folder of finished cases."
        day.draw()
        day.key("X")
        assert day.casework.name == "b"
        assert day.ui.supportSelector.currentText == "Finished cases of the worklist (1)"
        asked = []
        day.logic.suggest = lambda *it: asked.append(it)
        day.click("suggestAllButton")
        ((support, names),) = asked
        assert support.cases == ((str(folder / "a.nrrd"), str(folder / "a.seg.nrrd")),)
        assert list(names) == ["Segment_1"]  # as in the case before
