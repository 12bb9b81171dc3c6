"""Tasks for several processes: each has one at a time, and what ends a process ends no task but its own."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from SegmentPropagateLib.errors import InputError, SegmentPropagateError
from SegmentPropagateLib.process import available_memory_bytes

TRIES = 2
"""A task that has ended so many processes is not tried again."""
_STARTS = 3  # of a process, before the batch is given up
PATIENCE_S = 8.0
"""For a process to clean up when it is told to end."""
_THREADS = ("OMP_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
BYTES_PER_PROCESS = 3 << 30
"""A volume of 512 x 512 x 300, its gray values, and what a method makes of them."""

_START = (
    "import sys; sys.path[:] = sys.argv[1].split({sep!r})\n"
    "from SegmentPropagateLib.batch.child import main; sys.exit(main(*sys.argv[2:]))"
)
"""The folder that the user is in holds data, and Python would take a file of it for a module, even of its own."""

Answer = dict[str, Any]
Answers = Generator[tuple[Mapping[str, Any], Answer], None, None]
"""Each task with its answer; closing it ends what is at work."""
CarryOut = Callable[[Iterable[Mapping[str, Any]]], Answers]


class Crew(NamedTuple):
    """Who does the tasks.

    Args:
        runner: see `child.main`.
        settings: what the runner is given; as JSON has it.
        environments: of each process what its environment has beside that of this one.
    """

    runner: str
    settings: Mapping[str, Any]
    environments: Sequence[Mapping[str, str]]


def environments(wanted: int | None, tasks: int, gpus: int) -> list[dict[str, str]]:
    """One environment for each process that there should be.

    Args:
        wanted: number of processes; None takes one per GPU, and without one as many as cores and memory are for.
        tasks: there is no use in more processes than that.
        gpus: how many are to be shared out.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = available_memory_bytes()
    fitting = cores if memory is None else min(cores, memory // BYTES_PER_PROCESS)
    count = max(1, min(wanted or gpus or fitting, tasks))
    shared = thread_limits(cores // count)
    if gpus < 2:
        return [dict(shared) for _ in range(count)]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else [str(number) for number in range(gpus)]
    return [{**shared, "CUDA_VISIBLE_DEVICES": names[number % gpus]} for number in range(count)]


def thread_limits(threads: int) -> dict[str, str]:
    """How many threads a process may have, as its environment says it; what the user has said there stays."""
    return {name: str(max(1, threads)) for name in _THREADS if name not in os.environ}


def carry_out(tasks: Iterable[Mapping[str, Any]], crew: Crew) -> Answers:
    """Yield each task with its answer as they come; closing the iterator ends the processes.

    The answer to a task that has ended its process twice has the status `lost`.

    Raises:
        InputError: the runner refuses its settings.
        SegmentPropagateError: a process cannot be started.
    """
    waiting: queue.SimpleQueue[Mapping[str, Any]] = queue.SimpleQueue()
    for task in tasks:
        waiting.put(task)
    came: queue.SimpleQueue[tuple[Mapping[str, Any], Answer] | SegmentPropagateError | None] = queue.SimpleQueue()
    children = [Child(crew, environment) for environment in crew.environments]
    threads = [threading.Thread(target=_serve, args=(child, waiting, came), daemon=True) for child in children]
    try:
        for thread in threads:
            thread.start()
        working = len(threads)
        while working:
            try:
                item = came.get(timeout=0.5)  # without one, Windows tells of no Ctrl-C
            except queue.Empty:
                continue
            if item is None:
                working -= 1
            elif isinstance(item, SegmentPropagateError):
                raise item
            else:
                yield item
    finally:
        for child in children:
            child.end()
        for child in children:
            child.wait()


def _serve(child: Child, waiting: queue.SimpleQueue, came: queue.SimpleQueue) -> None:
    """Give one process task after task until none is left, or it is told to end."""
    try:
        while not child.ended:
            task = waiting.get_nowait()
            came.put((task, child.ask(task)))
    except queue.Empty:
        child.dismiss()
    except SegmentPropagateError as error:
        came.put(error)
    except OSError as error:
        came.put(SegmentPropagateError(f"A process for the cases could not be started: {error.strerror or error}."))
    finally:
        came.put(None)


class _DeathError(Exception):
    """The process has gone, and how."""


class Child:
    """A process, started when it is first needed, and again when it has died."""

    def __init__(self, crew: Crew, environment: Mapping[str, str]) -> None:
        self.ended = self._dismissed = False
        self._crew, self._environment = crew, environment
        self._process: subprocess.Popen[bytes] | None = None
        self._starting = threading.Lock()

    def ask(self, task: Mapping[str, Any]) -> Answer:
        """The answer to a task; `lost` where it has ended `TRIES` processes."""
        how = ""
        for _ in range(TRIES):
            process = self._started()
            try:
                return _exchange(process, task)
            except _DeathError as error:
                how = str(error)
                if self.ended:
                    break
        return {"status": "lost", "sentence": f"The process that computed it ended {TRIES} times: {how}."}

    def dismiss(self) -> None:
        """Let the process end: there is nothing more to do."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._dismissed = True

    def end(self) -> None:
        """Ask the process to end whatever it does, and start no other."""
        with self._starting:
            self.ended = True
            if self._process is not None and not self._dismissed:
                self._process.terminate()

    def wait(self) -> None:
        """Wait until the process has ended, and do not be patient for ever."""
        if self._process is not None:
            try:
                self._process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
            with self._process:  # waits again, and closes its pipes
                pass

    def _started(self) -> subprocess.Popen[bytes]:
        """The process, ready for a task."""
        how = ""
        for _ in range(_STARTS):
            with self._starting:
                if self.ended:
                    raise SegmentPropagateError("The batch was ended.")
                if self._process is not None and self._process.poll() is None:
                    return self._process
                self._process = self._start()
            try:
                told = _hear(self._process)
            except _DeathError as error:
                how = str(error)
                continue
            if "refused" in told:
                raise InputError(str(told["refused"]))
            return self._process
        raise SegmentPropagateError(f"A process for the cases could not be started: {how}.")

    def _start(self) -> subprocess.Popen[bytes]:
        here, root = Path.cwd(), str(Path(__file__).resolve().parents[2])
        paths = [path for path in sys.path if path and Path(path).resolve() != here]
        paths += [root] if root not in paths else []
        words = [os.pathsep.join(paths), self._crew.runner, json.dumps(self._crew.settings)]
        return subprocess.Popen(
            [sys.executable, "-c", _START.format(sep=os.pathsep), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **self._environment},
        )


def _exchange(process: subprocess.Popen[bytes], task: Mapping[str, Any]) -> Answer:
    try:
        if process.stdin is not None:
            process.stdin.write(json.dumps(task).encode() + b"\n")
            process.stdin.flush()
    except OSError as error:  # it died since its last answer
        raise _DeathError(_ending_of(process)) from error
    return _hear(process)


def _hear(process: subprocess.Popen[bytes]) -> Answer:
    line = process.stdout.readline() if process.stdout is not None else b""
    if not line.endswith(b"\n"):
        raise _DeathError(_ending_of(process))
    answer: Answer = json.loads(line)
    return answer


def _ending_of(process: subprocess.Popen[bytes]) -> str:
    status = process.wait()
    if status >= 0:
        return f"exit status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"{name}, as when memory ran out" if name == "SIGKILL" else name
