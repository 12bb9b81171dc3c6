"""Folders of numbered pictures, as SLM-SAM 2 lays data out: right, or refused by name in one sentence."""

import os
import struct
import sys
import warnings
import zlib

import numpy as np
import pytest
from drawn_files import sentence_of
from PIL import Image

from SegmentPropagateLib.formats.cases import Case
from SegmentPropagateLib.training.data import Library

PIXELS = np.random.default_rng(0).integers(0, 256, (16, 20), np.uint8)
LABELS = (PIXELS > 99).astype(np.uint8)


@pytest.fixture
def case(tmp_path):
    """Three slices and their masks."""
    folders = tmp_path / "images" / "knee", tmp_path / "masks" / "knee"
    for folder, pixels in zip(folders, (PIXELS, LABELS), strict=True):
        folder.mkdir(parents=True)
        for number in range(3):
            Image.fromarray(pixels).save(folder / f"{number:05d}.png")
    return Case("knee", *folders)


def save(path, pixels, **options):
    Image.fromarray(pixels).save(path, **options)


def png_header(width, height):
    """A PNG file that announces so many pixels and holds none."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


WRONG = {  # what becomes of the case -> the sentence
    "cut off": (lambda case: (case.labels / "00001.png").write_bytes(png_header(20, 16)), "cannot be read as a pic"),
    "no chunk": (
        lambda case: (case.labels / "00001.png").write_bytes(png_header(20, 16) + b"\xff" * 99),
        "cannot be read as a picture",
    ),
    "huge": (lambda case: (case.image / "00001.png").write_bytes(png_header(2**31 - 1, 2**31 - 1)), "as a picture"),
    "large": (lambda case: (case.image / "00001.png").write_bytes(png_header(12_000, 12_000)), "as a picture"),
    "empty": (lambda case: (case.image / "00001.png").write_bytes(b""), "as a picture"),
    "another kind": (lambda case: save(case.image / "00001.png", PIXELS, format="GIF"), "as a picture"),
    "of another shape": (lambda case: save(case.image / "00001.png", PIXELS[:, 1:]), "the slices before it (16, 20)"),
    "masks of another shape": (
        lambda case: [save(path, LABELS[:, 1:]) for path in case.labels.iterdir()],
        "their masks (16, 19)",
    ),
    "in color": (lambda case: save(case.labels / "00001.png", np.zeros((16, 20, 3), np.uint8)), "one channel"),
    "16 bits": (lambda case: save(case.image / "00001.png", PIXELS.astype(np.uint16)), "more than 8 bits"),
    "one number twice": (lambda case: save(case.image / "1.png", PIXELS), "have one number"),
    "a slice without a mask": (lambda case: (case.labels / "00001.png").unlink(), "slice 1 is in only one"),
    "a folder": (lambda case: ((case.image / "3.png").mkdir(), save(case.labels / "3.png", LABELS)), "is no file"),
}


@pytest.mark.parametrize(("change", "sentence"), WRONG.values(), ids=WRONG)
def test_a_folder_that_is_wrong_is_refused_by_its_cause(change, sentence, case):
    change(case)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sentence in sentence_of(Library().examples, case)


@pytest.mark.skipif(sys.platform == "win32", reason="a system without named pipes")
def test_a_pipe_is_not_waited_for(case):
    (case.image / "00001.png").unlink()
    os.mkfifo(case.image / "00001.png")
    assert "is no file" in sentence_of(Library().examples, case)


def test_slices_in_many_small_files_that_fill_the_memory_are_refused(case):
    for number in range(20):
        save(case.image / f"{number:05d}.png", np.zeros((6000, 6000), np.uint8))
        save(case.labels / f"{number:05d}.png", LABELS)
    assert "too many: crop them" in sentence_of(Library().examples, case)


def test_a_file_beside_a_folder_of_masks_is_refused(case, tmp_path):
    (tmp_path / "case.nii.gz").write_bytes(b"x")
    wrong = Case("knee", tmp_path / "case.nii.gz", case.labels)
    assert "is no folder of slices" in sentence_of(Library().examples, wrong)


def test_labels_beyond_255_and_files_that_are_no_slices_do_no_harm(case):
    save(case.labels / "00001.png", LABELS.astype(np.uint16) * 300)
    (case.image / "².png").write_bytes(b"no number")
    assert {example.target.values for example in Library().examples(case)} == {(1,), (300,)}
