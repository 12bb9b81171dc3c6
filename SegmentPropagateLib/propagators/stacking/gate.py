"""Whether what was learned is used, and how much: by what it would have done to key slices it has not seen.

Without the gate it did harm: -.29 of DSC on one object of real volumes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.propagation.lanes import plan_lanes
from SegmentPropagateLib.propagation.learning import Gain
from SegmentPropagateLib.propagation.propagator import Lane
from SegmentPropagateLib.volumes.choice import evenly

WEIGHTS = (0.15,)
"""Tried beside none. With .3 as well one of 106 runs lost .035 of DSC and another .010; so it is .017 and .007, and the
gain about three quarters (Testing/Experiments/RESULTS.md)."""
LEAST_MEAN, LEAST_WORST = 0.002, -0.02
"""Gains of DSC above which a weight is safe, in the mean over the left-out key slices and on each of them."""
MOST = 12
"""Key slices that are left out in turn; of more those that are spread evenly."""

Masks = Mapping[int, NDArray[np.bool_]]


def left_out(masks: Masks, pass_mode: Literal["independent", "coupled"]) -> tuple[list[Lane], dict[int, Masks]]:
    """Lanes that end on a key slice and start from its neighbors among the key slices alone, and what they start from.

    Args:
        masks: key slice -> bool `(rows, columns)`, two or more.
        pass_mode: see `PropagationSettings`.

    Returns:
        One lane a key slice, whose object id is the key's place among all in ascending order, and the key masks.
    """
    keys = sorted(masks)
    lanes: list[Lane] = []
    known: dict[int, Masks] = {}
    for number, key in enumerate(keys):
        near = {other: masks[other] for other in (*keys[max(number - 1, 0) : number], *keys[number + 1 : number + 2])}
        planned = plan_lanes(number, near, min(key, *near), max(key, *near), pass_mode)
        lanes.append(next(_as_far_as(key, lane) for lane in planned if key in lane.slices))
        known[number] = near
    return lanes, known


def spread(masks: Masks) -> Masks:
    """At most `MOST` of the key slices, ascending, the outermost among them."""
    return {key: masks[key] for key in evenly(sorted(masks), MOST)}


def gain_of(differences: Sequence[float]) -> Gain:
    """Of one weight, from the difference of DSC that it makes to each left-out key slice."""
    return Gain(float(np.mean(differences)), float(min(differences)))


def weight_of(gains: Mapping[float, Gain]) -> float:
    """The weight that gains most of those that are safe; 0 where none is."""
    safe = {weight: it.mean for weight, it in gains.items() if it.mean > LEAST_MEAN and it.worst > LEAST_WORST}
    return max(safe, key=lambda weight: safe[weight], default=0.0)


def _as_far_as(key: int, lane: Lane) -> Lane:
    number = next(number for number, leg in enumerate(lane.legs) if key in leg)
    leg = lane.legs[number]
    return replace(lane, legs=(*lane.legs[:number], range(leg.start, key + leg.step, leg.step)))
