"""Which slices are reached from which key slice."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.propagation.propagator import Lane


def plan_lanes(
    object_id: int,
    key_masks: Mapping[int, NDArray[np.bool_]],
    first: int,
    last: int,
    pass_mode: Literal["independent", "coupled"],
    given_ends: Collection[int] = (),
) -> list[Lane]:
    """Cover every slice of `first..last` (inclusive) that is not a key slice, each exactly once.

    `given_ends` are those of the two that the user named; see `Lane`.

    Independent: one lane per direction and stretch, conditioned by the keys that bound the stretch; slices between two
    keys are shared at the middle. Coupled: one lane, forward from the first key and then in reverse from it.

    Example:
        >>> mask = np.ones((4, 4), bool)
        >>> for lane in plan_lanes(1, {2: mask, 7: mask}, 0, 9, "independent"):
        ...     print(lane.keys, list(lane.slices))
        (2,) [1, 0]
        (2, 7) [3, 4]
        (2, 7) [6, 5]
        (7,) [8, 9]
    """
    keys = sorted(key for key in key_masks if first <= key <= last)
    if not keys:
        return []
    lanes = [_coupled(object_id, keys, first, last)] if pass_mode == "coupled" else []
    if not lanes:
        lanes.append(Lane(object_id, (keys[0],), (range(keys[0] - 1, first - 1, -1),)))
        for left, right in pairwise(keys):
            lanes += _between(object_id, key_masks, left, right)
        lanes.append(Lane(object_id, (keys[-1],), (range(keys[-1] + 1, last + 1),)))
    return [
        replace(lane, given_ends=tuple(sorted(set(lane.slices).intersection(given_ends))))
        for lane in lanes
        if lane.slices
    ]


def _coupled(object_id: int, keys: Sequence[int], first: int, last: int) -> Lane:
    stops = [*keys[1:], last + 1]
    forward = [range(key + 1, stop) for key, stop in zip(keys, stops, strict=True)]
    legs = [*forward, range(keys[0] - 1, first - 1, -1)]
    return Lane(object_id, tuple(keys), tuple(leg for leg in legs if leg))


def _between(object_id: int, key_masks: Mapping[int, NDArray[np.bool_]], left: int, right: int) -> list[Lane]:
    """Both halves of the stretch between two keys.

    The middle slice of an odd stretch goes to the larger key (its bytes break a tie), a rule that does not know which
    side is first, so that flipping the volume flips the result.
    """
    count = right - left - 1
    left_is_larger = _rank(key_masks[left]) >= _rank(key_masks[right])
    middle = left + count // 2 + (count % 2 if left_is_larger else 0)  # last slice reached from the left
    return [
        Lane(object_id, (left, right), (range(left + 1, middle + 1),)),
        Lane(object_id, (left, right), (range(right - 1, middle, -1),)),
    ]


def _rank(mask: NDArray[np.bool_]) -> tuple[int, bytes]:
    return int(np.count_nonzero(mask)), np.packbits(mask).tobytes()
