"""The process that computes: `python -m SegmentPropagateLib.worker`, messages on stdin and stdout, logs on stderr.

It lives as long as its stdin is open. A thread reads requests while the main thread works, so that a cancellation is
seen within one slice.
"""

from __future__ import annotations

import logging
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from typing import Any, BinaryIO

from SegmentPropagateLib.errors import CancelledError, InputError, OutOfMemoryError, SegmentPropagateError
from SegmentPropagateLib.process import let_waiting_threads_sleep
from SegmentPropagateLib.propagation.propagator import Propagator
from SegmentPropagateLib.worker.messages import Message, MessageError, read_message, write_message
from SegmentPropagateLib.worker.service import LoadModel, Service

GRACE_S = 10.0
"""How long a worker may go on with its slice after the other side has gone."""
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
        self._requests: queue.Queue[Message | None] = queue.Queue()
        self._cancelled: set[int] = set()
        self._ended = threading.Event()

    def read(self, stream: BinaryIO) -> None:
        """Take requests until the stream ends; runs in a thread of its own."""
        try:
            while (message := read_message(stream)) is not None:
                if message.type == "quit":
                    break
                if message.type == "cancel":
                    self._cancelled.add(int(message.header.get("id", 0)))
                else:
                    self._requests.put(message)
        except (MessageError, OSError) as error:
            logging.getLogger(__name__).error("%s", error)
        self._ended.set()
        self._requests.put(None)

    def run(self) -> None:
        """Answer requests until `read` has ended."""
        while not self._ended.is_set() and (request := self._requests.get()) is not None:
            self._answer(request)

    def _answer(self, request: Message) -> None:
        identity = int(request.header.get("id", 0))

        def send(message: Message) -> None:
            write_message(self._output, Message({**message.header, "id": identity}, message.array))

        def cancelled() -> bool:
            return identity in self._cancelled or self._ended.is_set()

        if cancelled():  # before it began
            send(Message({"type": "cancelled"}))
            return
        try:
            command = self._service.commands.get(request.type)
            if command is None:
                raise InputError(f"The worker does not know the request '{request.type}'.")
            command(request, send, cancelled)
        except BrokenPipeError:
            self._ended.set()
        except CancelledError:
            send(Message({"type": "cancelled"}))
        except Exception as error:  # noqa: BLE001 - the border of the process: a bug must not end it
            if not isinstance(error, SegmentPropagateError):
                traceback.print_exc()
            if is_out_of_memory(error):
                self._service.forget()
            send(Message({"type": "error", **describe(error)}))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, in numpy, in torch on a GPU, or in torch on the CPU (a plain RuntimeError)."""
    if isinstance(error, MemoryError | OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        text in str(error).lower() for text in ("out of memory", "not enough memory", "can't allocate memory")
    )


def describe(error: BaseException) -> Mapping[str, Any]:
    """`kind` (`memory`, `input`, `internal`) and one `sentence` for the user."""
    if isinstance(error, SegmentPropagateError):
        return {"kind": "memory" if isinstance(error, OutOfMemoryError) else "input", "sentence": str(error)}
    if is_out_of_memory(error):
        return {"kind": "memory", "sentence": OUT_OF_MEMORY}
    first_line = (str(error).splitlines() or [""])[0]
    return {"kind": "internal", "sentence": f"The worker failed ({type(error).__name__}: {first_line}); see Details."}


def load_model(name_or_path: str, **options: Any) -> Propagator:
    """`loading.load_model`, imported when it is first needed."""
    from SegmentPropagateLib.models import loading

    return loading.load_model(name_or_path, **options)


def main(load_model: LoadModel = load_model) -> int:
    """Serve stdin until it ends.

    Args:
        load_model: how a model's name becomes a propagator; tests give one that draws.
    """
    let_waiting_threads_sleep()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(name)s: %(message)s")
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever is printed, also by C code, goes to the log and not between the messages
    worker = Worker(Service(load_model), replies)

    def read_until_closed() -> None:
        worker.read(requests)
        time.sleep(GRACE_S)
        os._exit(1)  # stuck in a slice with nobody left to kill it

    threading.Thread(target=read_until_closed, daemon=True).start()
    worker.run()
    return 0
