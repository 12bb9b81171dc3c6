"""A worker that answers what makes no sense is ended; the panel is idle at once, says why, and the next run works."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from lying_worker import LIES
from SegmentPropagateSlicer.Logic import State
from SegmentPropagateSlicer.Runs.WorkerProcess import WorkerProcess

from SegmentPropagateLib.errors import InputError, SegmentPropagateError


def isGone(pid):
    """Whether a process has ended; a child that Qt has not waited for yet has."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("lie", LIES)
def test_an_answer_that_makes_no_sense_ends_the_worker_and_not_the_panel(slicer, makeBench, tmp_path, lie):
    command = [sys.executable, str(Path(__file__).with_name("lying_worker.py")), lie, str(tmp_path / "told")]
    bench = makeBench(process=WorkerProcess(command))
    before, pids = bench.fingerprint(), []
    bench.logic.stateChanged.connect(lambda _state: pids.append(bench.process.pid))
    bench.run()
    (sentence,) = bench.errors
    assert LIES[lie][2] in sentence
    assert "\n" not in sentence
    assert bench.logic.state == State.IDLE
    assert not bench.process.isRunning
    assert bench.fingerprint() == before
    assert bench.logic.preview.node is None
    for pid in filter(None, pids):
        bench.until(lambda pid=pid: isGone(pid))
    bench.errors.clear()
    bench.run()
    bench.logic.accept()
    assert np.array_equal(bench.get(), bench.truth)
    assert not bench.errors
    assert bench.process.generation == 2


def test_a_lie_during_a_correction_leaves_the_proposal(slicer, makeBench, tmp_path):
    told = tmp_path / "told"
    told.touch()  # the first run is told truly
    lie = "a slice beside the volume"
    command = [sys.executable, str(Path(__file__).with_name("lying_worker.py")), lie, str(told)]
    bench = makeBench(process=WorkerProcess(command))
    bench.run()
    told.unlink()
    bench.logic.editSlice(bench.segment, 8)
    bench.logic.correct(bench.segment, 8)
    bench.until(lambda: bench.errors)
    assert bench.logic.state == State.REVIEW
    bench.logic.accept()
    assert np.array_equal(bench.get(), bench.truth)


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
