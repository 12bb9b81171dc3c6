"""How the threads of torch wait for each other."""

from __future__ import annotations

import os


def let_waiting_threads_sleep() -> None:
    """Call before torch is imported, in a process of our own.

    By default they spin, which made runs 2 to 6 times slower (and took 3 to 6 times the processor time) on a two-core
    computer with other work to do, such as drawing the views of Slicer.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
