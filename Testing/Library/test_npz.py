"""MedSAM2 archives: what numpy may write is read, and the rest refused before it is unpacked."""

import io
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest
from drawn_files import SHAPE, medsam_archive, sentence_of

from SegmentPropagateLib.formats.reading import read_labels, read_volume

IMAGE = np.random.default_rng(0).integers(0, 256, SHAPE).astype(np.uint8)


def write_archive(path, member, packing=zipfile.ZIP_DEFLATED):
    """An archive whose image is given as the bytes of its member."""
    with zipfile.ZipFile(path, "w", packing) as archive:
        archive.writestr("imgs.npy", member)
    return path


def member_of(header, data=b""):
    """A member with any header of version 1."""
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


def npy_of(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


KINDS = {
    "big-endian": IMAGE.astype(">i2"),
    "big-endian floats": IMAGE.astype(">f4"),
    "signed bytes": IMAGE.astype(np.int8),
    "long doubles": IMAGE.astype(np.longdouble),
    "half floats": IMAGE.astype(np.float16),
    "booleans": IMAGE > 99,
    "Fortran's order": np.asfortranarray(IMAGE.astype(np.int32)),
}


@pytest.mark.parametrize("array", KINDS.values(), ids=KINDS)
def test_arrays_of_every_kind_of_number_and_order_are_read(array, tmp_path):
    medsam_archive(tmp_path / "case.npz", imgs=array)
    np.testing.assert_array_equal(read_volume(tmp_path / "case.npz").array_kji, array.astype(np.float32))


def test_an_archive_that_is_not_packed_is_read(tmp_path):
    path = write_archive(tmp_path / "case.npz", npy_of(IMAGE), zipfile.ZIP_STORED)
    np.testing.assert_array_equal(read_volume(path).array_kji, IMAGE)


def test_big_endian_labels_are_read(tmp_path):
    medsam_archive(tmp_path / "case.npz", gts=(IMAGE > 99).astype(">u2") * 300)
    assert read_labels(tmp_path / "case.npz").values == (300,)


WRONG_MEMBERS = {
    "objects": (npy_of(np.array([{}, {}], dtype=object)), "numbers"),
    "text": (npy_of(np.array([["a"]])), "numbers"),
    "complex numbers": (npy_of(IMAGE.astype(complex)), "numbers"),
    "four axes": (npy_of(IMAGE[None]), "has shape"),
    "no axis": (npy_of(np.float32(1)), "has shape"),
    "no slice": (npy_of(IMAGE[:0]), "has shape"),
    "fields": (npy_of(np.zeros((2, 2, 2), [("a", "u1")])), "numbers"),
    "a pickle": (pickle.dumps([1]), "damaged"),
    "a size beyond its member": (
        member_of("{'descr': '|u1', 'fortran_order': False, 'shape': (9999, 9999, 9999), }", b"0"),
        "damaged",
    ),
    "a size below 0": (member_of("{'descr': '|u1', 'fortran_order': False, 'shape': (-1, -1, 1), }", b"0"), "damaged"),
    "no header": (member_of("print('code')"), "damaged"),
    "a header of a version to come": (b"\x93NUMPY\x09\x00" + npy_of(IMAGE)[8:], "damaged"),
    "a header nested without end": (member_of("(" * 110), "damaged"),
    "nothing": (b"", "damaged"),
}


@pytest.mark.parametrize(("member", "words"), WRONG_MEMBERS.values(), ids=WRONG_MEMBERS)
def test_a_member_that_is_no_image_is_refused_by_its_cause(member, words, tmp_path):
    assert words in sentence_of(read_volume, write_archive(tmp_path / "case.npz", member))


@pytest.mark.parametrize("packing", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_what_numpy_does_not_pack_is_refused(packing, tmp_path):
    path = write_archive(tmp_path / "case.npz", npy_of(IMAGE), packing)
    assert "savez_compressed" in sentence_of(read_volume, path)


def test_an_encrypted_member_is_refused(tmp_path):
    path = write_archive(tmp_path / "case.npz", npy_of(IMAGE))
    content = bytearray(path.read_bytes())
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + place] |= 1
    path.write_bytes(content)
    assert "encrypted" in sentence_of(read_volume, path)


def test_a_single_array_under_the_name_of_an_archive_is_refused(tmp_path):
    (tmp_path / "case.npz").write_bytes(npy_of(IMAGE))
    assert "no MedSAM2 archive" in sentence_of(read_volume, tmp_path / "case.npz")


@pytest.mark.parametrize("wrong", [{"spacing": np.array([np.inf, 1, 1])}, {"origin": np.array([np.nan, 0, 0])}])
def test_a_grid_that_is_no_place_is_refused(wrong, tmp_path):
    medsam_archive(tmp_path / "case.npz", **wrong)
    assert "needs a spacing" in sentence_of(read_volume, tmp_path / "case.npz")


def test_a_bomb_is_refused_before_it_unpacks(tmp_path):
    header = member_of("{'descr': '|u1', 'fortran_order': False, 'shape': (1024, 1024, 1024), }")
    path = write_archive(tmp_path / "case.npz", header + np.random.default_rng(0).bytes(2 << 20))
    content = bytearray(path.read_bytes())
    size = content.index(b"PK\x01\x02") + 24  # in the table of contents, which counts
    content[size : size + 4] = (len(header) + 1024**3).to_bytes(4, "little")
    path.write_bytes(content)
    tracemalloc.start()
    assert "too much for a small file" in sentence_of(read_volume, path)
    assert tracemalloc.get_traced_memory()[1] < 10 << 20
    tracemalloc.stop()
