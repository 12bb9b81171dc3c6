"""Voxel values and places of DICOM series, as their headers give them."""

import numpy as np
import pytest
from drawn_dicom import MATRIX, VOXELS, write_slices
from drawn_files import sentence_of

from SegmentPropagateLib.formats.reading import read_volume

SLOPE, INTERCEPT = 0x00281053, 0x00281052
SPACING, POSITION, ORIENTATION = 0x00280030, 0x00200032, 0x00200037


@pytest.mark.parametrize(
    "rescaling",
    [
        [(0.5 + 0.11 * index, 0) for index in range(6)],  # PET
        [(1, -1024), (1, -1000), (2, 0), (1, 0), (1, 5), (1, 7)],
        [(1, 0), (70, 0), (1, 0), (1, 0), (1, 0), (1, 0)],  # beyond 16 bits
    ],
)
def test_each_slice_has_its_own_slope_and_intercept(rescaling, tmp_path):
    def changes(index):
        slope, intercept = rescaling[index]
        return {SLOPE: ("DS", f"{slope:g}"), INTERCEPT: ("DS", intercept)}

    array = read_volume(write_slices(tmp_path / "pet", changes)).array_kji
    assert array.dtype == np.float32
    slopes, intercepts = np.array(rescaling).T[:, :, None, None]
    np.testing.assert_allclose(array, VOXELS * slopes + intercepts, rtol=1e-6)


@pytest.mark.parametrize(
    ("slope", "intercept", "kind"),
    [("1", "0", np.int16), ("2", "3", np.int32), ("1.0", "-1024", np.int32), ("0.5", "0", np.float32)],
)
def test_whole_numbers_stay_whole_where_all_slices_agree(slope, intercept, kind, tmp_path):
    folder = write_slices(tmp_path / "ct", lambda index: {SLOPE: ("DS", slope), INTERCEPT: ("DS", intercept)})
    array = read_volume(folder).array_kji
    assert array.dtype == kind
    np.testing.assert_array_equal(array, VOXELS * float(slope) + float(intercept))


def table_item(values, first=0, kind="<u2"):
    """A ModalityLUTSequence."""
    descriptor = np.array([len(values) % 2**16, first, 8 * np.dtype(kind).itemsize]).astype("<u2").tobytes()
    data = np.array(values, kind).tobytes()
    return ("SQ", [{0x00283002: ("OW", descriptor), 0x00283004: ("LO", "HU"), 0x00283006: ("OW", data)}])


@pytest.mark.parametrize(
    ("values", "first", "kind"),
    [
        ([7, 500, 60000, 3], -1, "<u2"),
        ([7, 200, 3], 0, "u1"),  # an odd number of bytes
        ([*range(65535, -1, -1)], -32768, "<u2"),  # a length that is written as 0
    ],
)
def test_a_table_says_what_values_are(values, first, kind, tmp_path):
    folder = write_slices(tmp_path / "cr", lambda index: {0x00283000: table_item(values, first, kind)})
    expected = np.array(values)[np.clip(VOXELS.astype(int) - first, 0, len(values) - 1)]
    np.testing.assert_array_equal(read_volume(folder).array_kji, expected)


def test_a_table_for_a_window_changes_no_value(tmp_path):
    folder = write_slices(tmp_path / "ct", lambda index: {0x00283010: table_item([7, 500])})
    np.testing.assert_array_equal(read_volume(folder).array_kji, VOXELS)


@pytest.mark.parametrize(
    "table", [("SQ", [{0x00283002: ("OW", b"\4\0\0\0\x10\0")}]), ("SQ", [{0x00283006: ("OW", b"12")}])]
)
def test_a_table_that_is_incomplete_or_not_in_all_slices_is_refused(table, tmp_path):
    folder = write_slices(tmp_path / "cr", lambda index: {0x00283000: table})
    assert "ModalityLUTSequence, the table of its values" in sentence_of(read_volume, folder)
    write_slices(folder, lambda index: {0x00283000: table_item([1, 2])} if index else {})
    assert "with a ModalityLUTSequence and without" in sentence_of(read_volume, folder)


@pytest.mark.parametrize("tag", [0x7FE00008, 0x7FE00009])
def test_voxels_with_decimals_are_refused_as_what_they_are(tag, tmp_path):
    folder = write_slices(tmp_path / "map", lambda index: {0x7FE00010: None, tag: ("OW", bytes(1280))})
    assert "FloatPixelData" in sentence_of(read_volume, folder)


def test_bits_above_the_stored_ones_are_no_part_of_a_value(tmp_path):
    drawn = (VOXELS % 4096).astype("<u2")

    def changes(index):
        with_overlay = drawn[index] | 0x4000
        bits = {0x00280101: ("US", 12), 0x00280102: ("US", 11), 0x00280103: ("US", 0)}
        return {**bits, 0x7FE00010: ("OW", with_overlay.tobytes())}

    np.testing.assert_array_equal(read_volume(write_slices(tmp_path / "ct", changes)).array_kji, drawn)


def test_a_decimal_comma_is_read_as_a_point(tmp_path):
    def changes(index):
        place = f"-20,0\\30,0\\{40 + 2.5 * index}".replace(".", ",")
        return {SPACING: ("DS", "0,9\\0,7"), POSITION: ("DS", place), ORIENTATION: ("DS", "1,0\\0\\0\\0\\1,0\\0")}

    geometry = read_volume(write_slices(tmp_path / "ct", changes)).geometry
    np.testing.assert_allclose(geometry.ijk_to_ras, MATRIX)


def test_directions_that_were_rounded_stay_at_right_angles(tmp_path):
    folder = write_slices(tmp_path / "mr", lambda index: {ORIENTATION: ("DS", "0.995\\0.1\\0\\-0.1\\0.996\\0.001")})
    axes = read_volume(folder).geometry.ijk_to_ras[:3, :3] / [0.7, 0.9, 2.5]
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=2e-5)
    np.testing.assert_allclose(axes[:, 0], [-0.995, -0.1, 0], atol=1e-3)


def test_positions_count_and_not_the_field_of_their_spacing(tmp_path):
    folder = write_slices(tmp_path / "ct", lambda index: {0x00180050: ("DS", "9"), 0x00180088: ("DS", "0")})
    np.testing.assert_allclose(read_volume(folder).geometry.ijk_to_ras, MATRIX)


@pytest.mark.parametrize("scale", [1e-3, 3e-4])
def test_slices_of_microscopic_voxels_are_not_at_the_same_place(scale, tmp_path):
    def changes(index):
        return {SPACING: ("DS", f"{0.9 * scale}\\{0.7 * scale}"), POSITION: ("DS", f"0\\0\\{0.5 * scale * index:g}")}

    geometry = read_volume(write_slices(tmp_path / "ct", changes)).geometry
    np.testing.assert_allclose(geometry.spacing_kji_mm, np.array([0.5, 0.9, 0.7]) * scale)


@pytest.mark.parametrize(
    "value", ["0\\0", "-0.7\\0.7", "0.7", "0.7\\0.7\\0.7", "fine\\fine", "nan\\nan", "1e999\\1", "1_0\\1"]
)
def test_a_pixel_spacing_that_cannot_be_is_refused(value, tmp_path):
    sentence = sentence_of(read_volume, write_slices(tmp_path / "ct", lambda index: {SPACING: ("DS", value)}))
    assert f"has the PixelSpacing '{value}', which is impossible" in sentence


@pytest.mark.parametrize(
    ("tag", "value", "words"),
    [
        (POSITION, "0\\0\\here", "ImagePositionPatient '0\\0\\here'"),
        (POSITION, "0\\0\\1e30", "ImagePositionPatient '0\\0\\1e30'"),
        (POSITION, None, "ImagePositionPatient is missing"),
        (ORIENTATION, "0\\0\\0\\0\\0\\0", "ImageOrientationPatient '0\\0\\0\\0\\0\\0'"),
        (ORIENTATION, "1\\0\\0\\1\\0\\0", "ImageOrientationPatient"),
        (ORIENTATION, None, "ImageOrientationPatient is missing"),
        (SPACING, None, "PixelSpacing is missing (only at the detector)"),
        (SLOPE, "0", "RescaleSlope '0'"),
        (INTERCEPT, "?", "RescaleIntercept '?'"),
    ],
)
def test_places_and_values_that_cannot_be_are_refused_by_name(tag, value, words, tmp_path):
    def changes(index):
        wrong = None if value is None else ("DS", value)
        return {0x00181164: ("DS", "0.7\\0.7"), **({tag: wrong} if index == 3 else {})}

    sentence = sentence_of(read_volume, write_slices(tmp_path / "ct", changes))
    assert words in sentence
    assert "3.dcm" in sentence


def test_two_pixel_spacings_in_a_series_are_refused(tmp_path):
    folder = write_slices(tmp_path / "ct", lambda index: {SPACING: ("DS", "0.9\\0.7" if index < 3 else "0.9\\0.6")})
    assert "mixes slices of different pixel spacings" in sentence_of(read_volume, folder)


def test_a_slice_that_lost_the_intercept_of_the_others_is_refused(tmp_path):
    write_slices(tmp_path / "ct", lambda index: {INTERCEPT: ("DS", "-1024") if index != 3 else None})
    assert "with a RescaleSlope or RescaleIntercept and without" in sentence_of(read_volume, tmp_path / "ct")
    write_slices(tmp_path / "ct", lambda index: {INTERCEPT: ("DS", "0") if index != 3 else None})
    np.testing.assert_array_equal(read_volume(tmp_path / "ct").array_kji, VOXELS)


def test_color_is_refused(tmp_path):
    folder = write_slices(tmp_path / "us", lambda index: {0x00280004: ("CS", "PALETTE COLOR")})
    assert "is in color (PALETTE COLOR)" in sentence_of(read_volume, folder)
