"""This process and its machine: how threads wait for each other, how much memory is taken, and how much is left."""

from __future__ import annotations

import os
import sys
from types import ModuleType


def let_waiting_threads_sleep() -> None:
    """Call before torch is imported, in a process of our own.

    By default they spin, which made runs 2 to 6 times slower (and took 3 to 6 times the processor time) on a two-core
    computer with other work to do, such as drawing the views of Slicer.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")


def peak_memory_mib() -> float | None:
    """Largest resident memory of this process so far, MiB; None on Windows where `psutil` is not installed."""
    if sys.platform == "win32":
        psutil = _psutil()
        return None if psutil is None else round(psutil.Process().memory_info().peak_wset / 2**20, 1)
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)  # bytes there, KiB elsewhere


def is_running(pid: int) -> bool:
    """Whether a process of that number is there; yes, where that cannot be told."""
    psutil = _psutil()
    if psutil is not None:
        return bool(psutil.pid_exists(pid))
    if sys.platform == "win32":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


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
