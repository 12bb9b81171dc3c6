"""One person at a time: who changes a project holds it, and the next one is told who that is.

The lock is the operating system's, which ends with its process however that ends. Drives shared by computers often
know none, so a file tells whoever holds the project, too: it counts where it is of another computer, or of a process
that is still there.
"""

from __future__ import annotations

import getpass
import json
import os
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import writing
from SegmentPropagateLib.locking import POLL_S, locked
from SegmentPropagateLib.process import is_running

LOCK, HOLDER = ".project.lock", ".project.holder.json"


@contextmanager
def held(folder: Path, patience_s: float = 0.0) -> Iterator[None]:
    """Hold a project for the block.

    Args:
        folder: of the project.
        patience_s: how long to wait where somebody else holds it.

    Raises:
        InputError: somebody else holds it, or the folder cannot be written into.
    """
    holder, end = folder / HOLDER, time.monotonic() + patience_s

    def refuse(advice: str = "") -> None:
        if time.monotonic() >= end:
            told = _read(holder) or {"person": "Somebody", "host": "this computer", "pid": "?", "since": "now"}
            raise InputError(f"'{folder}' is in use: {_sentence(told)}. Try again when that has ended{advice}.")

    with locked(folder / LOCK, refuse):
        while (told := _read(holder)) is not None and not _is_gone(told):
            refuse(f"; if it has, remove '{holder}'")
            time.sleep(POLL_S)
        with writing(holder) as file:
            file.write(json.dumps(_self()).encode())
        try:
            yield
        finally:
            with suppress(OSError):
                holder.unlink()


def now() -> str:
    """The time, as entries have it."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def person() -> str:
    """Who is at work, as far as the system knows."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a user without a name, as in containers
        return "somebody"


def _self() -> dict[str, Any]:
    return {"person": person(), "host": platform.node(), "pid": os.getpid(), "since": now()}


def _is_gone(told: Mapping[str, Any]) -> bool:
    """Whether who held the project was a process of this computer, and has ended."""
    if told["host"] != platform.node():
        return False
    return told["pid"] == os.getpid() or not is_running(told["pid"], _seconds_of(told["since"]))


def _seconds_of(time: str) -> float | None:
    try:
        return datetime.fromisoformat(time).timestamp()
    except ValueError:
        return None


def _read(path: Path) -> dict[str, Any] | None:
    """Who is told to hold a project; None where nobody is, or the file is damaged."""
    try:
        told = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    kinds = {"person": str, "host": str, "pid": int, "since": str}
    whole = isinstance(told, dict) and all(isinstance(told.get(name), kind) for name, kind in kinds.items())
    return told if whole else None


def _sentence(told: Mapping[str, Any]) -> str:
    return f"{told['person']} on {told['host']} (process {told['pid']}) has it since {told['since']}"
