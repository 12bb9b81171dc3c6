"""Segmentations written as DICOM objects for the series that they belong to."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from drawn_dicom import PLACES, SERIES, VOXELS, enhanced_elements, frame_item, write_dicom
from drawn_files import sentence_of
from drawn_seg import KIDNEY, SHAPE, SPACE, STUDY, TUMOR, write_series

from SegmentPropagateLib.cli import main
from SegmentPropagateLib.formats.reading import read_labels, read_volume
from SegmentPropagateLib.formats.writing import write_segmentation
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.labels import TISSUE_TAGS, SegmentInfo

LEFT_KIDNEY = (
    "TerminologyEntry:Segmentation category and type - 3D Slicer General Anatomy list~SCT^123037004^Anatomy"
    "~SCT^64033007^Kidney~SCT^7771000^Left~Anatomic codes - DICOM master list~SCT^818983003^Abdomen~SCT^24028007^Right|"
)
SEGMENTS = (SegmentInfo(1, "Niere 腎臓", (1.0, 0.5, 0.25), LEFT_KIDNEY), SegmentInfo(2, "tumor", (0.0, 0.2, 1.0)))
MASKS = {1: KIDNEY, 2: TUMOR}
ABDOMEN = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "ct_dicom_abdomen"


@pytest.fixture
def series(tmp_path):
    return write_series(tmp_path / "ct")


@pytest.fixture
def grid(series):
    return read_volume(series).geometry


def test_what_is_written_reads_back_and_is_written_again_the_same(series, grid, tmp_path):
    segments = SEGMENTS
    for name in ("first.dcm", "second.dcm"):
        assert list(write_segmentation(tmp_path / name, MASKS, grid, segments, source=series)) == []
        labels = read_labels(tmp_path / name, grid)
        for value, mask in MASKS.items():
            np.testing.assert_array_equal(labels.mask(value), mask)
        for mine, its in zip(labels.segments, SEGMENTS, strict=True):
            assert (mine.value, mine.name, mine.tags) == (its.value, its.name, its.tags)
            np.testing.assert_allclose(mine.color_rgb, its.color_rgb, atol=0.5 / 255 + 1e-6)
        if name == "second.dcm":
            assert labels.segments == segments
        segments = labels.segments


def test_it_says_what_the_segments_are_and_refers_to_the_slices(series, grid, tmp_path):
    write_segmentation(tmp_path / "o.dcm", MASKS, grid, SEGMENTS, source=series)
    file = pydicom.dcmread(tmp_path / "o.dcm")
    kidney, tumor = file.SegmentSequence
    assert (file.StudyInstanceUID, file.FrameOfReferenceUID, file.PatientName) == (STUDY, SPACE, "Drawn^Nobody")
    assert file.SeriesInstanceUID != SERIES
    assert kidney.SegmentedPropertyTypeCodeSequence[0].CodeValue == "64033007"
    assert tumor.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Tissue"
    assert {item.SegmentAlgorithmType for item in file.SegmentSequence} == {"SEMIAUTOMATIC"}
    for item in file.PerFrameFunctionalGroupsSequence:
        source = item.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        place = item.PlanePositionSequence[0].ImagePositionPatient[2]
        assert place == PLACES[int(source.rpartition(".")[2]) - 1]


@pytest.mark.parametrize(
    "tags", ["", "TerminologyEntry:", "TerminologyEntry:a~b~c|", "TerminologyEntry:x~SCT^^~SCT^1^|", "a\\b~^~" * 99]
)
def test_segments_without_codes_of_use_are_tissue(tags, series, grid, tmp_path):
    write_segmentation(tmp_path / "o.dcm", {1: KIDNEY}, grid, [SegmentInfo(1, "x", (0, 0, 0), tags)], source=series)
    assert read_labels(tmp_path / "o.dcm").segments[0].tags == TISSUE_TAGS


@pytest.mark.parametrize(("name", "kept"), [("a\\b", "a b"), ("x" * 99, "x" * 64), ("\n", "Label 1"), ("", "Label 1")])
def test_names_that_dicom_cannot_hold_are_mended(name, kept, series, grid, tmp_path):
    write_segmentation(tmp_path / "o.dcm", {1: KIDNEY}, grid, [SegmentInfo(1, name, (0, 0, 0))], source=series)
    assert read_labels(tmp_path / "o.dcm").segments[0].name == kept


def test_labels_are_numbered_anew_and_empty_ones_left_out_which_is_said(series, grid, tmp_path):
    masks = {3: KIDNEY & ~TUMOR, 5: KIDNEY & False, 70000: TUMOR}
    notes = write_segmentation(tmp_path / "o.dcm", masks, grid, source=series)
    assert notes == [
        "DICOM numbers segments from 1 on: label 3 (Label 3) is segment 1 there.",
        "DICOM numbers segments from 1 on: label 70000 (Label 70000) is segment 2 there.",
        "Left out: label 5 (Label 5), which has no voxel.",
    ]
    labels = read_labels(tmp_path / "o.dcm", grid)
    assert labels.values == (1, 2)
    np.testing.assert_array_equal(labels.mask(2), TUMOR)
    np.testing.assert_array_equal(labels.mask(1), masks[3])


def test_frames_of_one_file_may_be_segmented_in_whatever_order_they_stand(tmp_path):
    order = [3, 0, 5, 1, 4, 2]
    items = [{**frame_item(PLACES[k]), 0x00209111: ("SQ", [{0x00209157: ("UL", n + 1)}])} for n, k in enumerate(order)]
    identity = {0x00080018: ("UI", "1.2.3.4"), 0x0020000D: ("UI", STUDY), 0x00200052: ("UI", SPACE)}
    (tmp_path / "ct").mkdir()
    write_dicom(tmp_path / "ct" / "all.dcm", enhanced_elements(VOXELS[order], items, identity))
    geometry = read_volume(tmp_path / "ct").geometry
    write_segmentation(tmp_path / "o.dcm", MASKS, geometry, source=tmp_path / "ct" / "all.dcm")
    for value, mask in MASKS.items():
        np.testing.assert_array_equal(read_labels(tmp_path / "o.dcm", geometry).mask(value), mask)


IDENTITIES = {
    "SOPClassUID": 0x00080016,
    "SOPInstanceUID": 0x00080018,
    "StudyInstanceUID": 0x0020000D,
    "SeriesInstanceUID": 0x0020000E,
    "FrameOfReferenceUID": 0x00200052,
}


@pytest.mark.parametrize("keyword", IDENTITIES)
def test_a_slice_that_nothing_can_refer_to_is_named_with_the_tag(keyword, tmp_path):
    every = keyword == "SeriesInstanceUID"  # else it would be a series of its own
    empty = {IDENTITIES[keyword]: ("UI", "")}
    series = write_series(tmp_path / "ct", lambda k: empty if every or k == 4 else {})
    geometry = read_volume(series).geometry
    sentence = sentence_of(write_segmentation, tmp_path / "o.dcm", MASKS, geometry, (), None, series)
    assert f"{'0' if every else '4'}.dcm' has no {keyword} (" in sentence
    assert not (tmp_path / "o.dcm").exists()


def moved(geometry, millimetres):
    matrix = np.array(geometry.ijk_to_ras)
    matrix[:3, 3] += millimetres
    return Geometry(geometry.shape_kji, matrix)


@pytest.mark.parametrize("axis", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 2.5)])
def test_masks_beside_the_grid_of_the_series_are_refused(axis, series, grid, tmp_path):
    call = (write_segmentation, tmp_path / "o.dcm", MASKS, moved(grid, axis), (), None, series)
    assert f"not on the grid of the DICOM series '{series}'" in sentence_of(*call)
    assert not (tmp_path / "o.dcm").exists()


def test_masks_with_more_slices_than_the_series_are_refused(series, grid, tmp_path):
    longer = Geometry((SHAPE[0] + 1, *SHAPE[1:]), grid.ijk_to_ras)
    call = (write_segmentation, tmp_path / "o.dcm", {1: np.ones(longer.shape_kji, bool)}, longer, (), None, series)
    assert "(7 x 16 x 20 voxels) are not on the grid" in sentence_of(*call)
    assert not (tmp_path / "o.dcm").exists()


def test_masks_without_a_voxel_are_refused(series, grid, tmp_path):
    call = (write_segmentation, tmp_path / "o.dcm", {1: KIDNEY & False}, grid, (), None, series)
    assert "cannot be empty" in sentence_of(*call)
    assert not (tmp_path / "o.dcm").exists()


@pytest.mark.parametrize(
    ("tag", "words"),
    [
        (0x00200052, "has several FrameOfReferenceUID"),
        (0x0020000D, "has several StudyInstanceUID"),
        (0x00080018, "2 files of the DICOM series"),
    ],
)
def test_a_series_that_does_not_belong_together_is_refused(tag, words, tmp_path):
    series = write_series(tmp_path / "ct", lambda k: {tag: ("UI", "1.2.826.0.1.77.1")} if k == 1 else {})
    geometry = read_volume(series).geometry
    assert words in sentence_of(write_segmentation, tmp_path / "o.dcm", MASKS, geometry, (), None, series)


def test_what_is_no_series_is_refused(series, grid, tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(VOXELS), str(tmp_path / "image.nrrd"))
    (tmp_path / "empty").mkdir()
    for source, words in (
        (None, "and none was named; choose another ending, such as .seg.nrrd"),
        (tmp_path / "image.nrrd", "image.nrrd' is none; choose another ending"),
        (tmp_path / "empty", "holds no DICOM image series"),
    ):
        assert words in sentence_of(write_segmentation, tmp_path / "o.dcm", MASKS, grid, (), None, source)


def test_no_slice_of_the_image_is_overwritten(series, grid):
    before = (series / "2.dcm").read_bytes()
    assert "it is a file of the image" in sentence_of(
        write_segmentation, series / "2.dcm", MASKS, grid, (), None, series
    )
    assert (series / "2.dcm").read_bytes() == before


def test_without_highdicom_writing_says_how_to_install_it(series, grid, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "highdicom", None)
    sentence = sentence_of(write_segmentation, tmp_path / "o.dcm", MASKS, grid, (), None, series)
    assert sentence.startswith(f"Writing '{tmp_path / 'o.dcm'}' needs highdicom")
    assert "`pip install highdicom`" in sentence


def test_the_command_line_writes_one_for_a_series_and_refuses_other_images(series, grid, tmp_path, capsys):
    write_segmentation(tmp_path / "drawn.seg.nrrd", MASKS, grid, SEGMENTS)
    words = ["--mask", str(tmp_path / "drawn.seg.nrrd"), "--key-slice", "3", "--range", "2:3", "--model", "classical"]
    assert main(["propagate", str(series), *words, "-o", str(tmp_path / "o.dcm")]) == 0
    np.testing.assert_array_equal(read_labels(tmp_path / "o.dcm", grid).mask(1)[3], KIDNEY[3])
    sitk.WriteImage(sitk.GetImageFromArray(VOXELS), str(tmp_path / "image.nrrd"))
    capsys.readouterr()
    assert main(["propagate", str(tmp_path / "image.nrrd"), *words, "-o", str(tmp_path / "p.dcm")]) == 2
    assert "is written for a DICOM series" in capsys.readouterr().err
    assert not (tmp_path / "p.dcm").exists()


@pytest.mark.data
@pytest.mark.skipif(not ABDOMEN.is_dir(), reason="no folder of real volumes")
def test_a_real_series_without_identities_is_refused(tmp_path):
    labels = read_labels(ABDOMEN / "labels.nii.gz")
    masks = {value: labels.mask(value) for value in labels.values}
    sentence = sentence_of(write_segmentation, tmp_path / "o.dcm", masks, labels.geometry, (), None, ABDOMEN / "dicom")
    assert "has no SOPClassUID, SOPInstanceUID, StudyInstanceUID, SeriesInstanceUID (" in sentence


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs dciodvfy: apt-get install dicom3tools")
def test_dciodvfy_finds_no_error(series, grid, tmp_path):
    write_segmentation(tmp_path / "o.dcm", MASKS, grid, SEGMENTS, source=series)
    answer = subprocess.run(["dciodvfy", tmp_path / "o.dcm"], capture_output=True, text=True)
    assert "Error" not in answer.stdout + answer.stderr


# beside Python, where `make` installs it and PATH need not lead
DCMQI = shutil.which("segimage2itkimage", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")


@pytest.mark.slow
@pytest.mark.skipif(DCMQI is None, reason="needs segimage2itkimage: pip install dcmqi")
def test_dcmqi_reads_the_same_voxels(series, grid, tmp_path):
    write_segmentation(tmp_path / "o.dcm", MASKS, grid, SEGMENTS, source=series)
    words = ["--inputDICOM", tmp_path / "o.dcm", "--outputDirectory", tmp_path, "--outputType", "nrrd"]
    subprocess.run([DCMQI, *words], check=True, capture_output=True)
    for value, mask in MASKS.items():
        np.testing.assert_array_equal(read_labels(tmp_path / f"{value}.nrrd", grid).mask(value), mask)
