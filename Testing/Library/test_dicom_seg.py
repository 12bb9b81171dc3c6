"""DICOM segmentation objects read as labels: every segment where it was drawn, whoever wrote the file."""

import sys

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from drawn_dicom import EXPLICIT, IMPLICIT, MATRIX, PLACES, VOXELS, write_dicom
from drawn_files import sentence_of
from drawn_seg import KIDNEY, LABELMAP, SHAPE, TUMOR, frames_of, seg_elements, write_series

from SegmentPropagateLib.cli import main
from SegmentPropagateLib.formats.reading import read_labels, read_volume
from SegmentPropagateLib.formats.writing import write_segmentation
from SegmentPropagateLib.volumes.geometry import Geometry

NAMES = {1: "kidney", 2: "tumor"}
MASKS = {1: KIDNEY, 2: TUMOR}
GRID = Geometry(SHAPE, MATRIX)


@pytest.fixture
def seg(tmp_path):
    write_dicom(tmp_path / "seg.dcm", seg_elements(frames_of(MASKS), NAMES))
    return tmp_path / "seg.dcm"


def expect_masks(labels, masks=MASKS):
    assert labels.values == tuple(masks)
    for value, mask in masks.items():
        np.testing.assert_array_equal(labels.mask(value), mask)


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_overlapping_segments_are_read_into_layers_with_their_names(syntax, undefined, tmp_path):
    write_dicom(tmp_path / "s", seg_elements(frames_of(MASKS), NAMES), syntax=syntax, undefined=undefined)
    labels = read_labels(tmp_path / "s", GRID)
    expect_masks(labels)
    assert [segment.name for segment in labels.segments] == ["kidney", "tumor"]
    assert "~SCT^123037004^Anatomical Structure~SCT^64033007^Kidney~^^~" in labels.segments[0].tags
    assert len(labels.layers) == 2


def test_segments_that_do_not_overlap_share_a_layer(tmp_path):
    apart = {1: KIDNEY & ~TUMOR, 2: TUMOR}
    write_dicom(tmp_path / "s.dcm", seg_elements(frames_of(apart), NAMES))
    labels = read_labels(tmp_path / "s.dcm", GRID)
    expect_masks(labels, apart)
    assert len(labels.layers) == 1


@pytest.mark.parametrize("flip", [1, -1])
def test_frames_may_stand_in_any_order_and_be_stored_in_other_directions(flip, tmp_path):
    frames = frames_of(MASKS, order=-1)
    changes = {}
    if flip < 0:  # rows from right to left, columns from front to back: the normal is the same
        frames = [(number, k, plane[::-1, ::-1]) for number, k, plane in frames]
        items = [
            {
                0x00209113: ("SQ", [{0x00200032: ("DS", f"{-20 + 19 * 0.7}\\{30 + 15 * 0.9}\\{PLACES[k]}")}]),
                0x00209116: ("SQ", [{0x00200037: ("DS", "-1\\0\\0\\0\\-1\\0")}]),
                0x0062000A: ("SQ", [{0x0062000B: ("US", number)}]),
            }
            for number, k, _plane in frames
        ]
        changes = {0x52009230: ("SQ", items)}
    write_dicom(tmp_path / "s.dcm", seg_elements(frames, NAMES, changes))
    expect_masks(read_labels(tmp_path / "s.dcm", GRID))


def test_the_grid_is_the_smallest_that_holds_all_frames(seg):
    labels = read_labels(seg)
    assert labels.geometry.shape_kji == (5, *SHAPE[1:])
    np.testing.assert_allclose(labels.geometry.ijk_to_ras[:, 3], MATRIX[:, 3] + (0, 0, 2.5, 0))
    np.testing.assert_allclose(labels.geometry.ijk_to_ras[:3, :3], MATRIX[:3, :3])


@pytest.mark.parametrize(
    "measures", [{}, {0x00180088: ("DS", "0")}, {0x00180088: ("DS", ""), 0x00180050: ("DS", "2.5")}]
)
def test_a_segment_on_a_single_slice_is_read(measures, tmp_path):
    single = np.zeros(SHAPE, bool)
    single[2] = KIDNEY[2]
    write_dicom(tmp_path / "s.dcm", seg_elements(frames_of({1: single}), {1: "lesion"}, measures=measures))
    expect_masks(read_labels(tmp_path / "s.dcm", GRID), {1: single})


def test_slices_between_those_that_have_frames_stay_empty(tmp_path):
    apart = KIDNEY | TUMOR
    apart[2] = apart[4] = False
    write_dicom(tmp_path / "s.dcm", seg_elements(frames_of({1: apart}), {1: "lesions"}))
    expect_masks(read_labels(tmp_path / "s.dcm", GRID), {1: apart})


def test_a_segment_without_frames_is_named_and_empty_and_one_without_a_name_gets_one(tmp_path):
    write_dicom(tmp_path / "s.dcm", seg_elements(frames_of({3: TUMOR}), {1: "kidney"}))
    labels = read_labels(tmp_path / "s.dcm", GRID)
    assert [segment.name for segment in labels.segments] == ["kidney", "Label 3"]
    expect_masks(labels, {1: KIDNEY & False, 3: TUMOR})


def test_names_are_read_in_the_character_set_of_the_file(tmp_path):
    latin = {0x00080005: ("CS", "ISO_IR 100")}
    write_dicom(tmp_path / "s.dcm", seg_elements(frames_of({1: TUMOR}), {1: "Nierentumör".encode("latin-1")}, latin))
    assert read_labels(tmp_path / "s.dcm").segments[0].name == "Nierentumör"


def written(tmp_path, pixels, **options):
    """A SEG of the drawn series as highdicom writes it."""
    folder = write_series(tmp_path / "ct", lambda index: {0x00180050: ("DS", "2.5")})
    images = [pydicom.dcmread(folder / f"{index}.dcm") for index in range(len(VOXELS))]
    for image in images:
        image.PatientID = image.PatientBirthDate = image.PatientSex = image.AccessionNumber = None
        image.StudyID = image.StudyDate = image.StudyTime = None
    tissue = hd.sr.CodedConcept("85756007", "SCT", "Tissue")
    described = [
        hd.seg.SegmentDescription(number, f"Part {number}", tissue, tissue, "MANUAL")
        for number in options.pop("numbers", (1, 2))
    ]
    series = {"series_number": 1, "instance_number": 1, "manufacturer": "x", "manufacturer_model_name": "x"}
    software = {"software_versions": "1", "device_serial_number": "1"}
    identity = {"series_instance_uid": hd.UID(), "sop_instance_uid": hd.UID()}
    options = {"segment_descriptions": described, **series, **software, **identity, **options}
    hd.seg.Segmentation(images, pixels, **options).save_as(tmp_path / "seg.dcm")
    return tmp_path / "seg.dcm"


SYNTAXES = [hd.UID("1.2.840.10008.1.2.1"), hd.UID("1.2.840.10008.1.2.5"), hd.UID("1.2.840.10008.1.2.4.80")]


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_of_fractions_a_half_and_more_is_taken_and_that_is_said(syntax, tmp_path):
    shares = np.stack([KIDNEY * 0.6 + TUMOR * 0.1, TUMOR * 0.5 + KIDNEY * 0.45], -1)
    path = written(tmp_path, shares, segmentation_type="FRACTIONAL", transfer_syntax_uid=syntax)
    notes = []
    expect_masks(read_labels(path, GRID, notes.append))
    assert notes == [f"'{path}': its segments are stored as fractions, of which .5 and more are taken."]


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_label_map_is_read_by_its_numbers(syntax, tmp_path):
    pixels = (np.where(TUMOR, 40, KIDNEY * 2)).astype(np.uint8)
    path = written(tmp_path, pixels, segmentation_type="LABELMAP", numbers=(2, 40), transfer_syntax_uid=syntax)
    assert pydicom.dcmread(path).SOPClassUID == LABELMAP
    labels = read_labels(path, GRID)
    expect_masks(labels, {2: KIDNEY & ~TUMOR, 40: TUMOR})
    assert [segment.name for segment in labels.segments] == ["Part 2", "Part 40"]


def test_it_has_the_voxels_of_the_segmentation_that_it_came_from(tmp_path):
    write_segmentation(tmp_path / "s.seg.nrrd", MASKS, GRID)
    path = written(tmp_path, np.stack([KIDNEY, TUMOR], -1), segmentation_type="BINARY")
    volume = read_volume(tmp_path / "ct")
    expect_masks(read_labels(path, volume.geometry))
    expect_masks(read_labels(tmp_path / "s.seg.nrrd", volume.geometry))


def test_it_is_matched_to_an_image_of_another_grid(seg):
    finer = np.array(MATRIX)
    finer[:3, 2] /= 2
    labels = read_labels(seg, Geometry((12, *SHAPE[1:]), finer))
    np.testing.assert_array_equal(labels.mask(2)[::2], TUMOR)


def test_another_frame_of_reference_than_that_of_the_image_is_refused(seg, tmp_path):
    write_series(tmp_path / "ct", lambda index: {0x00200052: ("UI", "1.2.3")})
    volume = read_volume(tmp_path / "ct")
    assert "another frame of reference (1.2.826.0.1.8) than the image (1.2.3)" in sentence_of(
        read_labels, seg, volume.geometry
    )


def test_the_command_line_takes_it_for_labels(seg, tmp_path, capsys):
    image = sitk.GetImageFromArray(VOXELS)
    image.SetSpacing((0.7, 0.9, 2.5))
    image.SetOrigin((-20, 30, 40))
    sitk.WriteImage(image, str(tmp_path / "image.nrrd"))
    words = ["--mask", str(seg), "--label", "tumor", "--range", "3:5", "--model", "classical"]
    assert main(["propagate", str(tmp_path / "image.nrrd"), *words, "-o", str(tmp_path / "out.seg.nrrd")]) == 0
    key = read_labels(tmp_path / "out.seg.nrrd").mask(2)[3]
    np.testing.assert_array_equal(key, TUMOR[3])
    capsys.readouterr()
    assert main(["evaluate", str(seg), str(seg)]) == 0
    assert "tumor" in capsys.readouterr().out


def test_an_image_is_not_what_it_holds(seg):
    assert "is a segmentation object (SEG): it holds labels, so give" in sentence_of(read_volume, seg)
    assert "is a segmentation object (SEG): it holds labels, so give" in sentence_of(read_labels, seg.parent)


def test_without_highdicom_one_sentence_says_how_to_install_it(seg, monkeypatch):
    monkeypatch.setitem(sys.modules, "highdicom", None)
    sentence = sentence_of(read_labels, seg)
    assert "is a segmentation object (SEG), and reading it needs highdicom" in sentence
    assert "`pip install highdicom`" in sentence
