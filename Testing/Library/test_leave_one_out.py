"""Which cases and labels of a dataset are learned from: each case left out once, labels by number or name."""

import os
from dataclasses import replace

import pytest
from tiny_training import UndecidedPropagator, ball, write_pair

from SegmentPropagateLib.cli import main
from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.networks.checkpoints import inspect_checkpoint
from SegmentPropagateLib.training.finetune import Conduct, leave_one_out
from SegmentPropagateLib.training.settings import FinetuneSettings

SETTINGS = FinetuneSettings(steps=1, batch=2, slices=3)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr("SegmentPropagateLib.training.validation.ClassicalPropagator", UndecidedPropagator)


def test_every_case_is_left_out_once(dataset, tiny, tmp_path):
    scores = leave_one_out(dataset, tiny, tmp_path / "m.pt", SETTINGS, Conduct())
    assert list(scores) == ["ann", "bob", "cleo"]
    assert all(0 <= score.dsc <= 1 for pair in scores.values() for score in pair)
    assert inspect_checkpoint(tmp_path / "m.without-bob.pt").card.training_cases == ("ann", "cleo")


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such names")
def test_cases_whose_names_differ_in_signs_that_no_file_may_have_get_models_of_their_own(tiny, tmp_path):
    for index, name in enumerate(("a:b", "a-b")):
        write_pair(tmp_path / "data", name, *ball(center=4 + index))
    leave_one_out(tmp_path / "data", tiny, tmp_path / "m.pt", SETTINGS, Conduct())
    cards = {name: inspect_checkpoint(tmp_path / f"m.without-{name}.pt").card for name in ("a%3Ab", "a-b")}
    assert {name: card.training_cases for name, card in cards.items()} == {"a%3Ab": ("a-b",), "a-b": ("a:b",)}


@pytest.mark.parametrize("word", ["last", "STATE"])
def test_a_case_that_is_called_as_another_file_of_a_run_gets_a_model_of_its_own(tiny, tmp_path, word):
    for index, name in enumerate(("a", f"a.{word}")):
        write_pair(tmp_path / "data", name, *ball(center=4 + index))
    leave_one_out(tmp_path / "data", tiny, tmp_path / "m.pt", SETTINGS, Conduct())
    cards = {name: inspect_checkpoint(tmp_path / f"m.without-{name}.pt").card for name in ("a", f"a%2E{word}")}
    assert {name: card.training_cases for name, card in cards.items()} == {"a": (f"a.{word}",), f"a%2E{word}": ("a",)}


def test_a_model_that_is_there_already_is_told_before_any_training(dataset, tiny, tmp_path):
    (tmp_path / "m.without-cleo.pt").write_bytes(b"of another run")
    with pytest.raises(InputError, match=r"without-cleo\.pt' exists already"):
        leave_one_out(dataset, tiny, tmp_path / "m.pt", SETTINGS, Conduct())
    assert [path.name for path in tmp_path.glob("m.*")] == ["m.without-cleo.pt"]


def test_what_was_broken_off_goes_on_where_it_was(dataset, tiny, tmp_path):
    output, resumed, steps = tmp_path / "m.pt", Conduct(resume=True), []
    with pytest.raises(InputError, match=r"no run to resume: .*without-ann\.state\.pt"):
        leave_one_out(dataset, tiny, output, SETTINGS, resumed)
    expected = leave_one_out(dataset, tiny, output, SETTINGS, Conduct())
    for path in tmp_path.glob("m.without-cleo.*"):
        path.unlink()
    resumed = replace(resumed, tick=lambda record, _steps: steps.append(record["step"]))
    assert leave_one_out(dataset, tiny, output, SETTINGS, resumed) == expected
    assert steps == [1]  # of the one that had not begun


def test_cases_whose_models_would_be_one_file_on_some_disks_are_refused_before_any_training(tiny, tmp_path):
    rows = [f"{name},{name.lower()}.nrrd,{name.lower()}_label.nrrd" for name in ("Ann", "ann")]
    write_pair(tmp_path, "ann", *ball())
    (tmp_path / "list.csv").write_text("\n".join(["name,image,label", *rows]))
    with pytest.raises(InputError, match="'Ann' and 'ann', which write into one file on some disks"):
        leave_one_out(tmp_path / "list.csv", tiny, tmp_path / "m.pt", SETTINGS, Conduct())


def test_labels_are_learned_by_name_and_a_wrong_name_is_told_in_one_sentence(dataset, tiny, tmp_path, capsys):
    words = ["finetune", dataset, "--init", tiny, "-o", tmp_path / "m.pt", "--steps", 1, "--slices", 2, "--quiet"]
    words = [str(word) for word in (*words, "--validation", 0, "--label", "Label 1")]
    assert main([*words, "lung"]) == 2
    assert capsys.readouterr().err == "segment-propagate: No case has label 'lung'; they have label 1.\n"
    assert main(words) == 0
    assert inspect_checkpoint(tmp_path / "m.pt").card.recipe["labels"] == ["Label 1"]
