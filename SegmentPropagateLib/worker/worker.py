"""The process that computes: `python -m SegmentPropagateLib.worker`, messages on stdin and stdout, logs on stderr.

It lives as long as its stdin is open. A thread reads requests while the main thread works, so that a cancellation is
seen within one slice.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import sys
import threading
import time
import traceback
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, BinaryIO

from SegmentPropagateLib.errors import CancelledError, OutOfMemoryError, SegmentPropagateError
from SegmentPropagateLib.process import give_way, prepare_process
from SegmentPropagateLib.propagation.propagator import Propagator
from SegmentPropagateLib.worker.fields import identity_of
from SegmentPropagateLib.worker.messages import Message, MessageError, printable, read_message, write_message
from SegmentPropagateLib.worker.replies import Cancelled, Failed, Reply
from SegmentPropagateLib.worker.requests import Cancel, Quit, read_request
from SegmentPropagateLib.worker.service import LoadModel, Service

GRACE_S = 10.0
"""How long a worker may go on with its slice after the other side has gone."""
_END = object()
LONGEST_SENTENCE = 1000  # characters
OUT_OF_MEMORY = (
    "The worker ran out of memory: choose a smaller range, fewer segments, a smaller image size, or the CPU; "
    "nothing was changed."
)


class Worker:
    """Serves one stream of requests; every reply carries the `id` of its request.

    Args:
        service: what can be asked for.
        output: where replies go.
    """

    def __init__(self, service: Service, output: BinaryIO) -> None:
        self._service = service
        self._output = output
        self._messages: queue.Queue[Message | None] = queue.Queue()
        self._cancelled: set[int] = set()
        self._ended = threading.Event()

    def read(self, stream: BinaryIO) -> None:
        """Take requests until the stream ends; runs in a thread of its own, and ends `run` whatever ends it."""
        try:
            while (message := read_message(stream)) is not None and not self._is_end(message):
                pass
        except (MessageError, OSError) as error:
            logging.getLogger(__name__).error("%s", error)
        finally:
            self._ended.set()
            self._messages.put(None)

    def run(self) -> None:
        """Answer requests until `read` has ended; while there is none, get ahead."""
        with ThreadPoolExecutor(1, initializer=give_way) as others_first:  # starts no thread before it is needed
            while not self._ended.is_set():
                self._get_ahead(others_first)
                message = self._messages.get()
                if message is None:
                    return
                self._answer(message)

    def _get_ahead(self, others_first: Executor) -> None:
        """Compute what was noted, until a message comes.

        Only the slices give way to other programs: whoever comes meanwhile needs the model and waits for it, but at
        most for one slice.
        """
        if not self._messages.empty():
            return
        try:
            steps = self._service.get_ahead()
            while steps and self._messages.empty() and others_first.submit(next, steps, _END).result() is not _END:
                pass
        except Exception as error:  # noqa: BLE001 - the border of the process; who asks in earnest is told
            logging.getLogger(__name__).debug("Nothing was done ahead: %s", error)
            if is_out_of_memory(error):
                self._service.forget()

    def _is_end(self, message: Message) -> bool:
        """Take one message: what ends things counts at once, the rest waits its turn, also to be refused."""
        with contextlib.suppress(MessageError):
            request = read_request(message) if message.type in (Cancel.word, Quit.word) else None
            if isinstance(request, Cancel):
                self._cancelled.add(identity_of(message))
                return False
            if isinstance(request, Quit):
                return True
        self._messages.put(message)
        return False

    def _answer(self, message: Message) -> None:
        identity = 0  # of a request that has none

        def send(reply: Reply) -> None:
            try:
                write_message(self._output, reply.to_message(identity))
            except OSError:  # nobody listens any more
                self._ended.set()

        def cancelled() -> bool:
            return identity in self._cancelled or self._ended.is_set()

        try:
            identity = identity_of(message)
            if cancelled():  # before it began
                raise CancelledError("The request was cancelled before it began.")
            self._service.answer(read_request(message), send, cancelled)
        except CancelledError:
            send(Cancelled())
        except Exception as error:  # noqa: BLE001 - the border of the process: a bug must not end it
            if not isinstance(error, SegmentPropagateError):
                traceback.print_exc()
            if is_out_of_memory(error):
                self._service.forget()
            send(failure_of(error))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, in numpy, in torch on a GPU, or in torch on the CPU (a plain RuntimeError)."""
    if isinstance(error, MemoryError | OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        text in str(error).lower() for text in ("out of memory", "not enough memory", "can't allocate memory")
    )


def failure_of(error: BaseException) -> Failed:
    """What the user is told of an error, in one sentence."""
    if isinstance(error, MessageError):
        return Failed("protocol", as_sentence(str(error)))
    if isinstance(error, SegmentPropagateError):
        return Failed("memory" if isinstance(error, OutOfMemoryError) else "input", as_sentence(str(error)))
    if is_out_of_memory(error):
        return Failed("memory", OUT_OF_MEMORY)
    first_line = (str(error).splitlines() or [""])[0]
    return Failed("internal", f"The worker failed ({type(error).__name__}: {as_sentence(first_line)}); see Details.")


def as_sentence(text: str) -> str:
    """The text as a reply may hold it, whatever names of files or tensors are in it."""
    text = printable(text if len(text) <= LONGEST_SENTENCE else text[:LONGEST_SENTENCE] + "...")
    return text if text.strip() else "The worker does not say why; see Details."


def load_model(name_or_path: str, **options: Any) -> Propagator:
    """`loading.load_model`, imported when it is first needed."""
    from SegmentPropagateLib.models import loading

    return loading.load_model(name_or_path, **options)


def main(load_model: LoadModel = load_model, grace_s: float = GRACE_S) -> int:
    """Serve stdin until it ends.

    Args:
        load_model: how a model's name becomes a propagator; tests give one that draws.
        grace_s: how long to go on after that, seconds.
    """
    prepare_process()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(name)s: %(message)s")
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever is printed, also by C code, goes to the log and not between the messages
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - a device
        os.dup2(nothing.fileno(), 0)  # whoever asks the user something takes no request for an answer
    worker = Worker(Service(load_model), replies)

    def read_until_closed() -> None:
        try:
            worker.read(requests)
        finally:
            time.sleep(grace_s)
            os._exit(1)  # stuck in a slice with nobody left to kill it

    threading.Thread(target=read_until_closed, daemon=True).start()
    worker.run()
    return 0
