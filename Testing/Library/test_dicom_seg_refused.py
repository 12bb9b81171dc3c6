"""Segmentation objects that are damaged or hostile: a result or one sentence, and never much memory."""

import numpy as np
import pytest
from drawn_dicom import write_dicom
from drawn_files import sentence_of
from drawn_seg import KIDNEY, TUMOR, frames_of, seg_elements

from SegmentPropagateLib.formats.reading import read_labels

NAMES = {1: "kidney", 2: "tumor"}
FRAMES = frames_of({1: KIDNEY, 2: TUMOR})


def place(position, **more):
    item = {0x00209113: ("SQ", [{0x00200032: ("DS", position)}]), 0x0062000A: ("SQ", [{0x0062000B: ("US", 1)}])}
    return {**item, **more}


def placed(*positions):
    return {0x52009230: ("SQ", [place(position) for position in positions])}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({0x00280008: ("IS", 60000)}, "bytes of voxels are missing"),
        ({0x00280008: ("IS", 2**31)}, "NumberOfFrames '2147483648'"),
        ({0x00280008: ("IS", 5)}, "(5 frames, 6 described)"),
        ({0x00280010: ("US", 65535), 0x00280011: ("US", 65535)}, "bytes of voxels are missing"),
        ({0x7FE00010: ("OB", b"\0\0")}, "bytes of voxels are missing"),
        ({0x52009230: None}, "its frames are not described"),
        ({0x52009230: ("SQ", [{0x0062000A: ("SQ", [])}] * 6)}, "its ImagePositionPatient is missing"),
        (placed(*[f"-20\\30\\{10 * n**1.5:.3f}" for n in range(6)]), "do not lie on one regular grid"),
        (placed(*[f"{n}\\30\\{2.5 * n}" for n in range(6)]), "do not lie on one regular grid"),
        ({0x00620002: ("SQ", [{0x00620005: ("LO", "no number")}])}, "cannot be read ("),
    ],
)
def test_what_cannot_be_is_refused(changes, words, tmp_path):
    write_dicom(tmp_path / "s.dcm", seg_elements(FRAMES, NAMES, changes))
    assert words in sentence_of(read_labels, tmp_path / "s.dcm")


def test_frames_that_span_more_than_the_memory_holds_are_refused(tmp_path):
    far = {**placed("0\\0\\0", "0\\0\\40000"), 0x00280010: ("US", 600), 0x00280011: ("US", 600)}
    write_dicom(tmp_path / "s.dcm", seg_elements([(1, 1, np.ones((600, 600)))] * 2, NAMES, far))
    assert "is too large (1 x 16001 x 600 x 600 voxels)" in sentence_of(read_labels, tmp_path / "s.dcm")


def test_a_frame_of_no_segment_is_refused(tmp_path):
    write_dicom(tmp_path / "s.dcm", seg_elements([(0, 1, KIDNEY[1])], NAMES))
    assert "does not say of which segment it is" in sentence_of(read_labels, tmp_path / "s.dcm")
