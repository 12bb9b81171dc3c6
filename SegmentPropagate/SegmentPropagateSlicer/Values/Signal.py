"""A signal that needs no Qt, so that the logic runs wherever MRML runs."""

from __future__ import annotations

from collections.abc import Callable


class Signal:
    """Call connected slots in the order of connection.

    Args:
        *names: what each emitted argument means, for the reader of the declaration.
    """

    def __init__(self, *names: str) -> None:
        self.names = names
        self._slots: list[Callable[..., object]] = []

    def connect(self, slot: Callable[..., object]) -> None:
        """Call `slot(*arguments)` at every emit; connecting twice calls once."""
        if slot not in self._slots:
            self._slots.append(slot)

    def disconnect(self, slot: Callable[..., object] | None = None) -> None:
        """Forget one slot, or all of them."""
        self._slots = [] if slot is None else [known for known in self._slots if known != slot]

    def emit(self, *arguments: object) -> None:
        """Call every slot that was connected when the emit began."""
        for slot in tuple(self._slots):
            slot(*arguments)
