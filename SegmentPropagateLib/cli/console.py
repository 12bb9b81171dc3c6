"""How commands speak: one sentence at a time on stderr, and a progress bar where someone is watching."""

from __future__ import annotations

import io
import math
import os
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:  # the help of the command line does without
    from tqdm import tqdm


def printable(text: str) -> str:
    """The text without what a terminal would obey: names in files and scenes may hold anything.

    Control characters, and those that turn the direction of writing, become their escapes in Python.
    """
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def speaker(quiet: bool) -> Callable[[str], None]:
    """A function that tells the user one sentence, unless quiet."""
    from tqdm import tqdm

    def say(sentence: str) -> None:
        if not quiet:
            with suppress(OSError):  # that nobody listens is no reason to end a run
                tqdm.write(printable(sentence), file=sys.stderr)  # does not tear a bar apart

    return say


def progress_bar(quiet: bool, **options: Any) -> tqdm:
    """A bar on a terminal, nothing in a pipe or when quiet."""
    from tqdm import tqdm

    return tqdm(file=sys.stderr, disable=quiet or not sys.stderr.isatty(), leave=False, **options)


class ProgressLines:
    """Tells in lines, where no bar can be drawn, how far a long run is.

    Args:
        say: takes a line.
        every_s: shortest time between two lines that are not urgent; the first one comes at once.
        clock: seconds that pass.
    """

    def __init__(
        self, say: Callable[[str], None], every_s: float = 30.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._say, self._every_s, self._clock = say, every_s, clock
        self._begin: tuple[float, int] | None = None
        self._told_at = -math.inf

    def tell(self, done: int, total: int, facts: Iterable[str], at_once: bool = False) -> None:
        """Say that so many steps are done, if it is time to."""
        now = self._clock()
        if not at_once and now - self._told_at < self._every_s:
            return
        self._told_at = now
        seconds = self._left(now, done, total)
        left = "" if seconds is None else f", {duration(seconds)} left"
        self._say(", ".join([f"Step {done} of {total}", *facts]) + left)

    def seconds_left(self, done: int, total: int) -> float | None:
        """What is left at the speed since this was first asked; None where that is not known yet, or at the end."""
        return self._left(self._clock(), done, total)

    def _left(self, now: float, done: int, total: int) -> float | None:
        self._begin = self._begin or (now, done)
        begun_at, before = self._begin
        return (now - begun_at) / (done - before) * (total - done) if before < done < total else None


def duration(seconds: float) -> str:
    """A time in words, to two digits or so: `40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def complain(reason: object) -> None:
    """Tell on stderr, in one line, why a command fails."""
    with suppress(OSError):
        sys.stderr.write(f"segment-propagate: {printable(' '.join(str(reason).split()))}\n")
        sys.stderr.flush()


def open_closed_streams() -> None:
    """Put the null device where the caller closed a standard stream, and let stdout take every letter.

    Else the next file that is opened gets the stream's number, and whatever a library prints goes into it.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            number = os.open(os.devnull, os.O_RDWR)  # the lowest that is free
            setattr(sys, name, os.fdopen(number, "r" if name == "stdin" else "w"))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def settle(stream: TextIO) -> None:
    """Write what a stream still holds; where that fails, drop it, or Python complains of it when it exits."""
    try:
        stream.flush()
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
