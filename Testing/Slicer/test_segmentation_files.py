"""The library's `.seg.nrrd` files in the real MRML: names, colors, geometry and voxels."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonMath import vtkMatrix4x4

from SegmentPropagateLib.formats.reading import read_labels, read_volume
from SegmentPropagateLib.formats.writing import write_segmentation
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.labels import SegmentInfo

SHAPE = (6, 8, 10)
DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
CASES = (
    json.loads((DATA / "MANIFEST.json").read_text(encoding="utf-8"))["cases"]
    if (DATA / "MANIFEST.json").is_file()
    else []
)


def oblique_geometry():
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", (20, -15, 70), degrees=True).as_matrix() @ np.diag([0.7, 0.8, -3.0])
    affine[:3, 3] = 11, -22, 33.3
    return Geometry(SHAPE, affine)


def block(k, j, i):
    mask = np.zeros(SHAPE, bool)
    mask[k, j, i] = True
    return mask


APART = {1: block(slice(1, 4), slice(2, 5), slice(3, 8)), 7: block(0, 0, 0), 300: block(5, 7, slice(8, 10))}
OVERLAPPING = {**APART, 2: block(slice(2, 5), slice(3, 6), slice(5, 9))}
WITH_EMPTY = {**APART, 9: np.zeros(SHAPE, bool)}
ALL_EMPTY = {9: np.zeros(SHAPE, bool)}
SEGMENTS = [
    SegmentInfo(1, 'Leber "groß" \\ = links', (0.25, 0.5, 0.75)),
    SegmentInfo(2, "neighbor", (1.0, 0.0, 0.0)),
    SegmentInfo(9, "nowhere", (0.0, 1.0, 0.0)),
]


def load(slicer, path):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    storage = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    storage.SetFileName(str(path))
    assert storage.ReadData(node) == 1
    return node


def voxels_of(slicer, node, segment_id, shape_kji=SHAPE):
    """The segment on the whole grid, and its index-to-RAS matrix."""
    image, matrix = slicer.vtkOrientedImageData(), vtkMatrix4x4()
    node.GetBinaryLabelmapRepresentation(segment_id, image)
    image.GetImageToWorldMatrix(matrix)
    mask = np.zeros(shape_kji, bool)
    i0, i1, j0, j1, k0, k1 = image.GetExtent()
    if i1 >= i0:
        shape = (k1 - k0 + 1, j1 - j0 + 1, i1 - i0 + 1)
        mask[k0 : k1 + 1, j0 : j1 + 1, i0 : i1 + 1] = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(shape) > 0
    return mask, np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


@pytest.mark.parametrize("masks", [APART, OVERLAPPING, WITH_EMPTY, ALL_EMPTY], ids=["apart", "layers", "empty", "none"])
def test_a_written_file_opens_as_a_segmentation(slicer, masks, tmp_path):
    geometry = oblique_geometry()
    write_segmentation(tmp_path / "out.seg.nrrd", masks, geometry, SEGMENTS)

    node = load(slicer, tmp_path / "out.seg.nrrd")

    segmentation = node.GetSegmentation()
    named = {info.value: info for info in SEGMENTS}
    assert segmentation.GetNumberOfSegments() == len(masks)
    for position, (value, mask) in enumerate(sorted(masks.items())):
        segment_id = segmentation.GetNthSegmentID(position)
        segment = segmentation.GetSegment(segment_id)
        assert segment.GetName() == (named[value].name if value in named else f"Label {value}")
        assert segment.GetLabelValue() == value
        if value in named:
            assert segment.GetColor() == named[value].color_rgb
        voxels, matrix = voxels_of(slicer, node, segment_id)
        np.testing.assert_array_equal(voxels, mask)
        np.testing.assert_allclose(matrix, geometry.ijk_to_ras, atol=1e-9)


def test_slicer_goes_on_editing_on_the_grid_of_the_image(slicer, tmp_path):
    """The file's reference geometry is the whole image, even if the segments fill a corner of it only."""
    geometry = oblique_geometry()
    write_segmentation(tmp_path / "out.seg.nrrd", {7: APART[7]}, geometry)
    segmentation = load(slicer, tmp_path / "out.seg.nrrd").GetSegmentation()
    reference = slicer.vtkOrientedImageData()
    text = segmentation.GetConversionParameter("Reference image geometry")
    assert slicer.vtkSegmentationConverter.DeserializeImageGeometry(text, reference, False)
    assert reference.GetExtent() == (0, 9, 0, 7, 0, 5)
    np.testing.assert_allclose(reference.GetSpacing(), (0.7, 0.8, 3.0))


@pytest.mark.parametrize("masks", [APART, OVERLAPPING], ids=["one layer", "layers"])
def test_a_file_that_slicer_wrote_is_read_with_names_colors_and_voxels(slicer, masks, tmp_path):
    geometry = oblique_geometry()
    write_segmentation(tmp_path / "out.seg.nrrd", masks, geometry, SEGMENTS)
    node = load(slicer, tmp_path / "out.seg.nrrd")
    again = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    again.SetFileName(str(tmp_path / "slicer.seg.nrrd"))
    assert again.WriteData(node) == 1  # Slicer crops the grid and numbers layers as it likes

    labels = read_labels(tmp_path / "slicer.seg.nrrd", like=geometry)

    by_name = {info.name: info for info in labels.segments}
    assert set(by_name) == {
        next((info.name for info in SEGMENTS if info.value == value), f"Label {value}") for value in masks
    }
    for value, mask in masks.items():
        name = next((info.name for info in SEGMENTS if info.value == value), f"Label {value}")
        np.testing.assert_array_equal(labels.mask(by_name[name].value), mask)
    np.testing.assert_allclose(by_name[SEGMENTS[0].name].color_rgb, SEGMENTS[0].color_rgb, atol=1e-4)


@pytest.mark.data
@pytest.mark.skipif(not CASES, reason=f"no real volumes at {DATA}")
@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_segmentations_of_real_scans_open_with_their_names_on_the_grid_of_the_scan(slicer, case, tmp_path):
    files, folder = case["files"], DATA / case["id"]
    both = files.get("image+labels")
    volume = read_volume(folder / (both or files["image"])["file"])
    labels = read_labels(folder / (both or files["labels"])["file"], like=volume.geometry)
    segments = [SegmentInfo(int(value), label["name"], (0.5, 0.25, 1.0)) for value, label in case["labels"].items()]
    write_segmentation(
        tmp_path / "out.seg.nrrd", {value: labels.mask(value) for value in labels.values}, volume.geometry, segments
    )

    node = load(slicer, tmp_path / "out.seg.nrrd")

    for position, info in enumerate(sorted(segments, key=lambda info: info.value)):
        segment_id = node.GetSegmentation().GetNthSegmentID(position)
        assert node.GetSegmentation().GetSegment(segment_id).GetName() == info.name
        if position >= 3:  # the names of all, the voxels of some
            continue
        voxels, matrix = voxels_of(slicer, node, segment_id, volume.geometry.shape_kji)
        np.testing.assert_array_equal(voxels, labels.mask(info.value))
        np.testing.assert_allclose(matrix, volume.geometry.ijk_to_ras, atol=1e-9)
