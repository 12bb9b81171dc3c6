"""A line across an object: what it says of it, what is outlined, and how it is typed."""

import json

import numpy as np
import pytest
from cli_bench import double, here, inputs, out, propagate  # noqa: F401
from test_prompted import MIDDLE, SHAPE, ellipse, image_of

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.propagation.prompts import LinePrompt
from SegmentPropagateLib.propagation.session import Session
from SegmentPropagateLib.propagators.classical.engine import ClassicalPropagator
from SegmentPropagateLib.reports.metrics import dice
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.volume import Volume

BOXES = {
    "level": ((20, 30, 40, 30), (1, 1), (20, 24, 40, 36)),
    "upright": ((30, 20, 30, 40), (1, 1), (24, 20, 36, 40)),
    "from right to left": ((40, 30, 20, 30), (1, 1), (20, 24, 40, 36)),
    "diagonal": ((20, 20, 40, 40), (1, 1), (18, 18, 42, 42)),
    "on pixels that are twice as high": ((20, 30, 40, 30), (2, 1), (20, 27, 40, 33)),
    "at the edge of the slice": ((0, 2, 20, 2), (1, 1), (0, 0, 20, 8)),
}


@pytest.mark.parametrize("name", BOXES)
def test_a_line_gives_points_on_it_and_the_box_of_an_ellipse_around_it(name):
    line, spacing, box = BOXES[name]
    prompt = LinePrompt(line).as_points(spacing, (50, 60))
    assert prompt.box.box_ij == box
    first, last = np.array(line[:2]), np.array(line[2:])
    assert prompt.positive.all()
    assert np.allclose(prompt.points_ij, [first + share * (last - first) for share in (0.25, 0.5, 0.75)])


@pytest.mark.parametrize("line", [(5, 5, 5, 5), (0, 0, np.nan, 5)])
def test_a_line_without_length_is_refused(line):
    with pytest.raises(InputError, match="two different ends"):
        LinePrompt(line)


@pytest.mark.parametrize("radii", [(22, 14), (12, 20), (15, 15)])
def test_the_longest_diameter_of_an_object_gives_its_outline(radii):
    truth = ellipse(radii=radii)
    volume = Volume(image_of(truth)[None], Geometry((1, *SHAPE), np.eye(4)))
    column, row = MIDDLE
    long_i, long_j = (radii[0], 0) if radii[0] >= radii[1] else (0, radii[1])
    line = LinePrompt((column - long_i, row - long_j, column + long_i, row + long_j))
    mask = Session(ClassicalPropagator(), volume).add_key(1, 0, line)
    assert dice(mask, truth) > 0.85


def test_every_line_makes_an_object(double, out, tmp_path):  # noqa: F811
    report = tmp_path / "report.json"
    words = ["--line", "2,9,12,9", "--line", "15,9,21,9", "--key-slice", "5,8", "--label", 4, 2, "--report", report]
    assert propagate("image.nii.gz", *words, "-o", out) == 0
    assert {lane.object_id: lane.keys for lane in double.runs[0]} == {4: (5,), 2: (8,)}
    assert [prompt.points_ij.tolist()[1] for prompt in double.prompts] == [[7, 9], [18, 9]]
    assert all(prompt.box is not None for prompt in double.prompts)
    assert {entry["label"] for entry in json.loads(report.read_text())["objects"]} == {2, 4}


MISTAKES = {
    "no line": (["--line", "2,9,12"], "four voxel indices"),
    "no length": (["--line", "2,9,2,9"], "two different ends"),
    "beside the slice": (["--line", "-2,9,12,9"], "-2,9"),
    "no slice": (["--line", "2,9,12,9", "--key-slice", "auto"], "--key-slice each"),
    "another prompt": (["--line", "2,9,12,9", "--box", "1,2,3,4"], "not allowed with"),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_mistakes_are_told_in_one_sentence(double, out, kind, capsys):  # noqa: F811
    words, told = MISTAKES[kind]
    words = words if "--key-slice" in words else [*words, "--key-slice", 5]
    assert propagate("image.nii.gz", *words, "-o", out) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert not out.exists()
