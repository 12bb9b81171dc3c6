"""What lies in DICOM folders beside images, and files that are no images, damaged or hostile."""

import os
import socket
import struct
import subprocess
import sys

import numpy as np
import pytest
from drawn_dicom import (
    EXPLICIT,
    IMPLICIT,
    PLACES,
    VOXELS,
    enhanced_elements,
    frame_item,
    slice_elements,
    write_dicom,
    write_slices,
)
from drawn_files import sentence_of

from SegmentPropagateLib.formats.reading import read_labels, read_volume

CLASS = "1.2.840.10008.5.1.4.1.1."
OBJECTS = {
    "66.5": "a surface segmentation",
    "66.1": "a registration",
    "481.2": "a distribution of dose (RTDOSE)",
    "481.3": "a structure set (RTSTRUCT), which holds contours and no voxels: convert it with SlicerRT or `plastimatch",
    "481.5": "a plan or record of radiotherapy",
    "88.33": "a structured report (SR)",
    "104.1": "a document (PDF or the like)",
    "11.1": "a presentation state",
    "9.1.1": "a waveform",
    "4.2": "spectroscopy",
    "30": "a parametric map",
}


def other_object(number):
    return {0x00080016: ("UI", CLASS + number), 0x0020000E: ("UI", "1.2.826.0.1.88"), 0x00280010: ("US", 16)}


@pytest.mark.parametrize("number", OBJECTS)
def test_an_object_without_an_image_is_refused_by_its_name(number, tmp_path):
    write_dicom(tmp_path / "o.dcm", other_object(number))
    for call, path in ((read_volume, tmp_path / "o.dcm"), (read_labels, tmp_path / "o.dcm"), (read_volume, tmp_path)):
        assert f"o.dcm' is {OBJECTS[number]}" in sentence_of(call, path)


def test_objects_without_an_image_beside_a_series_do_no_harm(tmp_path):
    write_slices(tmp_path)
    for number in OBJECTS:
        write_dicom(tmp_path / f"{number}.dcm", other_object(number))
    write_dicom(tmp_path / "DICOMDIR", {0x00080016: ("UI", "1.2.840.10008.1.3.10")})
    np.testing.assert_array_equal(read_volume(tmp_path).array_kji, VOXELS)
    assert "(DICOMDIR): give the folder" in sentence_of(read_volume, tmp_path / "DICOMDIR")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes among files here")
def test_pipes_sockets_and_dangling_links_in_a_folder_are_passed_over(tmp_path):
    write_slices(tmp_path / "ct")
    os.mkfifo(tmp_path / "ct" / "pipe.dcm")
    (tmp_path / "ct" / "gone.dcm").symlink_to("nowhere")
    (tmp_path / "ct" / "zero.dcm").symlink_to("/dev/zero")
    (tmp_path / "ct" / "._0.dcm").write_bytes(b"\0\5\x16\7")  # as macOS puts beside every file
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "ct" / "s.dcm"))  # the names of sockets are short
        np.testing.assert_array_equal(read_volume(tmp_path / "ct").array_kji, VOXELS)


@pytest.mark.parametrize("content", [b"", b"not copied whole", b"\0" * 4096])
def test_a_file_that_should_be_dicom_and_is_not_may_be_a_slice(content, tmp_path):
    write_slices(tmp_path)
    (tmp_path / "9.dcm").write_bytes(content)
    assert "9.dcm' is damaged or cut off" in sentence_of(read_volume, tmp_path)
    if content:
        assert "9.dcm' is damaged or cut off" in sentence_of(read_volume, tmp_path / "9.dcm")


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_files_without_preamble_are_read(syntax, tmp_path):
    folder = write_slices(tmp_path / "ct", syntax=syntax, preamble=False)
    np.testing.assert_array_equal(read_volume(folder).array_kji, VOXELS)
    np.testing.assert_array_equal(read_volume(folder / "3.dcm").array_kji, VOXELS)


@pytest.mark.parametrize(
    ("syntax", "words"),
    [
        ("1.2.840.10008.1.2.2", "big endian"),
        ("1.2.840.10008.1.2.1.99", "damaged or cut off"),
        ("1.2.3", "damaged or cut off"),
    ],
)
def test_other_encodings_are_refused_by_name(syntax, words, tmp_path):
    whole = slice_elements(0)
    write_dicom(tmp_path / "ct.dcm", {0x00080016: whole[0x00080016]}, syntax=syntax)
    with (tmp_path / "ct.dcm").open("ab") as file:
        file.write(b"\x9c\xed\xbd\x07\x7f\x45")
    assert words in sentence_of(read_volume, tmp_path / "ct.dcm")


@pytest.mark.skipif(sys.platform != "linux", reason="file names are text here")
@pytest.mark.parametrize("name", ["腹部".encode(), b"\xe9t\xe9 \xff"])
def test_file_names_need_not_be_known_to_the_locale(name, tmp_path):
    name = os.fsdecode(name)
    folder = write_slices(tmp_path / name)
    for path in list(folder.iterdir()):
        path.rename(folder / f"{name} {path.name}")
    code = "import sys; from SegmentPropagateLib import read_volume; print(read_volume(sys.argv[1]).array_kji.sum())"
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    answer = subprocess.run([sys.executable, "-c", code, os.fsencode(folder)], capture_output=True, env=environment)
    assert (answer.returncode, int(answer.stdout), answer.stderr) == (0, VOXELS.sum(), b"")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({0x00280010: ("US", 65535), 0x00280011: ("US", 65535)}, "bytes of voxels are missing"),
        ({0x00280008: ("IS", 2**31)}, "NumberOfFrames '2147483648'"),
        ({0x00280008: ("IS", 60000)}, "bytes of voxels are missing"),
        ({0x00280008: ("IS", "-1")}, "NumberOfFrames '-1'"),
        ({0x00280008: ("IS", "\x1b[31m")}, "NumberOfFrames '?[31m'"),
        ({0x00280010: ("US", 0)}, "damaged or no volume"),
        ({0x00280100: ("US", 1), 0x00280101: ("US", 1), 0x00280102: ("US", 0)}, "1 bits in 1"),
        ({0x00280102: ("US", 77)}, "damaged or no volume"),
        ({0x00280103: ("CS", "long")}, "its PixelRepresentation is missing"),
        ({0x7FE00010: ("OW", b"\0" * 600)}, "(3240 bytes of voxels are missing)"),
    ],
)
def test_sizes_that_do_not_fit_the_bytes_there_are_refused(changes, words, tmp_path):
    items = [frame_item(place) for place in PLACES]
    write_dicom(tmp_path / "ct.dcm", enhanced_elements(VOXELS, items, changes))
    assert words in sentence_of(read_volume, tmp_path)


@pytest.mark.parametrize(
    "tail",
    [
        (struct.pack("<HH2sHI", 0x21, 0x10, b"SQ", 0, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF))
        * 9999,
        struct.pack("<HH2sHI", 0x5200, 0x9230, b"SQ", 0, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0) * 9999,
        struct.pack("<HH2sHI", 0x21, 0x10, b"OB", 0, 0xFFFFFFF0),
        struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OB", 0, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0x7FFFFFFF),
        struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OB", 0, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0) * 9999,
    ],
    ids=["nesting", "frames", "a long value", "a long piece", "pieces"],
)
def test_a_header_without_end_is_refused(tail, tmp_path):
    write_dicom(tmp_path / "ct.dcm", slice_elements(0, {0x7FE00010: None}))
    with (tmp_path / "ct.dcm").open("ab") as file:
        file.write(tail)
    assert "is damaged" in sentence_of(read_volume, tmp_path)
