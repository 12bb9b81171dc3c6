"""Templates in the panel, the next object, what waits for the last one, figures and status of segments."""

import json

import numpy as np
import pytest
from panel_fixtures import openedPanel
from SegmentPropagateSlicer.Scene.SliceGrid import SliceGrid
from SegmentPropagateSlicer.Scene.VolumeReader import VolumeReader
from SegmentPropagateSlicer.Worklist.Figures import Count
from SegmentPropagateSlicer.Worklist.Segments import infosOf, newSegmentation, nextSegment

from SegmentPropagateLib.volumes.labels import SegmentInfo

LIVER, SPLEEN = SegmentInfo(1, "Liver", (1.0, 0.0, 0.0)), SegmentInfo(2, "Spleen", (0.0, 1.0, 0.0))


def names(node):
    segmentation = node.GetSegmentation()
    return [segmentation.GetSegment(segmentId).GetName() for segmentId in segmentation.GetSegmentIDs()]


def statusOf(app, panel, number=0):
    logic = app.vtkSlicerSegmentationsModuleLogic
    return logic.GetSegmentStatus(panel.segmentation.GetSegmentation().GetNthSegment(number)) == logic.Completed


@pytest.fixture
def drawn(bench):
    """A segmentation whose first segment has voxels."""
    bench.app = bench.slicer
    return bench


# ---- which segment is the next --------------------------------------------------------------------------------------


def test_the_templates_segments_are_taken_in_their_order_and_then_new_ones(drawn):
    node, selected = drawn.segmentation, drawn.segment
    for expected in ("Liver", "Spleen", "Segment_1"):
        selected = nextSegment(node, selected, (LIVER, SPLEEN))
        assert node.GetSegmentation().GetSegment(selected).GetName() == expected
        drawn.set(selected, drawn.truth)
    assert names(node) == ["Organ", "Liver", "Spleen", "Segment_1"]
    assert infosOf(node)[1].color_rgb == (1.0, 0.0, 0.0)


def test_a_nameless_empty_segment_is_used_up_first(drawn):
    node = newSegmentation(drawn.volume)
    nextSegment(node, node.GetSegmentation().GetNthSegmentID(0), (LIVER,))
    assert names(node) == ["Liver"]


def test_an_empty_segment_of_the_template_is_passed_over_when_she_goes_on(drawn):
    node = newSegmentation(drawn.volume, template=(LIVER, SPLEEN))
    liver = node.GetSegmentation().GetNthSegmentID(0)
    spleen = nextSegment(node, liver, (LIVER, SPLEEN))
    assert names(node) == ["Liver", "Spleen"]
    assert nextSegment(node, spleen, (LIVER, SPLEEN)) == liver  # still to do


def test_without_a_template_an_empty_segment_stays_until_it_is_outlined(drawn):
    new = nextSegment(drawn.segmentation, drawn.segment, ())
    assert nextSegment(drawn.segmentation, new, ()) == new
    assert nextSegment(drawn.segmentation, new, (), taken=[new]) not in (new, drawn.segment)


def test_the_status_of_another_case_is_not_part_of_a_template(drawn):
    tags = "Segmentation.Status:completed|" + SPLEEN.tags
    node = newSegmentation(drawn.volume, template=(SegmentInfo(1, "Spleen", (0, 1, 0), tags),))
    segment = node.GetSegmentation().GetNthSegment(0)
    assert not segment.HasTag("Segmentation.Status")
    assert infosOf(node)[0].tags == SPLEEN.tags


# ---- in the panel ---------------------------------------------------------------------------------------------------


def chooseTemplate(panel, path, content=("Liver", "Spleen")):
    path.write_text(json.dumps(content))
    panel.widget.objects.choose(str(path))
    panel.settle()


def test_a_template_is_chosen_shown_saved_with_the_scene_and_offered_again(slicer, tmp_path):
    with openedPanel(slicer) as panel:
        chooseTemplate(panel, tmp_path / "organs.json")
        assert panel.ui.templateSelector.currentText == "organs.json"
        assert panel.sentence() == "2 segments, from Liver to Spleen: Next object takes one after the other."
        panel.press("nextObjectButton")
        assert names(panel.segmentation)[-1] == "Liver"
        assert panel.sentence() == "Next: Liver."
        path = str(tmp_path / "scene.mrb")
        assert slicer.mrmlScene.WriteToMRB(path, None)
        slicer.mrmlScene.Clear(False)
        assert slicer.mrmlScene.ReadFromMRB(path, True)
        panel.settle()
        assert [info.name for info in panel.parameters.segments] == ["Liver", "Spleen"]
        panel.ui.templateSelector.setCurrentIndex(0)
        panel.ui.templateSelector.activated.emit(0)
        assert panel.parameters.segments == ()
        assert panel.ui.templateSelector.count == 2  # offered again


def test_a_bad_template_is_one_sentence_and_the_one_before_stays(panel, tmp_path):
    chooseTemplate(panel, tmp_path / "organs.json")
    (tmp_path / "bad.json").write_text("{")
    panel.widget.context.status.guarded(lambda: panel.widget.objects.choose(str(tmp_path / "bad.json")))()
    assert "is not valid JSON" in panel.sentence()
    assert panel.ui.templateSelector.currentText == "organs.json"


@pytest.mark.parametrize(("mode", "button"), [("paint", "paintButton"), ("points", "pointsButton")])
def test_the_prompt_that_was_used_last_is_armed(panel, mode, button):
    panel.press(button)
    panel.press("addKeyButton")
    panel.widget.prompt.placement.stop()
    panel.ui.segmentEditor.setActiveEffect(None)
    panel.press("nextObjectButton")
    effect = panel.ui.segmentEditor.mrmlSegmentEditorNode().GetActiveEffectName()
    assert (effect or None, panel.widget.prompt.placement.placing()) == (
        ("Paint", None) if mode == "paint" else (None, "positivePoints")
    )


@pytest.mark.parametrize("accepts", [True, False])
def test_a_proposal_that_waits_is_accepted_or_kept_as_it_is_set(reviewed, accepts):
    reviewed.ui.acceptOnNextCheckBox.setChecked(accepts)
    reviewed.press("nextObjectButton")
    assert len(reviewed.said("accept")) == accepts
    assert reviewed.logic.state == ("idle" if accepts else "review")
    assert not reviewed.said("discard")
    assert reviewed.widget.context.selectedSegmentId() != reviewed.segmentId


def test_a_previewed_outline_becomes_a_key_before_she_goes_on(panel):
    panel.press("pointsButton")
    panel.logic.outline(panel.segmentId, 18, 320.0)
    panel.press("nextObjectButton")
    assert panel.said("usePreview")
    assert not panel.said("dropPreview")


def test_nothing_goes_on_while_a_run_does(prompted):
    prompted.press("propagateButton")
    assert not prompted.ui.nextObjectButton.enabled
    prompted.widget.context.status.guarded(prompted.widget.objects.next)()
    assert prompted.sentence() == "A run is going on: wait for its end, or cancel it."


@pytest.mark.parametrize("atOnce", [True, False])
def test_a_box_goes_straight_to_a_proposal_where_that_is_set(panel, atOnce):
    panel.press("boxButton")
    panel.ui.boxAtOnceCheckBox.setChecked(atOnce)
    panel.logic.addKey(panel.segmentId, 18, "axial")
    panel.logic.outline(panel.segmentId, 18, 320.0)
    panel.settle()
    assert bool(panel.said("usePreview")) == bool(panel.said("startSession")) == atOnce


@pytest.mark.parametrize("isSet", [True, False])
def test_accepted_segments_are_completed_where_that_is_set(reviewed, isSet):
    reviewed.ui.completeAtAcceptCheckBox.setChecked(isSet)
    reviewed.press("acceptButton")
    assert statusOf(reviewed.app, reviewed) == isSet
    assert not statusOf(reviewed.app, reviewed, 1)


# ---- figures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_volume_and_slices_of_a_segment_are_counted_along_every_plane(bench, plane):
    bench.set(bench.segment, bench.truth)
    grid = SliceGrid(VolumeReader(bench.volume).geometry, plane)
    figures = Count(bench.segmentation, bench.segment, grid).advance()
    held = np.flatnonzero(bench.truth.any(axis=tuple(axis for axis in range(3) if axis != grid.axis)))
    assert figures.volumeMl == pytest.approx(bench.truth.sum() * 1.5 * 1.5 * 3.0 / 1000)
    assert (figures.slices, figures.first, figures.last) == (len(held), held[0], held[-1])


def test_the_panel_shows_the_figures_of_the_selected_segment(panel):
    assert panel.ui.figuresLabel.text.startswith("Left kidney: ")
    assert panel.ui.figuresLabel.text.endswith(" mL, slice 18")
    mask = np.zeros((40, 64, 64), np.uint8)
    mask[10:20, :10, :10] = 1
    panel.app.util.updateSegmentBinaryLabelmapFromArray(mask, panel.segmentation, panel.segmentId, panel.volume)
    panel.settle()
    assert panel.ui.figuresLabel.text == "Left kidney: 6.75 mL, 10 slices, 10 to 19"
    panel.ui.segmentEditor.setCurrentSegmentID(panel.segmentation.GetSegmentation().GetNthSegmentID(1))
    panel.settle()
    assert panel.ui.figuresLabel.text == "Spleen: empty"
