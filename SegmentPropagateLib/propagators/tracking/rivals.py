"""Whether a mask that was not chosen holds something beside the one that was."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def rival_overlap(mask: NDArray[np.bool_], unchosen: Sequence[NDArray[np.bool_]]) -> float:
    """How much of a mask's bounding box is left (IoU) when the largest part of an unchosen mask beside it is added.

    Args:
        mask: bool `(rows, columns)`.
        unchosen: masks of the same shape; the one that changes the box most counts.
    """
    if not mask.any():
        return 1.0
    overlaps = [1.0]
    for other in unchosen:
        parts, count = ndimage.label(other & ~mask, structure=np.ones((3, 3)))
        if count:
            largest = parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])
            overlaps.append(_box_area(mask) / _box_area(mask | largest))
    return min(overlaps)


def _box_area(mask: NDArray[np.bool_]) -> int:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int((rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1))
