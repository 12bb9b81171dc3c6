"""NRRD headers: read where they are right, and refused in one sentence before ITK follows a wrong one."""

import gzip
import os

import numpy as np
import pytest
from drawn_files import sentence_of
from drawn_headers import RAW, VOXELS, WITHOUT_PLACE, write_nrrd

from SegmentPropagateLib.formats.reading import read_labels, read_volume

PACKED = gzip.compress(RAW)
TEXT = " ".join(map(str, VOXELS.ravel())).encode()

RIGHT = {
    "raw": ({}, RAW),
    "gzip": ({"encoding": "gz"}, PACKED),
    "bytes after the stream of gzip": ({"encoding": "gzip"}, PACKED + b"tail"),
    "text": ({"encoding": "ascii"}, TEXT),
    "text with commas and decimal points": ({"encoding": "text"}, b", ".join(word + b".0" for word in TEXT.split())),
    "hexadecimal": ({"encoding": "hex"}, RAW.hex().encode()),
    "capitals": ({"encoding": "RAW", "type": "Unsigned Char"}, RAW),
    "bytes before the voxels": ({"byte skip": "3"}, b"abc" + RAW),
    "voxels at the end": ({"byteskip": "-1"}, b"abc" + RAW),
    "a line before the voxels": ({"line skip": "1"}, b"abc\n" + RAW),
    "packed bytes before the voxels": ({"encoding": "gzip", "byte skip": "2"}, gzip.compress(b"ab" + RAW)),
    "spaces in vectors": ({"space directions": "(1, 0, 0) (0, 1, 0) (0, 0, 1)"}, RAW),
    "spacings without a space": ({**WITHOUT_PLACE, "spacings": "1 1 1"}, RAW),
}

WRONG = {
    "sixteen axes": ({"dimension": "16", "sizes": "2 " * 16}, "from 2 to 4"),
    "axes without end": ({"dimension": "2147483647"}, "from 2 to 4"),
    "axes as a power of ten": ({"dimension": "1e308"}, "from 2 to 4"),
    "a size of 0": ({"sizes": "4 0 2"}, "'sizes'"),
    "a size below 0": ({"sizes": "4 -3 2"}, "'sizes'"),
    "sizes beyond 64 bits": ({"sizes": "4294967296 4294967296 4"}, "'sizes'"),
    "a size too few": ({"sizes": "4 3"}, "'sizes'"),
    "20 GB that are not there": ({"sizes": "2714 2714 2714"}, "bytes of voxels are missing"),
    "20 GB in few packed bytes": ({"sizes": "2714 2714 2714", "encoding": "gzip"}, "packed bytes can hold"),
    "text that ends early": ({"sizes": "4 3 5", "encoding": "text"}, "bytes of voxels are missing"),
    "bzip2": ({"encoding": "bzip2"}, "bzip2"),
    "an unknown encoding": ({"encoding": "zrl"}, "'encoding'"),
    "blocks": ({"type": "block", "block size": "1"}, "'type'"),
    "no type": ({"type": None}, "no 'type'"),
    "no sizes": ({"sizes": None}, "no 'sizes'"),
    "lines without end to skip": ({"line skip": "1000000000"}, "'lineskip'"),
    "more bytes to skip than there are": ({"byte skip": "1000000000000"}, "'byteskip'"),
    "voxels missing behind skipped bytes": ({"byte skip": "5"}, "5 bytes of voxels are missing"),
    "a spacing that is no number": ({**WITHOUT_PLACE, "spacings": "nan 1 1"}, "where its voxels lie"),
    "a spacing without end": ({**WITHOUT_PLACE, "spacings": "1 inf 1"}, "where its voxels lie"),
    "a spacing of 0": ({**WITHOUT_PLACE, "spacings": "1 0 1"}, "where its voxels lie"),
    "a direction that is no number": ({"space directions": "(1,0,0) (0,nan,0) (0,0,1)"}, "where its voxels lie"),
    "an axis without direction": ({"space directions": "(1,0,0) none (0,0,1)"}, "where its voxels lie"),
    "directions that are one": ({"space directions": "(1,0,0) (1,0,0) (0,0,1)"}, "do not span a volume"),
    "voxels of 30 km": ({"space directions": "(1,0,0) (0,1,0) (0,0,3e7)"}, "voxels measure"),
    "a space of no known name": ({"space": "left-" + "[" * 2000}, "has the line 'space"),
    "another order of axes": ({"space": "RPI"}, "'space' is 'RPI'"),
    "a word longer than teem copies": ({"kinds": "domain domain " + "d" * 200}, "has the line 'kinds"),
    "lengths of a microscope": ({"space units": '"um" "um" "um"'}, "in 'um', save it in mm"),
    "no order of bytes": ({"type": "short"}, "no 'endian'"),
    "ends of axes and no spacing": ({**WITHOUT_PLACE, "axis maxs": "8 6 4"}, "where its voxels lie"),
    "a direction that is nearly endless": ({"space directions": "(1,0,0) (0,1,0) (0,1e308,1)"}, "where its voxels lie"),
    "plain bytes that are said to be packed": ({"encoding": "gzip"}, "are to be packed with gzip and are not"),
    "an origin without end": ({"space origin": "(inf,0,0)"}, "where its voxels lie"),
}


@pytest.mark.parametrize(("changes", "data"), RIGHT.values(), ids=RIGHT)
def test_a_header_that_is_right_is_followed(changes, data, tmp_path):
    volume = read_volume(write_nrrd(tmp_path / "v.nrrd", changes, data=data))
    np.testing.assert_array_equal(volume.array_kji, VOXELS)


@pytest.mark.parametrize(("changes", "words"), WRONG.values(), ids=WRONG)
def test_a_header_that_is_wrong_is_refused_by_its_cause(changes, words, tmp_path, capfd):
    assert words in sentence_of(read_volume, write_nrrd(tmp_path / "v.nrrd", changes))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("uchar", "300"),
        ("uchar", "-1"),
        ("short", "3.7"),
        ("short", "1e2"),
        ("int", "nan"),
        ("float", "0x10"),
        ("float", "1e40"),
    ],
)
def test_a_number_that_its_type_cannot_hold_is_named_and_not_wrapped(kind, word, tmp_path):
    data = TEXT.replace(b" 7 ", f" {word} ".encode())
    path = write_nrrd(tmp_path / "v.nrrd", {"encoding": "text", "type": kind}, data=data)
    assert f"one is '{word}'" in sentence_of(read_volume, path)


@pytest.mark.parametrize(
    "data",
    [PACKED[:-1], PACKED[:-4], PACKED[:-1] + b"\1", PACKED[:-8]],
    ids=["a byte short", "without its length", "of another length", "without its end"],
)
def test_a_stream_that_does_not_end_as_it_should_is_refused(data, tmp_path):
    path = write_nrrd(tmp_path / "v.nrrd", {"encoding": "gzip"}, data=data)
    assert "packed voxels are damaged or cut off" in sentence_of(read_volume, path)


def test_packed_voxels_that_are_damaged_are_refused_by_that(tmp_path):
    packed = gzip.compress(np.random.default_rng(0).bytes(24_000))
    flipped = bytes([*packed[:-6], packed[-6] ^ 0xFF, *packed[-5:]])
    for data in (packed[:-8], packed[: len(packed) // 2], flipped):
        path = write_nrrd(tmp_path / "v.nrrd", {"encoding": "gzip", "sizes": "40 30 20"}, data=data)
        assert "packed voxels are damaged or cut off" in sentence_of(read_volume, path)


def test_names_of_files_behind_the_header_are_no_damage(tmp_path):
    path = write_nrrd(tmp_path / "v.nhdr", {"data file": "LIST"}, data=b"")
    path.write_bytes(path.read_bytes().rstrip() + b"\na.raw\nb.raw\n")
    assert "several files" in sentence_of(read_volume, path)


def test_lines_that_end_as_on_windows_are_read(tmp_path):
    head, _, data = write_nrrd(tmp_path / "v.nrrd").read_bytes().partition(b"\n\n")
    (tmp_path / "v.nrrd").write_bytes(head.replace(b"\n", b"\r\n") + b"\r\n\r\n" + data)
    np.testing.assert_array_equal(read_volume(tmp_path / "v.nrrd").array_kji, VOXELS)


def test_a_line_that_says_nothing_and_a_field_given_twice_are_refused(tmp_path):
    for line in ("what is this", "type: short", "data file:x.raw", "content: a\0b"):
        assert "has the line" in sentence_of(read_volume, write_nrrd(tmp_path / "v.nrrd", lines=[line]))


def test_a_header_without_end_is_refused_at_once(tmp_path):
    path = write_nrrd(tmp_path / "v.nrrd", lines=[f"key{number}:=value" for number in range(100_000)])
    assert "longer than" in sentence_of(read_volume, path)


def test_a_small_file_that_unpacks_to_more_than_a_body_is_refused(tmp_path):
    packed = gzip.compress(bytes(1 << 20)) * 1000
    path = write_nrrd(tmp_path / "v.nrrd", {"sizes": "1024 1024 1000", "encoding": "gzip"}, data=packed)
    assert "too much for a small file" in sentence_of(read_volume, path)


def test_more_values_per_voxel_than_there_are_segments_are_refused(tmp_path):
    changes = {
        "dimension": "4",
        "sizes": "2000 2 3 2",
        "kinds": "list domain domain domain",
        "space directions": "none (1,0,0) (0,1,0) (0,0,1)",
    }
    path = write_nrrd(tmp_path / "v.nrrd", changes, data=bytes(24_000))
    assert "2000 values per voxel" in sentence_of(read_labels, path)


@pytest.mark.parametrize("name", ["v.raw", "./v.raw", "below/v.raw", "below/../v.raw", "listing.raw"])
def test_voxels_beside_the_header_are_read(name, tmp_path):
    (tmp_path / "below").mkdir()
    for place in ("v.raw", "below/v.raw", "listing.raw"):
        (tmp_path / place).write_bytes(RAW)
    volume = read_volume(write_nrrd(tmp_path / "v.nhdr", {"data file": name}, data=b""))
    np.testing.assert_array_equal(volume.array_kji, VOXELS)


ELSEWHERE = {
    "/etc/passwd": "outside its folder",
    "../outside.raw": "outside its folder",
    "link.raw": "outside its folder",
    "/dev/zero": "outside its folder",
    "pipe.raw": "is no file",
    "absent.raw": "is no file",
    "x" * 5000: "is no file",
    ".": "is no file",
    "v%03d.raw 0 1 1": "several files",
    "LIST": "several files",
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without pipes in folders")
@pytest.mark.parametrize(("name", "words"), ELSEWHERE.items(), ids=[name[:20] for name in ELSEWHERE])
def test_voxels_elsewhere_are_refused(name, words, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "outside.raw").write_bytes(RAW)
    (folder / "link.raw").symlink_to(tmp_path / "outside.raw")
    os.mkfifo(folder / "pipe.raw")
    for encoding in ("raw", "text"):
        path = write_nrrd(folder / "v.nhdr", {"encoding": encoding, "data file": name}, data=b"")
        assert words in sentence_of(read_volume, path)
