"""Clients, workers and servers that are killed or frozen at each phase: the others go on, and nobody is left without a
sentence."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from doubles import drawn_volume

pytest.importorskip("starlette", reason="needs the extra [server]")
pytest.importorskip("uvicorn", reason="needs the extra [server]")
pytest.importorskip("websockets", reason="needs the extra [server]")

from worker_client import ROOT, Client

from SegmentPropagateLib.worker.messages import encode
from SegmentPropagateLib.worker.replies import Done, Remote, SliceDone, VolumeTaken, Welcome
from SegmentPropagateLib.worker.requests import Hello, TakeVolume

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="needs signals")]

VOLUME, MASK = drawn_volume()
PHASES = ("greeted", "handing over", "idle", "running", "queued")


class Server:
    """A server in a process of its own, and the clients that are started for it."""

    def __init__(self, folder, **settings):
        self.folder, self.settings, self.clients = folder, {"resume_s": 20.0, **settings}, []
        self.start()

    def start(self):
        script = str(Path(__file__).with_name("server_process.py"))
        command = [sys.executable, script, str(self.folder), json.dumps(self.settings)]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)
        port, self.url, self.tokens = json.loads(self.process.stdout.readline())
        self.settings |= {"port": port, "tokens": self.tokens}

    def client(self, user, greet=True):
        os.environ["SEGMENTPROPAGATE_TOKEN"] = self.tokens[user]
        self.clients.append(Client("-m", "SegmentPropagateLib.worker.client", self.url))
        self.clients[-1].send(Hello())
        if greet:
            assert isinstance(self.clients[-1].receive(), Welcome)
        return self.clients[-1]

    def worker_pids(self):
        return {child.pid for child in psutil.Process(self.process.pid).children()}

    def kill(self):
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def servers(tmp_path, monkeypatch):
    """Starts servers, and ends them with their clients."""
    monkeypatch.setenv("SEGMENTPROPAGATE_TOKEN", "")
    started = []

    def start(**settings):
        started.append(Server(tmp_path, **settings))
        return started[-1]

    yield start
    for server in started:
        for client in server.clients:
            client.kill()
        server.kill()


@pytest.fixture
def server(servers):
    return servers()


def take_volume(client):
    client.send(TakeVolume("v", VOLUME.array_kji))
    assert client.receive() == VolumeTaken("v")


def bring(client, other, phase):
    """Bring a client to where it is to be struck; `other` may compute meanwhile."""
    if phase == "greeted":
        return
    if phase == "handing over":
        head, payload = encode(TakeVolume("v", VOLUME.array_kji).to_message(2))
        client.process.stdin.write(head + payload[: len(payload) // 2])
        client.process.stdin.flush()
        return
    take_volume(client)
    if phase == "queued":
        other.propagate(MASK, "slow", keys=(3,))
        other.until(SliceDone)
        client.propagate(MASK, "slow")
        assert client.receive() == Remote("queued", 1)
    if phase == "running":
        client.propagate(MASK, "slow")
        client.until(SliceDone)


def sentence_of(client):
    """What a client that has ended says last, once all that it had to hand over is read."""
    client.process.stdout.read()
    assert client.process.wait(30) is not None
    return client.process.stderr.read().decode().splitlines()[-1]


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("victim", ["client", "worker"])
def test_whoever_is_killed_the_other_user_goes_on_and_the_first_can_come_again(server, victim, phase):
    ben = server.client("ben")
    take_volume(ben)
    before = server.worker_pids()
    anna = server.client("anna")
    (worker,) = server.worker_pids() - before
    bring(anna, ben, phase)
    if victim == "client":
        anna.process.send_signal(signal.SIGKILL)
        anna.process.wait()
    else:
        os.kill(worker, signal.SIGKILL)
    if phase == "queued":
        assert isinstance(ben.last(), Done)
    ben.propagate(MASK, keys=(4,))
    assert isinstance(ben.last(), Done)
    if victim == "worker":
        assert sentence_of(anna) == "The worker on the server ended unexpectedly: try again."
        assert anna.process.returncode == 5
    anna.kill()
    again = anna_again(server)
    take_volume(again)
    again.propagate(MASK)
    assert isinstance(again.last(), Done)


def anna_again(server):
    """Her client, let in as soon as the server knows that the former one has gone."""
    client = server.client("anna", greet=False)
    while client.process.poll() is None and not client.process.stdout.peek(1):
        time.sleep(0.01)
    if client.process.poll() is None:
        assert isinstance(client.receive(), Welcome)
        return client
    assert "connected already" in sentence_of(client)
    return anna_again(server)


@pytest.mark.parametrize("phase", PHASES)
def test_a_server_that_is_killed_and_started_again_is_told_and_serves_again(server, phase):
    ben, anna = server.client("ben"), server.client("anna")
    take_volume(ben)
    bring(anna, ben, phase)
    server.kill()
    server.start()
    for client in (anna, ben):
        assert "session" in sentence_of(client)
        assert client.process.returncode == 4
    again = server.client("anna")
    take_volume(again)
    again.propagate(MASK)
    assert isinstance(again.last(), Done)


def test_a_client_that_is_frozen_loses_the_slot_to_whoever_waits_and_keeps_its_session(servers):
    server = servers(unread_s=0.2)
    anna, ben = server.client("anna"), server.client("ben")
    take_volume(anna)
    take_volume(ben)
    anna.propagate(MASK, "slow")
    anna.until(SliceDone)
    anna.process.send_signal(signal.SIGSTOP)
    ben.propagate(MASK, keys=(4,))
    assert isinstance(ben.last(), Done)
    anna.process.send_signal(signal.SIGCONT)
    assert "Nothing was read for 0 s while others waited" in anna.last().sentence
    anna.propagate(MASK)
    assert isinstance(anna.last(), Done)
