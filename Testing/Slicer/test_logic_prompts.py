"""Boxes, points, views and inputs, without a panel."""

import numpy as np
import pytest
from bench import ellipsoid
from SegmentPropagateSlicer.Logic import State

from SegmentPropagateLib.errors import InputError


def sliceNode(slicer, name="Red", orientation="Axial"):
    node = slicer.vtkMRMLSliceNode()
    node.SetName(name)
    node.SetLayoutName(name)
    node = slicer.mrmlScene.AddNode(node)
    node.SetOrientation(orientation)
    return node


def moveTo(slicer, node, ras):
    node.JumpSliceByCentering(*ras)


# ---- box and points -----------------------------------------------------------------------------------------------


def roi(slicer, center, size):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    node.SetCenter(center)
    node.SetSize(size)
    return node


def test_a_box_gives_an_outline_that_becomes_a_key(makeBench):
    bench = makeBench(key=None)
    ready = []
    bench.logic.previewReady.connect(lambda *what: ready.append(what))
    before = bench.fingerprint()
    bench.logic.previewPrompt(bench.segment, 5, boxRas=roi(bench.slicer, bench.logic.slicePositionRas(5), [99, 99, 9]))
    bench.until(lambda: ready)
    assert ready == [(bench.segment, 5, pytest.approx(bench.truth[5].sum() * 2.25))]
    assert bench.fingerprint() == before
    assert bench.logic.preview.node is not None
    bench.logic.usePreview()
    assert bench.logic.preview.node is None
    assert np.array_equal(bench.get()[5], bench.truth[5])
    assert [key.sliceIndex for key in bench.logic.keys] == [5]


def test_points_on_the_slice_count_and_others_do_not(bench):
    ready = []
    bench.logic.previewReady.connect(lambda *what: ready.append(what))
    points = bench.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    points.AddControlPoint(bench.logic.slicePositionRas(7))
    with pytest.raises(InputError, match="None of the points lies on slice 6"):
        bench.logic.previewPrompt(bench.segment, 6, pointsRas=points)
    points.AddControlPoint(bench.logic.slicePositionRas(6))
    bench.logic.previewPrompt(bench.segment, 6, pointsRas=points, positive=[False, True])
    bench.until(lambda: ready)
    assert ready[0][:2] == (bench.segment, 6)
    bench.logic.dropPreview()
    assert bench.logic.preview.node is None
    with pytest.raises(InputError, match="no previewed outline"):
        bench.logic.usePreview()


def test_a_line_asks_for_points_on_it_within_a_box(bench):
    ready = []
    bench.logic.previewReady.connect(lambda *what: ready.append(what))
    line = bench.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsLineNode")
    for column in (6, 18):
        line.AddControlPointWorld(bench.grid().worldFromSlice[:3] @ [6, 9, column, 1])
    bench.logic.previewPrompt(bench.segment, 6, lineRas=line)
    asked = bench.process.requests[-1]
    assert asked.points_ij == ((9.0, 9.0), (12.0, 9.0), (15.0, 9.0))
    assert asked.box_ij == (6.0, 5.0, 18.0, 13.0)
    bench.until(lambda: ready)
    with pytest.raises(InputError, match="None of the points lies on slice 5"):
        bench.logic.previewPrompt(bench.segment, 5, lineRas=line)
    with pytest.raises(InputError, match="Both ends of the line must lie on slice 6"):
        bench.logic.previewPrompt(bench.segment, 6, lineRas=[bench.logic.slicePositionRas(index) for index in (6, 7)])


def test_a_prompt_that_finds_nothing_is_one_sentence(bench):
    bench.logic.previewPrompt(bench.segment, 0, boxRas=roi(bench.slicer, bench.logic.slicePositionRas(0), [9, 9, 9]))
    bench.until(lambda: bench.errors)
    assert "found no object" in bench.errors[0]
    assert bench.logic.state == State.IDLE


def test_a_box_used_in_review_is_taken_back_by_discard(bench):
    before = bench.fingerprint()
    bench.run()
    ready = []
    bench.logic.previewReady.connect(lambda *what: ready.append(what))
    bench.logic.previewPrompt(bench.segment, 8, boxRas=roi(bench.slicer, bench.logic.slicePositionRas(8), [9, 9, 9]))
    bench.until(lambda: ready)
    bench.logic.usePreview()
    assert [key.sliceIndex for key in bench.logic.keys] == [5, 8]
    bench.logic.discard()
    assert bench.fingerprint() == before
    assert [key.sliceIndex for key in bench.logic.keys] == [5]


# ---- views --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("orientation", "plane", "axis"), [("Axial", "axial", 0), ("Coronal", "coronal", 1), ("Sagittal", "sagittal", 2)]
)
def test_a_view_tells_its_slice(bench, orientation, plane, axis):
    node = sliceNode(bench.slicer, "Red", orientation)
    for index in (0, 3, bench.truth.shape[axis] - 1):
        moveTo(bench.slicer, node, bench.logic.slicePositionRas(index, plane))
        assert bench.logic.sliceIndexInView(node, plane) == index


def test_an_oblique_view_or_another_plane_is_refused_in_one_sentence(bench):
    node = sliceNode(bench.slicer, "Green", "Coronal")
    moveTo(bench.slicer, node, bench.logic.slicePositionRas(3, "coronal"))
    with pytest.raises(InputError, match="Green view is not parallel to the volume's axial slices"):
        bench.logic.sliceIndexInView(node, "axial")
    a = np.deg2rad(8)
    node.SetSliceToRASByNTP(0, -np.sin(a), np.cos(a), 1, 0, 0, 0, 0, 40, 0)
    with pytest.raises(InputError, match="8 degrees off"):
        bench.logic.sliceIndexInView(node, "axial")


def test_a_view_beside_the_volume_shows_no_slice(bench):
    node = sliceNode(bench.slicer)
    moveTo(bench.slicer, node, [0, 0, 500])
    with pytest.raises(InputError, match="shows no slice"):
        bench.logic.sliceIndexInView(node)


def test_a_roi_gives_the_range(bench):
    center = bench.logic.slicePositionRas(6)
    assert bench.logic.sliceRangeOfRoi(roi(bench.slicer, center, [9, 9, 12.2])) == (4, 8)
    assert bench.logic.sliceRangeOfRoi(roi(bench.slicer, center, [9, 9, 999])) == (0, 11)
    with pytest.raises(InputError, match="covers no axial slice"):
        bench.logic.sliceRangeOfRoi(roi(bench.slicer, [0, 0, 900], [9, 9, 9]))


@pytest.mark.parametrize(("plane", "key"), [("coronal", 9), ("sagittal", 12)])
def test_every_plane_can_be_propagated(makeBench, plane, key):
    bench = makeBench(mask=ellipsoid((12, 20, 24)), key=key, plane=plane)
    bench.run()
    bench.logic.accept()
    assert np.array_equal(bench.get(), bench.truth)


# ---- what can be wrong with the inputs -----------------------------------------------------------------------------


def test_missing_inputs_are_named(makeBench):
    bench = makeBench(key=None)
    bench.logic.setInputs(None, bench.segmentation)
    with pytest.raises(InputError, match="Choose a source volume"):
        bench.logic.startSession([bench.segment], 0, 3)
    assert bench.logic.sliceCount() == 0
    bench.logic.setInputs(bench.volume, None)
    with pytest.raises(InputError, match="Choose a segmentation"):
        bench.logic.startSession([bench.segment], 0, 3)


def test_a_color_volume_and_an_empty_one_are_refused(bench):
    slicer = bench.slicer
    color = slicer.util.addVolumeFromArray(np.zeros((4, 5, 6, 3), np.uint8), nodeClassName="vtkMRMLVectorVolumeNode")
    empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Nothing")
    for node, sentence in ((color, "3 components"), (empty, "'Nothing' holds no voxels")):
        bench.logic.setInputs(node, bench.segmentation)
        with pytest.raises(InputError, match=sentence):
            bench.logic.startSession([bench.segment], 0, 3)


def test_a_removed_segment_is_left_out_of_accept(bench):
    other = bench.addSegment("Other")
    bench.draw(other, 6)
    bench.run(segmentIds=[bench.segment, other])
    bench.segmentation.GetSegmentation().RemoveSegment(other)
    assert list(bench.logic.accept()) == [bench.segment]


def test_suspicious_slices_are_ranked_and_keys_never_among_them(bench):
    bench.run()
    scores = bench.logic.reviewScores(bench.segment)
    assert [score["sliceIndex"] for score in scores] == list(range(12))
    assert [score["source"] for score in scores if score["sliceIndex"] == 5] == ["key"]
    assert scores[5]["suspicion"] == 0
    assert {score["source"] for score in scores if not bench.truth[score["sliceIndex"]].any()} == {"empty"}
    worst = bench.logic.nextSuspiciousSlice(bench.segment)
    ranked = sorted(scores, key=lambda score: -score["suspicion"])
    assert worst is None or worst == ranked[0]["sliceIndex"]


def test_the_scene_can_be_saved_in_review_without_the_proposal(bench, tmp_path):
    bench.run()
    path = str(tmp_path / "scene.mrb")
    scene = bench.slicer.mrmlScene
    assert scene.WriteToMRB(path, None)
    bench.close()
    scene.Clear(False)
    assert scene.ReadFromMRB(path, True)
    assert [node.GetName() for node in bench.slicer.util.getNodesByClass("vtkMRMLSegmentationNode")] == ["Segmentation"]


def test_an_outline_of_which_nothing_may_be_written_says_why(bench):
    other = bench.addSegment("Other")
    bench.logic.previewPrompt(other, 5, pointsRas=[bench.logic.slicePositionRas(5)])
    bench.until(lambda: bench.logic.previewed is not None)
    with pytest.raises(InputError, match="other segments keep it on their key slices"):
        bench.logic.usePreview()
    assert len(bench.logic.keys) == 1
