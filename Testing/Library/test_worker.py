"""The worker as a process: what it answers, that it obeys at once, and that only the end of its input ends it."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from doubles import drawn_volume

from SegmentPropagateLib.worker.messages import Message, read_message, write_message

ROOT = Path(__file__).resolve().parents[2]
SESSION = {
    "plane": "axial",
    "intensity": "auto",
    "roi": "auto",
    "pass_mode": "independent",
    "short_slices": None,
    "stop_after_empty": None,
}


class Client:
    """A worker process and the requests of these tests."""

    def __init__(self, *command):
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [sys.executable, *command], stdin=pipe, stdout=pipe, stderr=pipe, env=environment
        )
        self.sent = 0

    def send(self, header, array=None):
        self.sent += 1
        write_message(self.process.stdin, Message({"id": self.sent, **header}, array))
        return self.sent

    def receive(self):
        return read_message(self.process.stdout)

    def until(self, *types):
        """All messages up to the first of these types."""
        messages = []
        while not messages or messages[-1].type not in types:
            message = self.receive()
            assert message is not None, self.process.stderr.read().decode()
            messages.append(message)
        return messages

    def propagate(self, mask, model="threshold", keys=(5,), first=0, last=11, objects=(1, 1), **more):
        request = {
            "type": "propagate",
            "volume": "v",
            "model": {"name": model, "device": "auto", "precision": "auto", "image_size": None},
            "session": SESSION,
            "ijk_to_ras": np.diag([1.5, 1.5, 3.0, 1.0]).ravel().tolist(),
            "keys": [[one, key] for one, key in zip(objects, keys, strict=False)],
            "first": first,
            "last": last,
            **more,
        }
        return self.send(request, mask[list(keys)])

    def close(self):
        self.process.stdin.close()
        code = self.process.wait(10)
        self.process.stdout.close()
        self.process.stderr.close()
        return code


@pytest.fixture
def client():
    client = Client(str(ROOT / "Testing" / "Library" / "drawn_worker.py"))
    yield client
    if client.process.poll() is None:
        client.process.kill()
    client.process.wait()
    for stream in (client.process.stdin, client.process.stdout, client.process.stderr):
        if not stream.closed:
            with contextlib.suppress(BrokenPipeError):
                stream.close()


@pytest.fixture
def drawn(client):
    volume, mask = drawn_volume()
    client.send({"type": "volume", "volume": "v"}, volume.array_kji)
    assert client.receive().type == "volume"
    return mask


def slices(messages):
    """Slice index -> full mask, the last word on each slice."""
    found = {}
    for message in messages:
        if message.type == "slice":
            mask = np.zeros(message.header["shape"], bool)
            if message.array is not None:
                (r, c), (rows, columns) = message.header["origin"], message.array.shape
                mask[r : r + rows, c : c + columns] = message.array
            found[message.header["slice"]] = mask
    return found


def test_it_says_who_it_is_without_importing_torch(client):
    client.send({"type": "hello"})
    hello = client.receive()
    assert hello.type == "hello"
    assert hello.header["pid"] == client.process.pid
    assert set(hello.header["missing"]) <= {"torch", "sam2"}


@pytest.mark.parametrize("ends", [{"first": 0, "last": 11}, {"first": None, "last": None}])
def test_a_range_is_filled_and_every_slice_is_sent_once(client, drawn, ends):
    client.propagate(drawn, **ends)
    messages = client.until("done", "error")
    assert [m.type for m in messages if m.type != "slice"] == ["stage", "stage", "started", "done"]
    found = slices(messages)
    assert sorted(found) == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]
    assert all(np.array_equal(mask, drawn[index]) for index, mask in found.items())
    assert messages[-1].header["computed"] == 11
    assert messages[2].header["total"] == 11


def test_slices_after_a_lane_s_early_end_are_sent_as_empty(client, drawn):
    client.propagate(drawn, "ends_early")
    found = slices(client.until("done", "error"))
    assert sorted(found) == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]
    assert [index for index, mask in found.items() if mask.any()] == [4, 6, 3, 7]
    assert not any(found[index].any() for index in (0, 1, 2, 8, 9, 10, 11))


def test_a_corrected_slice_recomputes_its_stretch_and_the_rest_is_sent_from_memory(client, drawn):
    client.propagate(drawn)
    client.until("done")
    client.propagate(drawn, keys=(5, 8))
    messages = client.until("done")
    assert messages[-1].header["computed"] == 5  # 6, 7 and 9, 10, 11
    assert sorted(slices(messages)) == [0, 1, 2, 3, 4, 6, 7, 9, 10, 11]
    client.propagate(drawn, keys=(5, 8))
    messages = client.until("done")
    assert messages[-1].header["computed"] == 0
    assert sorted(slices(messages)) == [0, 1, 2, 3, 4, 6, 7, 9, 10, 11]


def test_a_key_that_was_removed_no_longer_counts(client, drawn):
    client.propagate(drawn, keys=(5, 8))
    client.until("done")
    client.propagate(drawn, keys=(5,))
    assert sorted(slices(client.until("done"))) == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]


def test_two_objects_get_no_common_pixel_unless_they_may(client, drawn):
    for resolve in (True, False):
        client.propagate(drawn, keys=(5, 5), first=4, last=5, resolve_overlaps=resolve, objects=(1, 2))
        last = {m.header["object"]: m.array is not None for m in client.until("done") if m.type == "slice"}
        assert last == {1: not resolve, 2: True}


def test_a_run_is_cancelled_within_one_slice_and_leaves_nothing(client, drawn):
    identity = client.propagate(drawn, "slow")
    client.until("slice")
    client.send({"type": "cancel", "id": identity})
    after = client.until("cancelled", "done")
    assert after[-1].type == "cancelled"
    assert len(after) <= 4  # what was under way when the cancellation came
    client.propagate(drawn, "slow")
    assert client.until("done")[-1].header["computed"] == 11


def test_a_run_that_is_cancelled_before_it_began_does_not_begin(client, drawn):
    first = client.propagate(drawn, "slow")
    second = client.propagate(drawn, "slow")
    client.send({"type": "cancel", "id": second})
    client.send({"type": "cancel", "id": first})
    client.until("cancelled")
    assert [m.type for m in client.until("cancelled")] == ["cancelled"]


@pytest.mark.parametrize(
    ("model", "kind", "sentence"),
    [
        ("run_out_of_memory", "memory", "ran out of memory"),
        ("fail", "internal", "ZeroDivisionError: a bug"),
        ("no-such-model", "input", "no model or model file"),
    ],
)
def test_an_error_is_one_sentence_and_the_next_run_works(client, drawn, model, kind, sentence):
    client.propagate(drawn, model)
    error = client.until("error", "done")[-1]
    assert error.header["kind"] == kind
    assert sentence in error.header["sentence"]
    assert "\n" not in error.header["sentence"]
    client.propagate(drawn)
    assert client.until("done", "error")[-1].type == "done"


def test_a_model_file_deleted_or_replaced_between_runs_is_noticed(client, drawn, tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(b"one")
    stages = []
    for content in (None, b"another", None):
        if content:
            path.write_bytes(content)
        client.propagate(drawn, str(path))
        stages.append(sum(m.type == "stage" and m.header["stage"] == "model" for m in client.until("done")))
    assert stages == [1, 1, 0]
    path.unlink()
    client.propagate(drawn, str(path))
    assert "no model or model file" in client.until("error", "done")[-1].header["sentence"]


def test_what_is_printed_never_gets_between_the_messages(client, drawn):
    client.propagate(drawn, "talk")
    assert client.until("done")[-1].type == "done"
    client.process.stdin.close()
    log = client.process.stderr.read().decode()
    assert "printed by a library" in log
    assert "written by C code" in log


def test_a_box_becomes_a_mask_and_no_key(client, drawn):
    request = {
        "type": "segment",
        "volume": "v",
        "model": {"name": "threshold", "device": "auto", "precision": "auto", "image_size": None},
        "session": SESSION,
        "ijk_to_ras": np.diag([1.5, 1.5, 3.0, 1.0]).ravel().tolist(),
        "object": 3,
        "slice": 5,
    }
    client.send({**request, "box_ij": [0, 0, 23, 19]})
    message = client.until("segment", "error")[-1]
    assert message.header["object"] == 3
    r, c = message.header["origin"]
    rows, columns = message.array.shape
    assert np.array_equal(drawn[5, r : r + rows, c : c + columns], message.array)
    assert message.array.sum() == drawn[5].sum()
    client.send({**request, "box_ij": [0, 0, 99, 19]})
    assert "reaches beyond the slice" in client.until("error")[-1].header["sentence"]
    client.send({**request, "points_ij": [[12, 10]], "positive": [True]})
    assert client.until("segment", "error")[-1].type == "segment"
    client.send(request)
    assert "at least one point" in client.until("error")[-1].header["sentence"]


def test_a_request_it_does_not_know_or_a_volume_it_does_not_have_is_refused(client, drawn):
    client.send({"type": "dance"})
    assert "'dance'" in client.receive().header["sentence"]
    client.propagate(drawn, volume="another")
    assert "send it first" in client.until("error")[-1].header["sentence"]


def test_it_ends_when_its_input_ends(client, drawn):
    client.propagate(drawn, "slow")
    client.until("slice")
    assert client.close() == 0


def test_it_ends_when_its_input_is_no_message(client):
    client.process.stdin.write(b"GET / HTTP/1.1\r\n\r\n")
    client.process.stdin.flush()
    assert client.process.wait(10) == 0
    assert b"no message" in client.process.stderr.read()


def test_it_ends_when_asked_to(client):
    client.send({"type": "quit"})
    assert client.process.wait(10) == 0


def test_the_real_worker_runs_the_classical_propagator():
    client = Client("-m", "SegmentPropagateLib.worker")
    try:
        volume, mask = drawn_volume((8, 40, 40))
        client.send({"type": "volume", "volume": "v"}, volume.array_kji)
        client.receive()
        client.propagate(mask, "classical", keys=(4,), first=3, last=5)
        messages = client.until("done", "error")
        assert messages[-1].type == "done", messages[-1].header
        assert sorted(slices(messages)) == [3, 5]
        assert all(found.any() for found in slices(messages).values())
    finally:
        client.close()
