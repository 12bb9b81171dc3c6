"""How far each slice of a proposal can be trusted, and which is worth correcting next."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypedDict

from SegmentPropagateLib.propagation.review import Doubt, Seen, suspicion, to_correct, worth_a_look
from SegmentPropagateSlicer.Runs.Run import Run
from SegmentPropagateSlicer.Values.Proposal import Proposal


class Score(TypedDict):
    """How one slice fares; see `SegmentPropagateLogic.reviewScores`."""

    sliceIndex: int
    source: str
    presence: float
    predictedIou: float | None
    area: int
    areaMm2: float
    confirmed: bool
    doubt: Doubt | None
    suspicion: float


def scores(run: Run, segmentId: str, confirmed: Collection[int] = ()) -> list[Score]:
    """One dict per slice that has an outline or a proposal, ascending; see `SegmentPropagateLogic.reviewScores`.

    Args:
        run: `Run`.
        segmentId: which of its segments.
        confirmed: slices that are locked.
    """
    keys, slices = _keysOf(run, segmentId), _slicesOf(run, segmentId)
    seen = seenOf(run, segmentId, confirmed)
    doubts = worth_a_look(seen)
    found: list[Score] = []
    for index, proposal in slices.items():
        present, doubt = bool(proposal.area), doubts.get(index)
        found.append(
            {
                "sliceIndex": index,
                "source": "key" if index in keys else "propagated" if present else "empty",
                "presence": proposal.presence if proposal.presence is not None else float(present),
                "predictedIou": seen[index].predicted_iou,
                "area": proposal.area,
                "areaMm2": proposal.area * run.grid.pixelAreaMm2,
                "confirmed": index in confirmed,
                "doubt": doubt,
                "suspicion": suspicion(seen[index], doubt) if doubt else 0.0,
            }
        )
    return found


def seenOf(run: Run, segmentId: str, confirmed: Collection[int] = ()) -> dict[int, Seen]:
    """What is known of each slice of a segment, ascending; all that `nextSuspicious` needs, and quicker."""
    given = {*_keysOf(run, segmentId), *confirmed}
    return {
        index: Seen(area := proposal.area, proposal.predictedIou if area else None, index in given)
        for index, proposal in _slicesOf(run, segmentId).items()
    }


def nextSuspicious(
    found: Mapping[str, Mapping[int, Seen]], after: tuple[str, int | None] | None = None
) -> tuple[str, int] | None:
    """The place whose correction helps most, see `to_correct`, or next after one; None when nothing is in doubt.

    Args:
        found: segmentId -> what is known of its slices.
        after: `(segmentId, sliceIndex)`, or None.
    """
    ranked = sorted(
        (-stretch.wrong, stretch.place, number, segmentId)
        for number, (segmentId, seen) in enumerate(found.items())
        for stretch in to_correct(seen)
    )
    order = [(segmentId, sliceIndex) for _wrong, sliceIndex, _number, segmentId in ranked]
    if not order:
        return None
    return order[(order.index(after) + 1) % len(order)] if after in order else order[0]


def _keysOf(run: Run, segmentId: str) -> dict[int, Proposal]:
    return {index: proposal for (owner, index), proposal in run.keys.items() if owner == segmentId}


def _slicesOf(run: Run, segmentId: str) -> dict[int, Proposal]:
    """Slice -> what it has, ascending."""
    return dict(sorted({**run.proposals.get(segmentId, {}), **_keysOf(run, segmentId)}.items()))
