"""*Compute on*: the panel hands runs to a server's client, and asks the server who it is."""

import os
import sys
import time
from types import SimpleNamespace

import pytest
from panel_fixtures import openedPanel
from SegmentPropagateSlicer.Panel.ComputeOn import sentenceOf
from SegmentPropagateSlicer.Runs.Estimates import Estimates
from SegmentPropagateSlicer.Runs.WorkerProcess import WorkerProcess
from SegmentPropagateSlicer.Values.RunSettings import RunSettings
from SegmentPropagateSlicer.Values.Server import Server, chosenServer, remember

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.worker.replies import Failed
from SegmentPropagateLib.worker.requests import Inspect

ADDRESS, TOKEN = "wss://gpu.example.org", "s3cret"
LAPTOP = 900
ANSWER = '{"user": "anna", "version": "1.2", "models": [{"name": "starter"}, {"name": "sam2.1-tiny"}], "limits": {}}'

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in client is a script with a first line")


@pytest.fixture
def client(tmp_path, monkeypatch):
    """Puts a script in the place of PythonSlicer; it notes its arguments and its token, and ends as it is told."""
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path), os.environ["PATH"]]))
    monkeypatch.delenv("SEGMENTPROPAGATE_TOKEN", raising=False)
    program, noted = tmp_path / "PythonSlicer", tmp_path / "noted"

    def write(output="", errors="", status=0):
        program.write_text(
            f"#!/bin/sh\necho \"$* $SEGMENTPROPAGATE_TOKEN\" >> '{noted}'\n"
            f"cat <<'END'\n{output}\nEND\ncat >&2 <<'END'\n{errors}\nEND\nexit {status}\n"
        )
        program.chmod(0o755)
        return noted

    return write


def until(slicer, isSo):
    end = time.monotonic() + 20
    while not isSo() and time.monotonic() < end:
        slicer.app.processEvents()
        time.sleep(0.005)
    assert isSo()


def choose(panel, where=1, address=ADDRESS, token=TOKEN):
    """Fill in the row as a user does."""
    ui = panel.ui
    for widget in (ui.modelSection, ui.advancedSection):
        widget.collapsed = False
    ui.computeOnSelector.setCurrentIndex(where)
    ui.computeOnSelector.activated.emit(where)
    for field, text in ((ui.serverAddress, address), (ui.serverToken, token)):
        field.setText(text)
        field.editingFinished.emit()
    panel.settle()


def test_a_server_is_remembered_masked_and_kept_out_of_the_scene(panel):
    choose(panel)
    assert panel.said("computeOn")[-1] == ("computeOn", Server(ADDRESS, TOKEN))
    assert panel.sentence() == "The next run computes on gpu.example.org, which is sent the image."
    assert panel.ui.serverToken.displayText != TOKEN
    assert TOKEN not in repr(Server(ADDRESS, TOKEN))
    node = panel.parameters.node
    kept = [node.GetParameter(name) for name in node.GetParameterNames()]
    assert not any(TOKEN in text or ADDRESS in text for text in kept)
    assert chosenServer(panel.app.app.userSettings()) == Server(ADDRESS, TOKEN)


def test_the_next_session_of_slicer_shows_the_server_again(slicer):
    remember(slicer.app.userSettings(), Server(ADDRESS, TOKEN), isChosen=True)
    with openedPanel(slicer) as panel:
        assert (panel.ui.computeOnSelector.currentText, panel.ui.serverAddress.text) == ("Server", ADDRESS)


def test_this_computer_hides_the_server_and_keeps_it_for_later(panel):
    choose(panel)
    assert (panel.ui.serverBox.isVisible(), panel.ui.deviceSelector.isVisible()) == (True, False)
    panel.widget.context.status.log("What the client printed.")
    panel.ui.detailsSection.collapsed = False
    panel.settle()
    assert panel.widget.parent.sizeHint.height() <= LAPTOP
    panel.ui.computeOnSelector.setCurrentIndex(0)
    panel.ui.computeOnSelector.activated.emit(0)
    panel.settle()
    assert panel.said("computeOn")[-1] == ("computeOn", None)
    assert (panel.ui.serverBox.isVisible(), panel.ui.deviceSelector.isVisible()) == (False, True)
    assert panel.widget.parent.sizeHint.height() <= LAPTOP
    assert panel.ui.serverAddress.text == ADDRESS


@pytest.mark.parametrize("address", ["gpu.example.org", "ws://gpu.example.org", "wss://x?token=1"])
def test_an_address_that_cannot_be_is_said_at_once_and_not_asked(panel, client, address):
    noted = client()
    choose(panel, address=address)
    panel.press("testServerButton")
    assert "give" in panel.sentence()
    assert panel.ui.testServerButton.enabled
    assert not noted.exists()


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        (
            {"output": ANSWER},
            "The server answers (version 1.2) and knows you as anna. Models: starter, sam2.1-tiny.",
        ),
        ({"errors": "a line of the log\nThe token is wrong.", "status": 2}, "The token is wrong."),
        ({"output": "<html>"}, "The server answers something unreadable: is the address right?"),
        ({"status": 1}, "The test ended without an answer: try again."),
    ],
    ids=["is there", "refuses", "is another", "is mute"],
)
def test_the_test_button_says_what_the_server_answers(panel, client, told, sentence):
    noted = client(**told)
    choose(panel)
    panel.press("testServerButton")
    until(panel.app, lambda: panel.ui.testServerButton.enabled)
    assert panel.sentence() == sentence
    assert noted.read_text() == f"-m SegmentPropagateLib.worker.client {ADDRESS} --check {TOKEN}\n"


def test_a_server_by_ssh_tells_its_version():
    answer = '{"version": "1.2", "protocol": 3, "missing": []}'
    assert sentenceOf(answer) == "The server answers (version 1.2)."


def test_a_busy_worker_refuses_and_the_row_shows_what_holds(panel, monkeypatch):
    def refuse(server):
        raise InputError("Busy.")

    monkeypatch.setattr(panel.logic, "computeOn", refuse)
    choose(panel)
    assert panel.sentence() == "Busy."
    assert panel.ui.computeOnSelector.currentText == "This computer"
    assert chosenServer(panel.app.app.userSettings()) is None
    panel.logic.go("running")
    panel.settle()
    assert not panel.ui.computeOnSelector.enabled


def test_the_next_worker_is_the_client_and_its_last_line_the_reason(slicer, client):
    noted = client(errors="a line of the log\nThe token is wrong.", status=2)
    process, replies = WorkerProcess([sys.executable, "-c", "import sys; sys.stdin.read()"]), []
    process.request(Inspect("model.pt", None), replies.append)
    with pytest.raises(InputError, match="The computing process is busy"):
        process.computeOn(Server(ADDRESS, TOKEN))
    process.stop()
    process.computeOn(Server(ADDRESS, TOKEN))
    assert not process.isRunning
    process.request(Inspect("model.pt", None), replies.append)
    until(slicer, lambda: replies)
    assert replies == [Failed("died", "The token is wrong.")]
    assert noted.read_text() == f"-m SegmentPropagateLib.worker.client {ADDRESS} {TOKEN}\n"


def test_an_idle_worker_ends_with_the_change_and_a_run_begins_a_busy_time(lonelyBench):
    bench, slicer = lonelyBench, lonelyBench.slicer
    bench.logic.startSession([bench.segment])
    with pytest.raises(InputError):
        bench.logic.computeOn(Server(ADDRESS))
    until(slicer, lambda: bench.logic.state == "review")
    bench.logic.computeOn(Server(ADDRESS))
    assert not bench.process.isRunning
    assert bench.logic.state == "review"
    bench.logic.discard()


def test_the_effect_follows_what_the_panel_has_chosen(makeEffect, client):
    noted = client(errors="The token is wrong.", status=2)
    effect = makeEffect(process=None)
    effect.draw(5)
    remember(effect.slicer.app.userSettings(), Server(ADDRESS, TOKEN), isChosen=True)
    effect.run()
    assert effect.sentence() == "The token is wrong."
    assert noted.read_text().split()[2:] == [ADDRESS, TOKEN]


def test_what_a_server_takes_is_estimated_apart_from_this_computer(slicer):
    estimates, settings = Estimates(slicer.app.userSettings()), RunSettings()
    progress = SimpleNamespace(secondsPerSlice=0.25, loadedModel=False, started=None)
    run = SimpleNamespace(settings=settings, progress=progress)
    estimates.server = ADDRESS
    estimates.record(run, None, None)
    assert estimates.recall(settings) == {"secondsPerSlice": 0.25}
    estimates.server = ""
    assert estimates.recall(settings) == {}
