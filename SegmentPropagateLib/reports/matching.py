"""Which label of a prediction is which object of a reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from SegmentPropagateLib.reports.common_grid import CommonGrid
from SegmentPropagateLib.reports.metrics import dice
from SegmentPropagateLib.volumes.labels import SegmentInfo, default_segment


class Match(NamedTuple):
    """The prediction's label for an object of the reference.

    Args:
        value: label of the prediction; None where nothing fits.
        by: how it was found.
    """

    value: int | None
    by: Literal["name", "number", "overlap"] | None


def matched(grid: CommonGrid, wanted: Sequence[SegmentInfo]) -> list[Match]:
    """The match of each of the reference's segments, in their order; a label of the prediction is given away once.

    A name that people gave counts first, then the number; a box makes label 1 whatever the reference calls the object,
    so what is left goes to what it overlaps most.
    """
    free = {segment.value: segment for segment in grid.prediction.segments}
    found: dict[int, Match] = {}
    for segment in wanted:
        names = [value for value, other in free.items() if _is_name(segment) and _same_name(segment, other)]
        if len(names) == 1:
            found[segment.value] = Match(names[0], "number" if names[0] == segment.value else "name")
            del free[names[0]]
    for segment in wanted:
        if segment.value not in found and segment.value in free and not _names_differ(segment, free[segment.value]):
            found[segment.value] = Match(segment.value, "number")
            del free[segment.value]
    for segment in wanted:
        if segment.value not in found:
            found[segment.value] = _by_overlap(grid, segment, list(free))
            free.pop(found[segment.value].value or 0, None)
    return [found[segment.value] for segment in wanted]


def _by_overlap(grid: CommonGrid, segment: SegmentInfo, free: list[int]) -> Match:
    truth = grid.reference.mask(segment.value)
    scores = [dice(grid.prediction.mask(value), truth) if truth.any() else 0.0 for value in free]
    if not any(scores):
        return Match(None, None)
    return Match(free[int(np.argmax(scores))], "overlap")


def _is_name(segment: SegmentInfo) -> bool:
    return segment.name != default_segment(segment.value).name


def _same_name(a: SegmentInfo, b: SegmentInfo) -> bool:
    return a.name.casefold() == b.name.casefold()


def _names_differ(a: SegmentInfo, b: SegmentInfo) -> bool:
    """Whether people gave both a name, and not the same."""
    return _is_name(a) and _is_name(b) and not _same_name(a, b)
