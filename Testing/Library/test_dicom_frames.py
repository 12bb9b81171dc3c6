"""Multi-frame DICOM files: each frame is a slice of its own, with the checks that single slices get."""

import numpy as np
import pytest
from drawn_dicom import (
    EXPLICIT,
    IMPLICIT,
    MATRIX,
    NUCLEAR,
    PLACES,
    VOXELS,
    enhanced_elements,
    frame_item,
    slice_elements,
    write_dicom,
)
from drawn_files import sentence_of

from SegmentPropagateLib.formats.reading import read_volume

SHUFFLED = [0, 2, 4, 1, 3, 5]


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_frames_stand_in_the_order_of_their_positions(syntax, undefined, tmp_path):
    items = [frame_item(PLACES[index]) for index in SHUFFLED]
    elements = enhanced_elements(VOXELS[SHUFFLED], items)
    write_dicom(tmp_path / "mr.dcm", elements, syntax=syntax, undefined=undefined)
    for path in (tmp_path, tmp_path / "mr.dcm"):
        volume = read_volume(path)
        np.testing.assert_array_equal(volume.array_kji, VOXELS)
        np.testing.assert_allclose(volume.geometry.ijk_to_ras, MATRIX)
        assert volume.modality == "CT"


def test_each_frame_has_its_own_slope(tmp_path):
    items = [frame_item(place, (0.5 * (index + 1), index)) for index, place in enumerate(PLACES)]
    write_dicom(tmp_path / "pet.dcm", enhanced_elements(VOXELS, items))
    array = read_volume(tmp_path / "pet.dcm").array_kji
    number = np.arange(6)[:, None, None]
    assert array.dtype == np.float32
    np.testing.assert_allclose(array, VOXELS * 0.5 * (number + 1) + number)


def test_a_stack_that_is_split_over_files_is_put_together(tmp_path):
    for part, indices in enumerate(([0, 2, 4], [1, 3, 5]), start=1):
        numbers = {0x00209161: ("UI", "1.2.3"), 0x00209162: ("US", part), 0x00209163: ("US", 2)}
        items = [frame_item(PLACES[index]) for index in indices]
        write_dicom(tmp_path / f"{part}.dcm", enhanced_elements(VOXELS[indices], items, numbers))
    np.testing.assert_array_equal(read_volume(tmp_path / "2.dcm").array_kji, VOXELS)
    (tmp_path / "1.dcm").unlink()
    assert "split over 2 files of which 1 are there" in sentence_of(read_volume, tmp_path)


def test_single_slices_and_frames_of_one_series_are_one_stack(tmp_path):
    write_dicom(tmp_path / "0.dcm", slice_elements(0))
    write_dicom(tmp_path / "rest.dcm", enhanced_elements(VOXELS[1:], [frame_item(place) for place in PLACES[1:]]))
    np.testing.assert_array_equal(read_volume(tmp_path).array_kji, VOXELS)


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ([frame_item(place) for place in PLACES[:3] * 2], "several slices at the same place (40 mm"),
        ([frame_item(place) for place in (40, 42.5, 45, 52.5, 55, 57.5)], "lacks about 2 slices between 45 and 52.5"),
        ([frame_item(place) for place in (40, 42, 44, 46.5, 48.5, 50.5)], "unevenly spaced"),
        (
            [frame_item(place, orientation="0\\1\\0\\0\\0\\1" if place > 50 else None) for place in PLACES],
            "different directions",
        ),
        ([frame_item(place) for place in PLACES[:5]], "(6 frames, 5 described)"),
        ([{}] * 6, "ImagePositionPatient is missing"),
        ([], "ImagePositionPatient is missing"),
    ],
)
def test_frames_that_make_no_volume_are_refused_as_slices_are(items, words, tmp_path):
    write_dicom(tmp_path / "mr.dcm", enhanced_elements(VOXELS, items))
    assert words in sentence_of(read_volume, tmp_path / "mr.dcm")


def nuclear_elements(step, vector=b"\x54\x00\x80\x00"):
    place = {0x00200032: ("DS", "-20\\30\\40"), 0x00200037: ("DS", "1\\0\\0\\0\\1\\0")}
    return {
        0x00080016: ("UI", NUCLEAR),
        0x00080060: ("CS", "NM"),
        0x00180088: ("DS", step),
        0x0020000E: ("UI", "1.2.3"),
        0x00280008: ("IS", 6),
        0x00280009: ("AT", vector),
        0x00280030: ("DS", "0.9\\0.7"),
        0x00540022: ("SQ", [place]),
        **slice_pixels(),
    }


def slice_pixels():
    return {tag: value for tag, value in enhanced_elements(VOXELS, []).items() if 0x00280001 < tag < 0x52000000} | {
        0x7FE00010: ("OW", VOXELS.tobytes())
    }


@pytest.mark.parametrize(("step", "order"), [("2.5", 1), ("-2.5", -1)])
def test_slices_of_nuclear_medicine_follow_the_first_in_steps(step, order, tmp_path):
    write_dicom(tmp_path / "nm.dcm", nuclear_elements(step))
    volume = read_volume(tmp_path / "nm.dcm")
    np.testing.assert_array_equal(volume.array_kji, VOXELS[::order])
    assert volume.geometry.ijk_to_ras[2, 3] == (40 if order > 0 else 27.5)


@pytest.mark.parametrize(
    ("step", "vector", "words"),
    [("0", b"\x54\x00\x80\x00", "SpacingBetweenSlices '0'"), ("2.5", b"\x18\x00\x63\x10", "times, angles or energies")],
)
def test_other_stacks_without_places_are_refused(step, vector, words, tmp_path):
    write_dicom(tmp_path / "nm.dcm", nuclear_elements(step, vector))
    assert words in sentence_of(read_volume, tmp_path / "nm.dcm")
