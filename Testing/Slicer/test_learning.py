"""*Learn from these cases*: fine-tuning in the background, and a model that only comes where it helps."""

import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from day import dayOf, drawFolder
from SegmentPropagateSlicer.Runs.Training import Training

STANDIN = [sys.executable, str(Path(__file__).resolve().parent / "learning_process.py")]


@contextmanager
def learning(slicer, folder, how="better", done=3, command=None):
    """A day with so many finished cases of four, and a training that ends as `how` says."""
    with dayOf(slicer, training=Training(command or [*STANDIN, how])) as day:
        day.open(drawFolder(folder, "abcd"))
        for _case in range(done):
            day.draw()
            day.key("X")
        day.parameters.model = "starter"
        day.settle()
        yield day


def until(day, done, seconds=20):
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, day.ui.learnLabel.text
        day.settle()
    day.settle()


def ended(day):
    return not day.widget.training.isRunning


def test_cases_that_make_the_model_better_give_a_model_beside_the_worklist(slicer, tmp_path):
    with learning(slicer, tmp_path) as day:
        day.press("learnButton")
        assert day.ui.learnButton.text == "Cancel learning"
        until(day, lambda: ended(day))
        assert day.ui.learnLabel.text == (
            "Better than the present model: Dice overlap 0.840 instead of 0.800 on cases set aside."
        )
        assert day.ui.learnHolder.isVisible()
        assert day.parameters.model == "starter"  # until she says so
        day.press("useLearnedButton")
        assert day.parameters.model == str(tmp_path / "learned-1.pt")
        assert not day.ui.useLearnedButton.isVisible()
        assert not list(tmp_path.glob(".learning*"))
        day.press("learnButton")
        until(day, lambda: ended(day))
        assert (tmp_path / "learned-2.pt").is_file()  # the earlier one stays


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("worse", "No better than the present model (Dice overlap 0.800 on cases set aside): kept."),
        ("fails", "Learning failed: The model 'classical' has nothing to learn: start from a network."),
    ],
)
def test_a_training_that_does_not_help_or_fails_is_one_sentence_and_leaves_no_file(slicer, tmp_path, how, sentence):
    with learning(slicer, tmp_path, how) as day:
        before = {path.name for path in tmp_path.iterdir()}
        day.press("learnButton")
        until(day, lambda: ended(day))
        assert day.ui.learnLabel.text == sentence
        assert not day.ui.useLearnedButton.isVisible()
        assert {path.name for path in tmp_path.iterdir()} == before


def test_cases_are_drawn_and_saved_while_it_learns_and_cancel_leaves_no_file(slicer, tmp_path):
    with learning(slicer, tmp_path, "waits") as day:
        before = {path.name for path in tmp_path.iterdir()}
        day.press("learnButton")
        until(day, lambda: len(day.widget.training.points) == 3)
        assert day.ui.learnLabel.text == "Learning: step 2 of 4, 80 s left at most."
        day.draw()
        day.press("saveCaseButton")
        assert day.ui.learnButton.text == "Cancel learning"
        day.press("learnButton")
        assert day.ui.learnLabel.text == "Learning was cancelled: the present model stays as it is."
        assert {path.name for path in tmp_path.iterdir()} == before | {"d.seg.nrrd"}


@pytest.mark.parametrize(("done", "enabled"), [(2, False), (3, True)])
def test_fewer_than_three_finished_cases_are_too_few(slicer, tmp_path, done, enabled):
    with learning(slicer, tmp_path, done=done) as day:
        assert day.ui.learnButton.enabled is enabled


def test_two_cases_are_set_aside_and_the_list_of_finished_ones_is_handed_over(slicer, tmp_path):
    with learning(slicer, tmp_path, "waits") as day:
        day.press("learnButton")
        until(day, lambda: len(day.widget.training.points) == 3)
        words = (next(tmp_path.glob(".learning-*")) / "learned-1.arguments").read_text(encoding="utf-8")
        for word in ('"finetune"', str(tmp_path / "worklist.json"), '"starter"', '"--background"'):
            assert word in words
        assert float(words.split('"--validation", "')[1].split('"')[0]) * 3 == pytest.approx(2)


def test_without_torch_the_sentence_says_what_to_install(slicer, tmp_path, monkeypatch):
    with learning(slicer, tmp_path) as day:
        monkeypatch.setattr(day.widget.installer, "sentence", lambda: "The networks need PyTorch.")
        day.press("learnButton")
        assert day.sentence() == "The networks need PyTorch."
        assert ended(day)


@pytest.mark.slow
def test_a_real_training_of_a_few_steps_ends_in_a_sentence(slicer, tmp_path):
    """The command line itself, on drawn cases."""
    with learning(slicer, tmp_path, command=[sys.executable, "-m", "SegmentPropagateLib"]) as day:
        day.press("learnButton")
        until(day, lambda: len(day.widget.training.points) >= 1, seconds=300)
        assert day.widget.training.steps > 0
        day.press("learnButton")
        assert ended(day)
        assert not list(tmp_path.glob(".learning*"))
