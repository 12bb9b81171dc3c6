"""A NIfTI file gives its grid two places in the world; tools differ in the one that they read, results serve both."""

import gzip
import struct

import numpy as np
import pytest
import SimpleITK as sitk
from drawn_nifti import PLACES, draw, values

from SegmentPropagateLib.formats.reading import read_labels, read_volume
from SegmentPropagateLib.formats.writing import write_segmentation

SROW = (-0.5, 0.77, 0.0, 25.0, -0.5, -0.77, 0.0, -22.0, 0.0, 0.0, 4.0, 44.0)
UNLIKE = {"codes": (1, 2), "srow": SROW}
MASK = values() > 50


def fields_of(path):
    header = gzip.decompress(path.read_bytes())[:348]
    return {name: np.array(struct.unpack_from("<" + form, header, place)) for name, (place, form) in PLACES.items()}


@pytest.mark.parametrize("codes", [(1, 1), (1, 2), (2, 4), (0, 2), (3, 0), (0, 0)])
@pytest.mark.parametrize("units", [2, 3])
def test_a_result_repeats_qform_sform_and_codes_of_the_image(tmp_path, codes, units):
    drawn = {"codes": codes, "srow": SROW, "quatern": (0.2, -0.3, 0.1), "pixdim": (-1.0, 0.7, 1.1, 4.0)}
    image = draw(tmp_path / "image.nii.gz", values(), xyzt_units=units, **drawn)
    write_segmentation(tmp_path / "out.nii.gz", {3: MASK}, read_volume(image).geometry)
    before, after = fields_of(image), fields_of(tmp_path / "out.nii.gz")
    assert tuple(after["codes"]) == codes
    assert after["xyzt_units"] == units
    for code, names in ((codes[0], ("quatern", "qoffset", "pixdim")), (codes[1], ("srow",))):
        for name in names if code else ():
            np.testing.assert_allclose(after[name][:4], before[name][:4], rtol=1e-6)
    assert read_volume(tmp_path / "out.nii.gz").geometry.lies_at(read_volume(image).geometry.ijk_to_ras)
    found, expected = (sitk.ReadImage(str(path)) for path in (tmp_path / "out.nii.gz", image))
    np.testing.assert_allclose(found.GetOrigin(), expected.GetOrigin(), rtol=1e-6)
    np.testing.assert_allclose(found.GetDirection(), expected.GetDirection(), atol=1e-6)


@pytest.mark.parametrize("codes", [(0, 2), (0, 1), (1, 0), (1, 2)])
def test_a_mask_with_either_place_of_the_image_lies_on_its_grid(tmp_path, codes):
    volume = read_volume(draw(tmp_path / "image.nii", values(), **UNLIKE))
    path = draw(tmp_path / "mask.nii.gz", MASK.astype("u1"), **{**UNLIKE, "codes": codes})
    labels = read_labels(path, like=volume.geometry)
    np.testing.assert_array_equal(labels.mask(1), MASK)
    assert labels.geometry is volume.geometry


def test_a_sheared_sform_serves_a_mask_but_not_an_image(tmp_path):
    sheared = (0.7, 0.4, 0.0, 1.0, 0.0, 1.1, 0.0, 2.0, 0.0, 0.0, 4.0, 3.0)
    volume = read_volume(draw(tmp_path / "image.nii", values(), codes=(1, 2), srow=sheared))
    path = draw(tmp_path / "mask.nii", MASK.astype("u1"), codes=(0, 2), srow=sheared)
    np.testing.assert_array_equal(read_labels(path, like=volume.geometry).mask(1), MASK)


def test_a_mask_elsewhere_is_still_moved(tmp_path):
    volume = read_volume(draw(tmp_path / "image.nii", values(), **UNLIKE))
    path = draw(tmp_path / "mask.nii", MASK.astype("u1"), qoffset=(20.0 - 0.7, -30.0, 40.0))
    np.testing.assert_array_equal(read_labels(path, like=volume.geometry).mask(1)[..., 1:], MASK[..., :-1])


@pytest.mark.parametrize(("codes", "used"), [((1, 2), "qform"), ((1, 1), "sform")])
def test_places_that_differ_are_told_with_the_one_that_is_used(tmp_path, codes, used):
    note = read_volume(draw(tmp_path / "image.nii", values(), **{**UNLIKE, "codes": codes})).note
    assert note.startswith("The qform and the sform of 'image.nii' differ by up to ")
    assert f"its {used} is used" in note


@pytest.mark.parametrize(
    ("fields", "used"),
    [
        ({"codes": (0, 2)}, "size of a voxel"),
        ({"codes": (1, 2)}, "qform"),
        ({"codes": (1, 2), "srow": SROW, "quatern": (np.nan, 0, 0)}, "sform"),
    ],
)
def test_a_form_that_spans_no_volume_is_left_for_what_else_the_file_says(tmp_path, fields, used):
    volume = read_volume(draw(tmp_path / "image.nii", values(), **fields))
    assert volume.note.endswith(f"of 'image.nii' spans no volume: its {used} says where it lies.")
    write_segmentation(tmp_path / "out.nii.gz", {1: MASK}, volume.geometry)
    again = read_volume(tmp_path / "out.nii.gz")
    assert again.note == ""
    assert again.geometry.lies_at(volume.geometry.ijk_to_ras)


@pytest.mark.parametrize("fields", [{}, {"codes": (0, 2), "srow": SROW}, {"codes": (0, 0)}])
def test_a_file_with_one_place_needs_no_note(tmp_path, fields):
    assert read_volume(draw(tmp_path / "image.nii", values(), **fields)).note == ""
