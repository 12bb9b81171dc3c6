"""How a person likes to work, remembered between sessions of Slicer."""

from __future__ import annotations

from SegmentPropagateSlicer.Values.Store import Store

DEFAULTS = {"acceptOnNext": 1, "completeAtAccept": 1, "boxAtOnce": 1, "correctOnStroke": 1, "autosaveMinutes": 1}


class Preferences:
    """Whole numbers by the names of `DEFAULTS`; yes is 1, no is 0.

    Args:
        store: keeps them.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getitem__(self, name: str) -> int:
        text = str(self._store.value(f"SegmentPropagate/{name}", DEFAULTS[name]))
        return int(text) if text.isdecimal() else DEFAULTS[name]

    def __setitem__(self, name: str, value: int) -> None:
        if value != self[name]:
            self._store.setValue(f"SegmentPropagate/{name}", int(value))

    def recent(self, name: str) -> list[str]:
        """Paths that were used, latest first."""
        return [path for path in str(self._store.value(f"SegmentPropagate/{name}", "") or "").split("\n") if path]

    def remember(self, name: str, path: str, most: int = 8) -> None:
        """Put a path in front of those that were used."""
        paths = [path, *[known for known in self.recent(name) if known != path]]
        self._store.setValue(f"SegmentPropagate/{name}", "\n".join(paths[:most]))
