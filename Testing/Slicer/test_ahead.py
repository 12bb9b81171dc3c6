"""While she draws, the worker is told what: after a pause, never for nothing, and nothing of it shows."""

from types import SimpleNamespace

import numpy as np
import pytest
from panel_fixtures import openedPanel
from SegmentPropagateSlicer.Logic import State
from SegmentPropagateSlicer.Panel import Ahead
from SegmentPropagateSlicer.Runs import Estimates
from SegmentPropagateSlicer.Values.RunSettings import RunSettings
from SegmentPropagateSlicer.Values.Server import Server

from SegmentPropagateLib.worker.requests import GetAhead, Propagate, TakeVolume

KEY = 5
OPEN = (None, None)

# ---- the panel -----------------------------------------------------------------------------------------------------


@pytest.fixture
def drawing(slicer, monkeypatch):
    """A panel that pauses only until the next events."""
    monkeypatch.setattr(Ahead, "PAUSE_MS", 0)
    with openedPanel(slicer) as opened:
        opened.logic.calls.clear()
        yield opened


def draw(panel, index, settle=True):
    mask = np.zeros((40, 64, 64), np.uint8)
    mask[index, 20:30, 20:30] = 1
    panel.app.util.updateSegmentBinaryLabelmapFromArray(mask, panel.segmentation, panel.segmentId, panel.volume)
    if settle:
        panel.settle()


def test_what_the_view_shows_is_told_once_for_many_strokes(drawing):
    for index in (16, 17, 18):
        draw(drawing, index, settle=False)
    drawing.settle()
    assert drawing.said("getAhead") == [("getAhead", drawing.segmentId, 18, OPEN, "axial")]
    drawing.widget.range.give(7, 29)
    drawing.settle()
    assert set(drawing.said("getAhead")[1:]) == {("getAhead", drawing.segmentId, 18, (7, 29), "axial")}
    assert not drawing.sentence()


def test_settings_alone_are_nothing_to_get_ready_for(drawing):
    drawing.logic.go(State.IDLE)  # what was drawn before has been accepted
    drawing.widget.range.give(7, 29)
    drawing.settle()
    assert drawing.said("getAhead") == []


def test_the_first_stroke_is_told_at_once_and_the_next_after_a_pause(slicer, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(Ahead, "time", SimpleNamespace(monotonic=lambda: now[0]))
    with openedPanel(slicer) as panel:
        panel.widget.ahead.tell()  # whatever came of opening it
        for later, told in ((1, 0), (Ahead.PAUSE_MS / 1000, 1), (1, 0)):
            panel.widget.ahead.stop()
            panel.logic.calls.clear()
            now[0] += later
            draw(panel, 18)
            assert len(panel.said("getAhead")) == told


def test_nothing_is_told_while_another_module_is_open(drawing):
    draw(drawing, 17, settle=False)
    drawing.widget.parent.exit()
    draw(drawing, 18)
    assert drawing.said("getAhead") == []
    drawing.widget.parent.enter()


@pytest.mark.parametrize(
    "change",
    [
        lambda panel: panel.logic.startSession([panel.segmentId]),
        lambda panel: panel.segmentation.GetSegmentation().RemoveAllSegments(),
        lambda panel: panel.app.mrmlScene.RemoveNode(panel.volume),
    ],
    ids=["a run has begun", "the segment is gone", "the image is gone"],
)
def test_nothing_is_told_of_what_was_drawn_before(drawing, change):
    draw(drawing, 18, settle=False)
    change(drawing)
    drawing.settle()
    assert drawing.said("getAhead") == []


# ---- the logic -----------------------------------------------------------------------------------------------------


@pytest.fixture
def quiet(makeBench, request):
    """A drawn object without a key, and all that the logic says of it; the parameter `lonely` has a worker started."""
    bench = makeBench(key=None, **({"process": None} if hasattr(request, "param") else {}))
    mask = np.zeros_like(bench.truth)
    mask[KEY] = bench.truth[KEY]
    bench.set(bench.segment, mask)
    bench.said = []
    logic = bench.logic
    for signal in (logic.statusChanged, logic.progressChanged, logic.stateChanged, logic.errorOccurred,
                   logic.noticeGiven, logic.keysChanged, logic.previewChanged, logic.logReceived):  # fmt: skip
        signal.connect(lambda *what: bench.said.append(what))
    yield bench
    assert not bench.errors


def tell(bench, index=KEY, ends=OPEN, **settings):
    given = {"model": "threshold", "intensity": "none", **settings}
    bench.logic.getAhead(bench.segment, index, ends, RunSettings(**given))


def kinds(bench):
    return [type(request) for request in bench.process.requests]


lonely = pytest.mark.parametrize("quiet", ["lonely"], indirect=True)


@lonely
def test_the_outline_goes_to_a_worker_that_is_started_for_it_and_nothing_is_said(quiet):
    tell(quiet, ends=(2, 9))
    assert kinds(quiet) == [TakeVolume, GetAhead]
    request = quiet.process.requests[1]
    assert (request.keys, request.first, request.last) == (((1, KEY),), 2, 9)
    assert np.array_equal(request.masks[0], quiet.truth[KEY])
    quiet.until(lambda: quiet.process.pid)
    assert quiet.said == []
    quiet.logic.addKey(quiet.segment, KEY)
    quiet.run()
    assert kinds(quiet) == [TakeVolume, GetAhead, Propagate]
    quiet.logic.accept()
    assert np.array_equal(quiet.get(), quiet.truth)


def test_a_slice_with_nothing_on_it_is_told_as_empty_where_there_is_no_key(quiet):
    tell(quiet, index=3)
    assert quiet.process.requests[-1].keys == ((1, 3),)
    assert not quiet.process.requests[-1].masks.any()
    quiet.logic.addKey(quiet.segment, KEY)
    tell(quiet, index=3)
    assert quiet.process.requests[-1].keys == ((1, KEY),)


@lonely
def test_a_worker_that_dies_of_it_is_missed_by_nobody(quiet):
    tell(quiet)
    quiet.until(lambda: quiet.process.pid)
    quiet.process.kill()
    quiet.until(lambda: not quiet.process.isRunning)
    assert quiet.said == []
    quiet.logic.addKey(quiet.segment, KEY)
    quiet.run()
    assert quiet.logic.state == State.REVIEW


@lonely
def test_it_is_no_reason_not_to_compute_elsewhere_and_a_server_is_told_nothing(quiet):
    tell(quiet)
    asked = len(quiet.process.requests)
    quiet.logic.computeOn(Server("wss://gpu.example.org"))
    tell(quiet)
    assert len(quiet.process.requests) == asked
    assert not quiet.process.isRunning


def test_where_memory_may_not_suffice_that_is_hers_to_decide(bench, monkeypatch):
    monkeypatch.setattr(Estimates, "available_memory_bytes", lambda: 10)
    tell(bench)
    assert kinds(bench) == []


def test_a_run_is_not_disturbed_and_a_proposal_only_told_what_it_is_corrected_with(bench):
    bench.use("slow")
    bench.logic.startSession([bench.segment], 0, 11)
    asked = len(bench.process.requests)
    tell(bench, model="slow")
    assert len(bench.process.requests) == asked
    bench.until(lambda: bench.logic.state == State.REVIEW)
    tell(bench)  # with another model: the worker would forget the session
    tell(bench, model="slow", plane="coronal")
    assert len(bench.process.requests) == asked
    bench.logic.editSlice(bench.segment, 8)
    tell(bench, index=8, model="slow")
    request = bench.process.requests[-1]
    assert (type(request), request.keys, request.first, request.last) == (GetAhead, ((1, 8), (1, 5)), 0, 11)
    bench.logic.correct(bench.segment, 8)
    bench.until(lambda: bench.logic.state == State.REVIEW)
    assert set(bench.process.requests[-1].keys) == set(request.keys)
    assert not bench.errors
