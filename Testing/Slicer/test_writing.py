"""A large proposal is written in pieces: what she does meanwhile counts, and before the last piece nothing changes."""

import numpy as np
import pytest
import vtk
from day import TRUTH, dayOf, drawFolder
from SegmentPropagateSlicer.Logic import State
from SegmentPropagateSlicer.Panel import Writing
from SegmentPropagateSlicer.Scene import Lattice, SegmentWriter
from SegmentPropagateSlicer.Scene.Composition import Change, Composition
from SegmentPropagateSlicer.Scene.Held import ATTEMPTS
from SegmentPropagateSlicer.Scene.Labelmaps import labelmapOf
from SegmentPropagateSlicer.Scene.Voxels import Voxels

from SegmentPropagateLib import read_labels
from SegmentPropagateLib.errors import InputError

STROKE = np.s_[8, 0:3, 0:3]


@pytest.fixture
def reviewed(bench, monkeypatch):
    """A proposal whose pieces are small."""
    monkeypatch.setattr(Lattice, "SLAB", 1)
    bench.run()
    return bench


def inPieces(bench):
    """Accept; yields before each piece but the first."""
    while bench.logic.acceptWithin(0.0) is None:
        assert bench.logic.state == State.WRITING
        yield


def stroke(bench):
    mask = bench.get()
    mask[STROKE] = True
    bench.set(bench.segment, mask)


# ---- in pieces ------------------------------------------------------------------------------------------------------


def showSurfaces(bench):
    bench.segmentation.CreateClosedSurfaceRepresentation()


def mask(bench):
    bench.addSegment("Other")
    editor = bench.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    editor.SetMaskMode(bench.segmentation.EditAllowedOutsideAllSegments)
    bench.logic.setSegmentEditor(editor)


@pytest.mark.parametrize("how", [lambda _bench: None, mask], ids=["plain", "masked"])
def test_nothing_changes_before_the_last_piece_and_all_is_one_undo_step(reviewed, how):
    how(reviewed)
    before, told, shares = reviewed.fingerprint(), [], []
    reviewed.logic.accepted.connect(told.append)
    reviewed.logic.writingProgressed.connect(shares.append)
    for _piece in inPieces(reviewed):
        assert reviewed.fingerprint() == before
    assert len(shares) > 9
    assert shares == sorted(shares)
    assert 0 <= shares[0] < shares[-1] <= 1
    assert np.array_equal(reviewed.get(), reviewed.truth)
    assert (reviewed.logic.state, len(told)) == (State.IDLE, 1)
    reviewed.logic.undo()
    assert reviewed.fingerprint() == before


@pytest.mark.parametrize("disturb", [lambda bench: bench.logic.cancel(), stroke], ids=["cancelled", "drawn upon"])
def test_what_is_disturbed_before_the_last_piece_leaves_no_empty_undo_step(bench, monkeypatch, disturb):
    """Undo would do nothing that can be seen."""
    monkeypatch.setattr(Lattice, "SLAB", 1)
    before = bench.fingerprint()
    bench.run()
    count = len(list(inPieces(bench)))
    bench.logic.undo()
    assert bench.fingerprint() == before
    bench.run()
    kept, pieces = [], inPieces(bench)
    bench.logic.setSegmentEditor(None, lambda: kept.append(bench.fingerprint()))
    for _piece in range(count):
        next(pieces)
    disturb(bench)
    assert kept == []
    bench.logic.accept()
    assert len(kept) == 1


def test_surfaces_follow_as_slicer_makes_them_and_those_of_others_stay(reviewed, monkeypatch):
    beside = np.zeros_like(reviewed.truth)
    beside[0:3, 0:3, 0:3] = True
    other = reviewed.addSegment("Other", beside)
    showSurfaces(reviewed)
    before = surfaceOf(reviewed, other), surfaceOf(reviewed, reviewed.segment)
    with monkeypatch.context() as without:
        without.setattr(Voxels, "add", None)  # which would do it in one block
        assert list(inPieces(reviewed))
    found = surfaceOf(reviewed, reviewed.segment)
    assert surfaceOf(reviewed, other) is before[0]
    assert found is not before[1]
    reviewed.segmentation.GetSegmentation().RemoveRepresentation(SURFACE)
    showSurfaces(reviewed)
    expected = surfaceOf(reviewed, reviewed.segment)
    assert found.GetNumberOfPoints() == expected.GetNumberOfPoints() > 0
    assert np.allclose(found.GetBounds(), expected.GetBounds())


def surfaceOf(bench, segmentId):
    return bench.segmentation.GetSegmentation().GetSegment(segmentId).GetRepresentation(SURFACE)


def test_cancel_brings_the_review_back_as_it_was(reviewed):
    before, pieces = reviewed.fingerprint(), inPieces(reviewed)
    next(pieces)
    reviewed.logic.cancel()
    assert reviewed.logic.state == State.REVIEW
    assert reviewed.fingerprint() == before
    reviewed.logic.accept()
    assert np.array_equal(reviewed.get(), reviewed.truth)


def test_what_is_drawn_between_two_pieces_stays(reviewed):
    pieces = inPieces(reviewed)
    next(pieces)
    stroke(reviewed)
    assert list(pieces)
    assert reviewed.get()[STROKE].all()
    assert reviewed.get().sum() == reviewed.truth.sum() + 9


def test_one_who_never_stops_drawing_does_not_keep_it_from_being_written(reviewed):
    for number, _piece in enumerate(inPieces(reviewed)):
        assert number < 20 * (ATTEMPTS + 1)
        stroke(reviewed)
        labelmapOf(reviewed.segmentation, reviewed.segment)[0].Modified()
    assert reviewed.get()[STROKE].all()
    assert (reviewed.get() >= reviewed.truth).all()


def moveImage(bench):
    transform = bench.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, 9.0)
    transform.SetMatrixTransformToParent(matrix)
    bench.volume.SetAndObserveTransformNodeID(transform.GetID())


def test_a_failure_midway_leaves_all_as_it_was(reviewed):
    before, pieces = reviewed.fingerprint(), inPieces(reviewed)
    next(pieces)
    moveImage(reviewed)
    with pytest.raises(InputError, match="moved"):
        next(pieces)
    assert reviewed.fingerprint() == before
    assert reviewed.logic.state == State.REVIEW
    reviewed.volume.SetAndObserveTransformNodeID(None)
    reviewed.logic.accept()
    assert np.array_equal(reviewed.get(), reviewed.truth)


@pytest.mark.parametrize("leave", ["segment removed", "image removed", "scene closed"])
def test_what_was_accepted_is_written_before_anything_leaves_the_scene(reviewed, leave):
    told = []
    reviewed.logic.accepted.connect(lambda changed: told.append(sum(changed.values())))
    next(inPieces(reviewed))
    segmentation, scene = reviewed.segmentation.GetSegmentation(), reviewed.slicer.mrmlScene
    {
        "segment removed": lambda: segmentation.RemoveSegment(reviewed.segment),
        "image removed": lambda: scene.RemoveNode(reviewed.volume),
        "scene closed": lambda: scene.Clear(False),
    }[leave]()
    if leave == "segment removed":
        reviewed.logic.accept()
    assert reviewed.logic.state == State.IDLE
    assert told == [0 if leave == "segment removed" else reviewed.truth.sum() - reviewed.truth[5].sum()]


def test_nothing_else_begins_while_it_is_written(reviewed):
    next(inPieces(reviewed))
    with pytest.raises(InputError, match="Outlines are being written"):
        reviewed.run()


# ---- composed beside the labelmaps, as Slicer would make them -------------------------------------------------------

SURFACE = "Closed surface"
BOXES = {
    "0": np.s_[1:5, 2:7, 1:6],
    "1": np.s_[2:3, 4:9, 4:9],
    "2": np.s_[0:6, 0:2, 8:12],
}


class BySlicer:
    """A `Composition` that has Slicer itself change the labelmaps."""

    def __init__(self, segmentationNode, changes, overwritten):
        self._node, self._changes, self._overwritten = segmentationNode, changes, overwritten

    def compose(self):
        yield 1.0

    def put(self, _made):
        with Voxels(self._node) as voxels:
            for segmentId, change in self._changes.items():
                pieces = list(change.pieces())
                for part, _added, removed in pieces:
                    voxels.remove(segmentId, part, removed)
                for part, added, _removed in pieces:
                    for other in self._overwritten[segmentId]:
                        voxels.remove(other, part, added)
                    voxels.add(segmentId, part, added)


@pytest.mark.parametrize("mode", ["OverwriteAllSegments", "OverwriteNone"])
@pytest.mark.parametrize("layers", [1, 2])
def test_labelmaps_are_composed_as_slicer_makes_them(makeBench, monkeypatch, mode, layers):
    """The same proposals for three segments, whose labelmaps are shared or not, by either way."""
    found = []
    for isComposed in (True, False):
        bench = makeBench(mask=np.ones((6, 10, 12), bool), key=None)
        random = np.random.default_rng(0)
        ids = [bench.addSegment(name, maskOf(box, random)) for name, box in BOXES.items()]
        if layers == 1:
            bench.segmentation.GetSegmentation().CollapseBinaryLabelmaps(True)
        editor = bench.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
        editor.SetOverwriteMode(getattr(editor, mode))
        bench.logic.setSegmentEditor(editor)
        for segmentId, key in zip(ids, (3, 2, 1), strict=True):
            mask = bench.get(segmentId)
            mask[key, 5, 5:7] = True
            bench.set(segmentId, mask)
            bench.logic.addKey(segmentId, key)
        bench.run(segmentIds=ids)
        if not isComposed:
            monkeypatch.setattr(SegmentWriter, "Composition", BySlicer)
        bench.logic.accept()
        found.append(list(bench.fingerprint().values()))
        bench.slicer.mrmlScene.Clear(False)
    assert found[0] == found[1]
    assert any(voxels for _grid, voxels in found[0])


def maskOf(box, random):
    mask = np.zeros((6, 10, 12), bool)
    mask[box] = random.random(mask[box].shape) < 0.8
    return mask


def test_a_labelmap_is_no_larger_than_what_it_holds_and_keeps_its_sharers(bench):
    other = bench.addSegment("Other")
    bench.draw(other, 2)
    node = bench.segmentation
    node.GetSegmentation().CollapseBinaryLabelmaps(True)
    lattice, all_ = latticeOf(bench), np.ones(bench.truth.shape, bool)
    change = Change(lattice)
    change.note(lattice, all_ & False, bench.get(other))
    composition = Composition(node, {other: change}, {other: []})
    list(composition.compose())
    composition.put({})
    assert not bench.get(other).any()
    assert np.array_equal(bench.get()[5], bench.truth[5])
    image, _label = labelmapOf(node, bench.segment)
    assert image is labelmapOf(node, other)[0]
    assert image.GetExtent()[4:] == (5, 5)


def latticeOf(bench):
    matrix = vtk.vtkMatrix4x4()
    image, _label = labelmapOf(bench.segmentation, bench.segment)
    image.GetImageToWorldMatrix(matrix)
    k, j, i = bench.truth.shape
    return Lattice.Lattice(bench.slicer.util.arrayFromVTKMatrix(matrix), matrix, (0, i - 1, 0, j - 1, 0, k - 1))


# ---- in the panel ---------------------------------------------------------------------------------------------------


@pytest.fixture
def day(slicer, warmWorker, tmp_path, monkeypatch):
    """A proposal of a box that is written in small pieces."""
    monkeypatch.setattr(Lattice, "SLAB", 1)
    monkeypatch.setattr(Writing, "PIECE_S", 0.0)
    with dayOf(slicer, warmWorker) as found:
        found.open(drawFolder(tmp_path / "scans", "a"))
        found.click("boxButton")
        found.clickBox()
        yield found


def test_the_panel_shows_how_far_it_is_and_can_cancel(day):
    day.ui.acceptButton.click()
    day.widget.refresh()
    assert day.logic.state == State.WRITING
    assert (day.ui.propagateButton.text, day.ui.acceptButton.enabled) == ("Cancel", False)
    assert day.ui.progressBar.visible
    assert "Writing" in day.ui.progressBar.format
    day.key("P")  # what the button says
    assert day.sentence() == "Cancelled: everything is as it was before."
    assert day.logic.state == State.REVIEW
    day.ui.acceptButton.click()
    assert day.logic.state == State.WRITING
    day.widget.strokes.press("Red")  # she is about to draw on it
    assert day.sentence().startswith(f"Accepted: {TRUTH.sum() - TRUTH[5].sum()} voxels changed")
    assert np.array_equal(day.mask(), TRUTH)


def test_the_next_object_comes_when_all_is_written_and_a_key_does_not_wait_for_that(day):
    day.ui.nextObjectButton.click()
    assert len(day.names()) == 1
    day.key("N")
    assert len(day.names()) == 2
    assert np.array_equal(day.mask(), TRUTH)


@pytest.mark.parametrize("leave", ["scene closed", "panel closed"])
def test_what_was_accepted_is_written_to_its_end_before_anything_else(day, leave, tmp_path):
    day.ui.acceptButton.click()
    assert day.logic.state == State.WRITING
    day.panel.app.mrmlScene.Clear(False) if leave == "scene closed" else day.widget.cleanup()
    assert np.array_equal(read_labels(tmp_path / "scans" / "a.seg.nrrd").mask(1), TRUTH)


# ---- in the Segment Editor ------------------------------------------------------------------------------------------


def test_the_effect_applies_in_pieces_and_can_be_cancelled(effect, monkeypatch):
    monkeypatch.setattr(Lattice, "SLAB", 1)
    monkeypatch.setattr(Writing, "PIECE_S", 0.0)
    before = effect.bench.fingerprint()
    effect.run()
    effect.effect.applyButton.click()
    assert effect.enabled() == ["cancel"]
    assert "Writing" in effect.effect.progressBar.format
    effect.press("cancel")
    assert (effect.bench.fingerprint(), effect.bench.logic.state) == (before, State.REVIEW)
    assert effect.sentence() == "Cancelled: everything is as it was before."
    effect.press("apply")
    effect.bench.until(lambda: effect.bench.logic.state == State.IDLE)
    assert np.array_equal(effect.bench.get(), effect.bench.truth)
    effect.editor.undo()
    assert effect.bench.fingerprint() == before
