"""Where settings are kept."""

from __future__ import annotations

from typing import Any, Protocol


class Store(Protocol):
    """Where values are kept under a name, such as a QSettings."""

    def value(self, name: str, default: Any = None) -> Any:
        """The value, or text of it, or the default."""

    def setValue(self, name: str, value: Any) -> None:
        """Keep a value."""
