"""This process: how its threads wait for each other, and how much memory it takes."""

from __future__ import annotations

import os
import sys


def let_waiting_threads_sleep() -> None:
    """Call before torch is imported, in a process of our own.

    By default they spin, which made runs 2 to 6 times slower (and took 3 to 6 times the processor time) on a two-core
    computer with other work to do, such as drawing the views of Slicer.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")


def peak_memory_mib() -> float | None:
    """Largest resident memory of this process so far, MiB; None on Windows."""
    if sys.platform == "win32":
        return None
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1)  # bytes there, KiB elsewhere
