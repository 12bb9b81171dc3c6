"""How far each slice of a proposal can be trusted, and which is worth correcting next."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TypedDict

from SegmentPropagateSlicer.Runs.Run import Run
from SegmentPropagateSlicer.Scene.SliceGrid import SliceGrid
from SegmentPropagateSlicer.Values.Proposal import Proposal

AREA_JUMP = math.log(1.6)
"""A step to the neighbor beyond this ratio of areas is suspicious..."""
AREA_CHANGE = 0.2
"""... if it is also more than this share of the largest key: objects end in small steps of large ratios."""
LOST_SHARE = 0.25
"""An object that still has this share of the largest key, and is gone on the next slice, is lost."""
CENTER_JUMP = 0.5
"""So is a step of the center beyond this share of the object's equivalent radius..."""
CENTER_JUMP_MM = 3.0
"""... if it is longer than this."""
SUSPICIOUS = 0.3
"""Below this, no slice is named."""


class Score(TypedDict):
    """How one slice fares; see `SegmentPropagateLogic.reviewScores`."""

    sliceIndex: int
    source: str
    presence: float
    predictedIou: float | None
    areaMm2: float
    areaJump: bool
    centerJump: bool
    confirmed: bool
    suspicion: float


def scores(run: Run, segmentId: str, confirmed: Collection[int] = ()) -> list[Score]:
    """One dict per slice that has an outline or a proposal, ascending; see `SegmentPropagateLogic.reviewScores`.

    Args:
        run: `Run`.
        segmentId: which of its segments.
        confirmed: slices that are locked.
    """
    keys = {index: proposal for (owner, index), proposal in run.keys.items() if owner == segmentId}
    slices = dict(sorted({**run.proposals.get(segmentId, {}), **keys}.items()))
    jumps = _jumps(slices, keys, run.grid)
    return [
        _score(index, proposal, index in keys, index in confirmed, jumps.get(index, (False, False)), run.grid)
        for index, proposal in slices.items()
    ]


def nextSuspicious(
    found: Mapping[str, Sequence[Score]], after: tuple[str, int | None] | None = None
) -> tuple[str, int] | None:
    """The place to look at: the worst, or the next worst after one that was named; None when all is well.

    Args:
        found: segmentId -> its scores.
        after: `(segmentId, sliceIndex)`, or None.
    """
    ranked = sorted(
        (-score["suspicion"], score["sliceIndex"], number, segmentId)
        for number, (segmentId, ofSegment) in enumerate(found.items())
        for score in ofSegment
        if score["suspicion"] >= SUSPICIOUS
    )
    order = [(segmentId, sliceIndex) for _suspicion, sliceIndex, _number, segmentId in ranked]
    if not order:
        return None
    return order[(order.index(after) + 1) % len(order)] if after in order else order[0]


def _score(
    index: int, proposal: Proposal, isKey: bool, confirmed: bool, jumps: tuple[bool, bool], grid: SliceGrid
) -> Score:
    present = bool(proposal.area)
    presence = proposal.presence if proposal.presence is not None else float(present)
    areaJump, centerJump = jumps
    trusted = isKey or confirmed
    return {
        "sliceIndex": index,
        "source": "key" if isKey else "propagated" if present else "empty",
        "presence": presence,
        "predictedIou": proposal.predictedIou if present else None,
        "areaMm2": proposal.area * grid.pixelAreaMm2,
        "areaJump": areaJump and not trusted,
        "centerJump": centerJump and not trusted,
        "confirmed": confirmed,
        "suspicion": 0.0 if trusted else _suspicion(presence, proposal.predictedIou if present else None, jumps),
    }


def _suspicion(presence: float, predictedIou: float | None, jumps: tuple[bool, bool]) -> float:
    """Doubts add up as chances do: an undecided presence, a low predicted IoU, a jump of area or center."""
    doubts = [1 - abs(2 * presence - 1), 0.0 if predictedIou is None else 1 - predictedIou]
    doubts += [0.5 * jump for jump in jumps]
    return 1 - math.prod(1 - min(max(doubt, 0.0), 1.0) for doubt in doubts)


def _jumps(
    slices: Mapping[int, Proposal], keys: Mapping[int, Proposal], grid: SliceGrid
) -> dict[int, tuple[bool, bool]]:
    """Slice -> (area jumps, center jumps), seen from the neighbor on the side of the nearest key."""
    found = {}
    for index, proposal in slices.items():
        if index in keys or not keys:
            continue
        nearest = min(keys, key=lambda key: abs(key - index))
        neighbor = slices.get(index + (1 if nearest > index else -1))
        if neighbor is not None:
            largest = max(key.area for key in keys.values())
            found[index] = _areaJumps(neighbor.area, proposal.area, largest), _centerJumps(neighbor, proposal, grid)
    return found


def _areaJumps(before: int, after: int, largest: int) -> bool:
    if not before or not after:
        return before >= LOST_SHARE * largest
    return abs(math.log(after / before)) > AREA_JUMP and abs(after - before) > AREA_CHANGE * largest


def _centerJumps(before: Proposal, after: Proposal, grid: SliceGrid) -> bool:
    if before.center is None or after.center is None:
        return False
    rows, columns = (b - a for a, b in zip(before.center, after.center, strict=True))
    shift = math.hypot(rows * grid.pixelSizeMm[0], columns * grid.pixelSizeMm[1])
    radius = math.sqrt(before.area * grid.pixelAreaMm2 / math.pi)
    return shift > max(CENTER_JUMP_MM, CENTER_JUMP * radius)
