"""Tasks for the computers of a Ray cluster; `ray` is imported here alone.

On each of its places an actor keeps a process of `pool`, which does the tasks as it does them on one computer: its
answers are the same, and a task that ends it ends nothing else. Ray gives out places and GPUs, and takes care of actors
and computers that go away. https://docs.ray.io/en/latest/ray-core/fault_tolerance/actors.html
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, NamedTuple

from SegmentPropagateLib import __version__
from SegmentPropagateLib.batch.pool import (
    BYTES_PER_PROCESS,
    PATIENCE_S,
    TRIES,
    Answer,
    Answers,
    Child,
    Crew,
    thread_limits,
)
from SegmentPropagateLib.errors import InputError, SegmentPropagateError
from SegmentPropagateLib.process import offspring

_POLL_S = 0.05
_ANSWERS_WITHIN_S = 5.0  # whoever is at an address at all
_MOST_CPUS = 8  # of one process: more threads gain little on slices, and whole computers are rarely free
_OBJECT_STORE_BYTES = 100 << 20  # tasks and answers are small; Ray would take a third of the memory
_ROOT = Path(__file__).resolve().parents[2]
_BRIEF: Mapping[str, str] = MappingProxyType({"RAY_NUM_REDIS_GET_RETRIES": "1", "RAY_py_gcs_connect_timeout_s": "10"})
"""As Ray has it, a cluster that does not answer is waited for ten minutes."""

_REAP = (
    f"import sys; sys.path.insert(0, {str(_ROOT)!r})\n"
    "from SegmentPropagateLib.process import kill_when_stdin_ends; kill_when_stdin_ends(sys.argv[1])"
)


class Share(NamedTuple):
    """What each process has.

    Args:
        processes: how many there are.
        cpus: cores; a part of one where there are more processes than cores.
        gpus: likewise.
        memory: bytes that are kept for it; 0 leaves that open.
    """

    processes: int
    cpus: float
    gpus: float = 0
    memory: int = 0


def check_usable(address: str | None) -> None:
    """Tell what is wrong before anything else is done.

    Args:
        address: `auto` for the cluster of this computer, HOST:PORT or ray://HOST:PORT; None for one of its own.

    Raises:
        InputError: ray is not installed, or nobody answers.
    """
    if importlib.util.find_spec("ray") is None:
        raise InputError("--engine ray needs Ray, which is not installed: pip install 'ray[client]'.")
    if address in (None, "auto"):
        return
    host, _, port = str(address).removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWERS_WITHIN_S).close()
    except (OSError, OverflowError) as error:
        raise InputError(
            f"No Ray cluster answers at '{address}' ({getattr(error, 'strerror', None) or error}): "
            "start one with `ray start --head`, or correct --address."
        ) from error


@contextmanager
def joined(address: str | None) -> Iterator[None]:
    """Be part of a cluster; where there is no address, of one that lives on this computer as long as the block.

    Raises:
        InputError: the cluster cannot be joined.
    """
    address = address or os.environ.get("RAY_ADDRESS")
    ray = _plain_ray()
    with _settled():
        try:
            _init(ray, address)
        except (ray.exceptions.RayError, OSError, RuntimeError, ValueError, ImportError) as error:
            raise _refusal(address, error) from error
        except KeyboardInterrupt:  # Ray itself forgets the servers of a node that was being started
            if not address:
                _reaper().communicate()
            raise
    reaper = None if address else _reaper()
    try:
        yield
    finally:
        ray.shutdown()
        if reaper is not None:
            reaper.communicate()


def _plain_ray() -> ModuleType:
    """Ray without telemetry; it reads what it is told when it is imported."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    for name, value in _BRIEF.items():
        os.environ.setdefault(name, value)
    if (Path.home() / ".ray" / "auth_token").is_file() or {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ):
        os.environ.setdefault("RAY_AUTH_MODE", "token")  # which `ray start` asks for unless it was told otherwise
    import ray

    return ray


def _init(ray: ModuleType, address: str | None) -> None:
    own = {"include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES}
    # `local` starts one even where another runs, or has left its address behind in the folder for temporary files.
    ray.init(address=address or "local", log_to_driver=False, logging_level="ERROR", **({} if address else own))


@contextmanager
def _settled() -> Iterator[None]:
    """Keep the handler of SIGTERM, which Ray takes, be silent, and be where no data is.

    Ray lets the folder that a program is in come first where its workers look for modules, and writes what it does to
    the terminal by itself.
    """
    handler, here = signal.getsignal(signal.SIGTERM), Path.cwd()
    sys.stderr.flush()
    stderr, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    os.chdir(_ROOT)
    try:
        yield
    finally:
        os.chdir(here)
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nothing)
        with suppress(ValueError):  # not the main thread, where Ray takes none either
            signal.signal(signal.SIGTERM, handler)


def _refusal(address: str | None, error: BaseException) -> InputError:
    causes = f"{error} {error.__cause__}"
    if "AuthToken" in causes or "Unauthenticated" in causes:
        return InputError(
            f"The Ray cluster at '{address}' asks for its token: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH to a "
            "copy of the file ~/.ray/auth_token of its head."
        )
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".:")
    where = f"The Ray cluster at '{address}' cannot be joined" if address else "Ray cannot be started on this computer"
    return InputError(f"{where} ({reason}): start one with `ray start --head`, or use --engine local.")


def _reaper() -> subprocess.Popen[bytes]:
    """What ends this computer's cluster even when this process is killed: Ray's agents would stay for a minute."""
    words = [sys.executable, "-c", _REAP, json.dumps(offspring())]
    return subprocess.Popen(words, cwd=_ROOT, stdin=subprocess.PIPE, start_new_session=True)


def share_out(wanted: int | None, tasks: int, *, on_gpus: bool) -> Share:
    """What each process on the cluster that was joined should have.

    Args:
        wanted: number of processes; None takes one per GPU, and without one as many as cores and memory are for.
        tasks: there is no use in more processes than that.
        on_gpus: whether they can use one.
    """
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return share_of(nodes, wanted, tasks, on_gpus=on_gpus)


def share_of(nodes: Sequence[Mapping[str, float]], wanted: int | None, tasks: int, *, on_gpus: bool) -> Share:
    """As `share_out`, of computers with their `CPU`, `GPU` and `memory` (bytes), as Ray tells them."""
    having = [node for node in nodes if on_gpus and node.get("GPU")]
    cpus = [node.get("CPU", 0.0) for node in having or nodes]
    gpus = [node["GPU"] for node in having]
    fitting = [min(node.get("CPU", 0.0), node.get("memory", 0.0) // BYTES_PER_PROCESS) for node in nodes]
    found = wanted or int(sum(gpus if having else fitting))
    count = max(1, min(found, tasks))
    kept = BYTES_PER_PROCESS if found and not wanted and not having else 0
    return Share(count, min(_MOST_CPUS, _part(cpus, count)), min(1, _part(gpus, count)), kept)


def _part(amounts: Sequence[float], count: int) -> float:
    """The largest part of a resource of which all computers together have so many; whole numbers before fractions."""
    for part in range(int(max(amounts, default=0)), 0, -1):
        if sum(amount // part for amount in amounts) >= count:
            return part
    total = sum(map(int, amounts))
    return 1 / -(-count // total) if total else 0


class Runner:
    """What an actor is: it keeps a process on its computer.

    Args:
        crew: what the process is given.
        threads: that it may have.
        folder: where the batch was started; relative names count from it.
        sign: a file of the batch.
        version: of the program that started the batch.
    """

    def __init__(self, crew: Crew, threads: int, folder: str, sign: str, version: str) -> None:
        with suppress(OSError):  # where all names are absolute it is not missed
            os.chdir(folder)
        self._child = Child(crew, thread_limits(threads))
        self._sign, self._version = sign, version

    def refusal(self) -> str:
        """Why nothing can be done here; empty where it can."""
        if self._version != __version__:
            return f"'{platform.node()}' has SegmentPropagate {__version__}, not {self._version}: install the same."
        if not Path(self._sign).is_file():
            return (
                f"'{platform.node()}' does not see '{self._sign}': give cases and --output on a disk that all "
                "computers of the cluster have under the same path."
            )
        return ""

    def ask(self, task: Mapping[str, Any]) -> Answer:
        """The answer to a task, or a sentence that ends the batch, as `refused` or `broken`."""
        try:
            return self._child.ask(task)
        except InputError as error:
            return {"refused": str(error)}
        except (SegmentPropagateError, OSError) as error:
            return {"broken": str(error)}

    def end(self) -> None:
        """End the process, also during a task."""
        self._child.end()
        self._child.wait()


def carry_out(tasks: Iterable[Mapping[str, Any]], crew: Crew, share: Share, sign: Path) -> Answers:
    """Yield each task with its answer as they come; closing the iterator ends the processes.

    The answer to a task that has ended its process twice, or whose computer went away twice, has the status `lost`.

    Args:
        tasks: as for `pool.carry_out`.
        crew: its environments are not used: each process has that of its computer.
        share: see `share_out`.
        sign: a file that every computer of the cluster must see.

    Raises:
        InputError: a computer of the cluster, or the runner, refuses.
        SegmentPropagateError: no process can be started.
    """
    import ray

    waiting, placed = list(tasks)[::-1], []
    begun: dict[Any, tuple[Any, Mapping[str, Any] | None]] = {
        runner.refusal.remote(): (runner, None) for runner in _hired(crew, share, sign)
    }
    try:
        while waiting or any(task is not None for _runner, task in begun.values()):
            if not begun:
                raise SegmentPropagateError("No computer of the cluster could start a process: try `ray status`.")
            time.sleep(_POLL_S)  # a signal that comes while Ray waits is taken for Ctrl-C, whatever it was
            for reference in ray.wait(list(begun), num_returns=len(begun), timeout=0)[0]:
                runner, task = begun.pop(reference)
                if task is None:
                    if not _is_ready(reference, last=not begun):
                        continue
                    placed += [runner] if runner not in placed else []
                else:
                    answer = _answer_of(reference)
                    yield task, answer
                    if answer["status"] == "lost":  # perhaps the actor is, too
                        begun[runner.refusal.remote()] = runner, None
                        continue
                if waiting:
                    following = waiting.pop()
                    begun[runner.ask.remote(following)] = runner, following
    finally:
        _end(placed)


def _hired(crew: Crew, share: Share, sign: Path) -> list[Any]:
    """Actors that Ray places as soon as it has room, and elsewhere when their computer goes away."""
    import ray

    actor = ray.remote(Runner).options(
        num_cpus=share.cpus,
        num_gpus=share.gpus,
        memory=share.memory or None,
        max_restarts=-1,
        max_task_retries=TRIES - 1,
        max_concurrency=2,  # a task, and its end
        scheduling_strategy="SPREAD",
    )
    words = (crew, int(share.cpus), str(Path.cwd()), str(sign), __version__)
    return [actor.remote(*words) for _ in range(share.processes)]


def _is_ready(reference: Any, *, last: bool) -> bool:
    """Whether an actor can be given tasks; where it is the last one that could, it ends the batch if not."""
    import ray

    try:
        refusal = ray.get(reference)
    except ray.exceptions.RayError as error:
        if not last:
            return False
        raise SegmentPropagateError(f"A process for the cases could not be started: {_line_of(error)}.") from error
    if refusal:
        raise InputError(refusal)
    return True


def _answer_of(reference: Any) -> Answer:
    import ray

    try:
        answer: Answer = ray.get(reference)
    except ray.exceptions.RayError as error:
        sentence = f"Its process or computer went away {TRIES} times: {_line_of(error)}."
        return {"status": "lost", "sentence": sentence}
    if "refused" in answer:
        raise InputError(answer["refused"])
    if "broken" in answer:
        raise SegmentPropagateError(answer["broken"])
    return answer


def _line_of(error: BaseException) -> str:
    """Ray tells whole stories; their last line says what is wrong in an import, the first all else."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    missing = [line for line in lines if line.startswith(("ModuleNotFoundError", "ImportError"))]
    return (missing or lines)[0].rstrip(".")


def _end(runners: Sequence[Any]) -> None:
    """End all processes, and wait until they have: nothing is written after the batch."""
    import ray

    with suppress(ray.exceptions.RayError):
        ended = [runner.end.remote() for runner in runners]
        if ended:
            ray.wait(ended, num_returns=len(ended), timeout=PATIENCE_S + 2)
        for runner in runners:
            ray.kill(runner)
