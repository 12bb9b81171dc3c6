"""A server lets the right people in, lets them wait in turn, and lets nothing through that harms the others."""

import json
import urllib.error
import urllib.request

import numpy as np
import pytest
from doubles import drawn_volume

pytest.importorskip("starlette", reason="needs the extra [server]")
pytest.importorskip("uvicorn", reason="needs the extra [server]")
pytest.importorskip("websockets", reason="needs the extra [server]")

from gateway_bench import MODELS, Standin, ended, frames, messages, serving, until
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from worker_client import DRAWN_WORKER, Client, setup

from SegmentPropagateLib.worker.messages import Message, read_message
from SegmentPropagateLib.worker.remote.packing import describe, digest, pack_voxels
from SegmentPropagateLib.worker.replies import Cancelled, Done, Remote, SliceDone, VolumeTaken
from SegmentPropagateLib.worker.requests import Inspect, Propagate, Quit, TakeVolume

VOLUME, MASK = drawn_volume()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("server"), unread_s=0.3, obey_s=0.5) as server:
        yield server


@pytest.fixture(autouse=True)
def proxied(monkeypatch):
    """Every test runs behind a proxy that does not answer: it is none of the way to this computer."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")


@pytest.fixture
def standins(server):
    """Makes stand-ins that have handed over the drawn volume; ends them all."""
    made = []

    def make(user="anna"):
        made.append(Standin(server, user))
        made[-1].send(TakeVolume("v", VOLUME.array_kji))
        assert made[-1].receive() == VolumeTaken("v")
        return made[-1]

    yield make
    for standin in made:
        if standin.poll() is None:
            standin.close()


@pytest.fixture(scope="module")
def shared(server):
    """One session of Cleo for all tests that do it no harm."""
    standin = Standin(server, "cleo")
    standin.send(TakeVolume("v", VOLUME.array_kji))
    assert standin.receive() == VolumeTaken("v")
    yield standin
    assert standin.close().status == 0


def ask(server, path, token=None):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", headers=headers)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
        return json.loads(answer.read())


# ---- who comes in --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", "Basic {token}", "{token}", "Bearer {token}x"])
def test_whoever_has_no_token_is_refused_before_the_connection_is_accepted(server, header):
    headers = {"Authorization": header.format(token=server.tokens["anna"])}
    with pytest.raises(InvalidStatus) as refused, connect(server.url, additional_headers=headers, proxy=None):
        pass
    assert refused.value.response.status_code == 401
    with pytest.raises(urllib.error.HTTPError, match="401"):
        ask(server, "/capabilities", "wrong")


def test_nobody_comes_in_by_a_damaged_file_of_tokens_and_its_keeper_is_told(tmp_path, caplog):
    with serving(tmp_path) as server:
        path = tmp_path / "tokens.json"
        whole = path.read_text()
        for text in ("{", "[" * 100_000, '{"anna": 5}'):
            path.write_text(text)
            with pytest.raises(urllib.error.HTTPError, match="401"):
                ask(server, "/capabilities", server.tokens["anna"])
        path.write_text(whole)
        assert ask(server, "/capabilities", server.tokens["anna"])["user"] == "anna"
    assert [record.levelname for record in caplog.records if "no file of tokens" in record.message] == ["WARNING"] * 3


def test_a_server_says_how_it_is_and_what_it_can(server):
    assert ask(server, "/healthz")["ok"] is True
    told = ask(server, "/capabilities", server.tokens["ben"])
    assert told["user"] == "ben"
    assert [model["name"] for model in told["models"]] == list(MODELS)
    assert told["limits"]["volume_bytes"] == 1 << 30


def test_a_user_who_is_connected_is_told_so_and_a_full_server_says_so(tmp_path):
    with serving(tmp_path, most_users=1) as server:
        first, _ = server.line("anna")
        for user, code, sentence in (("anna", 4409, "connected already"), ("ben", 4429, "full, it takes 1 users")):
            with pytest.raises(ConnectionClosed) as closed:
                server.line(user)
            assert closed.value.rcvd.code == code
            assert sentence in closed.value.rcvd.reason
        first.socket.close()  # without a word: her place is kept, but not before somebody who is there
        until(lambda: connects(server, "ben"))


def connects(server, user):
    try:
        line, _ = server.line(user)
    except ConnectionClosed:
        return False
    line.close()
    return True


def test_a_hundred_connections_leave_nothing_behind(server, shared):
    before = ask(server, "/healthz")
    for number in range(100):
        line, greeted = server.line("ben")
        assert greeted["received"] == 0
        if number % 2:
            line.close()
        else:
            line.send(frames(Quit().to_message(1)))
            assert ended(line).code == 1000
        until(lambda: ask(server, "/healthz") == before)


# ---- what passes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["/etc/shadow", "sam2.1-tiny", "../threshold", "threshold\n"])
def test_models_that_are_not_on_the_list_are_refused_and_the_session_goes_on(shared, model):
    shared.propagate(MASK, model)
    assert "This server has no model" in shared.last().sentence
    shared.send(Inspect(model, None))
    assert "This server has no model" in shared.last().sentence
    shared.propagate(MASK)
    assert isinstance(shared.last(), Done)


@pytest.mark.parametrize(
    ("header", "array", "sentence"),
    [
        ({"type": "learn"}, None, "does not take the request 'learn'"),
        ({"type": 3}, None, "does not take the request 3"),
        ({"type": "offer", "volume": "v"}, None, "without its name or its SHA-256"),
        ({"type": "propagate"}, np.zeros(3, bool), "is missing"),
        ({"type": "propagate", "packed": "bits", "unpacked": {"dtype": "|b1", "shape": [1 << 30]}}, None, "too large"),
        ({"type": "hello", "protocol": 1}, None, "the panel is older"),
    ],
)
def test_a_wrong_request_is_answered_with_a_sentence(shared, header, array, sentence):
    shared.send_message(header, array)
    failure = shared.last()
    assert failure.kind == "protocol"
    assert sentence in failure.sentence


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 4400),
        (b"SPRO\x01\x00" + b"\xff" * 12, 4400),
        (frames(Message({"type": "hello", "id": -1})), 4400),
        (frames(Message({"type": "hello", "id": 1}))[:-1] + b"]", 4400),
        ("no json", 4400),
        ('{"ack": 7}', 4400),
        ('{"ack": []}', 4400),
        (b"x" * (2 << 20), 1009),
    ],
    ids=["http", "endless", "id", "json", "text", "count", "no count", "large"],
)
def test_what_is_no_message_ends_the_connection_with_a_code(server, data, code):
    line, _ = server.line("ben")
    line.send(data)
    assert ended(line).code == code


def test_a_message_that_comes_slowly_holds_nobody_up(server, shared):
    line, _ = server.line("ben")
    data = frames(offer(1, "0", {"dtype": "<i2", "shape": [1 << 20, 1 << 10]}))
    for start in range(0, len(data), 40):
        line.send(data[start : start + 40])
        shared.propagate(MASK)
        assert isinstance(shared.last(), Done)
    assert next(messages(line)).type == "failed"
    line.close()


def test_a_greeting_of_another_version_is_refused(server):
    with pytest.raises(ConnectionClosed, match="version"):
        server.line("ben", version=99)


def test_a_volume_that_is_too_large_is_refused_before_it_crosses(server):
    line, _ = server.line("ben")
    line.send(frames(offer(1, "0" * 64, {"dtype": "<i2", "shape": [1024, 1024, 1024]})))
    failure = next(messages(line))
    assert "2048 MiB, and this server takes up to 1024 MiB" in failure.header["sentence"]
    line.close()


def offer(identity, sha256, described):
    return Message({"type": "offer", "id": identity, "volume": "v", "sha256": sha256, "unpacked": described})


def voxels(identity, array, **header):
    told = {"type": "voxels", "id": identity, "packed": "zlib", "unpacked": describe(array), **header}
    return Message(told, pack_voxels(array, "zlib"))


def test_a_volume_crosses_once_and_only_as_it_was_offered(server):
    array = VOLUME.array_kji + 1
    known, described = digest(array), describe(array)
    line, _ = server.line("ben")
    replies = messages(line)
    line.send(frames(offer(1, known, described)))
    assert next(replies).type == "wanted"
    line.send(frames(voxels(1, array - 1)))
    assert next(replies).header["sentence"] == "The voxels that came are not those that were offered."
    line.send(frames(offer(2, known, described)))
    assert next(replies).type == "wanted"
    line.send(frames(voxels(2, array)))
    assert next(replies).type == "volume_taken"
    line.send(frames(offer(3, known, described)))
    assert next(replies).type == "volume_taken"
    line.close()
    until(lambda: ask(server, "/healthz")["sessions"] <= 1)
    other, _ = server.line("anna")  # whoever only knows a digest gets nobody's voxels
    other.send(frames(offer(1, known, described)))
    assert next(messages(other)).type == "wanted"
    other.close()


# ---- in turn -------------------------------------------------------------------------------------------------------


def test_two_users_take_turns_and_are_told_their_place(server, shared, standins):
    anna = standins()
    run = anna.propagate(MASK, "slow")
    anna.until(SliceDone)
    waiting = shared.propagate(MASK)
    assert shared.receive() == Remote("queued", 1)
    shared.cancel(waiting)
    assert shared.receive() == Cancelled()
    shared.propagate(MASK)
    assert shared.receive() == Remote("queued", 1)
    assert ask(server, "/healthz")["waiting"] == 1
    anna.cancel(run)
    assert anna.last() == Cancelled()
    assert isinstance(shared.last(), Done)
    anna.propagate(MASK)
    assert isinstance(anna.last(), Done)


def test_more_requests_than_may_wait_are_refused(shared):
    running = shared.propagate(MASK, "slow")
    shared.until(SliceDone)
    queued = [shared.propagate(MASK) for _ in range(5)]
    answers = {}
    for identity in queued[:4]:
        shared.cancel(identity)
    shared.cancel(running)
    while len(answers) < 6:
        message = read_message(shared.stdout)
        if message.type in ("failed", "cancelled"):
            answers[message.header["id"]] = message.type
    assert answers == {running: "cancelled", **dict.fromkeys(queued[:4], "cancelled"), queued[4]: "failed"}


def test_a_user_who_reads_nothing_loses_the_slot_and_not_the_session(server, shared):
    line, _ = server.line("ben")
    line.send(frames(offer(1, digest(VOLUME.array_kji), describe(VOLUME.array_kji))))
    replies = messages(line)
    assert next(replies).type == "wanted"
    line.send(frames(voxels(1, VOLUME.array_kji)))
    assert next(replies).type == "volume_taken"
    line.send(json.dumps({"ack": 2}))
    line.send(frames(propagation(2, "slow")))
    until(lambda: ask(server, "/healthz")["computing"] == 1)
    shared.propagate(MASK)
    assert isinstance(shared.last(), Done)  # long before the slow one would have ended
    failure = next(message for message in replies if message.type == "failed")
    assert "Nothing was read for 0 s while others waited" in failure.header["sentence"]
    line.close()


def propagation(identity, model):
    return Propagate(setup(MASK.shape, model), ((1, 5),), MASK[[5]], 0, 11, True).to_message(identity)


def test_a_run_says_the_same_as_with_a_worker_of_this_computer(shared):
    here = Client(DRAWN_WORKER)
    here.send(TakeVolume("v", VOLUME.array_kji))
    here.receive()
    told = {}
    for client in (here, shared):
        client.propagate(MASK, "ends_early")
        told[client] = [read_message(client.process.stdout)]
        while told[client][-1].type != "done":
            told[client].append(read_message(client.process.stdout))
    here.kill()
    assert len(told[here]) == 15
    assert list(map(comparable, told[here])) == list(map(comparable, told[shared]))


def test_what_the_worker_logs_is_shown_to_its_user_and_a_flood_of_it_holds_nobody_up(shared):
    shared.propagate(MASK, "flood", keys=(7,))
    assert isinstance(shared.last(), Done)
    until(lambda: any("a warning of a thousand characters" in note for note in shared.notes))


def comparable(message):
    """The bytes of a frame, without what no two runs have in common."""
    header = {name: value for name, value in message.header.items() if name not in ("id", "seconds", "peak_mib")}
    return frames(Message(header, message.array))
