"""MetaImage headers: read where they are right, and refused in one sentence before ITK follows a wrong one."""

import os
import zlib

import numpy as np
import pytest
from drawn_files import sentence_of
from drawn_headers import RAW, VOXELS, write_meta

from SegmentPropagateLib.formats.reading import read_volume

PACKED = zlib.compress(RAW)
ZIPPED = {"CompressedData": "True", "CompressedDataSize": len(PACKED)}
TEXT = " ".join(map(str, VOXELS.ravel())).encode() + b"\n"

RIGHT = {
    "raw": ({}, RAW),
    "packed": (ZIPPED, PACKED),
    "bytes after the packed ones": (ZIPPED, PACKED + b"tail"),
    "text": ({"BinaryData": "False"}, TEXT),
    "voxels at the end": ({"HeaderSize": "-1"}, b"abc" + RAW),
    "sizes of elements for their spacing": ({"ElementSpacing": None, "ElementSize": "1 1 1"}, RAW),
    "lower case": ({"ElementDataFile": "local"}, RAW),
    "a field of one's own": ({"Foo": "bar = baz"}, RAW),
    "fields of DICOM, as SimpleITK writes them": ({"0008|103e": "CT " * 300, "my key": "x"}, RAW),
}

WRONG = {
    "an axis that is nearly endless": ({"TransformMatrix": "1 0 0 0 1 0 0 1e308 1"}, "9 numbers up to 1e+09"),
    "lengths of a microscope": ({"DistanceUnits": "um"}, "in 'um', save it in mm"),
    "a slope that ITK forgets": ({"ElementToIntensityFunctionSlope": "2"}, "with values as they are meant"),
    "sixteen axes": ({"NDims": "16"}, "from 2 to 4"),
    "axes without end": ({"NDims": "2147483647"}, "from 2 to 4"),
    "axes as a power of ten": ({"NDims": "1e308"}, "from 2 to 4"),
    "axes behind their sizes": ({"NDims": None, "Foo": "bar\nNDims = 3"}, "'NDims' behind"),
    "a size of 0": ({"DimSize": "4 0 2"}, "'DimSize'"),
    "a size too few": ({"DimSize": "4 3"}, "'DimSize'"),
    "sizes given twice": ({"Foo": "bar\nDimSize = 2 2 2"}, "two lines for 'DimSize'"),
    "20 GB that are not there": ({"DimSize": "2714 2714 2714"}, "bytes of voxels are missing"),
    "20 GB in few packed bytes": ({**ZIPPED, "DimSize": "2714 2714 2714"}, "packed bytes can hold"),
    "channels without end": ({"ElementNumberOfChannels": "1000000000"}, "'ElementNumberOfChannels'"),
    "an unknown type": ({"ElementType": "MET_FOO"}, "'ElementType'"),
    "packed without a size": ({"CompressedData": "True"}, "no 'CompressedDataSize'"),
    "packed with a size beyond the file": ({**ZIPPED, "CompressedDataSize": "1000000000000"}, "'CompressedDataSize'"),
    "packed bytes that were cut off": ({**ZIPPED, "CompressedDataSize": "9"}, "do not unpack"),
    "packed bytes that are fewer voxels": ({**ZIPPED, "DimSize": "4 3 3"}, "do not unpack"),
    "text that is binary": ({"BinaryData": "False", "DimSize": "2 3 2"}, "to be text and are not"),
    "a header size within the voxels": ({"HeaderSize": "5"}, "'HeaderSize'"),
    "a spacing that is no number": ({"ElementSpacing": "nan 1 1"}, "'ElementSpacing'"),
    "a spacing with a comma": ({"ElementSpacing": "0,8 1 1"}, "'ElementSpacing'"),
    "a spacing of 0": ({"ElementSpacing": "1 0 1"}, "'ElementSpacing'"),
    "a direction that is no number": ({"TransformMatrix": "nan 0 0 0 1 0 0 0 1"}, "'TransformMatrix'"),
    "directions that are one": ({"TransformMatrix": "1 0 0 1 0 0 0 0 1"}, "do not span a volume"),
    "voxels of 30 km": ({"ElementSpacing": "1 1 3e7"}, "voxels measure"),
    "an origin without end": ({"Offset": "inf 0 0"}, "'Offset'"),
    "a name that MetaIO would write beyond its end": ({"Name": "x" * 300}, "300 characters of 'Name'"),
    "a text after which MetaIO reads nothing": ({"Comment": "x" * 600}, "600 characters of 'Comment'"),
    "digits without end": ({"ElementSpacing": f"1 1 1.{'0' * 600}"}, "characters of 'ElementSpacing'"),
    "voxels nowhere": ({"ElementDataFile": None}, "has the line"),
}


@pytest.mark.parametrize(("changes", "data"), RIGHT.values(), ids=RIGHT)
def test_a_header_that_is_right_is_followed(changes, data, tmp_path):
    volume = read_volume(write_meta(tmp_path / "v.mha", changes, data=data))
    np.testing.assert_array_equal(volume.array_kji, VOXELS)


def test_a_file_of_voxels_may_be_called_as_a_list_is_but_for_capitals(tmp_path):
    (tmp_path / "listing.raw").write_bytes(RAW)
    volume = read_volume(write_meta(tmp_path / "v.mhd", {"ElementDataFile": "listing.raw"}, data=b""))
    np.testing.assert_array_equal(volume.array_kji, VOXELS)
    assert "several files" in sentence_of(read_volume, write_meta(tmp_path / "v.mhd", {"ElementDataFile": "LIST"}))


def test_text_that_ends_with_its_last_number_is_refused_without_a_word_of_metaio(tmp_path, capfd):
    path = write_meta(tmp_path / "v.mha", {"BinaryData": "False"}, data=TEXT.rstrip())
    assert "line end" in sentence_of(read_volume, path)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("kind", "word"), [("MET_UCHAR", "300"), ("MET_SHORT", "-40000"), ("MET_INT", "3.7"), ("MET_FLOAT", "1e40")]
)
def test_a_number_that_its_type_cannot_hold_is_named_and_not_wrapped(kind, word, tmp_path):
    data = TEXT.replace(b" 7 ", f" {word} ".encode())
    path = write_meta(tmp_path / "v.mha", {"BinaryData": "False", "ElementType": kind}, data=data)
    assert f"one is '{word}'" in sentence_of(read_volume, path)


@pytest.mark.parametrize(("changes", "words"), WRONG.values(), ids=WRONG)
def test_a_header_that_is_wrong_is_refused_by_its_cause(changes, words, tmp_path, capfd):
    data = PACKED if "CompressedData" in changes else RAW
    assert words in sentence_of(read_volume, write_meta(tmp_path / "v.mha", changes, data=data))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("place", [6, 20, len(PACKED) - 1])
def test_a_damaged_byte_in_packed_voxels_is_found(place, tmp_path, capfd):
    damaged = bytearray(PACKED)
    damaged[place] ^= 0xFF
    assert "do not unpack" in sentence_of(read_volume, write_meta(tmp_path / "v.mha", ZIPPED, data=bytes(damaged)))
    assert capfd.readouterr().err == ""


def test_lines_that_end_as_on_windows_are_read(tmp_path):
    head, word, data = write_meta(tmp_path / "v.mha").read_bytes().partition(b"LOCAL\n")
    (tmp_path / "v.mha").write_bytes((head + word).replace(b"\n", b"\r\n") + data)
    np.testing.assert_array_equal(read_volume(tmp_path / "v.mha").array_kji, VOXELS)


def test_a_header_without_end_is_refused_at_once(tmp_path):
    path = write_meta(tmp_path / "v.mha", lines=[f"Key{number} = value" for number in range(100_000)])
    assert "has the line" in sentence_of(read_volume, path)


@pytest.mark.parametrize("packed", [False, True])
def test_voxels_beside_the_header_are_read(packed, tmp_path):
    (tmp_path / "v one.raw").write_bytes(PACKED if packed else RAW)
    changes = {"CompressedData": packed, "ElementDataFile": "v one.raw"}
    np.testing.assert_array_equal(read_volume(write_meta(tmp_path / "v.mhd", changes, data=b"")).array_kji, VOXELS)


ELSEWHERE = {
    "/etc/passwd": "outside its folder",
    "../outside.raw": "outside its folder",
    "link.raw": "outside its folder",
    "/dev/zero": "outside its folder",
    "pipe.raw": "is no file",
    "absent.raw": "is no file",
    "v%03d.raw 1 2 1": "several files",
    "%s%s%n": "several files",
    "LIST": "several files",
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without pipes in folders")
@pytest.mark.parametrize(("name", "words"), ELSEWHERE.items(), ids=ELSEWHERE)
def test_voxels_elsewhere_are_refused(name, words, tmp_path, capfd):
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "outside.raw").write_bytes(RAW)
    (folder / "link.raw").symlink_to(tmp_path / "outside.raw")
    os.mkfifo(folder / "pipe.raw")
    path = write_meta(folder / "v.mhd", {"ElementDataFile": name}, data=b"")
    assert words in sentence_of(read_volume, path)
    assert capfd.readouterr().err == ""
