"""Figures of one question: does a method stop where the object ends?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FIGURES = ("absent_with_false_positive", "voxels_per_absent_slice", "past_the_end_mm")


def stop_figures(masks: NDArray[np.bool_], truth: NDArray[np.bool_], spacing_mm: float) -> dict[str, float | None]:
    """What lies on slices where the object is absent; None where there are none.

    `past_the_end_mm` is how far masks go on without a gap beyond the first and the last slice with the object, the mean
    of those ends that are not the volume's own.

    Args:
        masks: bool `(slices, rows, columns)`, what was propagated.
        truth: the same of the reference.
        spacing_mm: from slice to slice.
    """
    present, found = truth.any(axis=(1, 2)), masks.any(axis=(1, 2))
    if present.all():
        return dict.fromkeys(FIGURES)
    ends = np.flatnonzero(present)[[0, -1]]
    beyond = (found[: ends[0]][::-1], found[ends[1] + 1 :])
    runs = [spacing_mm * int(np.logical_and.accumulate(side).sum()) for side in beyond if len(side)]
    voxels = np.count_nonzero(masks[~present], axis=(1, 2))
    return {
        "absent_with_false_positive": float((voxels > 0).mean()),
        "voxels_per_absent_slice": float(voxels.mean()),
        "past_the_end_mm": float(np.mean(runs)) if runs else None,
    }
