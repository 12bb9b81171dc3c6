"""The command that compares a segmentation with a reference."""

import json

import numpy as np
import pytest
from cli_bench import BALL, OTHER, double, here, inputs, out, propagate, read, save  # noqa: F401

from SegmentPropagateLib.cli import main
from SegmentPropagateLib.formats.reading import read_volume
from SegmentPropagateLib.formats.writing import write_segmentation
from SegmentPropagateLib.volumes.labels import SegmentInfo


def test_evaluate_of_a_file_with_itself_is_perfect(capsys):
    assert main(["evaluate", "labels.nii.gz", "labels.nii.gz", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {thing["label"] for thing in told["objects"]} == {1, 3}
    for thing in told["objects"]:
        assert (thing["dsc"], thing["iou"], thing["assd_mm"], thing["nsd"]) == (1, 1, 0, 1)


def test_evaluate_leaves_the_key_slice_out_of_the_slice_wise_figures_only(capsys, tmp_path):
    wrong = BALL.astype(np.uint8)
    wrong[7] = 0
    save(tmp_path / "wrong.nii.gz", wrong)
    words = ["evaluate", str(tmp_path / "wrong.nii.gz"), "labels.nii.gz", "--label", "1", "--json"]
    main(words)
    with_all = json.loads(capsys.readouterr().out)["objects"][0]
    main([*words, "--key-slice", "7"])
    without = json.loads(capsys.readouterr().out)["objects"][0]
    expected = 2 * wrong.sum() / (wrong.sum() + BALL.sum())
    assert with_all["dsc"] == without["dsc"] == pytest.approx(expected, abs=1e-4)
    assert with_all["present"] < 1
    assert without["present"] == without["dsc_without_keys"] == 1


def test_evaluate_leaves_out_the_key_slice_that_the_report_beside_the_prediction_names(double, tmp_path, capsys):
    out = tmp_path / "found.nii.gz"
    words = ["--label", 1, "--key-slice", 5, "--range", "3:7", "-o", out]
    propagate("image.nii.gz", "--mask", "labels.nii.gz", *words, "--report", tmp_path / "found.json")
    capsys.readouterr()
    told = []
    for more in ([], ["--key-slice", "5"], ["--plane", "coronal"]):
        assert main(["evaluate", str(out), "labels.nii.gz", "--label", "1", "--json", *more]) == 0
        told.append(json.loads(capsys.readouterr().out)["objects"][0])
    assert told[0] == told[1]
    assert (told[0]["key_slices"], told[2]["key_slices"]) == ([5], [])


def test_a_report_of_another_run_is_refused_where_it_is_named(double, tmp_path, capsys):
    propagate("image.nii.gz", "--mask", "labels.nii.gz", "-o", tmp_path / "a.nrrd", "--report", tmp_path / "a.json")
    assert main(["evaluate", "labels.nii.gz", "labels.nii.gz", "--report", str(tmp_path / "a.json")]) == 2
    assert "not the report" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "label", "how"), [("other", "3", "name"), ("Label 1", "3", "overlap"), ("Label 1", "1", None)]
)
def test_evaluate_finds_the_object_by_name_or_by_overlap_and_says_so(name, label, how, tmp_path, capsys):
    geometry = read_volume("image.nii.gz").geometry
    named = [SegmentInfo(1, "ball", (1, 0, 0)), SegmentInfo(3, "other", (0, 1, 0))]
    write_segmentation(tmp_path / "reference.seg.nrrd", {1: BALL & ~OTHER, 3: OTHER}, geometry, named)
    write_segmentation(tmp_path / "found.seg.nrrd", {1: OTHER}, geometry, [SegmentInfo(1, name, (1, 0, 0))])
    words = [f"{tmp_path}/found.seg.nrrd", f"{tmp_path}/reference.seg.nrrd", "--label", label]
    assert main(["evaluate", *words, "--json"]) == 0
    (thing,) = json.loads(capsys.readouterr().out)["objects"]
    assert thing["dsc"] == (0 if how is None else 1)
    assert main(["evaluate", *words]) == 0
    assert ("compared with the prediction's label 1" in capsys.readouterr().out) == (how is not None)


def test_evaluate_prints_a_table_for_people(capsys):
    assert main(["evaluate", "labels.nii.gz", "labels.nii.gz"]) == 0
    table = capsys.readouterr().out
    assert "DSC" in table
    assert "label 3" in table.lower()


@pytest.mark.parametrize(
    "words",
    [
        ["nowhere.nii.gz", "labels.nii.gz"],
        ["labels.nii.gz", "nowhere.nii.gz"],
        ["labels.nii.gz", "labels.nii.gz", "--label", "2"],
        ["labels.nii.gz", "nothing.nii.gz"],
        ["labels.nii.gz", "labels.nii.gz", "--key-slice", "99"],
        ["elsewhere.nii.gz", "labels.nii.gz"],
    ],
)
def test_evaluate_answers_a_mistake_by_one_sentence(words, capsys):
    assert main(["evaluate", *words]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_evaluate_finds_two_files_alike_whose_segments_have_no_voxel(tmp_path, capsys):
    geometry = read_volume("image.nii.gz").geometry
    for name in ("found", "reference"):
        write_segmentation(tmp_path / f"{name}.seg.nrrd", {1: np.zeros_like(BALL)}, geometry)
    assert main(["evaluate", f"{tmp_path}/found.seg.nrrd", f"{tmp_path}/reference.seg.nrrd", "--json"]) == 0
    (thing,) = json.loads(capsys.readouterr().out)["objects"]
    assert (thing["dsc"], thing["absent"], thing["present"], thing["volume_ml"]) == (1, 1, None, 0)
