"""NIfTI files that are read: the same values and the same place as ITK gives, from the file that was named."""

import gzip
import os
import sys

import numpy as np
import pytest
import SimpleITK as sitk
from drawn_nifti import CODES, SHAPE, draw, draw_pair, nifti_bytes, values
from test_geometry import geometry_of

from SegmentPropagateLib.formats import grids
from SegmentPropagateLib.formats.reading import read_labels, read_volume
from SegmentPropagateLib.formats.writing import write_segmentation

STEMS = ("画像", os.fsdecode(b"lat\xe9") if sys.platform == "linux" else "V")
TURNED = (0.2, -0.3, 0.1)
SROW = (0.0, -1.1, 0.0, 7.0, 0.7, 0.0, 0.0, -3.0, 0.0, 0.0, 4.0, 11.0)


def as_itk_reads(path):
    image = sitk.ReadImage(str(path))
    return sitk.GetArrayFromImage(image), grids.geometry_of(image, path)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", CODES)
def test_values_of_every_type_and_byte_order_are_those_of_itk(tmp_path, kind, order):
    path = draw(tmp_path / "v.nii", values(kind), order=order)
    array = read_volume(path).array_kji
    expected = values(kind).astype(np.float32 if kind == "f8" else kind)  # volumes are float32 at most
    np.testing.assert_array_equal(array, expected)
    assert array.dtype == expected.dtype


@pytest.mark.parametrize("scale", [(0.5, -10.0), (1.0, 3.0), (-2.0, 0.0)])
@pytest.mark.parametrize("kind", ["u1", "i2", "u4", "i8", "f4", "f8"])
def test_scaled_values_are_those_of_itk(tmp_path, kind, scale):
    path = draw(tmp_path / "v.nii.gz", values(kind), scl=scale)
    array = read_volume(path).array_kji
    np.testing.assert_allclose(array, as_itk_reads(path)[0], rtol=1e-6)
    assert array.dtype == np.float32


@pytest.mark.parametrize("slope", [0.0, np.nan, np.inf])
def test_a_slope_that_says_nothing_leaves_the_values_as_stored(tmp_path, slope):
    path = draw(tmp_path / "v.nii", values(), scl=(slope, 5.0))
    np.testing.assert_array_equal(read_volume(path).array_kji, values())


@pytest.mark.parametrize(
    "fields",
    [
        {"quatern": TURNED},
        {"quatern": TURNED, "pixdim": (-1.0, 0.7, 1.1, 4.0)},
        {"quatern": (0.6, 0.0, 0.8)},
        {"quatern": TURNED, "xyzt_units": 3},
        {"quatern": TURNED, "xyzt_units": 1},
        {"quatern": TURNED, "xyzt_units": 0},
        {"codes": (0, 1), "srow": SROW},
        {"codes": (0, 4), "srow": SROW},
        {"codes": (1, 1), "srow": SROW},
        {"codes": (1, 2), "srow": SROW},
        {"codes": (2, 2), "srow": SROW},
        {"codes": (1, 1), "srow": (0.7, 0.3, 0, 1, 0, 1.1, 0, 2, 0, 0, 4, 3)},  # sheared
        {"codes": (0, 0)},
        {"codes": (0, 0), "pixdim": (1.0, -0.7, 1.1, 4.0)},
    ],
)
def test_a_volume_lies_where_itk_puts_it(tmp_path, fields):
    path = draw(tmp_path / "v.nii", values(), **fields)
    expected = as_itk_reads(path)[1]
    found = read_volume(path).geometry
    assert found.shape_kji == expected.shape_kji
    assert found.lies_at(expected.ijk_to_ras)


def test_nifti_2_is_read(tmp_path):
    path = draw(tmp_path / "v.nii.gz", values(), version=2, order=">", codes=(0, 2), srow=SROW)
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.array_kji, values())
    np.testing.assert_allclose(volume.geometry.ijk_to_ras[:3], np.reshape(SROW, (3, 4)))


@pytest.mark.parametrize("other", ["case.nii", "case.hdr", "case.img", "case"])
def test_the_file_that_was_named_is_read_whatever_lies_beside_it(tmp_path, other):
    draw(tmp_path / other, values() + 1)
    path = draw(tmp_path / "case.nii.gz", values())
    np.testing.assert_array_equal(read_volume(path).array_kji, values())


@pytest.mark.parametrize("magic", [b"ni1", b""])
@pytest.mark.parametrize("ending", [".img", ".img.gz"])
def test_both_files_of_a_pair_lead_to_it_as_itk_reads_it(tmp_path, ending, magic):
    paths = draw_pair(tmp_path, values(), ending, magic, quatern=TURNED)
    array, geometry = as_itk_reads(paths[0])
    for path in paths:
        volume = read_volume(path)
        np.testing.assert_array_equal(volume.array_kji, array)
        assert volume.geometry.lies_at(geometry.ijk_to_ras)


@pytest.mark.parametrize("name", [f"{stem}.nii.gz" for stem in STEMS] + ["v.Nii.GZ"])
def test_a_name_may_have_capitals_and_any_characters(tmp_path, name):
    path = draw(tmp_path / name, values())
    np.testing.assert_array_equal(read_volume(path).array_kji, values())
    write_segmentation(tmp_path / name, {1: values() > 50}, geometry_of(np.eye(3), shape_kji=SHAPE))
    np.testing.assert_array_equal(read_labels(tmp_path / name).mask(1), values() > 50)


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize("ending", [".nrrd", ".NRRD", ".mha", ".MHA"])
def test_itk_opens_files_whose_names_it_cannot(tmp_path, stem, ending):
    sitk.WriteImage(sitk.GetImageFromArray(values()), str(tmp_path / f"plain{ending.lower()}"))
    path = (tmp_path / f"plain{ending.lower()}").rename(tmp_path / f"{stem}{ending}")
    np.testing.assert_array_equal(read_volume(path).array_kji, values())


def test_voxels_beside_a_header_whose_name_itk_cannot_open_are_found(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(values()), str(tmp_path / "v.nhdr"))
    path = (tmp_path / "v.nhdr").rename(tmp_path / f"{STEMS[-1]}.NHDR")
    np.testing.assert_array_equal(read_volume(path).array_kji, values())


def test_packed_files_are_known_by_their_first_bytes(tmp_path):
    (tmp_path / "packed.nii").write_bytes(gzip.compress(nifti_bytes(values())))
    (tmp_path / "plain.nii.gz").write_bytes(nifti_bytes(values()))
    for path in tmp_path.iterdir():
        np.testing.assert_array_equal(read_volume(path).array_kji, values())


@pytest.mark.parametrize("rest", [bytes(700), b"rubbish", b"\x1f"])
def test_what_follows_the_packed_bytes_is_passed_over(tmp_path, rest):
    path = draw(tmp_path / "v.nii.gz", values())
    path.write_bytes(path.read_bytes() + rest)
    np.testing.assert_array_equal(read_volume(path).array_kji, values())


def test_several_packed_streams_are_one_file(tmp_path):
    content = nifti_bytes(values())
    (tmp_path / "v.nii.gz").write_bytes(b"".join(gzip.compress(content[n : n + 100]) for n in range(0, 900, 100)))
    np.testing.assert_array_equal(read_volume(tmp_path / "v.nii.gz").array_kji, values())


@pytest.mark.parametrize(
    "dim", [(4, 7, 6, 5, 1), (4, 1, 7, 6, 5), (5, 1, 1, 7, 6, 5), (7, 7, 6, 5, 1, 1, 1, 1), (4, 7, 6, 5, 0)]
)
def test_axes_of_one_voxel_before_or_after_the_three_are_left_out(tmp_path, dim):
    path = draw(tmp_path / "v.nii", values(), dim=dim)
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.array_kji, values())
    assert volume.geometry.spacing_kji_mm == pytest.approx((4.0, 1.1, 0.7))
    assert read_labels(path, like=volume.geometry).geometry is volume.geometry


def test_an_offset_that_was_left_out_is_that_of_the_first_byte(tmp_path):
    np.testing.assert_array_equal(read_volume(draw(tmp_path / "v.nii", values(), vox_offset=0)).array_kji, values())


@pytest.mark.parametrize("spacing", [2e-2, 5e-4, 5e-5])
def test_voxels_of_a_microscope_are_read_and_a_grid_one_voxel_off_is_another(tmp_path, spacing):
    fields = {"pixdim": (1.0, spacing, spacing, spacing), "qoffset": (0.0, 0.0, 0.0)}
    volume = read_volume(draw(tmp_path / "v.nii", values(), **fields))
    assert volume.geometry.spacing_kji_mm == pytest.approx((spacing,) * 3)
    path = draw(tmp_path / "l.nii", values("u1"), **fields)
    np.testing.assert_array_equal(read_labels(path, like=volume.geometry).layers[0], values("u1"))
    path = draw(tmp_path / "moved.nii", values("u1"), **{**fields, "qoffset": (-spacing, 0.0, 0.0)})
    labels = read_labels(path, like=volume.geometry)
    np.testing.assert_array_equal(labels.layers[0][..., 1:], values("u1")[..., :-1])
