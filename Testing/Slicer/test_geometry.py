"""The same anatomy, stored in any order, flipped, oblique, transformed or segmented on another grid: the same place."""

import itertools

import numpy as np
import pytest
import vtk
from bench import MATRIX, ellipsoid
from stored import ROTATION, segmentOnGrid, stored

from SegmentPropagateLib.errors import InputError

ORDERS = list(itertools.permutations(range(3)))
FLIPS = list(itertools.product((False, True), repeat=3))


def transformNode(slicer, matrix):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    return node


def worldOf(bench, mask, matrix):
    """Sorted world RAS of the voxels of a mask `(k, j, i)`, to a micrometer."""
    places = np.argwhere(mask)[:, ::-1]
    ras = (np.c_[places, np.ones(len(places))] @ matrix.T)[:, :3]
    return np.array(sorted(np.round(ras, 3).tolist()))


def propagated(bench, plane="axial"):
    bench.run()
    bench.logic.accept()
    return bench.get()


@pytest.mark.parametrize("base", [MATRIX, ROTATION @ MATRIX], ids=["straight", "oblique"])
@pytest.mark.parametrize(
    ("order", "flips"), [(ORDERS[n % 6], FLIPS[n]) for n in range(8)] + [(o, FLIPS[5]) for o in ORDERS]
)
def test_any_storage_order_gives_the_same_place(makeBench, base, order, flips):
    mask, matrix = stored(ellipsoid(), base, order, flips)
    key = 5 if not flips[0] else 12 - 1 - 5  # the same anatomical slice
    bench = makeBench(mask=mask, matrix=matrix, key=key)
    assert bench.grid().axis == order.index(0)  # the axis that was k is the axial one
    found = propagated(bench)
    assert np.array_equal(found, mask)
    assert np.array_equal(worldOf(bench, found, matrix), worldOf(bench, ellipsoid(), base))


@pytest.mark.parametrize(("moved", "steps"), [("both", 0), ("volume", 1), ("segmentation", -1)])
def test_parent_transforms_are_followed(makeBench, slicer, moved, steps):
    """Under a transform the world counts: volume and segmentation need not be under the same one.

    The transform moves by whole voxels, so that the comparison is exact; `slicer.util` reads and writes segments
    before and after, as it counts a transform twice.
    """
    shift = np.eye(4)
    shift[:3, 3] = MATRIX[:3, :3] @ [2, -1, 1]
    bench = makeBench(key=None)
    expected = np.roll(bench.truth, (steps, -steps, 2 * steps), (0, 1, 2))
    drawn = np.zeros_like(expected)
    drawn[5 + steps] = expected[5 + steps]
    bench.set(bench.segment, drawn)
    node = transformNode(slicer, shift)
    nodes = {
        "both": (bench.volume, bench.segmentation),
        "volume": (bench.volume,),
        "segmentation": (bench.segmentation,),
    }
    for each in nodes[moved]:
        each.SetAndObserveTransformNodeID(node.GetID())
    bench.logic.addKey(bench.segment, 5)
    bench.run()
    shown = bench.logic.preview.node
    assert shown.GetTransformNodeID() == bench.volume.GetTransformNodeID()
    bench.logic.accept()
    for each in nodes[moved]:
        each.SetAndObserveTransformNodeID(None)
    assert np.array_equal(bench.get(), expected)


def test_a_rotation_decides_which_axis_is_axial(makeBench, slicer):
    """A volume lying on its side by a transform is cut along its other axis."""
    quarter = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    bench = makeBench(key=None)
    for node in (bench.volume, bench.segmentation):
        node.SetAndObserveTransformNodeID(transformNode(slicer, quarter).GetID())
    assert bench.logic.sliceCount("axial") == bench.truth.shape[1]
    bench.draw(bench.segment, 9)
    assert np.array_equal(propagated(bench), bench.truth)


def test_a_transform_that_is_not_linear_is_refused_in_one_sentence(bench, slicer):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode")
    spline = vtk.vtkThinPlateSplineTransform()
    points = vtk.vtkPoints()
    for place in ([0, 0, 0], [10, 0, 0], [0, 10, 0], [0, 0, 10]):
        points.InsertNextPoint(place)
    moved = vtk.vtkPoints()
    for place in ([0, 0, 0], [10, 0, 0], [0, 10, 0], [0, 0, 17]):
        moved.InsertNextPoint(place)
    spline.SetSourceLandmarks(points)
    spline.SetTargetLandmarks(moved)
    spline.SetBasisToR()
    node.SetAndObserveTransformToParent(spline)
    before = bench.fingerprint()
    bench.volume.SetAndObserveTransformNodeID(node.GetID())
    with pytest.raises(InputError, match="volume is under a transform that is not linear"):
        bench.logic.startSession([bench.segment], 0, 11)
    bench.volume.SetAndObserveTransformNodeID(None)
    bench.segmentation.SetAndObserveTransformNodeID(node.GetID())
    with pytest.raises(InputError, match="segmentation is under a transform that is not linear"):
        bench.logic.startSession([bench.segment], 0, 11)
    bench.segmentation.SetAndObserveTransformNodeID(None)
    assert bench.fingerprint() == before


def test_a_segmentation_on_a_finer_grid_is_written_in_its_own_voxels(makeBench, slicer):
    bench = makeBench(key=None)
    segmentation, reference = segmentOnGrid(slicer, bench, 3)
    segmentId = segmentation.GetSegmentation().AddEmptySegment("", "Organ")
    truth = bench.truth.repeat(3, 0).repeat(3, 1).repeat(3, 2)
    drawn = np.zeros_like(truth)
    drawn[15:18] = truth[15:18]
    drawn[2, 1:9, 4:9] = True  # stray voxels on a slice outside the range
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn.astype(np.uint8), segmentation, segmentId, reference)
    bench.logic.setInputs(bench.volume, segmentation)
    bench.logic.addKey(segmentId, 5)
    bench.run(3, 9, [segmentId])
    bench.logic.accept()
    found = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segmentId, reference) > 0
    assert np.array_equal(found[9:30], truth[9:30])  # slices 3 to 9
    assert np.array_equal(found[:9], drawn[:9])
    assert np.array_equal(found[30:], drawn[30:])
    bench.logic.undo()
    back = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segmentId, reference) > 0
    assert np.array_equal(back, drawn)


def test_a_segmentation_on_a_tilted_grid_comes_out_in_the_same_place(makeBench, slicer):
    bench = makeBench(key=None)
    tilted = np.eye(4)
    center = MATRIX @ [11.5, 9.5, 5.5, 1]
    tilted[:3, :3] = ROTATION[:3, :3] * 0.75
    tilted[:3, 3] = center[:3] - tilted[:3, :3] @ [39.5, 39.5, 39.5]
    segmentation, reference = segmentOnGrid(slicer, bench, 1, tilted)
    slicer.util.updateVolumeFromArray(reference, np.zeros((80, 80, 80), np.uint8))
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    segmentId = segmentation.GetSegmentation().AddEmptySegment("", "Organ")
    k, j, i = np.indices((80, 80, 80))
    index = np.linalg.inv(MATRIX) @ tilted
    places = [np.floor(r[0] * i + r[1] * j + r[2] * k + r[3] + 0.5).astype(int) for r in index[:3]]
    inside = np.logical_and.reduce([(p >= 0) & (p < n) for p, n in zip(places, bench.truth.shape[::-1], strict=True)])
    i, j, k = (np.where(inside, place, 0) for place in places)
    truth = inside & bench.truth[k, j, i]
    drawn = truth & (k == 5)
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn.astype(np.uint8), segmentation, segmentId, reference)
    bench.logic.setInputs(bench.volume, segmentation)
    bench.logic.addKey(segmentId, 5)
    bench.run(0, 11, [segmentId])
    bench.logic.accept()
    found = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segmentId, reference) > 0
    lost = drawn.sum() - (drawn & found).sum()
    assert lost == 0  # the key slice is as it was
    assert np.array_equal(found, truth)


def test_a_segmentation_without_a_grid_takes_the_volume_s(makeBench, slicer):
    bench = makeBench(key=None)
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Bare")
    segmentation.CreateDefaultDisplayNodes()
    segmentId = segmentation.GetSegmentation().AddEmptySegment("", "Organ")
    bench.segmentation, bench.segment = segmentation, segmentId
    bench.logic.setInputs(bench.volume, segmentation)
    ready = []
    bench.logic.previewReady.connect(lambda *what: ready.append(what))
    center = np.array(bench.logic.slicePositionRas(5))
    bench.logic.previewPrompt(segmentId, 5, boxRas=np.array([center - 40, center + 40]))
    bench.until(lambda: ready or bench.errors)
    bench.logic.usePreview()
    assert np.array_equal(propagated(bench), bench.truth)


def test_a_segmentation_stored_as_surfaces_is_refused_in_one_sentence(bench):
    bench.segmentation.CreateClosedSurfaceRepresentation()
    bench.segmentation.SetSourceRepresentationToClosedSurface()
    with pytest.raises(InputError, match="stored as surfaces"):
        bench.logic.startSession([bench.segment], 0, 11)


@pytest.mark.parametrize("base", [MATRIX, ROTATION @ MATRIX], ids=["straight", "oblique"])
def test_a_box_and_a_view_in_world_coordinates_meet_the_same_slice(makeBench, slicer, base):
    mask, matrix = stored(ellipsoid(), base, (2, 0, 1), (True, False, True))
    bench = makeBench(mask=mask, matrix=matrix, key=None)
    grid = bench.grid()
    view = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceNode", "Red")
    normal = np.cross(grid.worldFromSlice[:3, 1], grid.worldFromSlice[:3, 2])
    along = grid.worldFromSlice[:3, 2]
    for index in (0, 4, 11):
        view.SetSliceToRASByNTP(*normal, *along, *bench.logic.slicePositionRas(index), 0)
        assert bench.logic.sliceIndexInView(view) == index
    corners = (np.array([[4, 3, 2, 1], [8, 9, 12, 1]]) @ grid.worldFromSlice.T)[:, :3]
    assert grid.indexRange(corners) == (4, 8)
    assert grid.boxOnSlice(corners) == (2, 3, 12, 9)
