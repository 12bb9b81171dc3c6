"""Learning from key slices as it is asked for: by the worker's request and on the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
from cli_bench import here, inputs, out, propagate, read  # noqa: F401
from doubles import ThresholdPropagator
from learning_doubles import KEYS, SHAPE, TRUTH, VOLUME, learner
from worker_client import setup

from SegmentPropagateLib.cli import propagate as command
from SegmentPropagateLib.errors import CancelledError, InputError
from SegmentPropagateLib.propagators.stacking.gate import WEIGHTS
from SegmentPropagateLib.worker.messages import MessageError
from SegmentPropagateLib.worker.replies import Done, Preparing, SliceDone, Started, VolumeTaken
from SegmentPropagateLib.worker.requests import Propagate, TakeVolume
from SegmentPropagateLib.worker.service import Service

RIGHT, WRONG = -4.0, 1.0
USED, NOT_USED = "used with a weight of", "Learned from 3 slices: not used, no gain on your own slices."


def never():
    return False


def asked(adapt, keys=KEYS):
    places = tuple((1, key) for key in keys)
    return Propagate(setup(SHAPE, "starter"), places, TRUTH[list(keys)], None, None, True, adapt)


def answers(service, request, cancelled=never):
    replies = []
    service.answer(request, replies.append, cancelled)
    return replies


@pytest.fixture
def service(request):
    made = Service(lambda *_names, **_options: learner(getattr(request, "param", RIGHT)))
    assert answers(made, TakeVolume("v", VOLUME.array_kji)) == [VolumeTaken("v")]
    return made


def test_the_worker_learns_before_the_first_slice_and_says_what_came_of_it(service):
    replies = answers(service, asked("stack"))
    kinds = [type(reply) for reply in replies if not isinstance(reply, SliceDone)]
    assert kinds == [Preparing, Preparing, Preparing, Started, Done]
    assert replies[2] == Preparing("lesson")
    assert replies[-1].lessons == ((1, NOT_USED),)
    for reply in replies:
        asked("stack").check_reply(reply)


@pytest.mark.parametrize("service", [WRONG], indirect=True)
def test_the_worker_forgets_what_it_learned_when_it_is_not_asked_again(service):
    plain = answers(service, asked("off"))
    learned = answers(service, asked("stack"))
    assert USED in learned[-1].lessons[0][1]
    again = answers(service, asked("off"))
    assert (again[-1].lessons, again[-1].computed) == ((), plain[-1].computed)
    masks = [{it.slice_index: it.mask for it in run if isinstance(it, SliceDone)} for run in (plain, learned, again)]
    assert all(np.array_equal(masks[0][index], masks[2][index]) for index in masks[0])
    assert not all(np.array_equal(masks[0][index], masks[1][index]) for index in masks[0])


def test_the_worker_stops_learning_when_it_is_cancelled(service):
    sent = []
    with pytest.raises(CancelledError, match="Learning from the key slices was cancelled"):
        service.answer(asked("stack"), sent.append, lambda: Preparing("lesson") in sent)
    assert sent[-1] == Preparing("lesson")
    assert answers(service, asked("off"))[-1].lessons == ()


def test_a_lesson_of_what_was_not_asked_about_is_refused():
    done = Done(0, 0.0, None, {}, ((1, "Learned."),))
    asked("stack").check_reply(done)
    for request, wrong in ((asked("off"), done), (asked("stack"), Done(0, 0.0, None, {}, ((2, "Learned."),)))):
        with pytest.raises(MessageError, match=r"lessons\[0\]\[0\]"):
            request.check_reply(wrong)


def test_too_few_key_slices_or_another_model_end_in_one_sentence(service):
    with pytest.raises(InputError, match="takes 2 key slices"):
        answers(service, asked("stack", KEYS[:1]))
    other = Service(lambda *_names, **_options: ThresholdPropagator())
    answers(other, TakeVolume("v", VOLUME.array_kji))
    with pytest.raises(InputError, match="'threshold' cannot learn"):
        answers(other, asked("stack"))


def test_the_command_says_the_verdict_and_reports_weight_and_gains(out, monkeypatch, capsys):
    monkeypatch.setattr(command, "load_model", lambda *_names, **_options: learner(RIGHT))
    words = ["image.nii.gz", "--mask", "labels.nii.gz", "--label", 1, "--key-slice", "3,5,8"]
    assert propagate(*words, "--adapt", "stack", "-o", out, "--report", "learned.json") == 0
    assert NOT_USED in capsys.readouterr().err
    (lesson,) = json.loads(Path("learned.json").read_text(encoding="utf-8"))["adaptation"]
    assert (lesson["label"], lesson["slices"], lesson["weight"], lesson["verdict"]) == (1, 3, 0.0, NOT_USED)
    assert [sorted(gain) for gain in lesson["gains"]] == [["mean", "weight", "worst"]] * len(WEIGHTS)
    learned = read(out)
    assert propagate(*words, "-o", out, "--report", "plain.json") == 0
    assert np.array_equal(read(out), learned)
    assert "adaptation" not in json.loads(Path("plain.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("model", "keys", "words"),
    [(learner(RIGHT), "5", "2 key slices of an object or more"), (ThresholdPropagator(), "3,8", "cannot learn")],
)
def test_what_cannot_be_learned_ends_the_command_with_one_sentence(out, monkeypatch, capsys, model, keys, words):
    monkeypatch.setattr(command, "load_model", lambda *_names, **_options: model)
    command_line = ["image.nii.gz", "--mask", "labels.nii.gz", "--label", 1, "--key-slice", keys, "--adapt", "stack"]
    assert propagate(*command_line, "-o", out) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert not out.exists()
