"""Statistics that a few odd values cannot spoil."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

MAD_TO_DEVIATION = 1.4826
"""Median absolute deviation to standard deviation of normally distributed values, 1 / 0.6745, their upper quartile
(Rousseeuw and Croux 1993, doi:10.1080/01621459.1993.10476408)."""


def spread(values: NDArray[Any], middle: float | None = None) -> float:
    """Return the spread of values about their middle as a standard deviation: the scaled median absolute deviation.

    Args:
        values: real numbers of any shape, at least one.
        middle: what they lie around; None takes their median.
    """
    around = np.median(values) if middle is None else middle
    return MAD_TO_DEVIATION * float(np.median(np.abs(values - around)))
