"""NIfTI files that are broken or hold something else: one sentence, at once, and no memory for what is not there."""

import gzip
import os
import struct
import time
import tracemalloc

import numpy as np
import pytest
from drawn_files import sentence_of
from drawn_nifti import draw, draw_pair, nifti_bytes, values

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.reading import read_labels, read_volume

BROKEN = {
    "no axis": {"dim": (0, 7, 6, 5)},
    "eight axes": {"dim": (8, 7, 6, 5)},
    "a negative size": {"dim": (3, 7, -6, 5)},
    "voxels past the end": {"dim": (3, 32767, 32767, 32767)},
    "one slice too many": {"dim": (3, 7, 6, 6)},
    "a negative offset": {"vox_offset": -1.0},
    "an offset in the header": {"vox_offset": 100.0},
    "an offset past the end": {"vox_offset": 1e30},
    "an offset that is no number": {"vox_offset": np.nan},
    "bits of another type": {"bitpix": 32},
    "a type of one bit": {"datatype": 1},
    "voxels of no size": {"codes": (0, 0), "pixdim": (1.0, 0.0, 1.0, 1.0)},
    "a qform that is no number": {"qoffset": (np.nan, 0.0, 0.0)},
    "an sform that is no number": {"codes": (0, 1), "srow": (np.inf,) * 12},
    "a size beyond all measure": {"pixdim": (1.0, 1e30, 1e30, 1e30)},
    "a size without end": {"codes": (1, 0), "pixdim": (1.0, np.inf, 1.0, 1.0)},
    "another magic": {"magic": b"n+9"},
    "the magic of a pair": {"magic": b"ni1"},
    "another length": {"sizeof_hdr": 347},
}


ODD = [bytes(4), b"\xff" * 4, *(struct.pack("<f", value) for value in (np.nan, np.inf, -np.inf, 1e30, 1e-30, -1.0))]


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz"])
@pytest.mark.parametrize("fields", BROKEN.values(), ids=BROKEN)
def test_a_header_that_makes_no_sense_is_refused(tmp_path, fields, name):
    path = draw(tmp_path / name, values(), **fields)
    started = time.perf_counter()
    tracemalloc.start()
    assert "is damaged or cut off (" in sentence_of(read_volume, path)
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 << 20
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize(
    ("fields", "about"),
    [
        ({"datatype": 32, "bitpix": 64}, "complex"),
        ({"datatype": 1792, "bitpix": 128}, "complex"),
        ({"datatype": 128, "bitpix": 24}, "color"),
        ({"dim": (5, 7, 6, 1, 1, 5)}, "vectors"),
        ({"dim": (4, 7, 6, 1, 5)}, "a series of 5 volumes (4-D)"),
        ({"dim": (2, 7, 6)}, "2-D"),
        ({"dim": (3, 7, 6, 1)}, "2-D"),
        ({"codes": (0, 1), "srow": (0.7, 0.4, 0, 1, 0, 1.1, 0, 2, 0, 0, 4, 3)}, "not at right angles"),
        ({"pixdim": (1.0, 1.0, 1.0, 1e6)}, "cannot be right"),
    ],
)
def test_what_is_no_volume_of_single_numbers_is_named(tmp_path, fields, about):
    sentence = sentence_of(read_volume, draw(tmp_path / "v.nii", values(), **fields))
    assert about in sentence
    assert "v.nii'" in sentence


@pytest.mark.parametrize("ending", [".img", ".img.gz"])
@pytest.mark.parametrize("magic", [b"ni1", b""])
def test_a_pair_that_was_cut_off_is_refused(tmp_path, ending, magic):
    header, voxels = draw_pair(tmp_path, values(), ending, magic)
    whole = voxels.read_bytes()
    for kept in (len(whole) - 1, len(whole) // 3, 0):
        voxels.write_bytes(whole[:kept])
        for path in (header, voxels):
            assert any(word in sentence_of(read_volume, path) for word in ("cut off", "empty"))
    voxels.write_bytes(whole)
    header.write_bytes(header.read_bytes()[:200])
    assert "no NIfTI header" in sentence_of(read_volume, voxels)


def test_a_pair_needs_one_partner(tmp_path):
    header, voxels = draw_pair(tmp_path, values())
    draw_pair(tmp_path, values(), ".img.gz")
    assert "'case.img' and 'case.img.gz'" in sentence_of(read_volume, header)
    header.unlink()
    assert "no 'case.hdr'" in sentence_of(read_volume, voxels)


def test_a_packed_file_with_a_wrong_check_sum_is_refused(tmp_path):
    path = draw(tmp_path / "v.nii.gz", values())
    content = bytearray(path.read_bytes())
    content[-8] ^= 1
    path.write_bytes(content)
    assert "incorrect data check" in sentence_of(read_volume, path)


def test_a_packed_file_that_does_not_end_is_not_read_to_its_end(tmp_path):
    path = tmp_path / "v.nii.gz"
    path.write_bytes(gzip.compress(nifti_bytes(values()) + bytes(100 << 20), 1))
    assert "goes on after its voxels" in sentence_of(read_volume, path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "v.nii")
    for read in (read_volume, read_labels):
        assert "a pipe or a device" in sentence_of(read, tmp_path / "v.nii")
    header, voxels = draw_pair(tmp_path, values())
    voxels.unlink()
    os.mkfifo(voxels)
    assert "no 'case.img'" in sentence_of(read_volume, header)


@pytest.mark.parametrize("seed", range(100))
def test_a_file_with_wrong_bytes_is_read_or_refused_in_one_sentence(tmp_path, seed):
    rng = np.random.default_rng(seed)
    content = bytearray(nifti_bytes(values(), codes=(1, 1), srow=(-0.7, 0, 0, 20, 0, -1.1, 0, -30, 0, 0, 4, 40)))
    for _ in range(rng.integers(1, 5)):
        place = rng.integers(len(content) // 4 if rng.random() < 0.2 else 87) * 4
        content[place : place + 4] = ODD[rng.integers(len(ODD))] if rng.random() < 0.6 else rng.bytes(4)
    path = tmp_path / ("v.nii", "v.nii.gz", "v.img")[seed % 3]
    path.write_bytes(gzip.compress(content) if seed % 3 == 1 else content)
    if seed % 3 == 2:
        path.with_suffix(".hdr").write_bytes(content[:344] + b"ni1\0")
    try:
        read_volume(path)
    except InputError:
        sentence_of(read_volume, path)


def test_a_volume_too_large_for_the_memory_is_one_sentence(tmp_path, monkeypatch):
    def full(*_arguments):
        raise MemoryError

    path = draw(tmp_path / "v.nii", values())
    monkeypatch.setattr(np, "empty", full)
    assert "memory" in sentence_of(read_volume, path)
