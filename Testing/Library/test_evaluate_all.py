"""The command line that compares all results of a batch with references."""

import json
import shutil

import numpy as np
import pytest
from batch_bench import batch, draw_case, rows
from cli_bench import BALL, OTHER, save

from SegmentPropagateLib.cli import main
from SegmentPropagateLib.formats.reading import read_labels
from SegmentPropagateLib.formats.writing import write_segmentation
from SegmentPropagateLib.reports.cohort import spread_of

CASES = {"good": BALL | OTHER, "short": (BALL | OTHER) & (np.arange(12) < 9)[:, None, None], "bug": BALL}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A batch of two results and a failure; of its labels, number 9 was not asked for."""
    folder = tmp_path_factory.mktemp("batch")
    labels = BALL * 1 + OTHER * 3
    labels[0, 0, :] = 9
    for name, values in CASES.items():
        draw_case(folder / "cases" / name, values, labels)
    assert batch(folder, "--processes", 1, "--label", 1, 3, "--key-slice", "5,8")[0] == 1
    return folder


@pytest.fixture
def here(done, tmp_path, monkeypatch):
    shutil.copytree(done, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def evaluate_all(*words):
    return main(["evaluate-all", "out", *map(str, words), "--processes", "1"])


def test_every_object_of_every_result_has_the_figures_of_evaluate(here, capsys):
    assert evaluate_all("cases") == 0
    told = capsys.readouterr()
    assert "1 of 3 cases is in no mean" in told.err
    table = rows(here / "out" / "evaluation.csv")
    assert [(row["case"], row["label"]) for row in table] == [(name, n) for name in ("good", "short") for n in "13"]
    for row in table:
        files = [f"out/{row['case']}/segmentation.seg.nrrd", f"cases/{row['case']}/labels.nii.gz"]
        main(
            ["evaluate", *files, "--label", row["label"], "--key-slice", row["key_slices"].replace(" ", ","), "--json"]
        )
        (thing,) = json.loads(capsys.readouterr().out)["objects"]
        for name in ("dsc", "nsd", "assd_mm", "present", "absent", "volume_ml", "reference_ml"):
            assert float(row[name]) == pytest.approx(thing[name]), name
    assert [row["predicted_iou"] for row in table if row["label"] == "3"] == ["0.9", "0.9"]
    means = [line.split() for line in told.out.splitlines()]
    assert [line[0] for line in means] == ["label", "label", "label", "mean"]
    expected = np.mean([float(row["dsc"]) for row in table if row["label"] == "3"])
    assert float(means[2][3]) == pytest.approx(expected, abs=1e-3)
    page = (here / "out" / "evaluation.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 4
    assert 'href="good/overlay.png"' in page


def test_references_may_be_a_folder_of_label_files_alone(here):
    (here / "references").mkdir()
    save(here / "references" / "good_seg.nii.gz", (OTHER * 3).astype(np.uint8))
    assert evaluate_all("references") == 0
    (row,) = rows(here / "out" / "evaluation.csv")
    assert (row["case"], row["label"]) == ("good", "3")


def test_references_without_a_result_are_counted(here, capsys):
    draw_case(here / "cases" / "never-run")
    assert evaluate_all("cases", "--label", 3) == 0
    assert "2 of 4 cases are in no mean" in capsys.readouterr().err


def test_a_label_that_other_cases_have_counts_where_it_is_missing(here):
    result = here / "out" / "good" / "segmentation.seg.nrrd"
    write_segmentation(result, {1: BALL}, read_labels(result).geometry)
    assert evaluate_all("cases") == 0
    dsc = {(row["case"], row["label"]): float(row["dsc"]) for row in rows(here / "out" / "evaluation.csv")}
    assert dsc["good", "3"] == 0
    assert dsc["short", "3"] > 0


def test_a_reference_that_cannot_be_read_leaves_out_its_case_alone(here, capsys):
    (here / "cases" / "short" / "labels.nii.gz").write_bytes(b"")
    assert evaluate_all("cases", "--label", 1) == 0
    told = capsys.readouterr().err
    assert "short is left out" in told
    assert "2 of 3 cases are in no mean" in told
    assert [row["case"] for row in rows(here / "out" / "evaluation.csv")] == ["good"]


def test_without_references_volumes_and_scores_are_told(here, capsys):
    assert evaluate_all() == 0
    assert "predicted IoU" in capsys.readouterr().out
    table = rows(here / "out" / "cohort.csv")
    assert [(row["case"], row["label"]) for row in table] == [(name, n) for name in ("good", "short") for n in "13"]
    assert float(table[0]["volume_ml"]) > float(table[2]["volume_ml"]) * 0.9
    assert "<svg" in (here / "out" / "cohort.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["nowhere"], "does not exist"),
        (["empty"], "give each case a folder with image.nii.gz and labels.nii.gz, name them"),
        (["other"], "are the names equal"),
        (["cases", "--label", "liver"], "under label 'liver'; the results have label 1"),
        (["cases", "--label", "-4"], "--label"),
    ],
)
def test_a_mistake_is_told_in_one_sentence(here, capsys, words, part):
    (here / "empty").mkdir()
    draw_case(here / "other" / "else")
    assert evaluate_all(*words) == 2
    told = capsys.readouterr().err
    assert part in told
    assert told.splitlines()[-1].startswith("segment-propagate: ")
    assert told.count("segment-propagate: ") == 1


def test_a_folder_that_holds_no_batch_is_refused(tmp_path, capsys):
    assert main(["evaluate-all", str(tmp_path)]) == 2
    assert "holds no results" in capsys.readouterr().err


def test_the_interval_of_a_mean_is_that_of_its_cases_and_always_the_same():
    values = np.random.default_rng(3).normal(0.8, 0.1, 60)
    spread = spread_of([*values, None, float("nan")])
    assert spread.cases == 60
    assert spread == spread_of(values)
    error = values.std() / np.sqrt(60)
    assert spread.low == pytest.approx(values.mean() - 1.96 * error, abs=0.005)
    assert spread.high == pytest.approx(values.mean() + 1.96 * error, abs=0.005)
    assert np.isnan(spread_of([0.5]).low)
    assert spread_of([]).cases == 0
