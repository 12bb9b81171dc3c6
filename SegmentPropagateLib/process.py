"""This process and its machine: how threads wait for each other, what a signal does, memory taken and memory left."""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType, ModuleType

STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that ask a process to end; Windows has no SIGHUP."""


def prepare_process() -> None:
    """Call before torch is imported, in a process of our own.

    Waiting threads then sleep. By default they spin, which made runs 2 to 6 times slower (and took 3 to 6 times the
    processor time) on a two-core computer with other work to do, such as drawing the views of Slicer.

    And scipy tells users nothing of its history: up to 1.15, the last for Python 3.10, it warns at every first
    `affine_transform` that goes axis by axis, of what that did before 0.18.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    warnings.filterwarnings("ignore", "The behavior of affine_transform with a 1-D array", UserWarning)


@contextmanager
def importing_for_good() -> Iterator[None]:
    """Let the garbage collector never look at what is imported during the block, in a process of our own.

    Modules let few of their objects go: looking through those of torch took .2 s while it was imported, .3 s when
    Python ended, and some of every collection between.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.freeze()


BEHIND = 10
"""How far behind others a thread is that gives way, of 19: not so far that one who waits for its end waits for ever."""


def give_way() -> None:
    """Let other threads of the computer go before this one, and before those that it starts; no way back.

    Does nothing on systems that only know the priority of whole processes.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, max(BEHIND, os.getpriority(os.PRIO_PROCESS, thread)))
    elif sys.platform == "win32":
        import ctypes

        kernel = ctypes.WinDLL("kernel32")
        kernel.GetCurrentThread.restype = ctypes.c_void_p
        kernel.SetThreadPriority.argtypes = (ctypes.c_void_p, ctypes.c_int)
        kernel.SetThreadPriority(kernel.GetCurrentThread(), -2)  # THREAD_PRIORITY_LOWEST


@contextmanager
def signals_handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Let signals that ask the process to end call a handler during the block; ignored ones stay so.

    Elsewhere than in the main thread this does nothing: only that one ever notices signals.
    """
    in_main = threading.current_thread() is threading.main_thread()
    former = {number: signal.getsignal(number) for number in STOPPING if in_main}
    former = {number: known for number, known in former.items() if known not in (None, signal.SIG_IGN)}
    try:
        for number in former:
            signal.signal(number, handler)
        yield
    finally:
        for number, known in former.items():
            signal.signal(number, known)


@contextmanager
def signals_waiting() -> Iterator[None]:
    """Let signals that ask the process to end wait until the block is over."""
    waiting: list[int] = []
    try:
        with signals_handled(lambda number, _frame: waiting.append(number)):
            yield
    finally:
        for number in waiting:
            signal.raise_signal(number)


def lower_priority() -> None:
    """Let other processes of the machine go first, where `psutil` is installed to ask for it."""
    psutil = _psutil()
    if psutil is not None:
        psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS if sys.platform == "win32" else 10)


def peak_memory_mib() -> float | None:
    """Largest resident memory of this process so far, MiB; None on Windows where `psutil` is not installed."""
    if sys.platform == "win32":
        psutil = _psutil()
        return None if psutil is None else round(psutil.Process().memory_info().peak_wset / 2**20, 1)
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)  # bytes there, KiB elsewhere


def is_running(pid: int, since: float | None = None) -> bool:
    """Whether a process of that number is there; yes, where that cannot be told.

    Args:
        pid: its number.
        since: seconds of the epoch; one that was started later is another process that was given the number.
    """
    psutil = _psutil()
    if psutil is not None:
        try:
            there = bool(psutil.pid_exists(pid))
            return there and (since is None or psutil.Process(pid).create_time() <= since + 1)
        except psutil.NoSuchProcess:
            return False
        except psutil.Error:
            return True
    if sys.platform == "win32":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def offspring() -> list[tuple[int, float]]:
    """All processes below this one, each by its number and the time of its start; none, where that cannot be told."""
    psutil = _psutil()
    if psutil is None:
        return []
    return [(child.pid, child.create_time()) for child in psutil.Process().children(recursive=True)]


def kill_when_stdin_ends(known: str) -> None:
    """Wait until whoever holds the other end has gone, then kill processes.

    Args:
        known: JSON of what `offspring` gave; a number that another process has by then is left alone.
    """
    psutil = _psutil()
    if psutil is None:
        return
    sys.stdin.read()
    for pid, born in json.loads(known):
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            if process.create_time() == born:
                process.kill()


def give_memory_back() -> None:
    """Return to the system what was freed but lies between what is in use, where the C library can (glibc).

    It keeps those pages otherwise, and every thread has such a heap of its own.
    """
    if sys.platform == "linux":
        import ctypes

        with suppress(AttributeError):  # musl has none of it
            ctypes.CDLL(None).malloc_trim(0)


def available_memory_bytes() -> int | None:
    """Memory of this machine that could be had at once, without swapping; None where `psutil` is not installed."""
    psutil = _psutil()
    return None if psutil is None else int(psutil.virtual_memory().available)


def _psutil() -> ModuleType | None:
    """Slicer's Python lacks it until the user has installed what the module needs."""
    try:
        import psutil
    except ImportError:
        return None
    return psutil
