"""Whatever goes wrong, the segment is as before or fully accepted, one sentence is shown, and the next run works."""

import os
import random
import signal
import sys
import time

import numpy as np
import pytest
from bench import DRAWN_WORKER, ellipsoid
from SegmentPropagateSlicer.Logic import SegmentPropagateLogic, State
from SegmentPropagateSlicer.Runs.WorkerProcess import WorkerProcess

from SegmentPropagateLib.errors import InputError, SegmentPropagateError


def checkNextRun(bench, model="threshold"):
    """Propagation from scratch, to the last voxel."""
    bench.errors.clear()
    bench.use(model)
    bench.run()
    bench.logic.accept()
    assert np.array_equal(bench.get(), bench.truth)
    assert not bench.errors


def checkAsBefore(bench, before, sentence):
    assert bench.fingerprint() == before
    assert bench.logic.state == State.IDLE
    assert bench.logic.preview.node is None
    (error,) = bench.errors
    assert sentence in error
    assert "\n" not in error


def startSlow(bench):
    """A run with some slices done and many to come."""
    bench.use("slow")
    bench.logic.startSession([bench.segment], 0, 11)
    bench.until(lambda: bench.logic.reviewScores(bench.segment)[3:])


def test_a_worker_killed_in_mid_run(lonelyBench):
    bench, before = lonelyBench, lonelyBench.fingerprint()
    startSlow(bench)
    os.kill(bench.process.pid, signal.SIGKILL)
    bench.until(lambda: bench.logic.state == State.IDLE)
    checkAsBefore(bench, before, "The computing process ended unexpectedly")
    checkNextRun(bench)


def test_a_worker_that_kills_itself_during_a_correction_leaves_the_proposal(lonelyBench):
    bench = lonelyBench
    bench.run()
    bench.logic.editSlice(bench.segment, 8)
    bench.use("die")
    bench.logic.correct(bench.segment, 8)
    bench.until(lambda: bench.errors)
    assert bench.logic.state == State.REVIEW
    bench.logic.accept()
    assert np.array_equal(bench.get(), bench.truth)
    bench.errors.clear()
    checkNextRun(bench)


def test_a_worker_that_hangs_is_ended_when_it_does_not_obey(lonelyBench):
    bench, before = lonelyBench, lonelyBench.fingerprint()
    bench.use("hang")
    bench.logic.startSession([bench.segment], 0, 11)
    bench.until(lambda: bench.logic.reviewScores(bench.segment)[2:])
    pid = bench.process.pid
    bench.logic.cancel()
    bench.until(lambda: bench.logic.state == State.IDLE)
    checkAsBefore(bench, before, "did not stop when asked to")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    checkNextRun(bench)


def test_a_script_does_not_wait_for_ever_for_a_worker_that_hangs(slicer, makeBench):
    bench = makeBench(process=WorkerProcess(DRAWN_WORKER, stallTimeoutMs=800))
    before = bench.fingerprint()
    with pytest.raises(SegmentPropagateError, match="sent nothing for 1 s and was ended"):
        bench.logic.propagate(bench.volume, bench.segmentation, [bench.segment], [5], model="hang", intensity="none")
    checkAsBefore(bench, before, "sent nothing")
    checkNextRun(bench)


def test_a_slow_worker_is_left_alone_as_long_as_it_says_something(slicer, makeBench):
    """Each slice takes 0.05 s, all of them longer than the silence that is allowed."""
    bench = makeBench(process=WorkerProcess(DRAWN_WORKER, stallTimeoutMs=1000), mask=ellipsoid((30, 20, 24)), key=15)
    bench.use("slow")
    bench.run()
    assert bench.logic.state == State.REVIEW
    end = time.monotonic() + 1.2
    bench.until(lambda: time.monotonic() > end)  # it owes nothing now, and may be silent
    assert bench.process.generation == 1
    assert bench.process.isRunning
    assert not bench.errors


def test_a_worker_out_of_memory(lonelyBench):
    bench, before = lonelyBench, lonelyBench.fingerprint()
    bench.use("run_out_of_memory")
    bench.run()
    checkAsBefore(bench, before, "ran out of memory")
    generation = bench.process.generation
    checkNextRun(bench)
    assert bench.process.generation == generation  # it survived


def test_a_bug_in_the_worker_shows_its_traceback_in_the_log(lonelyBench):
    bench, before = lonelyBench, lonelyBench.fingerprint()
    bench.use("fail")
    bench.run()
    checkAsBefore(bench, before, "ZeroDivisionError")
    bench.until(lambda: "Traceback" in bench.process.log)
    checkNextRun(bench)


def test_a_checkpoint_deleted_between_runs(lonelyBench, tmp_path):
    bench, path = lonelyBench, tmp_path / "model.pt"
    path.write_bytes(b"drawn")
    bench.use(str(path))
    bench.run()
    bench.logic.discard()
    before = bench.fingerprint()
    path.unlink()
    bench.run()
    checkAsBefore(bench, before, "There is no model or model file")
    checkNextRun(bench)


def test_the_volume_deleted_in_mid_run(lonelyBench):
    bench, before = lonelyBench, lonelyBench.fingerprint()
    startSlow(bench)
    bench.slicer.mrmlScene.RemoveNode(bench.volume)
    checkAsBefore(bench, before, "The image was removed from the scene")
    with pytest.raises(InputError, match="Choose a source volume"):
        bench.logic.startSession([bench.segment], 0, 11)
    bench.volume = bench.slicer.util.addVolumeFromArray(bench.truth.astype(np.int16) * 100, np.diag([1.5, 1.5, 3, 1]))
    matrix = bench.slicer.util.vtkMatrixFromArray(
        np.array([[1.5, 0, 0, -20], [0, 1.5, 0, 15], [0, 0, 3.0, 7], [0, 0, 0, 1]])
    )
    bench.volume.SetIJKToRASMatrix(matrix)
    bench.logic.setInputs(bench.volume, bench.segmentation)
    bench.logic.addKey(bench.segment, 5)
    checkNextRun(bench)


def test_the_segmentation_deleted_in_mid_run(lonelyBench):
    bench = lonelyBench
    startSlow(bench)
    bench.slicer.mrmlScene.RemoveNode(bench.segmentation)
    assert bench.logic.state == State.IDLE
    assert ["segmentation was removed" in error for error in bench.errors] == [True]
    assert bench.logic.keys == ()


def test_the_scene_closed_in_mid_run(lonelyBench):
    bench = lonelyBench
    startSlow(bench)
    bench.slicer.mrmlScene.Clear(False)
    assert bench.logic.state == State.IDLE
    assert ["scene was closed" in error for error in bench.errors] == [True]
    assert bench.logic.volumeNode is None
    for _ in range(20):
        bench.slicer.app.processEvents()
    assert bench.slicer.util.getNodesByClass("vtkMRMLSegmentationNode") == []
    again = type(bench)(bench.slicer, bench.process)
    checkNextRun(again)
    again.close()


def test_the_scene_closed_in_review(bench):
    bench.run()
    bench.slicer.mrmlScene.Clear(False)
    assert bench.logic.state == State.IDLE
    assert not bench.errors
    assert bench.logic.preview.node is None


def test_a_segment_deleted_in_mid_run(lonelyBench):
    bench = lonelyBench
    other = bench.addSegment("Other")
    bench.draw(other, 6)
    bench.use("slow")
    bench.logic.startSession([bench.segment, other], 3, 8)
    bench.until(lambda: bench.logic.reviewScores(other)[2:])
    bench.segmentation.GetSegmentation().RemoveSegment(other)
    bench.until(lambda: bench.logic.state == State.REVIEW)
    assert list(bench.logic.accept()) == [bench.segment]
    assert not bench.errors


def test_a_hundred_fast_clicks_on_propagate_and_cancel(lonelyBench):
    bench, before = lonelyBench, lonelyBench.fingerprint()
    bench.use("slow")
    chance = random.Random(0)
    for _ in range(100):
        if bench.logic.state in State.BUSY:
            bench.logic.cancel()
        else:
            bench.logic.startSession([bench.segment], 0, 11)
        for _ in range(chance.choice((0, 0, 1, 5))):
            bench.slicer.app.processEvents()
    if bench.logic.state in State.BUSY:
        bench.logic.cancel()
    bench.until(lambda: bench.logic.state not in State.BUSY)
    assert bench.logic.state == State.IDLE
    assert bench.fingerprint() == before
    assert bench.process.generation == 1
    assert not bench.errors
    assert len(bench.states) > 4  # something did happen
    checkNextRun(bench)


def test_a_run_cancelled_while_the_volume_is_still_on_its_way(slicer, makeBench):
    """A volume far larger than the pipe: the request waits behind it and is taken back at once."""
    mask = np.zeros((30, 256, 256), bool)
    mask[2:28, 60:90, 60:90] = True
    bench = makeBench(process=None, mask=mask)
    bench.logic.startSession([bench.segment], 0, 29)
    bench.logic.cancel()
    assert bench.logic.state == State.IDLE
    assert not bench.errors
    checkNextRun(bench)


def test_a_worker_that_cannot_be_started(slicer, makeBench, tmp_path):
    bench = makeBench(process=WorkerProcess([str(tmp_path / "no-such-program")]))
    before = bench.fingerprint()
    bench.run()
    checkAsBefore(bench, before, "could not be started")


def test_a_worker_that_is_no_worker(slicer, makeBench):
    for code, sentence in (
        ("print('hello' * 9)", "unreadable"),
        ("import sys; sys.exit(3)", "code 3"),
        ("import time; time.sleep(60)", "did not answer after its start"),
    ):
        bench = makeBench(process=WorkerProcess([sys.executable, "-c", code], startTimeoutMs=1500))
        before = bench.fingerprint()
        bench.run()
        checkAsBefore(bench, before, sentence)
        bench.close()


def test_shutting_down_in_mid_run_ends_the_worker_and_says_nothing(lonelyBench):
    bench, before = lonelyBench, lonelyBench.fingerprint()
    startSlow(bench)
    pid = bench.process.pid
    bench.logic.shutdown()
    assert bench.fingerprint() == before
    assert not bench.errors
    assert not bench.process.isRunning
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_hanging_worker_does_not_outlive_the_panel(lonelyBench):
    bench = lonelyBench
    bench.use("hang")
    bench.logic.startSession([bench.segment], 0, 11)
    bench.until(lambda: bench.logic.reviewScores(bench.segment)[2:])
    pid = bench.process.pid
    bench.logic.shutdown()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="the launcher is a shell script")
def test_a_worker_behind_a_launcher_is_killed_with_it(slicer, makeBench, tmp_path):
    """PythonSlicer is a launcher: killing it alone would leave Python computing."""
    launcher = tmp_path / "launcher"
    launcher.write_text(f'#!/bin/sh\necho $$ > "{launcher}.pid"\n"{DRAWN_WORKER[0]}" "{DRAWN_WORKER[1]}"\n')
    launcher.chmod(0o755)
    bench = makeBench(process=WorkerProcess([str(launcher)], cancelTimeoutMs=500))
    bench.use("hang")
    bench.logic.startSession([bench.segment], 0, 11)
    bench.until(lambda: bench.logic.reviewScores(bench.segment)[2:])
    pid = bench.process.pid
    assert pid != int((tmp_path / "launcher.pid").read_text())
    bench.logic.cancel()
    bench.until(lambda: bench.logic.state == State.IDLE)

    def isGone():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        return False

    bench.until(isGone, 6)  # before the worker gives up by itself for want of input


def test_the_real_worker_propagates_with_the_classical_model(slicer, makeBench):
    """End to end: Slicer's side, the process, the session, a real propagator."""
    mask = np.zeros((9, 48, 48), bool)
    mask[2:7, 14:34, 12:30] = True
    bench = makeBench(process=WorkerProcess(), mask=mask, key=4)
    assert isinstance(bench.logic, SegmentPropagateLogic)
    bench.use("classical", intensity="auto")
    bench.logic.startSession([bench.segment], 2, 6)
    bench.until(lambda: bench.logic.state not in State.BUSY, 120)
    assert not bench.errors, bench.process.log
    bench.logic.accept()
    found = bench.get()
    assert 2 * (found & mask).sum() / (found.sum() + mask.sum()) > 0.9


def test_image_data_that_vanish_in_mid_run_do_not_leave_the_panel_busy(lonelyBench):
    bench, before = lonelyBench, lonelyBench.fingerprint()
    startSlow(bench)
    image = bench.volume.GetImageData()
    bench.volume.SetAndObserveImageData(None)
    bench.until(lambda: bench.logic.state not in State.BUSY)
    assert bench.fingerprint() == before
    if bench.logic.state == State.REVIEW:
        bench.logic.discard()
    bench.volume.SetAndObserveImageData(image)
    checkNextRun(bench)


def test_a_listener_that_fails_costs_no_message_and_no_state(lonelyBench):
    bench = lonelyBench

    def fail(*_arguments):
        raise ZeroDivisionError

    for signal_ in (bench.logic.sliceUpdated, bench.logic.progressChanged, bench.logic.errorOccurred):
        signal_.connect(fail)
    bench.run()
    bench.until(lambda: bench.logic.state == State.REVIEW)
    bench.logic.accept()
    assert np.array_equal(bench.get(), bench.truth)
    bench.use("slow")
    bench.logic.startSession([bench.segment], 0, 11)
    bench.until(lambda: bench.process.pid)
    os.kill(bench.process.pid, signal.SIGKILL)
    bench.until(lambda: bench.logic.state == State.IDLE)
    assert len(bench.slicer.harness.slotErrors) > 1
    bench.slicer.harness.slotErrors.clear()


def test_a_worker_that_says_more_than_the_log_holds_is_not_held_up(lonelyBench):
    bench = lonelyBench
    bench.use("flood")
    bench.run()
    assert bench.logic.state == State.REVIEW
    bench.until(lambda: "a warning of a thousand characters" in bench.process.log)
    assert len(bench.process.log) <= 200_000


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no such name")
def test_a_model_of_any_name_is_refused_in_one_line(lonelyBench):
    bench, before = lonelyBench, lonelyBench.fingerprint()
    bench.use("no\nsuch\x1b[2J\udc80 model")
    bench.run()
    checkAsBefore(bench, before, "There is no model or model file")
    assert bench.errors[0].isprintable()
    checkNextRun(bench)
