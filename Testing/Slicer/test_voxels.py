"""Voxels go straight into the labelmaps that segments share, and whoever shows them is told as Slicer tells it."""

import numpy as np
import pytest
import vtk
from SegmentPropagateSlicer.Scene.Labelmaps import labelmapOf
from SegmentPropagateSlicer.Scene.Lattice import Lattice
from SegmentPropagateSlicer.Scene.Voxels import Voxels

SHAPE = (6, 10, 12)
SURFACE = "Closed surface"


@pytest.fixture
def node(slicer):
    """A segmentation with three segments; two of them share a labelmap on slice 3."""
    volume = slicer.util.addVolumeFromArray(np.zeros(SHAPE, np.int16))
    found = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    found.CreateDefaultDisplayNodes()
    found.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for number in range(3):
        found.GetSegmentation().AddEmptySegment(str(number), f"Organ {number}")
    with Voxels(found) as voxels:
        for number in range(2):
            voxels.add(str(number), *boxOf(number, (3, 3)))
    found.GetSegmentation().CollapseBinaryLabelmaps(True)
    found.volume = volume
    return found


def boxOf(number, slices, rows=(2, 7)):
    """Lattice and mask of a box, columns by the segment's number."""
    k, j, i = SHAPE
    mask = np.zeros(SHAPE, bool)
    mask[slices[0] : slices[1] + 1, rows[0] : rows[1] + 1, 1 + 4 * number : 4 + 4 * number] = True
    return Lattice(np.eye(4), vtk.vtkMatrix4x4(), (0, i - 1, 0, j - 1, 0, k - 1)), mask


def held(slicer, node, number):
    array = slicer.util.arrayFromSegmentBinaryLabelmap(node, str(number), node.volume)
    return np.zeros(SHAPE, bool) if array is None else array > 0


def test_labelmaps_grow_and_shrink_and_are_shared_as_before(slicer, node):
    lattice, large = boxOf(0, (1, 5))
    with Voxels(node) as voxels:
        voxels.add("0", lattice, large)
    assert np.array_equal(held(slicer, node, 0), large)
    assert np.array_equal(held(slicer, node, 1), boxOf(1, (3, 3))[1])
    assert labelmapOf(node, "0")[0] is labelmapOf(node, "1")[0]
    assert labelmapOf(node, "0")[0].GetExtent() == (1, 7, 2, 7, 1, 5)  # no larger than what it holds, as Slicer has it
    with Voxels(node) as voxels:
        voxels.remove("0", lattice, large)
    assert not held(slicer, node, 0).any()
    assert np.array_equal(held(slicer, node, 1), boxOf(1, (3, 3))[1])
    assert labelmapOf(node, "1")[0].GetExtent() == (5, 7, 2, 7, 3, 3)
    with Voxels(node) as voxels:
        voxels.remove("1", *boxOf(1, (0, 5)))
    assert not held(slicer, node, 1).any()


def test_a_segment_that_may_overlap_another_leaves_it_what_it_has(slicer, node):
    lattice, other = boxOf(1, (3, 3))
    with Voxels(node) as voxels:
        voxels.add("0", lattice, other)
    assert np.array_equal(held(slicer, node, 0), other | boxOf(0, (3, 3))[1])
    assert np.array_equal(held(slicer, node, 1), other)


def test_segments_give_way_to_one_that_overwrites_them(slicer, node):
    lattice, part = boxOf(1, (3, 3), rows=(4, 5))
    with Voxels(node) as voxels:
        voxels.remove("1", lattice, part)
        voxels.add("0", lattice, part)
    assert np.array_equal(held(slicer, node, 0), part | boxOf(0, (3, 3))[1])
    assert np.array_equal(held(slicer, node, 1), boxOf(1, (3, 3))[1] & ~part)
    assert labelmapOf(node, "0")[0] is labelmapOf(node, "1")[0]


def test_an_empty_segment_gets_its_first_voxels(slicer, node):
    lattice, mask = boxOf(2, (0, 4), rows=(0, 3))
    with Voxels(node) as voxels:
        voxels.add("2", lattice, mask)
    assert np.array_equal(held(slicer, node, 2), mask)


@pytest.mark.parametrize("surfaces", [False, True])
def test_every_segment_that_has_changed_is_told_and_its_surface_follows(slicer, node, surfaces):
    segmentation, told = node.GetSegmentation(), []

    @vtk.calldata_type(vtk.VTK_STRING)
    def note(_caller, _event, segmentId=None):
        told.append(segmentId)

    if surfaces:
        segmentation.CreateRepresentation(SURFACE)
    before = [points(segmentation, number) for number in range(2)]
    segmentation.AddObserver(segmentation.SourceRepresentationModified, note)
    time = labelmapOf(node, "0")[0].GetMTime()
    with Voxels(node) as voxels:
        for number in range(2):
            voxels.add(str(number), *boxOf(number, (1, 5)))
            voxels.remove(str(number), *boxOf(number, (2, 2)))
    assert {"0", "1"} <= set(told)
    assert labelmapOf(node, "0")[0].GetMTime() > time
    assert segmentation.ContainsRepresentation(SURFACE) is surfaces
    if surfaces:
        assert all(points(segmentation, number) > before[number] for number in range(2))


def points(segmentation, number):
    surface = segmentation.GetSegment(str(number)).GetRepresentation(SURFACE)
    return surface.GetNumberOfPoints() if surface is not None else 0


def test_a_labelmap_that_keeps_its_size_is_not_looked_through(slicer, node, monkeypatch):
    """Slicer's way to crop it takes longer the larger it is, at each stroke."""
    with Voxels(node) as voxels:
        voxels.add("0", *boxOf(0, (2, 4)))
    image, (lattice, inner) = labelmapOf(node, "0")[0], boxOf(0, (3, 3), rows=(4, 4))
    inner[..., 1] = False  # it is at the border
    with monkeypatch.context() as without:
        without.setattr(slicer, "vtkSlicerSegmentationsModuleLogic", None)
        for change in (Voxels.remove, Voxels.add):
            time = image.GetMTime()
            with Voxels(node) as voxels:
                change(voxels, "0", lattice, inner)
            assert image.GetMTime() > time
    assert np.array_equal(held(slicer, node, 0), boxOf(0, (2, 4))[1])
