"""A worker that answers what makes no sense is ended; the panel is idle at once, says why, and the next run works."""

import os
import signal
import sys

import numpy as np
import pytest
from SegmentPropagateSlicer.Logic import State
from SegmentPropagateSlicer.Runs.WorkerProcess import WorkerProcess
from SegmentPropagateSlicer.Scene.VolumeReader import VolumeReader
from wrong_answers import LIAR, WRONG, framed, rightAnswers, says, write

from SegmentPropagateLib.errors import InputError, SegmentPropagateError


def isGone(pid):
    """Whether a process has ended; a child that Qt has not waited for yet has."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.fixture
def lied(makeBench, tmp_path):
    """A bench whose worker answers what is written to a folder: `(bench, function that writes)`."""
    command = [sys.executable, "-I", "-S", LIAR, str(tmp_path)]
    bench = makeBench(process=WorkerProcess(command, cancelTimeoutMs=500))
    return bench, lambda answers: write(tmp_path, answers)


def answersFor(bench, before=0):
    return rightAnswers(VolumeReader(bench.volume).identity, bench.truth, before)


def checkIdle(bench, before, words):
    """Nothing is left of the run but one sentence."""
    (sentence,) = bench.errors or ("no sentence at all",)
    assert words in sentence
    assert sentence.isprintable()
    assert len(sentence) < 400
    assert bench.logic.state == State.IDLE
    assert not bench.process.isRunning
    assert bench.fingerprint() == before
    assert bench.logic.preview.node is None


@pytest.mark.parametrize("words", WRONG)
def test_an_answer_that_makes_no_sense_ends_the_worker_and_not_the_panel(lied, tmp_path, words):
    bench, write = lied
    before = bench.fingerprint()
    for number, spoil in enumerate(WRONG[words]):
        write(spoil(answersFor(bench, before=3 * number)))
        bench.run()
        checkIdle(bench, before, words)
        bench.until(lambda: isGone(int((tmp_path / "pid").read_text())))
        bench.errors.clear()


def test_the_run_after_a_wrong_answer_starts_another_worker(lied):
    bench, write = lied
    write(says("slice_done", object_id=0)(answersFor(bench)))
    bench.run()
    write(answersFor(bench, before=3))
    bench.run()
    assert bench.process.generation == 2
    bench.logic.accept()
    assert np.array_equal(bench.get(), bench.truth)


def test_a_message_that_does_not_go_on_is_not_waited_for(lied):
    bench, write = lied
    answers, before = answersFor(bench), bench.fingerprint()
    write({**answers, 3: [*answers[3][:4], framed(answers[3][4])[:-1]]})
    bench.run()
    checkIdle(bench, before, "sent nothing for 1 s and was ended")


def test_a_word_too_much_after_the_end_ends_the_worker_and_leaves_the_proposal(lied):
    bench, write = lied
    answers = answersFor(bench)
    write({**answers, 3: [*answers[3], answers[3][-1]]})
    bench.run()
    bench.until(lambda: not bench.process.isRunning)
    assert bench.logic.state == State.REVIEW
    assert not bench.errors
    bench.logic.accept()
    assert np.array_equal(bench.get(), bench.truth)


def test_a_lie_during_a_correction_leaves_the_proposal(lied):
    bench, write = lied
    answers = answersFor(bench)
    write(answers)
    bench.run()
    bench.logic.editSlice(bench.segment, 8)
    bench.logic.correct(bench.segment, 8)
    bench.process.kill("The worker was ended.")
    bench.until(lambda: bench.errors)
    assert bench.logic.state == State.REVIEW
    bench.logic.accept()
    assert np.array_equal(bench.get(), bench.truth)


def test_fifty_workers_killed_in_a_row_leave_everything_as_it_was(lied, tmp_path):
    bench, write = lied
    before = bench.fingerprint()
    for number in range(50):
        answers = answersFor(bench, before=3 * number)
        write({**answers, 3: answers[3][:7]})
        bench.logic.startSession([bench.segment], 0, 11)
        bench.until(lambda: bench.logic.reviewScores(bench.segment)[3:])
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
        bench.until(lambda: bench.logic.state == State.IDLE)
        checkIdle(bench, before, "ended unexpectedly")
        bench.errors.clear()
    write(answersFor(bench, before=150))
    bench.run()
    assert bench.logic.state == State.REVIEW


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"imageSize": 0}, "model.image_size' must be from 1"),
        ({"precision": "double"}, "model.precision' must be one of auto, exact, bf16"),
        ({"intensity": "liver"}, "session.intensity' must be one of auto"),
        ({"passMode": "both"}, "settings.pass_mode' must be one of independent, coupled"),
        ({"stopAfterEmpty": 0}, "settings.stop_after_empty' must be at least 1"),
    ],
    ids=str,
)
def test_settings_that_no_worker_can_have_are_refused_before_anything_is_started(bench, settings, named):
    bench.use(**settings)
    with pytest.raises(SegmentPropagateError, match=named):
        bench.logic.startSession([bench.segment], 0, 11)
    assert bench.logic.state == State.IDLE
    assert not bench.states
    assert bench.process.requests == []
    with pytest.raises(SegmentPropagateError, match=named):
        bench.logic.previewPrompt(bench.segment, 5, pointsRas=[bench.logic.slicePositionRas(5)])
    bench.use()
    bench.run()
    assert bench.logic.state == State.REVIEW


def test_an_image_that_cannot_be_sent_leaves_the_panel_idle(bench, monkeypatch):
    monkeypatch.setattr("SegmentPropagateLib.worker.messages.MAX_PAYLOAD_BYTES", 1000)
    with pytest.raises(SegmentPropagateError, match="too large to be sent"):
        bench.logic.startSession([bench.segment], 0, 11)
    assert bench.logic.state == State.IDLE
    assert bench.logic.preview.node is None
    monkeypatch.undo()
    bench.run()
    assert bench.logic.state == State.REVIEW


def test_an_outline_of_nothing_is_refused_in_one_sentence(bench):
    with pytest.raises(InputError, match="A box or at least one point is needed"):
        bench.logic.previewPrompt(bench.segment, 5)
