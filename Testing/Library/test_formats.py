"""Files in and out: exact geometry, every known kind, one sentence for what cannot be used."""

import gzip
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
from drawn_files import SHAPE, image_of, medsam_archive, oblique_geometries, random_image, random_masks, sentence_of
from test_geometry import STORAGE, directions_of, geometry_of

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.kinds import READABLE, WRITABLE, ReadableKind, listed
from SegmentPropagateLib.formats.reading import read_labels, read_volume
from SegmentPropagateLib.formats.writing import write_segmentation
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.labels import SegmentInfo

ENDINGS = [kind.ending for kind in WRITABLE if not kind.needs_source]


@pytest.mark.parametrize("suffix", ENDINGS)
def test_masks_come_back_voxel_exact_in_all_48_storage_orders_and_oblique(suffix, tmp_path):
    masks = random_masks()
    for geometry in [geometry_of(directions_of(*storage)) for storage in STORAGE] + oblique_geometries():
        path = tmp_path / f"masks{suffix}"
        write_segmentation(path, masks, geometry)
        labels = read_labels(path)
        assert labels.geometry.is_close(geometry, tolerance_voxels=1e-4)  # NIfTI keeps float32
        assert labels.values == (1, 2, 7)
        for value, mask in masks.items():
            np.testing.assert_array_equal(labels.mask(value), mask)


@pytest.mark.parametrize("suffix", [kind.ending for kind in WRITABLE if kind.module in ("itk", "seg_nrrd")])
def test_simpleitk_reads_the_geometry_that_was_written(suffix, tmp_path):
    for geometry in oblique_geometries():
        path = tmp_path / f"masks{suffix}"
        write_segmentation(path, random_masks(), geometry)
        image = sitk.ReadImage(str(path))
        for index_ijk in ((0, 0, 0), (6, 0, 0), (0, 5, 0), (0, 0, 4), (6, 5, 4)):
            lps = np.array(image.TransformContinuousIndexToPhysicalPoint(index_ijk))
            ras = geometry.ijk_to_ras @ (*index_ijk, 1)
            np.testing.assert_allclose(lps * (-1, -1, 1), ras[:3], atol=1e-4 if suffix == ".nii.gz" else 1e-9)


@pytest.mark.parametrize("storage", STORAGE[::5])
def test_labels_stored_in_another_order_are_matched_in_space(storage, tmp_path):
    image = geometry_of(np.eye(3), shape_kji=SHAPE)
    masks = random_masks()
    order, signs = storage
    directions = directions_of(order, signs)
    moved = {value: mask.transpose(2, 1, 0) for value, mask in masks.items()}  # (i, j, k)
    moved = {value: mask.transpose(order) for value, mask in moved.items()}
    corner_ijk = np.zeros(3)
    for axis, (ras, sign) in enumerate(zip(order, signs, strict=True)):
        if sign < 0:
            moved = {value: np.flip(mask, axis) for value, mask in moved.items()}
            corner_ijk[ras] = SHAPE[2 - ras] - 1
    affine = np.eye(4)
    affine[:3, :3] = directions * np.array((0.7, 1.1, 4.0))[list(order)]
    affine[:3, 3] = (image.ijk_to_ras @ (*corner_ijk, 1))[:3]
    other = Geometry(next(iter(moved.values())).shape[::-1], affine)
    write_segmentation(tmp_path / "l.nii.gz", {v: m.transpose(2, 1, 0) for v, m in moved.items()}, other)

    labels = read_labels(tmp_path / "l.nii.gz", like=image)

    assert labels.geometry is image
    for value, mask in masks.items():
        np.testing.assert_array_equal(labels.mask(value), mask)


def test_labels_on_a_finer_grid_are_matched_by_the_nearest_voxel(tmp_path):
    coarse = Geometry((4, 4, 4), np.diag([3.0, 3.0, 3.0, 1.0]))
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = -1  # three fine voxels to a coarse one, centers in the middle
    mask = np.random.default_rng(2).random((4, 4, 4)) > 0.5
    fine = mask.repeat(3, 0).repeat(3, 1).repeat(3, 2)
    write_segmentation(tmp_path / "fine.mha", {4: fine}, Geometry((12, 12, 12), affine))
    np.testing.assert_array_equal(read_labels(tmp_path / "fine.mha", like=coarse).mask(4), mask)


def test_labels_elsewhere_in_space_are_refused(tmp_path):
    write_segmentation(tmp_path / "labels.nrrd", random_masks(), geometry_of(np.eye(3), origin=(500, 0, 0)))
    with pytest.raises(InputError, match=r"labels\.nrrd' lie elsewhere in space"):
        read_labels(tmp_path / "labels.nrrd", like=geometry_of(np.eye(3)))


def test_an_empty_label_file_has_no_labels(tmp_path):
    write_segmentation(tmp_path / "none.nii.gz", {3: np.zeros(SHAPE, bool)}, geometry_of(np.eye(3)))
    labels = read_labels(tmp_path / "none.nii.gz", like=geometry_of(np.eye(3), origin=(9, 9, 9)))
    assert labels.values == ()
    assert not labels.mask(3).any()


def test_names_and_colors_survive_in_seg_nrrd_even_of_empty_segments(tmp_path):
    segments = (
        SegmentInfo(2, 'Leber "groß" \\ = links', (0.25, 0.5, 1.0), "TerminologyEntry:mine|"),
        SegmentInfo(300, "nowhere", (1.0, 0.0, 0.0)),
    )
    masks = {2: random_masks()[2], 300: np.zeros(SHAPE, bool)}
    write_segmentation(tmp_path / "named.seg.nrrd", masks, geometry_of(np.eye(3)), segments)
    assert read_labels(tmp_path / "named.seg.nrrd").segments == segments


def test_overlapping_objects_keep_all_their_voxels_in_seg_nrrd(tmp_path):
    masks = {value: np.random.default_rng(value).random(SHAPE) > 0.4 for value in (1, 5, 9)}
    write_segmentation(tmp_path / "o.seg.nrrd", masks, geometry_of(np.eye(3)))
    labels = read_labels(tmp_path / "o.seg.nrrd")
    assert len(labels.layers) == 3
    for value, mask in masks.items():
        np.testing.assert_array_equal(labels.mask(value), mask)
    assert labels.geometry.is_close(geometry_of(np.eye(3)), 1e-9)


def test_a_contested_voxel_of_a_labelmap_goes_to_the_lower_value(tmp_path):
    first, second = (np.random.default_rng(seed).random(SHAPE) > 0.4 for seed in (1, 2))
    write_segmentation(tmp_path / "o.nrrd", {9: first, 4: second}, geometry_of(np.eye(3)))
    labels = read_labels(tmp_path / "o.nrrd")
    np.testing.assert_array_equal(labels.mask(4), second)
    np.testing.assert_array_equal(labels.mask(9), first & ~second)


def test_segments_of_one_number_in_two_layers_get_numbers_of_their_own(tmp_path):
    path = tmp_path / "slicer.seg.nrrd"
    masks = {1: random_masks()[1], 2: random_masks(seed=3)[2]}
    write_segmentation(path, masks, geometry_of(np.eye(3)))
    head, _, voxels = path.read_bytes().partition(b"\n\n")
    head = head.replace(b"Segment1_LabelValue:=2", b"Segment1_LabelValue:=1").replace(b"Label 2", b"other")
    layers = np.frombuffer(gzip.decompress(voxels), np.uint8).reshape(*SHAPE, 2)
    path.write_bytes(head + b"\n\n" + gzip.compress((layers > 0).astype(np.uint8).tobytes()))

    labels = read_labels(path)

    assert [(info.value, info.name) for info in labels.segments] == [(1, "Label 1"), (2, "other")]
    np.testing.assert_array_equal(labels.mask(1), masks[1])
    np.testing.assert_array_equal(labels.mask(2), masks[2])


def test_of_two_segments_with_the_largest_number_one_gets_a_small_one(tmp_path):
    stored = np.zeros((*SHAPE, 2), np.uint32)
    stored[2, :, :, 0] = stored[3, :, :, 1] = 2**32 - 1
    image = image_of(stored, is_vector=True)
    for key, value in {"Layer": "0 1", "LabelValue": f"{2**32 - 1} {2**32 - 1}", "ID": "a b", "Name": "a b"}.items():
        for number, word in enumerate(value.split()):
            image.SetMetaData(f"Segment{number}_{key}", word)
    sitk.WriteImage(image, str(tmp_path / "two.seg.nrrd"))
    labels = read_labels(tmp_path / "two.seg.nrrd")
    assert [(info.value, info.name) for info in labels.segments] == [(1, "b"), (2**32 - 1, "a")]
    assert labels.mask(1)[3].all()


def test_large_label_values_are_kept(tmp_path):
    masks = dict(zip((300, 14175, 70000), random_masks().values(), strict=True))
    for suffix in ENDINGS:
        write_segmentation(tmp_path / f"o{suffix}", masks, geometry_of(np.eye(3)))
        assert read_labels(tmp_path / f"o{suffix}").values == (300, 14175, 70000)


def test_the_same_masks_give_the_same_bytes(tmp_path):
    for name in ("a.seg.nrrd", "b.seg.nrrd"):
        write_segmentation(tmp_path / name, random_masks(), geometry_of(np.eye(3)))
    assert (tmp_path / "a.seg.nrrd").read_bytes() == (tmp_path / "b.seg.nrrd").read_bytes()


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.int32, np.float32])
@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz", "v.nrrd", "v.mha", "v.mhd"])
def test_volumes_are_read_in_their_own_type(name, kind, tmp_path):
    image = random_image(kind)
    sitk.WriteImage(image, str(tmp_path / name))
    volume = read_volume(tmp_path / name)
    assert volume.array_kji.dtype == kind
    np.testing.assert_array_equal(volume.array_kji, sitk.GetArrayFromImage(image))
    np.testing.assert_allclose(volume.geometry.spacing_kji_mm, (4.0, 1.1, 0.7), rtol=1e-6)


def test_double_precision_is_kept_in_half_the_memory(tmp_path):
    sitk.WriteImage(random_image(np.float64), str(tmp_path / "v.nrrd"))
    assert read_volume(tmp_path / "v.nrrd").array_kji.dtype == np.float32


def test_left_and_right_are_told_apart(tmp_path):
    image = random_image()
    image.SetOrigin((10, 20, 30))
    sitk.WriteImage(image, str(tmp_path / "v.nrrd"))
    volume = read_volume(tmp_path / "v.nrrd")
    np.testing.assert_allclose(volume.geometry.ijk_to_ras[:3, 3], (-10, -20, 30))
    np.testing.assert_allclose(np.diag(volume.geometry.ijk_to_ras), (-0.7, -1.1, 4, 1))


def test_a_new_kind_is_a_row_and_a_module(tmp_path, monkeypatch):
    drawn = SimpleNamespace(read=lambda path, content: (random_image(np.uint8), content))
    monkeypatch.setitem(sys.modules, "SegmentPropagateLib.formats.drawn", drawn)
    kinds = (*READABLE, ReadableKind("drawn", "drawn", (".drawn",)))
    monkeypatch.setattr("SegmentPropagateLib.formats.reading.READABLE", kinds)
    (tmp_path / "v.drawn").write_bytes(b"?")
    assert read_volume(tmp_path / "v.drawn").modality == "image"
    assert read_labels(tmp_path / "v.drawn").geometry.shape_kji == SHAPE
    (tmp_path / "v.xyz").write_bytes(b"?")
    known = listed([kind.name for kind in kinds], "and")
    assert known.startswith("NIfTI, ")
    assert f"({known} are known)" in sentence_of(read_volume, tmp_path / "v.xyz")


def test_kinds_are_listed_as_in_a_sentence():
    assert listed(["a", "b", "c"], "or") == "a, b or c"
    assert listed(["a"], "and") == "a"


def test_a_fourth_axis_of_length_one_is_dropped(tmp_path):
    sitk.WriteImage(random_image(shape=(1, *SHAPE)), str(tmp_path / "v.nrrd"))
    assert read_volume(tmp_path / "v.nrrd").array_kji.shape == SHAPE


def test_a_medsam2_archive_is_image_and_labels(tmp_path):
    path = tmp_path / "case.npz"
    content = medsam_archive(path)
    volume, labels = read_volume(path), read_labels(path)
    np.testing.assert_array_equal(volume.array_kji, content["imgs"])
    np.testing.assert_array_equal(labels.mask(3), content["gts"] == 3)
    assert labels.geometry.is_close(volume.geometry)
    expected = np.array([[0, -0.6, 0, -1], [-0.5, 0, 0, -2], [0, 0, -5, 3], [0, 0, 0, 1]])
    np.testing.assert_allclose(volume.geometry.ijk_to_ras, expected)


def test_a_medsam2_archive_without_direction_is_axis_aligned(tmp_path):
    medsam_archive(tmp_path / "case.npz", direction=None, origin=None)
    np.testing.assert_allclose(read_volume(tmp_path / "case.npz").geometry.ijk_to_ras, np.diag([-0.5, -0.6, 5.0, 1.0]))
