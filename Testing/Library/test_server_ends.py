"""Whatever ends, a line, a client, a worker, a server or somebody's patience: the others go on, and all are told."""

import json
import os
import shutil
import subprocess
import sys
import threading
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest
from doubles import drawn_volume

pytest.importorskip("starlette", reason="needs the extra [server]")
pytest.importorskip("uvicorn", reason="needs the extra [server]")
pytest.importorskip("websockets", reason="needs the extra [server]")

from gateway_bench import Relay, Server, Standin, ended, serving, until
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve
from worker_client import ROOT, Client

from SegmentPropagateLib.worker.replies import Cancelled, Done, Remote, SliceDone, VolumeTaken
from SegmentPropagateLib.worker.requests import Hello, TakeVolume

VOLUME, MASK = drawn_volume()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("server"), unread_s=0.3, obey_s=0.3, resume_s=1.0) as server:
        yield server


@pytest.fixture
def relay(server):
    relay = Relay(server.port)
    yield relay
    relay.close()


def standin_with_volume(server, user, url=None):
    standin = Standin(server, user, url)
    standin.send(TakeVolume("v", VOLUME.array_kji))
    assert standin.receive() == VolumeTaken("v")
    return standin


@pytest.fixture(scope="module")
def anna(server):
    """A session over a line that tests cut."""
    relay = Relay(server.port)
    standin = standin_with_volume(server, "anna", relay.url)
    standin.relay = relay
    yield standin
    assert standin.close().status == 0
    relay.close()


# ---- the line ------------------------------------------------------------------------------------------------------


def test_a_run_goes_on_over_a_line_that_is_cut_and_nothing_is_missing(anna):
    anna.propagate(MASK, "slow")
    replies = anna.until(SliceDone)
    anna.relay.cut()
    replies += anna.until()
    states = [reply.state for reply in replies if isinstance(reply, Remote)]
    assert states == ["lost", "resumed"]
    found = {reply.slice_index: reply.mask for reply in replies if isinstance(reply, SliceDone)}
    assert len(replies) == 2 + 4 + 11  # lost, resumed; two preparations, started, done; and every slice once
    assert all(np.array_equal(mask, MASK[index]) for index, mask in found.items())
    anna.propagate(MASK, "slow")
    assert anna.last().computed == 0  # all is known from before


def test_a_run_is_cancelled_at_once_while_the_line_is_down(anna):
    identity = anna.propagate(MASK, "slow", keys=(6,))
    anna.until(SliceDone)
    anna.relay.cut(down=True)
    anna.until(Remote)
    anna.cancel(identity)
    assert anna.last() == Cancelled()
    anna.relay.is_down = False
    anna.propagate(MASK)
    assert isinstance(anna.last(), Done)


def test_a_line_that_stays_down_ends_the_session_with_a_sentence(server, relay):
    ben = standin_with_volume(server, "ben", relay.url)
    ben.propagate(MASK, "slow")
    ben.until(SliceDone)
    relay.cut(down=True)
    ending = ben.wait()
    assert ending.status == 4
    assert "The connection was lost and could not be made again" in ending.sentence
    until(lambda: connects(server, "ben"))


def test_a_line_on_which_nothing_comes_through_any_more_is_noticed_on_both_sides(tmp_path, monkeypatch):
    for side in ("server.run", "worker.remote.proxy"):
        monkeypatch.setattr(f"SegmentPropagateLib.{side}.PING_S", 0.1)
        monkeypatch.setattr(f"SegmentPropagateLib.{side}.SILENCE_S", 0.3)
    with serving(tmp_path, resume_s=1.0) as server:
        relay = Relay(server.port)
        ben = standin_with_volume(server, "ben", relay.url)
        relay.silence()  # no end is closed: without pings both would wait for ever
        assert "The connection was lost and could not be made again" in ben.wait().sentence
        until(lambda: connects(server, "ben"))
        relay.close()


def connects(server, user):
    line, greeted = server.line(user)
    line.close()
    return greeted["lease"]


def test_a_session_is_resumed_only_by_its_key_and_its_user(server):
    line, greeted = server.line("ben")
    line.socket.close()
    for user, key in (("cleo", greeted["lease"]), ("ben", "wrong")):
        stranger, _ = server.line(user, greet=False)
        stranger.send(f'{{"version": 1, "received": 0, "lease": "{key}"}}')
        assert ended(stranger).code == 4410
    again, same = server.line("ben", lease=greeted["lease"])
    assert same["lease"] == greeted["lease"]
    again.close()


# ---- processes -----------------------------------------------------------------------------------------------------


def test_a_worker_that_dies_ends_its_session_alone(server, anna):
    cleo = standin_with_volume(server, "cleo")
    cleo.propagate(MASK, "die")
    assert len([cleo.receive() for _ in range(5)]) == 5  # what it said before is not lost
    ending = cleo.wait()
    assert (ending.status, ending.sentence) == (5, "The worker on the server ended unexpectedly: try again.")
    anna.propagate(MASK)
    assert isinstance(anna.last(), Done)


def test_a_worker_that_does_not_obey_is_ended(server, anna):
    cleo = standin_with_volume(server, "cleo")
    identity = cleo.propagate(MASK, "hang")
    for _slice in range(2):  # before the third one it hangs
        cleo.until(SliceDone)
    cleo.cancel(identity)
    ending = cleo.wait()
    assert ending.status == 5
    assert "did not stop when asked to" in ending.sentence
    anna.propagate(MASK)
    assert isinstance(anna.last(), Done)


def test_a_client_that_is_killed_leaves_its_place_to_the_next(server, anna, monkeypatch):
    monkeypatch.setenv("SEGMENTPROPAGATE_TOKEN", server.tokens["cleo"])
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")  # as the panel has it
    client = Client("-m", "SegmentPropagateLib.worker.client", server.url)
    client.send(Hello())
    assert client.receive().pid == client.process.pid
    client.send(TakeVolume("v", VOLUME.array_kji))
    assert client.receive() == VolumeTaken("v")
    client.propagate(MASK, "hang")
    for _slice in range(2):
        client.until(SliceDone)
    client.kill()
    anna.propagate(MASK, "slow", keys=(4,))
    assert isinstance(anna.last(), Done)  # the slot goes on, though that worker hangs
    until(lambda: connects(server, "cleo"))


def test_a_server_that_ends_is_told_and_one_that_is_started_again_knows_no_old_session(tmp_path):
    first = Server(tmp_path, resume_s=5.0)
    standin = Standin(first)
    standin.send_message({"type": "learn"})
    standin.last()
    first.stop()
    until(lambda: "The connection to the server was lost; connecting again." in standin.notes)
    second = Server(tmp_path, former=first, resume_s=5.0)
    try:
        assert standin.wait().status == 4
    finally:
        second.stop()


def test_a_session_that_nobody_uses_ends(tmp_path):
    with serving(tmp_path, idle_s=0.2) as server:
        line, _ = server.line()
        assert ended(line).code == 4408
        standin = Standin(server)
        assert standin.wait().status == 4
        assert "so the session was ended" in standin.ending.sentence


# ---- the client's own mistakes -------------------------------------------------------------------------------------

MISTAKES = {
    "": "Give the address of one server",
    "gpu.example.org": "none of a server",
    "ftp://gpu.example.org": "none of a server",
    "ws://gpu.example.org": "Without TLS anybody on the way could read",
    "wss://anna:secret@gpu.example.org": "neither a password, a token nor a query",
    "wss://gpu.example.org/?token=secret": "neither a password, a token nor a query",
    "ssh://-oProxyCommand=x": "none of a server",
    "wss://gpu.example.org:port": "cannot be read",
    "wss://gpu.example.org": "There is no token",
}


@pytest.mark.parametrize("url", MISTAKES)
def test_a_mistake_is_told_in_one_sentence(url, monkeypatch, capsys):
    from SegmentPropagateLib.worker import client

    for name in ("SEGMENTPROPAGATE_TOKEN", "SEGMENTPROPAGATE_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    assert client.main([url] if url else []) == 2
    said = capsys.readouterr().err
    assert MISTAKES[url] in said
    assert said.count("\n") == 1
    assert "secret" not in said


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Files of a certificate for this computer, which nobody vouches for, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    cert, key = (str(tmp_path_factory.mktemp("tls") / name) for name in ("cert.pem", "key.pem"))
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    more = ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-out", cert, "-keyout", key]
    subprocess.run([*words.split(), *more], check=True, capture_output=True)
    return cert, key


def test_tls_holds_and_a_server_that_nobody_vouches_for_is_refused(tmp_path, certificate, monkeypatch, capsys):
    from SegmentPropagateLib.worker import client

    with serving(tmp_path, certificate=certificate) as server:
        stranger = Standin(server)
        assert stranger.wait().status == 2
        assert "SEGMENTPROPAGATE_CA" in stranger.ending.sentence
        monkeypatch.setenv("SEGMENTPROPAGATE_CA", certificate[0])
        standin = Standin(server)
        standin.send_message({"type": "learn"})
        assert standin.last().kind == "protocol"
        assert standin.close().status == 0
        monkeypatch.setenv("SEGMENTPROPAGATE_TOKEN", server.tokens["ben"])
        assert client.main(["--check", server.url]) == 0
        assert '"user": "ben"' in capsys.readouterr().out
        monkeypatch.setenv("SEGMENTPROPAGATE_TOKEN", "wrong")
        assert client.main(["--check", server.url]) == 2
        assert "does not know this token" in capsys.readouterr().err
        server.tokens["ben"] = "wrong"
        assert Standin(server, "ben").wait().status == 2


@pytest.mark.parametrize("said", ['{"count": 1}', "[", "7", '{"ack": "all"}', '{"ack": 99}'])
def test_a_server_that_counts_as_no_server_does_is_told_of_in_one_sentence(said):
    def talk(line):
        line.recv()
        line.send(json.dumps({"lease": "x", "resume_s": 0.1, "packing": "none", "received": 0}))
        line.send(said)
        with suppress(ConnectionClosed):
            line.recv(5)

    with serve(talk, "127.0.0.1", 0) as other:
        thread = threading.Thread(target=other.serve_forever)
        thread.start()
        url = f"ws://127.0.0.1:{other.socket.getsockname()[1]}/v1/worker"
        standin = Standin(SimpleNamespace(tokens={"anna": "x"}), url=url)
        standin.send(Hello())
        ending = standin.wait()
        other.shutdown()
    thread.join(5)
    assert ending.status == 2
    assert "is no server that can be used" in ending.sentence


def test_nothing_that_lies_where_the_client_is_started_is_run(tmp_path):
    for name in ("numpy", "websockets", "asyncio", "json", "ssl"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(9)\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [sys.executable, "-m", "SegmentPropagateLib.worker.client", "ws://127.0.0.1:1"],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(ROOT), "SEGMENTPROPAGATE_TOKEN": "x"},
        stdin=subprocess.PIPE,
        capture_output=True,
        check=False,
    )
    assert done.returncode in (0, 3), done.stderr
