"""One process at a time: a lock of the operating system, which ends with its process however that ends."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from SegmentPropagateLib.errors import InputError

POLL_S = 0.2


@contextmanager
def locked(path: Path, waiting: Callable[[], None], poll_s: float = POLL_S) -> Iterator[None]:
    """Hold the lock of a file, which is made where it is missing and stays: removing it would let two hold one each.

    Where the disk knows no locks, as some network drives do not, nothing is held.

    Args:
        path: of the file.
        waiting: is called again and again while another process holds it; what it raises ends the wait.
        poll_s: seconds between two calls.

    Raises:
        InputError: the file cannot be made or written.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
    except OSError as error:
        raise InputError(f"Cannot write into '{path.parent}': {error.strerror or error}.") from error
    try:
        while _is_held_elsewhere(handle):
            waiting()
            time.sleep(poll_s)
        yield
    finally:
        os.close(handle)  # gives the lock back


def _is_held_elsewhere(handle: int) -> bool:
    """Try to take the lock."""
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return True
        except OSError:
            return False
        return False
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
