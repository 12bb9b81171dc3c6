"""The panel's key slices: painted, boxed or pointed at, and the range."""

import pytest

# ---- keys and range -------------------------------------------------------------------------------------------------


def test_the_current_slice_becomes_a_key_in_the_plane_of_the_chosen_view(panel):
    panel.showSlice(21)
    panel.press("addKeyButton")
    assert panel.said("addKey") == [("addKey", panel.segmentId, 21, "axial")]
    assert panel.ui.keyTable.rowCount == 1
    assert [panel.ui.keyTable.item(0, n).text() for n in range(4)] == ["21", "Left kidney", "axial", "412 mm²"]


@pytest.mark.parametrize(("view", "plane"), [("Green", "coronal"), ("Yellow", "sagittal")])
def test_other_views_give_keys_in_their_plane(panel, view, plane):
    panel.parameters.view = view
    panel.settle()
    panel.press("addKeyButton")
    assert panel.said("addKey") == [("addKey", panel.segmentId, 32, plane)]


def test_an_oblique_view_is_refused_in_one_sentence(panel):
    node = panel.app.mrmlScene.GetSingletonNode("Red", "vtkMRMLSliceNode")
    matrix = node.GetSliceToRAS()
    matrix.SetElement(1, 1, 0.8)
    matrix.SetElement(2, 1, 0.6)
    matrix.SetElement(1, 2, -0.6)
    matrix.SetElement(2, 2, 0.8)
    node.UpdateMatrices()
    panel.settle()
    assert "oblique" in panel.ui.estimateLabel.text
    panel.press("addKeyButton")
    assert "oblique" in panel.sentence()
    assert panel.said("addKey") == []
    node.SetOrientation("Axial")


def test_the_cross_forgets_a_key(prompted):
    prompted.ui.keyTable.cellClicked.emit(0, 5)
    prompted.settle()
    assert prompted.logic.keys == ()
    assert not prompted.ui.keyTable.isVisible()


def test_a_double_click_on_a_key_goes_to_its_slice(prompted):
    prompted.showSlice(3)
    prompted.ui.keyTable.setCurrentCell(0, 0)
    prompted.ui.keyTable.cellDoubleClicked.emit(0, 0)
    prompted.settle()
    assert prompted.widget.context.planeAndSlice() == ("axial", 18)


def test_first_and_last_slice_come_from_the_view_a_number_a_roi_or_the_whole_volume(panel):
    assert panel.widget.range.range() == (0, 39)
    panel.showSlice(5)
    panel.press("firstFromViewButton")
    panel.showSlice(30)
    panel.press("lastFromViewButton")
    assert (panel.ui.firstSpinBox.value, panel.ui.lastSpinBox.value) == (5, 30)
    panel.ui.firstSpinBox.setValue(8)
    panel.settle()
    assert panel.widget.range.range() == (8, 30)
    roi = panel.app.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Liver box")
    panel.widget.range.fillRoiMenu()
    (action,) = panel.ui.rangeFromRoiButton.menu().actions()
    assert action.text == "Liver box"
    action.trigger()
    panel.settle()
    assert panel.widget.range.range() == panel.logic.sliceRangeOfRoi(roi)
    panel.press("wholeRangeButton")
    assert panel.widget.range.range() == (0, 39)


def test_every_segment_has_a_range_of_its_own_along_every_plane(panel):
    kidney, spleen = (panel.segmentation.GetSegmentation().GetNthSegmentID(n) for n in (0, 1))
    panel.widget.range.give(7, 29)
    panel.parameters.segment = spleen
    panel.settle()
    assert (panel.ui.firstSpinBox.value, panel.ui.lastSpinBox.value) == (0, 39)
    panel.widget.range.give(3, None)
    panel.parameters.segment = kidney
    panel.parameters.view = "Green"
    panel.settle()
    assert panel.widget.range.given() == (None, None)
    panel.parameters.view = "Red"
    panel.settle()
    assert (panel.ui.firstSpinBox.value, panel.ui.lastSpinBox.value) == (7, 29)
    panel.parameters.segment = spleen
    assert panel.widget.range.given() == (3, None)


def test_the_range_of_one_image_is_not_taken_for_the_next_ones(panel):
    panel.widget.range.give(7, 29)
    nextVolume = panel.app.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Next")
    panel.ui.volumeSelector.setCurrentNode(nextVolume)
    panel.settle()
    assert panel.widget.range.given() == (None, None)
    panel.ui.volumeSelector.setCurrentNode(panel.volume)
    panel.settle()
    assert panel.widget.range.given() == (7, 29)


def test_a_reversed_range_is_refused_in_one_sentence(prompted):
    prompted.widget.range.give(30, 10)
    prompted.settle()
    assert prompted.ui.estimateLabel.text == "The first slice (30) lies after the last slice (10)."
    assert not prompted.ui.propagateButton.enabled


# ---- box and points -------------------------------------------------------------------------------------------------


def test_points_ask_the_model_for_an_outline_and_then_become_a_key(panel):
    panel.press("pointsButton")
    assert panel.widget.prompt.placement.placing() == "positivePoints"
    placement = panel.widget.prompt.placement
    placement.node("positivePoints").AddControlPointWorld([54.0, 45.0, 54.0])
    panel.press("placeNegativeButton")
    assert placement.placing() == "negativePoints"
    placement.node("negativePoints").AddControlPointWorld([10.0, 10.0, 54.0])
    panel.settle()
    _name, segmentId, sliceIndex, points, positive = panel.said("previewPrompt")[-1]
    assert (segmentId, sliceIndex, positive) == (panel.segmentId, 18, [True, False])
    assert points.tolist() == [[54.0, 45.0, 54.0], [10.0, 10.0, 54.0]]
    panel.logic.outline(panel.segmentId, 18, 320.0)
    panel.settle()
    assert panel.ui.addKeyButton.text == "Use this outline as key"
    panel.press("addKeyButton")
    assert panel.said("usePreview")
    assert placement.node("positivePoints").GetNumberOfControlPoints() == 0
    assert placement.placing() is None


def test_a_box_is_placed_and_previewed(panel):
    panel.press("boxButton")
    placement = panel.widget.prompt.placement
    assert placement.placing() == "box"
    box = placement.node("box")
    box.SetCenter([54, 45, 54])
    box.SetSize([30, 24, 3])
    panel.press("addKeyButton")
    assert panel.said("previewPrompt")[-1][1:3] == (panel.segmentId, 18)


@pytest.mark.parametrize("mode", ["boxButton", "lineButton", "pointsButton"])
def test_where_nothing_is_placed_the_button_is_off_and_the_key_says_what_to_do(panel, mode):
    panel.press(mode)
    assert not panel.ui.addKeyButton.enabled
    panel.widget.context.status.guarded(panel.widget.prompt.addKey)()
    assert panel.sentence() == "Nothing is placed yet: click in the view, or choose Paint to use what is drawn."


def test_an_outline_that_is_gone_is_no_longer_offered(panel):
    panel.press("pointsButton")
    panel.logic.outline(panel.segmentId, 18, 320.0)
    panel.settle()
    assert panel.ui.addKeyButton.text == "Use this outline as key"
    panel.logic.dropPreview()  # as a run does when it starts
    panel.settle()
    assert panel.ui.addKeyButton.text == "Preview the outline"
    panel.widget.prompt.placement.node("positivePoints").AddControlPointWorld([54.0, 45.0, 54.0])
    panel.settle()
    panel.press("addKeyButton")
    assert panel.said("previewPrompt")
    assert not panel.said("usePreview")


def test_going_back_to_painting_takes_the_brush_and_drops_the_preview(panel):
    panel.press("pointsButton")
    panel.logic.outline(panel.segmentId, 18, 320.0)
    panel.settle()
    panel.press("paintButton")
    assert panel.said("dropPreview")
    assert panel.ui.segmentEditor.mrmlSegmentEditorNode().GetActiveEffectName() == "Paint"
    assert panel.ui.addKeyButton.text == "Use current slice as key"
