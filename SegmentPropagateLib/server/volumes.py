"""Volumes that users have sent, as they came, so that each crosses the network once."""

from __future__ import annotations

from collections import OrderedDict

from SegmentPropagateLib.worker.messages import Message


class Volumes:
    """The packed volumes that were used last; each user's are his alone.

    Args:
        most_bytes: of all of them together.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[tuple[str, str], Message] = OrderedDict()

    def find(self, user: str, digest: str) -> Message | None:
        """The packed volume of that SHA-256; None where the user has not sent it, or long ago."""
        found = self._kept.get((user, digest))
        if found is not None:
            self._kept.move_to_end((user, digest))
        return found

    def keep(self, user: str, digest: str, packed: Message) -> None:
        """Keep a volume, and drop those that were used longest ago where there is no room."""
        self._kept[user, digest] = packed
        self._kept.move_to_end((user, digest))
        while sum(map(_bytes_of, self._kept.values())) > self._most_bytes:
            self._kept.popitem(last=False)


def _bytes_of(packed: Message) -> int:
    return 0 if packed.array is None else packed.array.nbytes
