"""The worker as a process: what it answers, that it obeys at once, and that only the end of its input ends it."""

import numpy as np
import pytest
from doubles import drawn_volume
from worker_client import DRAWN_WORKER, Client, setup

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.models.registry import find
from SegmentPropagateLib.worker.fields import identity_of
from SegmentPropagateLib.worker.messages import Message, read_message, write_message
from SegmentPropagateLib.worker.protocol import PROTOCOL
from SegmentPropagateLib.worker.replies import (
    Cancelled,
    Done,
    Failed,
    Outlined,
    Preparing,
    SliceDone,
    Started,
    VolumeTaken,
    Welcome,
)
from SegmentPropagateLib.worker.requests import (
    Hello,
    Inspect,
    Propagate,
    Quit,
    Segment,
    TakeVolume,
)
from SegmentPropagateLib.worker.service import Service


@pytest.fixture
def client():
    client = Client(DRAWN_WORKER)
    yield client
    client.kill()


@pytest.fixture
def drawn(client):
    volume, mask = drawn_volume()
    client.send(TakeVolume("v", volume.array_kji))
    assert client.receive() == VolumeTaken("v")
    return mask


def slices(replies):
    """Slice index -> full mask, the last word on each slice."""
    return {reply.slice_index: reply.mask for reply in replies if isinstance(reply, SliceDone)}


def test_it_says_who_it_is_without_importing_torch(client):
    client.send(Hello())
    hello = client.receive()
    assert isinstance(hello, Welcome)
    assert (hello.protocol, hello.pid) == (PROTOCOL, client.process.pid)
    assert set(hello.missing) <= {"torch", "sam2"}


@pytest.mark.parametrize("ends", [{"first": 0, "last": 11}, {"first": None, "last": None}])
def test_a_range_is_filled_and_every_slice_is_sent_once(client, drawn, ends):
    client.propagate(drawn, **ends)
    replies = client.until()
    others = [reply for reply in replies if not isinstance(reply, SliceDone)]
    assert others[:2] == [Preparing("model"), Preparing("session")]
    assert [type(reply) for reply in others[2:]] == [Started, Done]
    found = slices(replies)
    assert len(replies) == len(others) + len(found)
    assert sorted(found) == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]
    assert all(np.array_equal(mask, drawn[index]) for index, mask in found.items())
    assert replies[-1].computed == 11
    assert others[2].total == 11


def test_slices_after_a_lane_s_early_end_are_sent_as_empty(client, drawn):
    client.propagate(drawn, "ends_early")
    found = slices(client.until())
    assert sorted(found) == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]
    assert [index for index, mask in found.items() if mask.any()] == [4, 6, 3, 7]
    assert not any(found[index].any() for index in (0, 1, 2, 8, 9, 10, 11))


def test_a_corrected_slice_recomputes_its_stretch_and_the_rest_is_sent_from_memory(client, drawn):
    client.propagate(drawn)
    client.until()
    client.propagate(drawn, keys=(5, 8))
    replies = client.until()
    assert replies[-1].computed == 5  # 6, 7 and 9, 10, 11
    assert sorted(slices(replies)) == [0, 1, 2, 3, 4, 6, 7, 9, 10, 11]
    client.propagate(drawn, keys=(5, 8))
    replies = client.until()
    assert replies[-1].computed == 0
    assert sorted(slices(replies)) == [0, 1, 2, 3, 4, 6, 7, 9, 10, 11]


def test_a_key_that_was_removed_no_longer_counts(client, drawn):
    client.propagate(drawn, keys=(5, 8))
    client.until()
    client.propagate(drawn, keys=(5,))
    assert sorted(slices(client.until())) == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]


def test_two_objects_get_no_common_pixel_unless_they_may(client, drawn):
    for resolve in (True, False):
        client.propagate(drawn, keys=(5, 5), first=4, last=5, resolve_overlaps=resolve, objects=(1, 2))
        last = {reply.object_id: reply.mask.any() for reply in client.until() if isinstance(reply, SliceDone)}
        assert last == {1: not resolve, 2: True}


def test_a_run_is_cancelled_within_one_slice_and_leaves_nothing(client, drawn):
    identity = client.propagate(drawn, "slow")
    client.until(SliceDone)
    client.cancel(identity)
    after = client.until()
    assert after[-1] == Cancelled()
    assert len(after) <= 4  # what was under way when the cancellation came
    client.propagate(drawn, "slow")
    assert client.last().computed == 11


def test_a_run_that_is_cancelled_before_it_began_does_not_begin(client, drawn):
    first = client.propagate(drawn, "slow")
    second = client.propagate(drawn, "slow")
    client.cancel(second)
    client.cancel(first)
    client.until()
    assert client.until() == [Cancelled()]


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
    failure = client.last()
    assert failure.kind == kind
    assert sentence in failure.sentence
    assert "\n" not in failure.sentence
    client.propagate(drawn)
    assert isinstance(client.last(), Done)


def test_a_model_file_deleted_or_replaced_between_runs_is_noticed(client, drawn, tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(b"one")
    loaded = []
    for content in (None, b"another", None):
        if content:
            path.write_bytes(content)
        client.propagate(drawn, str(path))
        loaded.append(Preparing("model") in client.until())
    assert loaded == [True, True, False]
    path.unlink()
    client.propagate(drawn, str(path))
    assert "no model or model file" in client.last().sentence


def test_what_is_printed_never_gets_between_the_messages(client, drawn):
    client.propagate(drawn, "talk")
    assert isinstance(client.last(), Done)
    client.process.stdin.close()
    log = client.process.stderr.read().decode()
    assert "printed by a library" in log
    assert "written by C code" in log


def outline(**prompt):
    nothing = {"box_ij": None, "points_ij": (), "positive": (), "outlined": (), "masks": np.zeros((0, 20, 24), bool)}
    return Segment(setup(), 3, 5, **{**nothing, **prompt})


def test_a_box_becomes_a_mask_and_no_key(client, drawn):
    client.send(outline(box_ij=(0, 0, 23, 19)))
    outlined = client.last()
    assert outlined.object_id == 3
    assert np.array_equal(outlined.mask, drawn[5])
    client.send(outline(box_ij=(0, 0, 99, 19)))
    assert "reaches beyond the slice" in client.last().sentence
    client.send(outline(points_ij=((12, 10),), positive=(True,)))
    assert isinstance(client.last(), Outlined)


def test_a_request_it_does_not_know_or_a_volume_it_does_not_have_is_refused(client, drawn):
    client.send_message({"type": "dance"})
    assert client.receive() == Failed("protocol", "The worker does not know the request 'dance'.")
    client.propagate(drawn, setup=setup(volume="another"))
    assert "send it first" in client.last().sentence
    transposed = drawn.transpose(2, 1, 0).copy()  # under the same name
    client.propagate(transposed, last=None)
    assert "send it first" in client.last().sentence


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"first": "0"}, "'propagate.first' must be a whole number, got '0'"),
        ({"last": 12}, "'propagate.last' must be one of the volume's 12 axial slices"),
        ({"keys": [[1, 5], [1, 6]]}, "'propagate.masks' must be of shape (2, 20, 24)"),
        ({"setup": {}}, "'propagate.setup.ijk_to_ras' is missing"),
        ({"id": None}, "'id' must be a whole number, got None"),
        ({"id": True}, "'id' must be a whole number, got True"),
    ],
    ids=str,
)
def test_a_wrong_request_is_refused_in_one_sentence_and_the_next_run_works(client, drawn, wrong, named):
    right = Propagate(setup(), ((1, 5),), drawn[5:6], None, None, True).to_message(1)
    write_message(client.process.stdin, Message({**right.header, **wrong}, right.array))
    answer = read_message(client.process.stdout)
    assert identity_of(answer) == (0 if "id" in wrong else 1)
    failure = Failed.from_message(answer)
    assert failure.kind == "protocol"
    assert named in failure.sentence
    assert "\n" not in failure.sentence
    client.propagate(drawn)
    assert isinstance(client.last(), Done)


@pytest.mark.parametrize(("protocol", "older"), [(PROTOCOL + 1, "worker"), (PROTOCOL - 1, "panel"), (None, "panel")])
def test_a_panel_of_another_protocol_is_told_which_side_is_older(client, protocol, older):
    client.send_message({"type": "hello", "protocol": protocol, "a_field": "of another version"})
    failure = client.receive()
    assert failure.kind == "protocol"
    assert f"the worker protocol {PROTOCOL}: the {older} is older" in failure.sentence


def test_it_ends_when_its_input_ends(client, drawn):
    client.propagate(drawn, "slow")
    client.until(SliceDone)
    assert client.close() == 0


def test_it_ends_when_its_input_is_no_message(client):
    client.process.stdin.write(b"GET / HTTP/1.1\r\n\r\n")
    client.process.stdin.flush()
    assert client.process.wait(10) == 0
    assert b"no message" in client.process.stderr.read()


def test_it_ends_when_asked_to(client):
    client.send(Quit())
    assert client.process.wait(10) == 0


def test_the_real_worker_runs_the_classical_propagator():
    client = Client("-m", "SegmentPropagateLib.worker")
    try:
        volume, mask = drawn_volume((8, 40, 40))
        client.send(TakeVolume("v", volume.array_kji))
        client.receive()
        client.propagate(mask, "classical", keys=(4,), first=3, last=5)
        replies = client.until()
        assert isinstance(replies[-1], Done), replies[-1]
        assert sorted(slices(replies)) == [3, 5]
        assert all(found.any() for found in slices(replies).values())
    finally:
        client.close()


def test_a_model_file_is_described(tmp_path):
    replies, service = [], Service(load_model=None)
    path = str(find("starter").path)
    service.answer(Inspect(path, None), replies.append, lambda: False)
    (found,) = replies
    assert (found.path, found.family, found.variant, found.problems) == (path, "starter", "conv", ())
    broken = tmp_path / "model.pt"
    broken.write_bytes(b"no model")
    with pytest.raises(InputError, match=r"model\.pt"):
        service.answer(Inspect(str(broken), None), replies.append, lambda: False)
