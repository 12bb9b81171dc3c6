"""Strokes and clicks on a proposal in the panel: lent at the press of the mouse, corrected when she has ended."""

import time

import numpy as np
import pytest
import vtk
from day import SLICE, TRUTH, dayOf, drawFolder, placeOn
from panel_fixtures import openedPanel
from SegmentPropagateSlicer.Panel import Strokes

from SegmentPropagateLib import read_labels


class Views:
    """Slice views that can be pressed, in place of Slicer's layout."""

    def __init__(self, names=("Red", "Green", "Yellow")):
        self.names, self.interactors = names, {name: vtk.vtkObject() for name in names}

    def sliceViewNames(self):
        return self.names

    def sliceWidget(self, name):
        self.name = name
        return self

    def interactorStyle(self):
        return self

    def GetInteractor(self):
        return self.interactors[self.name]

    def mrmlSliceLogics(self):
        return vtk.vtkCollection()

    def press(self, name):
        self.interactors[name].InvokeEvent(vtk.vtkCommand.LeftButtonPressEvent)


@pytest.fixture
def views(slicer, monkeypatch):
    found = Views()
    monkeypatch.setattr(slicer.app, "layoutManager", lambda: found)
    return found


@pytest.fixture
def day(slicer, views, warmWorker, tmp_path, monkeypatch):
    """A proposal of a box, in review; a stroke is taken when a test says so."""
    monkeypatch.setattr(Strokes, "PAUSE_MS", 60_000)
    with dayOf(slicer, warmWorker) as found:
        found.open(drawFolder(tmp_path / "scans", "a"))
        found.click("boxButton")
        found.clickBox()
        yield found


def rest(day):
    """The pause after a stroke has passed, and what it began is done."""
    day.widget.strokes.take()
    day.until("review")


def test_a_stroke_in_any_view_corrects_the_proposal_without_a_button(day, views):
    day.ui.segmentEditor.setActiveEffectByName("Erase")
    day.look(8)
    views.press("Red")
    erased = TRUTH & (np.indices(TRUTH.shape)[0] == 8) & (np.indices(TRUTH.shape)[2] < 11)
    assert erased.any()
    assert (day.mask() & erased).sum() == erased.sum()  # lent
    day.draw(day.mask() & ~erased)
    rest(day)
    assert [key.sliceIndex for key in day.logic.keys] == [SLICE, 8]
    day.click("acceptButton")
    assert np.array_equal(day.mask(), TRUTH & ~erased)


def test_the_end_of_a_stroke_is_waited_for_and_the_brush_needs_nothing_lent(day, views):
    day.ui.segmentEditor.setActiveEffectByName("Paint")
    mask = day.mask()
    views.press("Red")
    assert np.array_equal(day.mask(), mask)
    mask[8, 0:2, 0:2] = True
    day.draw(mask)
    assert day.widget.strokes.isWaiting
    assert [key.sliceIndex for key in day.logic.keys] == [SLICE]


def test_strokes_wait_for_the_button_where_that_is_set_and_the_setting_is_remembered(day, views):
    day.panel.unfold(day.ui.strokesCheckBox)
    assert day.ui.strokesCheckBox.checked
    assert not day.ui.correctButton.isVisible()
    day.ui.strokesCheckBox.setChecked(False)
    day.panel.settle()
    assert day.ui.correctButton.isVisible()
    day.ui.segmentEditor.setActiveEffectByName("Erase")
    before = day.mask()
    views.press("Red")
    assert np.array_equal(day.mask(), before)  # nothing is lent
    mask = day.mask()
    mask[8, 0:2, 0:2] = True
    day.draw(mask)
    day.widget.strokes.take()
    assert (day.logic.state, len(day.logic.keys)) == ("review", 1)
    assert not day.widget.objects.preferences["correctOnStroke"]
    day.look(8)
    day.click("correctButton")
    day.until("review")
    assert [key.sliceIndex for key in day.logic.keys] == [SLICE, 8]


def test_undo_in_the_editor_takes_the_correction_back(day):
    day.ui.segmentEditor.saveStateForUndo()
    mask = day.mask()
    mask[8, 0:2, 0:2] = True
    day.draw(mask)
    rest(day)
    assert len(day.logic.keys) == 2
    day.ui.segmentEditor.undo()
    assert day.widget.strokes.isWaiting  # it is heard of
    rest(day)
    assert len(day.logic.keys) == 1
    day.click("acceptButton")
    assert np.array_equal(day.mask(), TRUTH)


@pytest.mark.parametrize("kind", ["positivePoints", "negativePoints"])
def test_one_click_on_a_wrong_slice_is_a_correction(day, kind):
    day.look(8)
    day.widget.prompt.chooseMode("points")
    day.widget.prompt.placement.start(kind)
    node = day.widget.prompt.placement.node(kind)
    node.AddControlPoint(*placeOn(8))
    node.InvokeEvent(node.PointPositionDefinedEvent)
    day.until("review")
    end = time.monotonic() + 30
    while len(day.logic.keys) < 2 and time.monotonic() < end:
        day.panel.settle()
    rest(day)
    assert [key.sliceIndex for key in day.logic.keys] == [SLICE, 8]
    assert day.widget.prompt.placement.points()[1] == []


def test_a_stroke_during_a_run_is_taken_at_its_end_and_none_after_a_cancelled_one(reviewed):
    strokes = reviewed.widget.strokes
    strokes.take()
    for before, waits in (("running", True), ("cancelling", False)):
        reviewed.logic.go("running")
        strokes.noteDrawn()
        assert not strokes.isWaiting
        reviewed.logic.go(before)
        reviewed.logic.go("review")
        assert strokes.isWaiting == waits
        strokes.take()


def test_a_file_saved_in_review_holds_nothing_that_was_only_lent(day, views, tmp_path):
    day.ui.segmentEditor.setActiveEffectByName("Erase")
    day.look(8)
    before = day.mask().sum()
    views.press("Red")
    assert day.mask().sum() > before
    day.press("saveCaseButton")
    labels = read_labels(tmp_path / "scans" / "a.seg.nrrd")
    assert labels.mask(labels.values[0]).sum() == before


def test_closing_the_panel_leaves_the_views_alone(slicer, views):
    with openedPanel(slicer) as panel:
        panel.widget.exit()
        assert not any(view.HasObserver(vtk.vtkCommand.LeftButtonPressEvent) for view in views.interactors.values())
        panel.widget.enter()
