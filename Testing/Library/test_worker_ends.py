"""The worker always ends, always answers with a sentence, and runs nothing that lies beside the data."""

import io
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from doubles import drawn_volume
from worker_client import DRAWN_WORKER, ROOT, Client

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.worker.messages import MessageError
from SegmentPropagateLib.worker.replies import Done, Preparing, SliceDone, VolumeTaken
from SegmentPropagateLib.worker.requests import Hello, Inspect, Quit, TakeVolume
from SegmentPropagateLib.worker.service import Service
from SegmentPropagateLib.worker.worker import Worker, failure_of

GRACE_S = "0.3"
HOSTILE_NAME = "a\nb\rc\x1b[2Jd\udc80e\N{RIGHT-TO-LEFT OVERRIDE}f"
LIBRARIES = (
    "numpy", "torch", "sam2", "scipy", "SimpleITK", "requests", "sitecustomize", "json", "typing", "struct", "re",
    "enum", "logging", "queue", "threading", "argparse", "pathlib", "dataclasses", "traceback", "random", "string",
)  # fmt: skip


@pytest.fixture
def client():
    client = Client(DRAWN_WORKER, GRACE_S)
    yield client
    client.kill()


@pytest.fixture
def drawn(client):
    volume, mask = drawn_volume()
    client.send(TakeVolume("v", volume.array_kji))
    assert client.receive() == VolumeTaken("v")
    return mask


@pytest.mark.parametrize("last_words", [b"", b"SPRO", b"no message of this version", b"SPRO\x01\x00" + b"\xff" * 12])
def test_a_worker_that_hangs_in_a_slice_ends_with_its_input_or_a_bad_frame(client, drawn, last_words):
    client.propagate(drawn, "hang")
    for _slice in range(2):  # before the third one it hangs
        client.until(SliceDone)
    client.process.stdin.write(last_words)
    client.process.stdin.flush()
    if len(last_words) < 18:  # else the frame alone is to end it
        client.process.stdin.close()
    assert client.process.wait(20) == 1


class Broken(io.RawIOBase):
    """Raises what no stream should."""

    def read(self, size=-1):
        raise ZeroDivisionError


def test_whatever_ends_the_reading_ends_the_worker():
    worker = Worker(Service(load_model=None), io.BytesIO())
    with pytest.raises(ZeroDivisionError):
        worker.read(Broken())
    worker.run()  # returns


def test_a_worker_whose_answers_nobody_takes_ends(client, drawn):
    client.process.stdout.close()
    client.propagate(drawn)
    assert client.process.wait(20) is not None


def test_a_library_that_asks_the_user_gets_no_request_for_an_answer(client, drawn):
    client.propagate(drawn, "ask")
    assert isinstance(client.last(), Done)
    client.send(Quit())
    assert client.process.wait(20) == 0
    assert b"asked and got ''" in client.process.stderr.read()


@pytest.mark.parametrize("name", [HOSTILE_NAME, "x" * 5000], ids=["hostile", "long"])
def test_a_model_of_any_name_is_refused_in_one_line(client, drawn, name):
    client.propagate(drawn, name)
    failure = client.last()
    assert failure.kind == "input"
    assert failure.sentence.isprintable()
    client.propagate(drawn)
    assert isinstance(client.last(), Done)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no such name")
def test_a_model_file_of_any_name_is_found(client, drawn, tmp_path):
    path = str(tmp_path / HOSTILE_NAME)
    Path(path).write_bytes(b"drawn")
    client.propagate(drawn, path)
    assert Preparing("model") in client.until()
    client.send(Inspect(path, None))
    assert client.last().sentence.isprintable()


@pytest.mark.parametrize("kind", [InputError, MessageError, RuntimeError, MemoryError])
@pytest.mark.parametrize("text", [HOSTILE_NAME, "x" * 5000, "", " ", "\n"], ids=ascii)
def test_every_error_has_a_sentence(kind, text):
    sentence = failure_of(kind(text)).sentence
    assert sentence.isprintable()
    assert 0 < len(sentence.strip()) < 1200


def test_an_environment_without_a_home_is_enough(client, drawn, monkeypatch):
    for name in ("HOME", "USERPROFILE", "LOGNAME", "USER"):
        monkeypatch.delenv(name, raising=False)
    lonely = Client(DRAWN_WORKER)
    lonely.send(Hello())
    assert lonely.receive().pid == lonely.process.pid
    assert lonely.close() == 0


# ---- code beside the data ------------------------------------------------------------------------------------------


@pytest.fixture
def beside(tmp_path):
    """A folder of files that have the names of libraries and leave a trace where they run."""
    trace = tmp_path / "ran"
    for name in LIBRARIES:
        (tmp_path / f"{name}.py").write_text(f"open({str(trace)!r}, 'a').write({name!r})\nraise SystemExit(9)\n")
    return tmp_path


PROGRAM = Path(sysconfig.get_path("scripts")) / f"segment-propagate{'.exe' if os.name == 'nt' else ''}"


@pytest.mark.parametrize(
    "command",
    [
        [sys.executable, "-m", "SegmentPropagateLib", "models"],
        [sys.executable, "-m", "SegmentPropagateLib.worker"],
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); "
         "import runpy; runpy.run_module('SegmentPropagateLib.worker', run_name='__main__')"],
        pytest.param([str(PROGRAM), "models"], marks=pytest.mark.skipif(not PROGRAM.exists(), reason="not installed")),
    ],
    ids=["library", "worker", "isolated", "program"],
)  # fmt: skip
def test_nothing_that_lies_where_it_is_started_is_run(beside, command):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    if sys.version_info < (3, 11):  # `python -m` itself imports from there before ours can forget the folder
        for name in ("typing", "re", "enum", "threading", "pathlib"):
            (beside / f"{name}.py").unlink()
    done = subprocess.run(
        command,
        cwd=beside,
        env=environment | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert not (beside / "ran").exists(), done.stderr
    assert done.returncode == 0, done.stderr
