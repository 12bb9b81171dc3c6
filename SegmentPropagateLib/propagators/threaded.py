"""A generator that works in a thread of its own, a little ahead of whoever takes what it yields."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")


class Threaded(Generic[Item]):
    """Gives the items of a generator in their order, and starts at once.

    What the generator raises is raised where the item would have come.

    Args:
        items: needs no particular thread.
        most: how many items may be ready or at work.
    """

    def __init__(self, items: Generator[Item, None, None], most: int) -> None:
        self._items, self._end = items, object()
        self._thread = ThreadPoolExecutor(1)
        self._coming = deque(self._ask() for _ in range(most))

    def __iter__(self) -> Threaded[Item]:
        return self

    def __next__(self) -> Item:
        item = self._coming.popleft().result()
        self._coming.append(self._ask())
        if item is self._end:
            raise StopIteration
        return item

    @property
    def is_ready(self) -> bool:
        """Whether the next item, or the end, need not be waited for."""
        return bool(self._coming[0].done())

    def close(self) -> None:
        """Wait for the item at work, let nothing follow it, and close the generator in the caller's thread."""
        self._thread.shutdown(cancel_futures=True)
        self._items.close()

    def _ask(self) -> Any:
        return self._thread.submit(next, self._items, self._end)
