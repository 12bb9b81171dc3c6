"""Labels at a doubtful place are used, and whoever asked for them is told."""

import json

import numpy as np
import SimpleITK as sitk
from cli_bench import BALL, double, here, inputs, out, propagate, save  # noqa: F401
from tiny_training import ball, write_pair

from SegmentPropagateLib.cli import main
from SegmentPropagateLib.formats.cases import find_cases
from SegmentPropagateLib.training.data import Library

TOLD = "the shape of the image but lies at another place"


def test_propagate_tells_of_a_mask_that_lost_its_geometry(double, out, capsys):
    save(out.parent / "moved.nrrd", BALL.astype(np.uint8), origin=(-4.0, 5.0, 3.0))
    assert propagate("image.nii.gz", "--mask", out.parent / "moved.nrrd", "-o", out) == 0
    assert TOLD in capsys.readouterr().err


def test_evaluate_tells_of_it_beside_its_figures(tmp_path, capsys):
    save(tmp_path / "moved.nrrd", BALL.astype(np.uint8), origin=(-4.0, 5.0, 3.0))
    assert main(["evaluate", str(tmp_path / "moved.nrrd"), "labels.nii.gz", "--json"]) == 0
    told = capsys.readouterr()
    assert "at different places" in told.err
    assert json.loads(told.out)["objects"]


def test_fine_tuning_is_told_of_it_case_by_case(tmp_path):
    write_pair(tmp_path, "case", *ball())
    labels = sitk.ReadImage(str(tmp_path / "case_label.nrrd"))
    labels.SetOrigin((labels.GetSpacing()[0] * 3, 0, 0))
    sitk.WriteImage(labels, str(tmp_path / "case_label.nrrd"))
    notes = []
    Library(notify=notes.append).load(find_cases(tmp_path)[0])
    assert TOLD in notes[0]
