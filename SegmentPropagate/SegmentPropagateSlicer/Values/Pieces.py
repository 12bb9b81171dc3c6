"""Work that is done a piece at a time, each of which a generator ends with a `yield`, so that nothing has to wait."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any, TypeVar

Progress = TypeVar("Progress")
Result = TypeVar("Result")


def doneWithin(
    pieces: Generator[Progress, Any, Result], seconds: float | None
) -> tuple[Progress | None, Result | None]:
    """Go on for that long, or to the end where that is None.

    Returns:
        tuple: what was yielded last, or None at the end; and then what the generator returns.
    """
    began = time.perf_counter()
    try:
        while True:
            progress = next(pieces)
            if seconds is not None and time.perf_counter() - began > seconds:
                return progress, None
    except StopIteration as end:
        return None, end.value


def finished(pieces: Generator[Any, Any, Result]) -> Result:
    """Do all of it at once; returns what the generator returns."""
    return doneWithin(pieces, None)[1]  # type: ignore[return-value]


def asPart(pieces: Generator[float, None, Result], first: float, last: float) -> Generator[float, None, Result]:
    """The same pieces, whose shares, 0..1 of a part, are told as shares of the whole that it is a part of."""
    try:
        while True:
            yield first + (last - first) * next(pieces)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
