"""Whatever becomes of a file: it is read, or refused in one sentence, within 2 GiB and 20 s."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from drawn_files import SHAPE, medsam_archive, random_image, random_masks
from test_geometry import geometry_of

from SegmentPropagateLib.formats.writing import write_segmentation

PROGRAM = Path(__file__).with_name("mutated_files.py")
OVERLAPPING = {value: np.random.default_rng(value).random(SHAPE) > 0.4 for value in (1, 5)}

FILES = {  # name -> what is wanted of it, how it is made
    "raw.nrrd": ("image", lambda path: sitk.WriteImage(random_image(), str(path))),
    "packed.nrrd": ("image", lambda path: sitk.WriteImage(random_image(), str(path), True)),
    "detached.nhdr": ("image", lambda path: sitk.WriteImage(random_image(), str(path))),
    "raw.mha": ("image", lambda path: sitk.WriteImage(random_image(), str(path))),
    "packed.mha": ("image", lambda path: sitk.WriteImage(random_image(), str(path), True)),
    "detached.mhd": ("image", lambda path: sitk.WriteImage(random_image(), str(path))),
    "one.seg.nrrd": ("labels", lambda path: write_segmentation(path, random_masks(), geometry_of(np.eye(3)))),
    "two.seg.nrrd": ("labels", lambda path: write_segmentation(path, OVERLAPPING, geometry_of(np.eye(3)))),
    "image.npz": ("image", medsam_archive),
    "labels.npz": ("labels", medsam_archive),
}


def mutated(name, folder, first, count):
    """What went wrong with so many mutations of a file."""
    content, make = FILES[name]
    make(folder / name)
    words = [sys.executable, str(PROGRAM), str(folder / name), content, str(first), str(count)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


needs_fork = pytest.mark.skipif(sys.platform == "win32", reason="a system without fork")


@needs_fork
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_read_or_refused(name, tmp_path):
    assert mutated(name, tmp_path, 0, 30) == []


@needs_fork
@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_many_damaged_files_are_read_or_refused(name, tmp_path):
    assert mutated(name, tmp_path, 30, 300) == []
