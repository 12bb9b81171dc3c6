"""What a server takes and for how long it waits."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from SegmentPropagateLib.errors import SegmentPropagateError
from SegmentPropagateLib.worker.remote.stream import Close


class RefusedError(SegmentPropagateError):
    """Ends a session.

    Args:
        code: of the close frame.
        sentence: for the user, at most 120 characters: a close frame holds no more.
    """

    def __init__(self, code: Close, sentence: str = "") -> None:
        super().__init__(sentence)
        self.code = code


def _own_worker() -> tuple[str, ...]:
    return (sys.executable, "-m", "SegmentPropagateLib.worker")


@dataclass(frozen=True)
class Settings:
    """The limits of a server.

    Args:
        models: names that may be asked for.
        device: on which workers compute, whatever a panel says of its own computer.
        slots: requests that are computed at once.
        most_users: sessions at once, each with a worker.
        queued: requests of a user that wait at once.
        header_bytes: of a message's header.
        volume_bytes: of a volume's voxels.
        mask_bytes: of the key masks of a request, unpacked.
        kept_bytes: of packed volumes that are kept, so that they need not be sent again.
        unread_bytes: of replies that a user has not taken; beyond it his worker waits.
        idle_s: a session without a request for so long is ended.
        resume_s: a session without a connection is kept for so long.
        unread_s: a user who reads nothing for so long, while others wait, loses the slot.
        obey_s: a worker that does not stop for so long is ended.
        remind_s: the place in the queue is told anew after so long, or the panel takes the silence for a fault.
        command: that starts a worker.
    """

    models: tuple[str, ...]
    device: str = "auto"
    slots: int = 1
    most_users: int = 16
    queued: int = 4
    header_bytes: int = 1 << 20
    volume_bytes: int = 1 << 30
    mask_bytes: int = 256 << 20
    kept_bytes: int = 4 << 30
    unread_bytes: int = 64 << 20
    idle_s: float = 600.0
    resume_s: float = 600.0
    unread_s: float = 60.0
    obey_s: float = 20.0
    remind_s: float = 60.0
    command: tuple[str, ...] = field(default_factory=_own_worker)
