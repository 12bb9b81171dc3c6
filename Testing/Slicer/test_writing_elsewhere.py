"""What needs more than a plain write goes in pieces too: overlaps, other grids, surfaces that are smoothed jointly."""

import numpy as np
import pytest
import vtk
from SegmentPropagateSlicer.Scene import Lattice
from SegmentPropagateSlicer.Scene.Derived import SURFACE
from SegmentPropagateSlicer.Scene.Labelmaps import arrayOf, labelmapOf
from SegmentPropagateSlicer.Scene.Voxels import Voxels
from stored import ROTATION


def inPieces(bench):
    """Accept; yields before each piece but the first."""
    while bench.logic.acceptWithin(0.0) is None:
        yield


def surfaceOf(bench, segmentId):
    return bench.segmentation.GetSegmentation().GetSegment(segmentId).GetRepresentation(SURFACE)


def addFiner(bench):
    """A segment with voxels of half the size, all over."""
    image, matrix = bench.slicer.vtkOrientedImageData(), vtk.vtkMatrix4x4()
    bench.volume.GetIJKToRASMatrix(matrix)
    fine = bench.slicer.util.arrayFromVTKMatrix(matrix)
    fine[:3, 3] -= fine[:3, :3] @ [0.2, 0.2, 0.2]  # no voxel lies on a border of two
    fine[:3, :3] /= 2
    k, j, i = bench.truth.shape
    image.SetDimensions(2 * i, 2 * j, 2 * k)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    image.GetPointData().GetScalars().Fill(1)
    image.SetImageToWorldMatrix(bench.slicer.util.vtkMatrixFromArray(fine))
    return bench.segmentation.AddSegmentFromBinaryLabelmapRepresentation(image, "Finer", [1, 0, 0])


def overlap(bench):
    """Another segment of the same labelmap keeps what it has."""
    bench.addSegment("Other", bench.truth & (np.arange(12)[:, None, None] != 5))
    bench.segmentation.GetSegmentation().CollapseBinaryLabelmaps(True)
    editor = bench.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    editor.SetOverwriteMode(editor.OverwriteNone)
    bench.logic.setSegmentEditor(editor)


def tilt(bench):
    """The segment's own grid is turned against the image."""
    image = labelmapOf(bench.segmentation, bench.segment)[0]
    image.SetDirections(ROTATION[:3, :3].tolist())


def smoothJointly(bench):
    other = np.zeros_like(bench.truth)
    other[:, 0:3, :] = True
    bench.addSegment("Other", other & ~bench.truth)
    bench.segmentation.GetSegmentation().CollapseBinaryLabelmaps(True)
    bench.segmentation.GetSegmentation().SetConversionParameter("Joint smoothing", "1")
    bench.segmentation.CreateClosedSurfaceRepresentation()


@pytest.mark.parametrize("how", [overlap, addFiner, tilt, smoothJointly])
def test_nothing_else_is_written_in_one_block_either(bench, monkeypatch, how):
    how(bench)
    monkeypatch.setattr(Lattice, "SLAB", 1)
    bench.run()
    before, others = bench.fingerprint(), othersOf(bench)
    with monkeypatch.context() as without:
        for name in ("add", "remove"):
            without.setattr(Voxels, name, None)
        unchanged = [bench.fingerprint() == before for _piece in inPieces(bench)]
    assert all(unchanged)
    assert len(unchanged) > 9
    if how is not tilt:
        assert np.array_equal(bench.get(), bench.truth)
    assert how is addFiner or othersOf(bench) == others
    bench.logic.undo()
    assert bench.fingerprint() == before


def othersOf(bench):
    return [found for segmentId, found in bench.fingerprint().items() if segmentId != bench.segment]


def test_a_segment_with_finer_voxels_gives_way_in_its_own(bench):
    other = addFiner(bench)
    before = bench.get()
    bench.run()
    bench.logic.accept()
    image, label = labelmapOf(bench.segmentation, other)
    added = (bench.get() & ~before).repeat(2, 0).repeat(2, 1).repeat(2, 2)
    k, j, i = (slice(*(end + stop for end, stop in zip(image.GetExtent()[2 * axis :][:2], (0, 1), strict=True)))
               for axis in (2, 1, 0))  # fmt: skip
    assert np.array_equal(arrayOf(image) == label, ~added[k, j, i])
    assert not added[:4].any()  # it still begins where it did


def test_surfaces_that_are_smoothed_jointly_are_those_of_slicer(bench):
    smoothJointly(bench)
    bench.run()
    bench.logic.accept()
    found = surfaceOf(bench, bench.segment)
    bench.segmentation.GetSegmentation().RemoveRepresentation(SURFACE)
    bench.segmentation.CreateClosedSurfaceRepresentation()
    expected = surfaceOf(bench, bench.segment)
    assert found.GetNumberOfPoints() == expected.GetNumberOfPoints() > 0
    assert found.GetNumberOfCells() == expected.GetNumberOfCells()
    assert np.allclose(found.GetBounds(), expected.GetBounds(), atol=1e-3)
