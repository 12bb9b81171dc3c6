"""How the stand-in of a remote worker ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from SegmentPropagateLib.worker.messages import printable
from SegmentPropagateLib.worker.remote.stream import Close

STATUS: Mapping[int, int] = MappingProxyType(
    {
        Close.NORMAL: 0,
        Close.REFUSED: 2,
        Close.IDLE: 4,
        Close.CONNECTED: 3,
        Close.GONE: 4,
        Close.FULL: 3,
        Close.DIED: 5,
    }
)
"""Exit status for each code with which the gateway ends a connection for good."""


@dataclass(frozen=True)
class Ending:
    """What the process ends with.

    Args:
        status: of the exit, as `worker.client` lists them.
        sentence: for the user; empty where all is well.
    """

    status: int
    sentence: str = ""


def ending_of(code: int, reason: str) -> Ending:
    """What a close code of the gateway and its sentence mean."""
    status = STATUS[code]
    return Ending(status, printable(reason) or "The server ended the connection." if status else "")
