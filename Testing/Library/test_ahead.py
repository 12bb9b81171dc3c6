"""Getting ahead of a run while nobody asks: the same masks from fewer computations, bounded, and gone at a request."""

import asyncio
import io
import os
import queue
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
import upstream
from doubles import ThresholdPropagator, drawn_volume
from worker_client import setup

from SegmentPropagateLib.models import download, registry
from SegmentPropagateLib.networks.card import Card
from SegmentPropagateLib.networks.families import NetworkConfig
from SegmentPropagateLib.process import BEHIND, give_way
from SegmentPropagateLib.propagation.prompts import MaskPrompt
from SegmentPropagateLib.propagation.propagator import PropagationSettings
from SegmentPropagateLib.propagation.session import Session
from SegmentPropagateLib.propagators.classical import carrier
from SegmentPropagateLib.propagators.classical.engine import AHEAD, ClassicalPropagator
from SegmentPropagateLib.propagators.finishing import FinishingPropagator
from SegmentPropagateLib.propagators.partner import PartnerPropagator
from SegmentPropagateLib.propagators.tracking.engine import NetworkPropagator
from SegmentPropagateLib.propagators.tracking.tracker import Tracker
from SegmentPropagateLib.server.clerk import Clerk
from SegmentPropagateLib.server.house import House
from SegmentPropagateLib.server.settings import Settings
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.volume import Volume
from SegmentPropagateLib.worker.messages import Decoder, encode
from SegmentPropagateLib.worker.remote.packing import pack_mask
from SegmentPropagateLib.worker.remote.stream import Outbox
from SegmentPropagateLib.worker.replies import Noted
from SegmentPropagateLib.worker.requests import GetAhead, Hello, Propagate, TakeVolume
from SegmentPropagateLib.worker.service import Service
from SegmentPropagateLib.worker.setup import ModelChoice
from SegmentPropagateLib.worker.worker import Worker

GRAY, MASK, _ = upstream.synthetic_volume()
VOLUME = Volume(GRAY.astype(np.int16) * 4 - 300, Geometry(GRAY.shape, np.diag([1.0, 1.0, 3.0, 1.0])))
KEY, LAST = 6, len(GRAY) - 1
NOTHING = np.zeros_like(MASK)


# ---- the network ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def network():
    return upstream.network_with_fixed_weights(NetworkConfig("starter", "conv", 64))


@pytest.fixture
def encoded(monkeypatch):
    """One entry per image that is encoded."""
    found, encode_image = [], Tracker.encode

    def encode(self, image):
        found.append(image)
        return encode_image(self, image)

    monkeypatch.setattr(Tracker, "encode", encode)
    return found


def session_of(network, roi, cache_mb=200.0, wrap=lambda propagator: propagator):
    propagator = NetworkPropagator(network, Card("starter", "conv", 64, name="small"), cache_mb=cache_mb)
    return Session(wrap(propagator), VOLUME, settings=PropagationSettings(roi=roi))


def run(session, keys=None):
    for index, mask in (keys or {KEY: MASK}).items():
        session.add_key(1, index, MaskPrompt(mask))
    return [(update.slice_index, update.mask, update.presence) for update in session.propagate()]


@pytest.mark.parametrize(("roi", "saved"), [("auto", 3), ("off", len(GRAY))])  # these weights soon leave their view
def test_a_run_gives_the_same_masks_to_the_bit_and_encodes_fewer_slices(network, encoded, roi, saved):
    expected = run(session_of(network, roi))
    needed = len(encoded)
    session = session_of(network, roi)
    encoded.clear()
    assert sum(1 for _ in session.get_ahead({1: {KEY: MASK}})) == len(encoded) == len(GRAY)
    encoded.clear()
    found = run(session)
    assert len(encoded) == needed - saved
    for (index, mask, presence), (wanted, wanted_mask, wanted_presence) in zip(found, expected, strict=True):
        assert (index, presence) == (wanted, wanted_presence)
        assert np.array_equal(mask, wanted_mask)


def test_what_is_told_through_the_propagators_around_a_network_reaches_it(network, encoded):
    def wrap(propagator):
        return FinishingPropagator(PartnerPropagator(propagator, ThresholdPropagator()))

    steps = session_of(network, "auto", wrap=wrap).get_ahead({1: {KEY: MASK}})
    next(steps)
    assert len(encoded) == 1


def test_no_more_is_encoded_than_is_kept_and_the_nearest_slices_are(network, encoded):
    list(session_of(network, "off").get_ahead({1: {KEY: MASK}}))
    nearest = encoded[:5]
    a_slice = Tracker(network, torch.device("cpu"), torch.float32).encode(nearest[0]).bytes / 2**20
    encoded.clear()
    session = session_of(network, "off", cache_mb=5.5 * a_slice)
    for _ in range(2):  # the second time all of them are still there
        list(session.get_ahead({1: {KEY: MASK}}))
        assert len(encoded) == 5
    assert all(torch.equal(one, other) for one, other in zip(encoded, nearest, strict=True))


@pytest.mark.parametrize(("roi", "count"), [("off", len(GRAY)), ("auto", 0)])
def test_before_anything_is_drawn_only_whole_slices_are_encoded(network, encoded, roi, count):
    list(session_of(network, roi).get_ahead({1: {KEY: NOTHING}}))
    assert len(encoded) == count


def test_memory_that_runs_out_ends_it_without_a_word(network, monkeypatch):
    def encode(self, image):
        raise torch.OutOfMemoryError

    session = session_of(network, "off")
    monkeypatch.setattr(Tracker, "encode", encode)
    assert list(session.get_ahead({1: {KEY: MASK}})) == []
    monkeypatch.undo()
    assert len(run(session)) == LAST


# ---- the classical propagator --------------------------------------------------------------------------------------


@pytest.fixture
def advanced(monkeypatch):
    """One entry per slice that is registered."""
    found, registered = [], carrier.register
    monkeypatch.setattr(carrier, "register", lambda *images: found.append(1) or registered(*images))
    return found


@pytest.mark.parametrize(
    ("keys", "moved", "saved"),
    [((4,), 0, True), ((4, 7), 0, True), ((4,), 1, False)],
    ids=["one key", "between two", "another outline"],
)
def test_passes_that_were_begun_ahead_go_on_to_the_same_masks(advanced, keys, moved, saved):
    volume, mask = drawn_volume((12, 40, 40))
    ends = keys[0] - 1, keys[-1] + 2

    def run(session):
        before = len(advanced)
        for key in keys:
            session.add_key(1, key, MaskPrompt(mask[key]))
        found = [(update.slice_index, update.logits, update.presence) for update in session.propagate(*ends)]
        return found, len(advanced) - before

    expected, needed = run(Session(ClassicalPropagator(), volume))
    session, before = Session(ClassicalPropagator(), volume), len(advanced)
    list(session.get_ahead({1: {key: np.roll(mask[key], moved, 1) for key in keys}}, *ends))
    ahead = len(advanced) - before
    found, left = run(session)
    assert 0 < ahead <= AHEAD * 4
    assert left == (needed - ahead if saved else needed)
    for (index, logits, presence), (wanted, wanted_logits, wanted_presence) in zip(found, expected, strict=True):
        assert (index, presence) == (wanted, wanted_presence)
        assert np.array_equal(logits, wanted_logits)


# ---- the session ---------------------------------------------------------------------------------------------------


def test_keys_and_results_stay_and_only_the_stretch_of_a_correction_is_looked_at():
    volume, mask = drawn_volume()
    session = Session(propagator := ThresholdPropagator(), volume)
    session.add_key(1, 5, MaskPrompt(mask[5]))
    list(session.propagate())
    before = session.results(1)
    list(session.get_ahead({1: {5: mask[5], 9: mask[8]}}))
    assert session.keys(1) == (5,)
    assert session.results(1).keys() == before.keys()
    assert sorted(propagator.ahead) == [6, 7, 8, 10, 11]


# ---- the worker ----------------------------------------------------------------------------------------------------

OBJECT_VOLUME, OBJECT = drawn_volume()


class Line:
    """What the worker reads; `taken` is set when it has taken all that was sent, and waits for more."""

    def __init__(self):
        self._pieces, self._rest, self.taken = queue.Queue(), b"", threading.Event()

    def send(self, request, identity):
        self.taken.clear()
        head, payload = encode(request.to_message(identity))
        self._pieces.put(head + bytes(payload))

    def end(self):
        self._pieces.put(b"")

    def read(self, size):
        if not self._rest:
            if self._pieces.empty():
                self.taken.set()
            self._rest = self._pieces.get()
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


class Ahead(ThresholdPropagator):
    """At the third step a request comes, and before the step has ended the worker's other thread has it."""

    def __init__(self, line, end):
        super().__init__()
        self.line, self.end, self.steps, self.threads = line, end, 0, set()

    def get_ahead(self, lanes, key_masks):
        for _ in range(100):
            self.steps += 1
            self.threads.add(threading.get_native_id())
            if self.steps == 3:
                self.line.send(Hello(), 7)
                assert self.line.taken.wait(10)
                self.end()
            yield


class OneByOne(Service):
    """Whenever there is nothing to do, the next request comes, and then the end."""

    def __init__(self, load, line, requests):
        super().__init__(load)
        self.line, self.requests = line, list(enumerate(requests, start=1))

    def get_ahead(self):
        try:
            return super().get_ahead()
        finally:
            if self.requests:
                identity, request = self.requests.pop(0)
                self.line.send(request, identity)
                assert self.line.taken.wait(10)
            else:
                self.line.end()


def work(worker, line):
    """Have the worker do all that comes on the line."""
    reader = threading.Thread(target=worker.read, args=(line,), daemon=True)
    reader.start()
    worker.run()
    reader.join(10)


def ahead(keys=((1, 5),), **more):
    return GetAhead(
        setup=setup(model=more.pop("model", "threshold")),
        keys=keys,
        masks=OBJECT[[index for _, index in keys]],
        **{"first": None, "last": None, **more},
    )


def answers(output):
    return [(message.header["id"], message.type) for message in Decoder().feed(output.getvalue())]


def test_a_request_that_comes_meanwhile_is_answered_after_the_slice_that_is_being_done():
    line, output = Line(), io.BytesIO()
    propagator = Ahead(line, line.end)
    worker = Worker(Service(lambda name, **options: propagator), output)
    for identity, request in enumerate((TakeVolume("v", OBJECT_VOLUME.array_kji), ahead()), start=1):
        line.send(request, identity)
    work(worker, line)
    assert propagator.steps == 3
    assert answers(output)[:2] == [(1, "volume_taken"), (2, "noted")]
    assert propagator.threads.isdisjoint({threading.get_native_id()})  # but in one that gives way


class Asked:
    """A service, and what it answered."""

    def __init__(self, load=lambda name, **options: ThresholdPropagator()):
        self.loaded, self.replies = [], []

        def load_model(name, **options):
            self.loaded.append(name)
            return load(name, **options)

        self.service = Service(load_model)
        self.ask(TakeVolume("v", OBJECT_VOLUME.array_kji))

    def ask(self, request):
        self.service.answer(request, self.replies.append, lambda: False)
        return self.replies[-1]


def test_nothing_is_loaded_before_there_is_time_and_nothing_after_another_request():
    asked = Asked()
    assert asked.ask(ahead()) == Noted()
    assert asked.loaded == []
    asked.ask(Hello())
    assert asked.service.get_ahead() is None
    assert asked.loaded == []


def test_the_run_that_follows_finds_model_and_session():
    asked = Asked()
    asked.ask(ahead())
    assert len(list(asked.service.get_ahead())) == len(OBJECT) - 1
    assert asked.service.get_ahead() is None  # once is enough
    said = len(asked.replies)
    asked.ask(Propagate(setup(), ((1, 5),), OBJECT[[5]], None, None, True))
    assert [reply.word for reply in asked.replies[said : said + 2]] == ["started", "slice_done"]
    assert asked.replies[-1].computed == len(OBJECT) - 1
    assert asked.loaded == ["threshold"]


def test_a_model_that_would_have_to_be_downloaded_is_not(monkeypatch, tmp_path):
    monkeypatch.setenv("SEGMENTPROPAGATE_HOME", str(tmp_path))
    monkeypatch.setattr(download, "fetch", None)  # fails where it is called
    name = next(name for name, model in registry.REGISTRY.items() if not model.is_ready)
    asked = Asked()
    asked.ask(ahead(model=name))
    assert asked.service.get_ahead() is None
    assert asked.loaded == []


@pytest.mark.parametrize(
    ("error", "more"),
    [(MemoryError, {}), (ZeroDivisionError, {}), (None, {"first": 7}), (None, {"last": 3})],
    ids=["no memory", "a bug", "key before the range", "key after the range"],
)
def test_what_goes_wrong_ahead_is_said_by_nobody_and_the_next_run_works(error, more):
    errors = [error] if error else []

    def load(name, **options):
        if errors:
            raise errors.pop()
        return ThresholdPropagator()

    run = Propagate(setup(), ((1, 5),), OBJECT[[5]], 4, 6, True)
    line, output = Line(), io.BytesIO()
    service = OneByOne(load, line, [TakeVolume("v", OBJECT_VOLUME.array_kji), ahead(**more), run])
    work(Worker(service, output), line)
    said = answers(output)
    assert said[:2] == [(1, "volume_taken"), (2, "noted")]
    assert said[-1] == (3, "done")
    assert {identity for identity, _ in said[2:]} == {3}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the priority of a thread")
def test_a_thread_that_gives_way_does_so_alone():
    found = []

    def work():
        give_way()
        give_way()  # twice is no more
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [max(before, BEHIND)]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


# ---- the server ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "answer"), [("threshold", "noted"), ("another", "failed")])
def test_a_server_takes_note_and_leaves_its_device_to_those_who_wait(model, answer):
    async def serve():
        emitted, come = [], asyncio.Event()

        def emit(message):
            emitted.append(message)
            come.set()

        house = House(Settings(("threshold",), command=("no-such-program",)))
        clerk = Clerk("anna", house, emit, Outbox())
        fulfilling = asyncio.create_task(clerk.run())
        request = ahead()
        request = replace(request, setup=replace(request.setup, model=ModelChoice(model)))
        clerk.take(pack_mask(request.to_message(4)))
        await asyncio.wait_for(come.wait(), 10)
        fulfilling.cancel()
        await clerk.close()
        return [(message.header["id"], message.type) for message in emitted], house.slots.free

    assert asyncio.run(serve()) == ([(4, answer)], 1)
