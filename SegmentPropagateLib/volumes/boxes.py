"""Bounding boxes of masks: as slices to index with, or as first and last indices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def bounding_box(mask: NDArray[np.bool_]) -> tuple[slice, ...] | None:
    """Return the smallest box that holds all of a mask; None where the mask is empty.

    Args:
        mask: bool, of one axis or more.

    Returns:
        One slice per axis, in the order of the array's axes, of plain ints, the stop exclusive: `mask[box]` is the box.
    """
    box = []
    rest = mask
    for axis in range(mask.ndim):
        occupied = np.flatnonzero(rest.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        if not len(occupied):
            return None
        box.append(slice(int(occupied[0]), int(occupied[-1]) + 1))
        rest = mask[tuple(box)]  # of a volume, the first axis leaves little for the others to look at
    return tuple(box)


def first_and_last(mask: NDArray[np.bool_]) -> tuple[tuple[int, int], ...]:
    """Return the first and the last index that a mask reaches along each axis, both inclusive, in the axes' order.

    Args:
        mask: bool, of one axis or more, not empty.

    Raises:
        ValueError: the mask is empty.
    """
    box = bounding_box(mask)
    if box is None:
        raise ValueError("An empty mask has no first and last index: ask whether any of it is True before.")
    return tuple((span.start, span.stop - 1) for span in box)
