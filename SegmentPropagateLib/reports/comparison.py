"""How well the objects of a segmentation match those of a reference, on a grid over both."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from SegmentPropagateLib.reports.common_grid import CommonGrid
from SegmentPropagateLib.reports.matching import matched
from SegmentPropagateLib.reports.metrics import assd_mm, dice, iou, nsd, slice_dice
from SegmentPropagateLib.volumes.labels import SegmentInfo
from SegmentPropagateLib.volumes.stack import stack_of


def compare_objects(
    grid: CommonGrid, wanted: Sequence[SegmentInfo], keys_of: Callable[[int | None], Sequence[int]]
) -> list[dict[str, Any]]:
    """Figures of each of the reference's segments, with the label of the prediction that it is compared with.

    Args:
        grid: both files.
        wanted: segments of the reference.
        keys_of: from a label of the prediction, None for none, to its key slices, which the slice-wise figures
            leave out.
    """
    objects = []
    for segment, match in zip(wanted, matched(grid, wanted), strict=True):
        keys = list(keys_of(match.value))
        of_prediction = {"label": match.value, "matched_by": match.by}
        named = {"label": segment.value, "name": segment.name, "prediction": of_prediction, "key_slices": keys}
        objects.append({**named, **_figures(grid, match.value, segment.value, keys)})
    return objects


def _figures(grid: CommonGrid, found: int | None, value: int, keys: list[int]) -> dict[str, float | None]:
    """The whole volume counts for the 3-D figures, as in the papers; the slice-wise ones leave the key slices out."""
    b = grid.reference.mask(value)
    a = np.zeros_like(b) if found is None else grid.prediction.mask(found)
    spacing = grid.reference.geometry.spacing_kji_mm
    voxel_ml = math.prod(spacing) / 1000
    others = ~np.isin(grid.numbers, keys)
    a_others, b_others = stack_of(a, grid.axis)[others], stack_of(b, grid.axis)[others]
    present, absent = slice_dice(a_others, b_others)
    figures = {
        "dsc": dice(a, b),
        "dsc_without_keys": dice(a_others, b_others),
        "iou": iou(a, b),
        "assd_mm": assd_mm(a, b, spacing),
        "nsd": nsd(a, b, spacing),
        "present": present,
        "absent": absent,
        "volume_ml": np.count_nonzero(a) * voxel_ml,
        "reference_ml": np.count_nonzero(b) * voxel_ml,
    }
    return {key: round(float(figure), 4) if math.isfinite(figure) else None for key, figure in figures.items()}
