"""A few of many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")


def evenly(items: Sequence[Item], count: int, *, ends: bool = True) -> list[Item]:
    """Return at most `count` of the items, in their order and evenly spread; all where there are no more.

    Args:
        items: mostly slices.
        count: how many are wanted; fewer come where two would be the same.
        ends: whether the first and the last are among them; else those stand off from the ends as from each other.

    Example:
        >>> evenly(range(11), 3), evenly(range(11), 3, ends=False)
        ([0, 5, 10], [2, 5, 8])
    """
    if len(items) <= count:
        return list(items)
    places = np.linspace(0, len(items) - 1, count if ends else count + 2)
    return [items[place] for place in np.unique((places if ends else places[1:-1]).round().astype(int))]
