"""A process that does one task at a time: JSON lines on stdin and stdout, whatever is printed goes to stderr.

Started by `pool`, and lives as long as its stdin is open: when the process that started it has gone, however it went,
this one ends too, in the middle of a task if need be.
"""

from __future__ import annotations

import importlib
import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, BinaryIO

from SegmentPropagateLib.errors import SegmentPropagateError
from SegmentPropagateLib.process import STOPPING, prepare_process

GRACE_S = 5.0
"""How long a task may take to clean up after the other side has gone."""

Work = Callable[[dict[str, Any]], dict[str, Any]]
"""From a task to its answer, both as JSON has them."""


def main(runner: str, settings: str) -> int:
    """Prepare, then do tasks until stdin ends.

    Args:
        runner: `module:function`; the function takes the settings and gives what does a task (`Work`).
        settings: JSON.
    """
    prepare_process()
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints must not write between the answers
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal; the first one decides
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # cleans up on its way
    tasks: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    busy = threading.Lock()
    threading.Thread(target=_read, args=(requests, tasks, busy), daemon=True).start()
    module, _, name = runner.partition(":")
    try:
        work: Work = getattr(importlib.import_module(module), name)(json.loads(settings))
    except SegmentPropagateError as error:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # comes next, and finds nothing to clean up
        _reply(replies, {"refused": str(error)})
        return 2
    _reply(replies, {"ready": os.getpid()})
    while (task := tasks.get()) is not None:
        with busy:
            _reply(replies, _answer(work, task))
    return 0


def _answer(work: Work, task: dict[str, Any]) -> dict[str, Any]:
    try:
        return work(task)
    except (SegmentPropagateError, OSError, MemoryError) as error:
        return {"status": "failed", "sentence": str(error) or "The machine ran out of memory."}
    except Exception as error:  # noqa: BLE001 - the border of the process: a bug in one case must not end the others
        traceback.print_exc()
        sentence = f"This is a fault of the program ({type(error).__name__}: {(str(error).splitlines() or [''])[0]})."
        return {"status": "failed", "sentence": sentence, "traceback": traceback.format_exc()}


def _read(requests: BinaryIO, tasks: queue.SimpleQueue[dict[str, Any] | None], busy: threading.Lock) -> None:
    """Take tasks; when they end, so does the process, at once or when it has cleaned up."""
    for line in requests:
        tasks.put(json.loads(line))
    tasks.put(None)
    if busy.locked():
        os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os._exit(1)


def _reply(replies: BinaryIO, answer: dict[str, Any]) -> None:
    try:
        replies.write(json.dumps(answer).encode() + b"\n")
        replies.flush()
    except BrokenPipeError:  # nobody listens any more
        sys.exit(1)
