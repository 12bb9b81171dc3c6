"""What takes long: hundreds of runs in flat memory, a hundred real workers, and the way by SSH."""

import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from doubles import drawn_volume

pytest.importorskip("starlette", reason="needs the extra [server]")
pytest.importorskip("uvicorn", reason="needs the extra [server]")
pytest.importorskip("websockets", reason="needs the extra [server]")

from gateway_bench import Standin, serving, until
from worker_client import ROOT, Client

from SegmentPropagateLib.worker.replies import Done, SliceDone, VolumeTaken
from SegmentPropagateLib.worker.requests import Hello, TakeVolume

pytestmark = pytest.mark.slow

VOLUME, MASK = drawn_volume((40, 160, 160))
SSHD = shutil.which("sshd") or "/usr/sbin/sshd"


def memory_mib():
    """Of this process, the server in it, and the workers."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(process.memory_info().rss for process in processes) / 2**20


def test_five_hundred_runs_and_volumes_take_no_more_memory_than_fifty(tmp_path):
    measured = {}
    with serving(tmp_path, kept_bytes=16 << 20) as server:
        standin = Standin(server)
        for number in range(1, 501):
            voxels = VOLUME.array_kji + np.int16(number % 100)
            standin.send(TakeVolume("v", voxels))
            assert standin.receive() == VolumeTaken("v")
            standin.propagate(MASK, keys=(19,), first=0, last=39)
            found = [reply for reply in standin.until() if isinstance(reply, SliceDone)]
            assert len(found) == 39
            standin.asked[:] = [None] * number * 2  # they hold the voxels
            if number in (50, 500):
                measured[number] = memory_mib()
        assert standin.close().status == 0
    assert measured[500] < measured[50] + 20, measured


def test_a_hundred_users_with_real_workers_come_and_go(tmp_path):
    volume, mask = drawn_volume()
    own = (sys.executable, "-m", "SegmentPropagateLib.worker")
    with serving(tmp_path, command=own, models=("starter", "classical"), resume_s=1.0) as server:
        for number in range(100):
            standin = Standin(server, ("anna", "ben")[number % 2])
            standin.send(TakeVolume("v", volume.array_kji))
            assert standin.receive() == VolumeTaken("v")
            standin.propagate(mask, "starter" if number % 10 == 0 else "classical")
            assert isinstance(standin.last(), Done)
            assert standin.close().status == 0
        until(lambda: len(psutil.Process().children()) == 0)


# ---- the way by SSH ------------------------------------------------------------------------------------------------


@pytest.fixture
def sshd(tmp_path):
    """The command for an SSH client that reaches a server of our own on this computer."""
    if not Path(SSHD).exists() or shutil.which("ssh") is None:
        pytest.skip("needs openssh-server")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    forced = f'PYTHONPATH="{ROOT}" exec "{sys.executable}" -m SegmentPropagateLib.worker'
    public = (tmp_path / "user.pub").read_text()
    (tmp_path / "authorized").write_text(f'restrict,command="{forced.replace(chr(34), chr(92) + chr(34))}" {public}')
    (tmp_path / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {tmp_path}/host\nAuthorizedKeysFile {tmp_path}/authorized\n"
        f"PidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\n"
    )
    server = subprocess.Popen([SSHD, "-D", "-e", "-f", str(tmp_path / "sshd_config")], stderr=subprocess.PIPE)
    known = f"-o UserKnownHostsFile={tmp_path}/known -o StrictHostKeyChecking=accept-new"
    yield f"ssh -F none -i {tmp_path}/user {known}", f"ssh://{getpass.getuser()}@127.0.0.1:{port}"
    server.kill()
    server.communicate()


def test_a_worker_is_reached_by_ssh_without_any_server(sshd, monkeypatch):
    command, url = sshd
    monkeypatch.setenv("SEGMENTPROPAGATE_SSH", command)
    until(lambda: reached(url))
    volume, mask = drawn_volume()
    client = Client("-m", "SegmentPropagateLib.worker.client", url)
    client.send(Hello())
    assert client.receive().pid == client.process.pid
    client.send(TakeVolume("v", volume.array_kji))
    assert client.receive() == VolumeTaken("v")
    client.propagate(mask, "classical")
    replies = client.until()
    assert isinstance(replies[-1], Done)
    assert len([reply for reply in replies if isinstance(reply, SliceDone)]) == 11
    assert client.close() == 0


def reached(url):
    words = [sys.executable, "-m", "SegmentPropagateLib.worker.client", "--check", url]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert done.returncode in (0, 3), done.stderr
    time.sleep(0.2)
    return done.returncode == 0 and json.loads(done.stdout)["protocol"] >= 2


def test_a_computer_that_ssh_does_not_reach_is_told_in_a_sentence(monkeypatch):
    monkeypatch.setenv("SEGMENTPROPAGATE_SSH", "ssh -F none")
    client = Client("-m", "SegmentPropagateLib.worker.client", "ssh://127.0.0.1:9")
    assert client.process.wait(30) == 3
    assert client.process.stderr.read().decode().splitlines()[-1] == (
        "There is no connection to 127.0.0.1 by SSH: see the lines before this."
    )
    client.kill()
