"""The panel's image, segmentation and segment: chosen, followed, and nothing lost by choosing another one."""

import numpy as np
import pytest
from bench import DRAWN_WORKER, Store
from panel_fixtures import openedPanel
from SegmentPropagateSlicer.Logic import SegmentPropagateLogic, State
from SegmentPropagateSlicer.Runs.Estimates import Estimates
from SegmentPropagateSlicer.Runs.WorkerProcess import WorkerProcess

from SegmentPropagateLib.volumes.geometry import RESAMPLE


def nextVolume(app, name="Next"):
    """Another image of the same size."""
    return app.util.addVolumeFromArray(np.zeros((40, 64, 64), np.int16), np.diag([1.5, 1.5, 3.0, 1.0]), name=name)


@pytest.fixture
def real(slicer):
    """The panel on the real logic with drawn models."""
    logic = SegmentPropagateLogic(WorkerProcess(DRAWN_WORKER), Estimates(Store()))
    with openedPanel(slicer, logic=logic) as panel:
        panel.parameters.model, panel.parameters.intensity = "threshold", "none"
        panel.settle()
        yield panel


# ---- nothing is lost by choosing another one ------------------------------------------------------------------------


def test_keys_locks_and_ranges_are_there_again_when_the_image_is_chosen_again(real):
    real.press("addKeyButton")
    real.showSlice(21)
    real.press("lockSliceButton")
    real.widget.range.give(7, 29)
    keys = real.logic.keys
    assert [(key.sliceIndex, key.confirmed) for key in keys] == [(18, False), (21, True)]
    other = nextVolume(real.app)
    real.ui.volumeSelector.setCurrentNode(other)
    real.settle()
    assert real.logic.volumeNode is other
    assert real.logic.keys == ()
    assert real.widget.range.given() == (None, None)
    real.ui.volumeSelector.setCurrentNode(real.volume)
    real.settle()
    assert real.logic.keys == keys
    assert real.widget.range.given() == (7, 29)


def test_keys_of_another_image_are_saved_with_the_scene(slicer, tmp_path):
    path = str(tmp_path / "scene.mrb")
    with openedPanel(slicer) as panel:
        panel.press("addKeyButton")
        panel.ui.volumeSelector.setCurrentNode(nextVolume(slicer))
        panel.settle()
        assert slicer.mrmlScene.WriteToMRB(path, None)
        slicer.mrmlScene.Clear(False)
        assert slicer.mrmlScene.ReadFromMRB(path, True)
        panel.settle()
        assert panel.logic.keys == ()
        panel.ui.volumeSelector.setCurrentNode(slicer.util.getNode("Abdomen CT"))
        panel.settle()
        assert [key.sliceIndex for key in panel.logic.keys] == [18]


@pytest.mark.parametrize("selector", ["volumeSelector", "segmentationSelector"])
def test_another_image_or_segmentation_waits_for_the_review(reviewed, selector):
    other = nextVolume(reviewed.app)
    if selector == "segmentationSelector":
        other = reviewed.app.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    box = getattr(reviewed.ui, selector)
    before = box.currentNode()
    box.setCurrentNode(other)
    reviewed.settle()
    assert reviewed.sentence() == (
        "A proposal waits for review: accept or discard it before you choose another image or segmentation."
    )
    assert reviewed.logic.state == "review"
    assert box.currentNode() is before
    assert reviewed.logic.volumeNode is reviewed.volume
    reviewed.press("discardButton")
    box.setCurrentNode(other)
    reviewed.settle()
    assert other in (reviewed.logic.volumeNode, reviewed.logic.segmentationNode)


def test_a_script_that_changes_the_parameters_in_review_does_not_drop_the_proposal(reviewed):
    reviewed.parameters.volume = nextVolume(reviewed.app)
    reviewed.settle()
    assert reviewed.parameters.volume is reviewed.volume
    assert reviewed.logic.state == "review"
    assert reviewed.sentence().startswith("A proposal waits for review")


def test_the_status_says_that_a_proposal_has_gone_with_its_image(real):
    real.press("addKeyButton")
    real.press("propagateButton")
    while real.logic.state in State.BUSY:
        real.settle()
    assert "ready" in real.sentence()
    real.app.mrmlScene.RemoveNode(real.volume)
    real.settle()
    assert real.sentence().startswith("The proposal is gone")


def test_a_run_for_another_segment_is_not_offered_while_a_proposal_waits(reviewed):
    spleen = reviewed.segmentation.GetSegmentation().GetNthSegmentID(1)
    reviewed.parameters.segment = spleen
    reviewed.settle()
    assert reviewed.ui.estimateLabel.text == (
        "The proposal for 'Left kidney' waits for review: accept or discard it first."
    )
    assert not reviewed.ui.propagateButton.enabled


# ---- the segment that is selected -----------------------------------------------------------------------------------


def addSegment(panel):
    """Press *Add* in the Segment Editor, whose table alone signals a selection; returns the new segment."""
    from PySide6 import QtWidgets

    buttons = panel.ui.segmentEditor.findChildren(QtWidgets.QPushButton)
    next(button for button in buttons if button.text == "Add").click()
    panel.settle()
    return panel.segmentation.GetSegmentation().GetSegmentIDs()[-1]


def drawOn(panel, segmentId, mask):
    panel.app.util.updateSegmentBinaryLabelmapFromArray(
        mask.astype(np.uint8), panel.segmentation, segmentId, panel.volume
    )
    panel.settle()


def outline(index=18, axis=0):
    """A square of 225 voxels on one slice along an axis `(k, j, i)`."""
    mask = np.zeros((40, 64, 64), bool)
    place = [slice(12, 27), slice(20, 35), slice(20, 35)]
    place[axis] = slice(index, index + 1)
    mask[tuple(place)] = True
    return mask


def test_a_segment_that_was_just_added_gets_the_key_and_the_lock(panel):
    new = addSegment(panel)
    drawOn(panel, new, outline())
    panel.press("addKeyButton")
    panel.showSlice(20)
    panel.press("lockSliceButton")
    assert panel.said("addKey") == [("addKey", new, 18, "axial")]
    assert panel.said("confirmSlices") == [("confirmSlices", new, (20,), True)]


@pytest.mark.parametrize("how", ["node", "widget", "table"])
def test_a_segment_is_followed_however_it_is_selected(panel, how):
    from PySide6 import QtWidgets

    spleen, editor = panel.segmentation.GetSegmentation().GetNthSegmentID(1), panel.ui.segmentEditor
    {
        "node": lambda: editor.mrmlSegmentEditorNode().SetSelectedSegmentID(spleen),
        "widget": lambda: editor.setCurrentSegmentID(spleen),
        "table": lambda: editor.findChildren(QtWidgets.QListWidget)[0].setCurrentRow(1),
    }[how]()
    panel.press("addKeyButton")
    assert panel.said("addKey") == [("addKey", spleen, 18, "axial")]


def test_the_stand_in_signals_a_selection_only_for_a_click_in_the_table(panel):
    from PySide6 import QtWidgets

    said, editor = [], panel.ui.segmentEditor
    editor.connect("currentSegmentIDChanged(QString)", said.append)
    editor.setCurrentSegmentID(panel.segmentation.GetSegmentation().GetNthSegmentID(1))
    addSegment(panel)
    assert said == []
    editor.findChildren(QtWidgets.QListWidget)[0].setCurrentRow(0)
    assert said == [panel.segmentId]


def test_a_segment_that_is_removed_gives_way_to_the_first_one(panel):
    new = addSegment(panel)
    panel.segmentation.GetSegmentation().RemoveSegment(new)
    panel.widget.refresh()
    assert panel.parameters.segment == panel.segmentId


def test_all_visible_segments_are_a_choice_where_there_are_several(panel):
    box = panel.ui.allSegmentsCheckBox
    assert box.isVisible()
    box.click()
    panel.settle()
    assert panel.widget.context.segmentIds() == list(panel.segmentation.GetSegmentation().GetSegmentIDs())
    box.click()
    panel.settle()
    assert panel.widget.context.segmentIds() == [panel.segmentId]
    panel.segmentation.GetSegmentation().RemoveSegment(panel.segmentation.GetSegmentation().GetNthSegmentID(1))
    panel.widget.refresh()
    assert not box.isVisible()


def test_all_visible_segments_run_over_their_own_ranges(panel):
    spleen = panel.segmentation.GetSegmentation().GetNthSegmentID(1)
    panel.press("addKeyButton")
    panel.widget.range.give(7, 29)
    panel.ui.segmentEditor.setCurrentSegmentID(spleen)
    panel.logic.addKey(spleen, 15, "axial")
    panel.widget.range.give(10, 20)
    panel.ui.allSegmentsCheckBox.click()
    panel.settle()
    assert panel.widget.range.range() == (10, 20)  # of the selected one
    panel.press("propagateButton")
    assert panel.said("startSession") == [
        ("startSession", (panel.segmentId, spleen), 7, 29, {panel.segmentId: (7, 29), spleen: (10, 20)})
    ]


# ---- the view that is painted in ------------------------------------------------------------------------------------


def test_an_outline_in_another_view_is_a_key_of_that_view_and_not_a_line_across(real):
    drawOn(real, real.segmentId, outline(32, axis=2))  # in Yellow, while "View: Red"
    real.press("addKeyButton")
    assert [(key.plane, key.sliceIndex) for key in real.logic.keys] == [("sagittal", 32)]
    assert real.parameters.view == "Yellow"
    assert real.sentence() == "The outline lies in the Yellow view: sagittal slice 32 is the key."


def test_a_line_that_no_view_shows_as_an_outline_is_a_key_where_it_is(real):
    drawOn(real, real.segmentId, outline(30, axis=2))  # beside what Yellow shows
    real.press("addKeyButton")
    assert [(key.plane, key.sliceIndex) for key in real.logic.keys] == [("axial", 18)]


def test_a_view_that_is_chosen_after_the_outline_was_drawn_is_meant(real):
    drawOn(real, real.segmentId, outline(32, axis=2))
    real.parameters.view = "Green"
    real.press("addKeyButton")
    assert [(key.plane, key.sliceIndex) for key in real.logic.keys] == [("coronal", 32)]


def test_an_object_that_every_view_shows_is_a_key_of_the_chosen_one(real):
    mask = np.zeros((40, 64, 64), bool)
    mask[10:30, 20:40, 25:40] = True
    drawOn(real, real.segmentId, mask)
    real.press("addKeyButton")
    assert [(key.plane, key.sliceIndex) for key in real.logic.keys] == [("axial", 18)]


def test_the_panel_follows_the_view_that_the_mouse_paints_in(panel):
    crosshair = panel.app.mrmlScene.AddNewNodeByClass("vtkMRMLCrosshairNode")
    crosshair.SetCursorPositionXYZ([10, 10, 0], panel.app.mrmlScene.GetSingletonNode("Green", "vtkMRMLSliceNode"))
    drawOn(panel, panel.segmentId, outline(32, axis=1))
    assert panel.parameters.view == "Green"
    crosshair.SetCursorPositionXYZ([10, 10, 0], None)
    drawOn(panel, panel.segmentId, outline())
    assert panel.parameters.view == "Green"  # nobody paints outside the views


# ---- the next patient -----------------------------------------------------------------------------------------------


def show(panel, volume):
    """As loading does it: the volume is in the background of every view."""
    for name in ("Red", "Green", "Yellow"):
        composite = panel.app.mrmlScene.GetSingletonNode(name, "vtkMRMLSliceCompositeNode")
        composite.SetBackgroundVolumeID(volume.GetID() if volume else None)
    panel.settle()


def test_the_next_patient_is_followed_with_a_segmentation_of_its_own(panel):
    show(panel, panel.volume)
    panel.press("addKeyButton")
    second = nextVolume(panel.app, "Second patient")
    show(panel, second)
    assert panel.parameters.volume is panel.logic.volumeNode is second
    assert panel.parameters.segmentation is not panel.segmentation
    assert panel.parameters.segmentation.GetNodeReference("referenceImageGeometryRef") is second
    assert panel.sentence() == "The view shows the image 'Second patient': it is the one that is worked on now."
    assert panel.logic.keys == ()


def test_an_image_that_was_there_is_not_followed_but_takes_no_key_for_another(panel):
    other = nextVolume(panel.app, "T1")
    show(panel, panel.volume)
    panel.ui.volumeSelector.setCurrentNode(other)
    panel.ui.volumeSelector.setCurrentNode(panel.volume)
    panel.settle()
    show(panel, other)
    assert panel.parameters.volume is panel.volume
    panel.press("addKeyButton")
    assert panel.sentence() == (
        "The Red view shows 'T1', not 'Abdomen CT': choose 'T1' as image, or show 'Abdomen CT' in the view."
    )
    assert panel.said("addKey") == []
    composite = panel.app.mrmlScene.GetSingletonNode("Red", "vtkMRMLSliceCompositeNode")
    composite.SetForegroundVolumeID(panel.volume.GetID())
    panel.settle()
    panel.press("addKeyButton")
    assert panel.said("addKey")


def test_the_next_patient_waits_for_the_review(reviewed):
    show(reviewed, nextVolume(reviewed.app))
    assert reviewed.parameters.volume is reviewed.volume
    assert reviewed.logic.state == "review"
    assert not reviewed.ui.estimateLabel.text.startswith("40 slices")
    reviewed.press("acceptButton")
    assert reviewed.parameters.volume.GetName() == "Next"


# ---- on opening -----------------------------------------------------------------------------------------------------


def test_a_volume_without_a_segmentation_gets_one_with_a_segment(slicer):
    with openedPanel(slicer, fill=False) as panel:
        panel.ui.paintButton.click()
        assert panel.sentence() == "Load an image first."
        volume = nextVolume(slicer)
        panel.settle()
        node = panel.parameters.segmentation
        assert node.GetSegmentation().GetNumberOfSegments() == 1
        assert node.GetNodeReference("referenceImageGeometryRef") is volume
        assert panel.parameters.segment == node.GetSegmentation().GetNthSegmentID(0)
        panel.press("paintButton")
        assert panel.ui.segmentEditor.mrmlSegmentEditorNode().GetActiveEffectName() == "Paint"


def test_nothing_is_made_while_another_module_is_open(slicer):
    with openedPanel(slicer, fill=False) as panel:
        panel.widget.parent.exit()
        nextVolume(slicer)
        panel.settle()
        assert slicer.util.getNodesByClass("vtkMRMLSegmentationNode") == []
        panel.widget.parent.enter()
        panel.settle()
        assert len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")) == 1


def test_a_view_scrolled_beside_the_volume_is_told_from_one_that_is_tilted(slicer):
    logic = SegmentPropagateLogic(WorkerProcess(DRAWN_WORKER), Estimates(Store()))
    with openedPanel(slicer, logic=logic) as panel:
        for view, plane, last in (("Red", "axial", 39), ("Yellow", "sagittal", 63)):
            panel.parameters.view = view
            slicer.mrmlScene.GetSingletonNode(view, "vtkMRMLSliceNode").JumpSliceByOffsetting(900, 900, 900)
            panel.settle()
            assert panel.ui.estimateLabel.text == (
                f"The {view} view shows no slice of the volume: scroll to one of its {plane} slices, 0 to {last}."
            )


def test_a_volume_whose_axes_are_not_at_right_angles_is_refused_before_anything_is_drawn(slicer):
    """As a file with such an image is; the worker would take distances that are wrong."""
    logic = SegmentPropagateLogic(WorkerProcess(DRAWN_WORKER), Estimates(Store()))
    with openedPanel(slicer, logic=logic) as panel:
        sheared = np.diag([1.5, 1.5, 3.0, 1.0])
        sheared[1, 2] = 0.8  # as from a tilted gantry
        panel.volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(sheared))
        panel.widget.refresh()
        expected = f"The volume 'Abdomen CT' cannot be segmented: its axes are not at right angles, {RESAMPLE}."
        assert panel.ui.estimateLabel.text == expected
        assert not panel.ui.propagateButton.enabled
        panel.press("addKeyButton")
        assert panel.sentence() == expected
        assert panel.logic.keys == ()
