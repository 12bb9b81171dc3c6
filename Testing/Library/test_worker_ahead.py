"""What a worker does ahead of a request: it ends at one, gives way, and says nothing of what goes wrong."""

import asyncio
import io
import os
import queue
import sys
import threading
from dataclasses import replace

import pytest
from doubles import ThresholdPropagator, drawn_volume
from worker_client import setup

from SegmentPropagateLib.models import download, registry
from SegmentPropagateLib.process import BEHIND, give_way
from SegmentPropagateLib.server.clerk import Clerk
from SegmentPropagateLib.server.house import House
from SegmentPropagateLib.server.settings import Settings
from SegmentPropagateLib.worker.messages import Decoder, encode
from SegmentPropagateLib.worker.remote.packing import pack_mask
from SegmentPropagateLib.worker.remote.stream import Outbox
from SegmentPropagateLib.worker.replies import Noted
from SegmentPropagateLib.worker.requests import GetAhead, Hello, Propagate, TakeVolume
from SegmentPropagateLib.worker.service import Service
from SegmentPropagateLib.worker.setup import ModelChoice
from SegmentPropagateLib.worker.worker import Worker

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
