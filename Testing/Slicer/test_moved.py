"""A proposal goes where it was computed, or nowhere, when image or segments are moved or stored otherwise in review."""

import numpy as np
import pytest
import vtk
from SegmentPropagateSlicer.Logic import State

from SegmentPropagateLib.errors import InputError


def transformOf(bench, shift=3.0):
    """A linear transform along the left-right axis; the bench remembers it."""
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, shift)
    bench.transform = bench.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    bench.transform.SetMatrixTransformToParent(matrix)
    return bench.transform


def under(name):
    def move(bench):
        getattr(bench, name).SetAndObserveTransformNodeID(transformOf(bench).GetID())

    return move


def hardened(name):
    def move(bench):
        under(name)(bench)
        getattr(bench, name).HardenTransform()

    return move


def warped(bench):
    node = bench.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLBSplineTransformNode")
    node.SetAndObserveTransformToParent(vtk.vtkThinPlateSplineTransform())
    bench.segmentation.SetAndObserveTransformNodeID(node.GetID())


def otherVoxels(bench):
    bench.slicer.util.updateVolumeFromArray(bench.volume, np.full(bench.truth.shape, 7, np.int16))


def otherType(bench):
    image = vtk.vtkImageCast()
    image.SetInputData(bench.volume.GetImageData())
    image.SetOutputScalarTypeToFloat()
    image.Update()
    bench.volume.SetAndObserveImageData(image.GetOutput())


def otherExtent(bench):
    bench.slicer.util.updateVolumeFromArray(bench.volume, np.zeros((12, 20, 25), np.int16))


def otherReference(bench):
    parameter = bench.slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
    segmentation = bench.segmentation.GetSegmentation()
    parts = segmentation.GetConversionParameter(parameter).split(";")
    parts[3] = "-17"  # of the origin
    segmentation.SetConversionParameter(parameter, ";".join(parts))


def labelmapAlone(bench):
    name = bench.slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    bench.segmentation.GetSegmentation().GetSegment(bench.segment).GetRepresentation(name).SetOrigin(-17, 15, 7)


MOVES = {
    "image under a transform": (under("volume"), "image 'CT' has been moved"),
    "image hardened": (hardened("volume"), "image 'CT' has been moved"),
    "image's origin": (lambda b: b.volume.SetOrigin(-17, 15, 7), "image 'CT' has been moved"),
    "image's spacing": (lambda b: b.volume.SetSpacing(1.5, 1.5, 2.5), "image 'CT' has been moved"),
    "image's directions": (lambda b: b.volume.SetIJKToRASDirections(-1, 0, 0, 0, 1, 0, 0, 0, 1), "image 'CT'"),
    "other voxels": (otherVoxels, "voxels of the image 'CT'"),
    "other scalar type": (otherType, "voxels of the image 'CT'"),
    "other extent": (otherExtent, "voxels of the image 'CT'"),
    "no image data": (lambda b: b.volume.SetAndObserveImageData(None), "holds no voxels"),
    "segmentation under a transform": (under("segmentation"), "segmentation 'Segmentation' has been moved"),
    "segmentation hardened": (hardened("segmentation"), "segmentation 'Segmentation' has been moved"),
    "segmentation warped": (warped, "segmentation is under a transform that is not linear"),
    "other reference geometry": (otherReference, "segmentation 'Segmentation' has been moved"),
    "one labelmap": (labelmapAlone, "segmentation 'Segmentation' has been moved"),
}


@pytest.fixture(params=MOVES.values(), ids=MOVES.keys())
def moved(request, bench):
    """In review, with something moved; the sentence to expect."""
    bench.run()
    move, bench.sentence = request.param
    move(bench)
    return bench


def test_whatever_writes_says_in_one_sentence_what_has_moved_and_discard_still_works(moved):
    before, keys = moved.fingerprint(), moved.logic.keys
    acts = (
        moved.logic.accept,
        lambda: moved.logic.editSlice(moved.segment, 8),
        lambda: moved.logic.correct(moved.segment, 5),
        lambda: moved.logic.confirmSlices(moved.segment, [8]),
    )
    for act in acts:
        with pytest.raises(InputError, match=moved.sentence):
            act()
    assert moved.logic.state == State.REVIEW  # the proposal is still there
    assert moved.logic.proposed is not None
    assert (moved.fingerprint(), moved.logic.keys) == (before, keys)
    assert moved.logic.discard() == ()
    assert moved.fingerprint() == before


@pytest.mark.parametrize("name", ["volume", "segmentation"])
def test_a_proposal_can_be_accepted_once_everything_is_back(bench, name):
    bench.run()
    under(name)(bench)
    with pytest.raises(InputError, match="has been moved"):
        bench.logic.accept()
    bench.transform.SetMatrixTransformToParent(vtk.vtkMatrix4x4())
    bench.logic.accept()
    assert np.array_equal(bench.get(), bench.truth)


@pytest.mark.parametrize("name", ["volume", "segmentation"])
def test_hardening_a_transform_that_was_there_moves_nothing(bench, name):
    for node in (bench.volume, bench.segmentation):
        node.SetAndObserveTransformNodeID(transformOf(bench).GetID())
    bench.run()
    getattr(bench, name).HardenTransform()
    assert bench.logic.accept()[bench.segment] > 0


def test_painting_in_review_moves_nothing(bench):
    bench.run()
    mask = bench.get()
    mask[9] |= bench.truth[9]
    bench.set(bench.segment, mask)
    bench.logic.accept()
    assert np.array_equal(bench.get(), bench.truth)


def test_a_previewed_outline_is_not_used_at_another_place(bench):
    ready = []
    bench.logic.previewReady.connect(lambda *what: ready.append(what))
    bench.logic.previewPrompt(bench.segment, 6, pointsRas=[bench.logic.slicePositionRas(6)])
    bench.until(lambda: ready or bench.errors)
    assert not bench.errors
    under("volume")(bench)
    before = bench.fingerprint()
    with pytest.raises(InputError, match="image 'CT' has been moved"):
        bench.logic.usePreview()
    assert bench.fingerprint() == before
    bench.volume.SetAndObserveTransformNodeID(None)
    bench.logic.usePreview()
    assert [key.sliceIndex for key in bench.logic.keys] == [5, 6]


# ---- stored in another way -----------------------------------------------------------------------------------------


def toSurface(bench, name="Closed surface"):
    segmentation = bench.segmentation.GetSegmentation()
    assert segmentation.CreateRepresentation(name)
    segmentation.SetSourceRepresentationName(name)


def test_a_segmentation_turned_to_surfaces_says_what_to_do_at_accept_and_can_be_discarded(bench):
    bench.run()
    bench.logic.editSlice(bench.segment, 8)
    toSurface(bench)
    with pytest.raises(InputError, match="make 'Binary labelmap' its source representation"):
        bench.logic.accept()
    assert bench.logic.state == State.REVIEW
    assert bench.logic.discard() == (8,)
    assert bench.logic.state == State.IDLE
    assert [key.sliceIndex for key in bench.logic.keys] == [5]


def test_a_segmentation_turned_to_surfaces_and_back_takes_the_proposal(bench):
    bench.run()
    toSurface(bench)
    toSurface(bench, "Binary labelmap")
    assert bench.logic.accept()[bench.segment] > 0
    assert bench.logic.state == State.IDLE


def test_discard_leaves_slices_alone_that_were_moved_for_good_and_names_them(bench):
    bench.run()
    bench.logic.editSlice(bench.segment, 8)
    hardened("segmentation")(bench)
    before = bench.fingerprint()
    assert bench.logic.discard() == (8,)
    assert bench.fingerprint() == before


# ---- what is left in the scene --------------------------------------------------------------------------------------


def nodesOf(bench):
    """Class name of every node, sorted, and the number of items of the subject hierarchy."""
    scene = bench.slicer.mrmlScene
    names = sorted(scene.GetNthNode(n).GetClassName() for n in range(scene.GetNumberOfNodes()))
    hierarchy = bench.slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    return names, hierarchy.GetNumberOfItems()


def cancelled(bench):
    bench.use("slow")
    bench.logic.startSession([bench.segment], 0, 11)
    bench.until(lambda: bench.logic.state == State.RUNNING)
    bench.logic.cancel()
    bench.until(lambda: bench.logic.state == State.IDLE)
    bench.use()


def previewed(bench):
    ready = []
    bench.logic.previewReady.connect(lambda *what: ready.append(what))
    bench.logic.previewPrompt(bench.segment, 6, pointsRas=[bench.logic.slicePositionRas(6)])
    bench.until(lambda: ready or bench.errors)
    bench.logic.dropPreview()


def ranAnd(*acts):
    def run(bench):
        bench.run()
        for act in acts:
            act(bench)

    return run


ENDS = {
    "accept": ranAnd(lambda b: b.logic.accept()),
    "accept and undo": ranAnd(lambda b: b.logic.accept(), lambda b: b.logic.undo()),
    "discard": ranAnd(lambda b: b.logic.discard()),
    "other inputs": ranAnd(lambda b: b.logic.setInputs(None, None),
                           lambda b: b.logic.setInputs(b.volume, b.segmentation),
                           lambda b: b.logic.addKey(b.segment, 5)),
    "preview removed by hand": ranAnd(lambda b: b.slicer.mrmlScene.RemoveNode(b.logic.preview.node),
                                      lambda b: b.logic.discard()),
    "two runs": ranAnd(lambda b: b.run(2, 9), lambda b: b.logic.discard()),
    "cancel": cancelled,
    "previewed outline": previewed,
}  # fmt: skip


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_no_run_leaves_a_node_behind(bench, end):
    before = nodesOf(bench)
    for _time in range(3):
        end(bench)
    assert nodesOf(bench) == before


def test_closing_the_scene_in_review_leaves_no_node_behind(bench):
    bench.slicer.mrmlScene.Clear(False)
    empty = nodesOf(bench)
    again = type(bench)(bench.slicer, bench.process)
    again.run()
    again.slicer.mrmlScene.Clear(False)
    assert nodesOf(again) == empty
    again.close()
