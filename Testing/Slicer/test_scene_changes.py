"""Whatever is done to the scene, in whatever state: nothing raises, nothing drawn is lost, nothing is left."""

from contextlib import suppress

import numpy as np
import pytest
import vtk
from SegmentPropagateSlicer.Logic import State
from SegmentPropagateSlicer.Scene.Preview import ATTRIBUTE
from SegmentPropagateSlicer.Values.Suggestion import Support
from suggest_double import SuggestingProcess, draft

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.worker.replies import SuggestionsDone

# ---- states --------------------------------------------------------------------------------------------------------


def idle(bench):
    bench.logic.setKeys([])


def keyed(bench):
    bench.logic.confirmSlices(bench.segment, [2])


def running(bench):
    bench.use("slow")
    bench.logic.startSession([bench.segment], 0, 11)
    bench.until(lambda: bench.logic.reviewScores(bench.segment)[1:])


def reviewed(bench):
    bench.run()


def editing(bench):
    bench.run()
    bench.logic.editSlice(bench.segment, 8)
    mask = bench.get()
    mask[[8, 3], 0, 0:3] = True  # a slice that was copied to be edited, and one that was not
    bench.set(bench.segment, mask)


def suggesting(bench):
    idle(bench)
    bench.logic.suggest(Support(folders=("/finished",)))
    bench.process.answer(draft(1, "Organ", index=6, shape=(20, 24), box=OUTLINE, ends=(2, 9)))


def suggested(bench):
    suggesting(bench)
    bench.process.answer(draft(2, "New", index=7, shape=(20, 24), box=OUTLINE, ends=(None, 9)))
    bench.process.answer(SuggestionsDone(2, 1.0, None))


OUTLINE = slice(4, 12), slice(6, 12)
STATES = (idle, keyed, running, reviewed, editing,
          *(pytest.param(state, marks=pytest.mark.slow) for state in (suggesting, suggested)))  # fmt: skip


# ---- changes -------------------------------------------------------------------------------------------------------


def segmentation(bench):
    return bench.segmentation.GetSegmentation()


def remove(name):
    return lambda bench: bench.slicer.mrmlScene.RemoveNode(getattr(bench, name))


def transformed(name, harden=False):
    def change(bench):
        node, matrix = bench.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode"), vtk.vtkMatrix4x4()
        matrix.SetElement(1, 3, 4.0)
        node.SetMatrixTransformToParent(matrix)
        getattr(bench, name).SetAndObserveTransformNodeID(node.GetID())
        if harden:
            getattr(bench, name).HardenTransform()

    return change


def anotherVolume(bench):
    return bench.slicer.util.addVolumeFromArray(np.zeros((5, 6, 7), np.int16))


def newSegmentation(bench):
    return bench.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")


def toSurface(bench):
    segmentation(bench).CreateRepresentation("Closed surface")
    segmentation(bench).SetSourceRepresentationName("Closed surface")


def withoutLabelmap(bench):
    toSurface(bench)
    segmentation(bench).RemoveRepresentation("Binary labelmap")


def image(scalarType, dimensions):
    def change(bench):
        new = vtk.vtkImageData()
        new.SetDimensions(*dimensions)
        new.AllocateScalars(scalarType, 1)
        new.GetPointData().GetScalars().Fill(0)
        bench.volume.SetAndObserveImageData(new)

    return change


def undone(bench):
    bench.logic.undo()
    bench.logic.redo()
    bench.logic.undo()


SAME, OTHER = (24, 20, 12), (10, 11, 4)
CHANGES = {
    "volume removed": remove("volume"),
    "segmentation removed": remove("segmentation"),
    "both removed": lambda b: [remove(name)(b) for name in ("segmentation", "volume")],
    "scene closed": lambda b: b.slicer.mrmlScene.Clear(False),
    "segment removed": lambda b: segmentation(b).RemoveSegment(b.segment),
    "all segments removed": lambda b: segmentation(b).RemoveAllSegments(),
    "segment renamed": lambda b: segmentation(b).GetSegment(b.segment).SetName("<b>"),
    "segment added": lambda b: b.addSegment("Another"),
    "segment added before": lambda b: segmentation(b).AddSegment(b.slicer.vtkSegment(), "First", b.segment),
    "segments reordered": lambda b: segmentation(b).SetSegmentIndex(b.other, 0),
    "segment recolored": lambda b: segmentation(b).GetSegment(b.segment).SetColor(0, 0, 1),
    "other segment cleared": lambda b: segmentation(b).GetSegment(b.other).RemoveAllRepresentations(),
    "labelmaps collapsed": lambda b: segmentation(b).CollapseBinaryLabelmaps(False),
    "volume renamed": lambda b: b.volume.SetName(""),
    "volume under a transform": transformed("volume"),
    "volume hardened": transformed("volume", harden=True),
    "segmentation under a transform": transformed("segmentation"),
    "segmentation hardened": transformed("segmentation", harden=True),
    "another volume chosen": lambda b: b.logic.setInputs(anotherVolume(b), b.segmentation),
    "another segmentation chosen": lambda b: b.logic.setInputs(b.volume, newSegmentation(b)),
    "another volume added": anotherVolume,
    "no image data": lambda b: b.volume.SetAndObserveImageData(None),
    "image data of another extent": image(vtk.VTK_SHORT, OTHER),
    "image data of another type": image(vtk.VTK_DOUBLE, SAME),
    "origin changed": lambda b: b.volume.SetOrigin(1, 2, 3),
    "spacing changed": lambda b: b.volume.SetSpacing(1, 1, 1),
    "surface representation made": lambda b: segmentation(b).CreateRepresentation("Closed surface"),
    "turned to surfaces": toSurface,
    "labelmap removed": withoutLabelmap,
    "undo": undone,
    "display node removed": lambda b: b.slicer.mrmlScene.RemoveNode(b.segmentation.GetDisplayNode()),
    "preview removed": lambda b: b.slicer.mrmlScene.RemoveNode(b.logic.preview.node) if b.logic.preview.node else None,
    "preview's display node removed": lambda b: (
        b.slicer.mrmlScene.RemoveNode(b.logic.preview.node.GetDisplayNode()) if b.logic.preview.node else None
    ),
}


def end(bench):
    """Come to rest: end what runs, accept what waits, or discard what cannot be accepted; returns whether it was."""
    bench.logic.cancel()
    bench.until(lambda: bench.logic.state not in State.BUSY, seconds=10)
    if bench.logic.suggestions.ticked:
        with suppress(InputError):  # what cannot be used waits
            bench.logic.useSuggestions(lambda _name: None, lambda one: bench.addSegment(one.name))
        bench.logic.suggestions.drop()
    if bench.logic.state == State.REVIEW:
        try:
            bench.logic.accept()
        except InputError:
            assert bench.logic.state == State.REVIEW  # what cannot be accepted waits
            bench.logic.discard()
            return False
    assert bench.logic.state == State.IDLE
    return True


def drawn(bench):
    """Voxels of every segment, as far as it is there and stored as a labelmap; sorted, whatever grid it has."""
    scene = bench.slicer.mrmlScene
    if bench.segmentation.GetScene() is not scene or not segmentation(bench).IsSourceRepresentationImageData():
        return {}
    return {segmentId: list(voxels) for segmentId, (_grid, voxels) in bench.fingerprint().items()}


@pytest.fixture
def changing(makeBench, warmWorker):
    bench = makeBench(process=SuggestingProcess(warmWorker))
    bench.other = bench.addSegment("Other", np.roll(bench.truth, 9, axis=2) & ~bench.truth)
    return bench


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_a_change_of_the_scene_breaks_nothing(changing, capfd, state, change):
    bench, scene = changing, changing.slicer.mrmlScene
    displays = len(bench.slicer.util.getNodesByClass("vtkMRMLSegmentationDisplayNode"))
    state(bench)
    change(bench)
    before = drawn(bench)
    bench.slicer.app.processEvents()
    accepted = end(bench)
    assert bench.logic.state == State.IDLE
    after = drawn(bench)
    if accepted and bench.segment in after:
        strokes = [voxel for voxel in before[bench.segment] if voxel[1] == 0]  # far from the object
        assert [voxel for voxel in strokes if voxel not in after[bench.segment]] == []
    for segmentId in set(before) & set(after) - {bench.segment}:  # the proposal may have changed the one, never others
        assert after[segmentId] == before[segmentId]
    assert not [error for error in bench.errors if "Traceback" in error or "\n" in error]
    assert "Traceback" not in capfd.readouterr().err  # of an observer: VTK only prints it
    assert [n for n in range(scene.GetNumberOfNodes()) if scene.GetNthNode(n).GetAttribute(ATTRIBUTE)] == []
    left = len(bench.slicer.util.getNodesByClass("vtkMRMLSegmentationDisplayNode"))
    assert left <= displays
    inputs = bench.logic.volumeNode, bench.logic.segmentationNode
    assert all(node is None or node.GetScene() is scene for node in inputs)
    assert bench.logic.preview.node is None
    assert bench.logic.proposed is None
