"""Small pictures of cases: the slice that labels fill most, upright, and an answer for each line that asks."""

import io
import json
import sys

import numpy as np
import pytest

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.writing import write_segmentation, write_volume
from SegmentPropagateLib.reports import thumbnails
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.labels import SegmentInfo
from SegmentPropagateLib.volumes.volume import Volume

SHAPE = 6, 10, 20


@pytest.fixture
def case(tmp_path):
    """An image, brighter to the patient's left, and labels on slice 4."""
    geometry = Geometry(SHAPE, np.diag([-1.0, -1.0, 3.0, 1.0]))  # i to the left of the patient is from 0 downwards
    values = np.broadcast_to(np.arange(20, dtype=np.int16) * 10, SHAPE)
    write_volume(tmp_path / "a.nrrd", Volume(np.ascontiguousarray(values), geometry))
    mask = np.zeros(SHAPE, bool)
    mask[4, 2:8, 2:8] = True
    write_segmentation(tmp_path / "a.seg.nrrd", {1: mask}, geometry, (SegmentInfo(1, "A", (1.0, 0.0, 0.0)),))
    return tmp_path / "a.nrrd", tmp_path / "a.seg.nrrd"


def test_the_slice_that_labels_fill_most_is_shown_with_them_in_their_color(case):
    picture = thumbnails.draw_thumbnail(*case, 40)
    assert picture.shape == (40, 40, 3)
    red = picture[..., 0].astype(int) - picture[..., 1] > 60
    assert red.sum() == (6 * 2) ** 2  # two pixels for each voxel
    plain = thumbnails.draw_thumbnail(case[0], None, 40)
    assert (plain[..., 0] == plain[..., 1]).all()
    assert (plain[:9] == 0).all()  # the picture is square, the slice is not
    assert (plain[20, ::5, 0].astype(int)[1:] >= plain[20, ::5, 0].astype(int)[:-1]).all()


@pytest.mark.parametrize("directions", [(1, 1, 1), (-1, 1, -1), (1, -1, 1)])
def test_the_patient_is_upright_whatever_the_order_of_the_voxels(tmp_path, directions):
    i, j, k = directions
    values = np.zeros(SHAPE, np.int16)
    values[:, 0 if j < 0 else -1, :] = 100  # anterior
    write_volume(tmp_path / "a.nrrd", Volume(values, Geometry(SHAPE, np.diag([i, j, 3.0 * k, 1.0]))))
    picture = thumbnails.draw_thumbnail(tmp_path / "a.nrrd", None, 20)
    assert picture[5, 10, 0] == 255
    assert not picture[6:].any()


def test_a_line_is_answered_by_a_file_or_a_sentence(case, tmp_path, monkeypatch, capsys):
    lines = [[str(case[0]), str(case[1]), str(tmp_path / "x" / "a.ppm"), 16],
             [str(tmp_path / "none.nrrd"), None, str(tmp_path / "b.ppm"), 16]]  # fmt: skip
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(json.dumps(line) + "\n" for line in lines)))
    monkeypatch.setattr(thumbnails.os, "nice", lambda _by: 0)
    assert thumbnails.main() == 0
    (first, fine), (second, problem) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first, fine, second) == (lines[0][2], "", lines[1][2])
    assert "none.nrrd" in problem
    assert (tmp_path / "x" / "a.ppm").read_bytes().startswith(b"P6 16 16 255\n")
    assert not (tmp_path / "b.ppm").exists()


def test_a_damaged_image_is_one_sentence(tmp_path):
    (tmp_path / "a.nrrd").write_bytes(b"NRRD0004\n")
    with pytest.raises(InputError):
        thumbnails.draw_thumbnail(tmp_path / "a.nrrd", None, 16)


def test_labels_that_cannot_be_read_leave_the_image(case):
    case[1].write_bytes(b"NRRD0004\n")
    assert np.array_equal(thumbnails.draw_thumbnail(*case, 16), thumbnails.draw_thumbnail(case[0], None, 16))
