"""How far each slice of a proposal can be trusted, and which is worth correcting next."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import TypedDict

from SegmentPropagateLib.propagation.review import Doubt, Seen, worth_a_look
from SegmentPropagateSlicer.Runs.Run import Run
from SegmentPropagateSlicer.Values.Proposal import Proposal

LOST = 0.8
"""Suspicion of a slice on which the object is gone at once: so often it was there (see `worth_a_look`)."""


class Score(TypedDict):
    """How one slice fares; see `SegmentPropagateLogic.reviewScores`."""

    sliceIndex: int
    source: str
    presence: float
    predictedIou: float | None
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
    keys = {index: proposal for (owner, index), proposal in run.keys.items() if owner == segmentId}
    slices = dict(sorted({**run.proposals.get(segmentId, {}), **keys}.items()))
    doubts = worth_a_look(
        {index: Seen(proposal.area, proposal.predictedIou, index in keys) for index, proposal in slices.items()}
    )
    return [
        _score(index, proposal, index in keys, index in confirmed, doubts.get(index), run.grid.pixelAreaMm2)
        for index, proposal in slices.items()
    ]


def nextSuspicious(
    found: Mapping[str, Sequence[Score]], after: tuple[str, int | None] | None = None
) -> tuple[str, int] | None:
    """The place whose correction helps most, or next after one that was named; None when all is well.

    A corrected slice mends its neighbors too, so each stretch of slices in doubt has one place, in its middle by the
    area that may be wrong; the stretch with the most of it comes first.

    Args:
        found: segmentId -> its scores.
        after: `(segmentId, sliceIndex)`, or None.
    """
    ranked = sorted(
        (-sum(map(_wrongMm2, stretch)), _middle(stretch), number, segmentId)
        for number, (segmentId, ofSegment) in enumerate(found.items())
        for stretch in _stretches(ofSegment)
    )
    order = [(segmentId, sliceIndex) for _wrong, sliceIndex, _number, segmentId in ranked]
    if not order:
        return None
    return order[(order.index(after) + 1) % len(order)] if after in order else order[0]


def _stretches(ofSegment: Sequence[Score]) -> Iterator[list[Score]]:
    """Runs of neighboring slices in doubt."""
    stretch: list[Score] = []
    for score in ofSegment:
        if score["doubt"] and stretch and stretch[-1]["sliceIndex"] == score["sliceIndex"] - 1:
            stretch.append(score)
            continue
        if stretch:
            yield stretch
        stretch = [score] if score["doubt"] else []
    if stretch:
        yield stretch


def _middle(stretch: Sequence[Score]) -> int:
    sums = list(accumulate(map(_wrongMm2, stretch)))
    return next(score["sliceIndex"] for score, total in zip(stretch, sums, strict=True) if total >= sums[-1] / 2)


def _wrongMm2(score: Score) -> float:
    return score["suspicion"] * max(score["areaMm2"], 1.0)  # 1: a lost object has no area


def _score(
    index: int, proposal: Proposal, isKey: bool, confirmed: bool, doubt: Doubt | None, pixelAreaMm2: float
) -> Score:
    present = bool(proposal.area)
    predictedIou = proposal.predictedIou if present else None
    if isKey or confirmed or doubt is None:
        doubt, suspicion = None, 0.0
    else:
        suspicion = LOST if predictedIou is None else 1 - predictedIou
    return {
        "sliceIndex": index,
        "source": "key" if isKey else "propagated" if present else "empty",
        "presence": proposal.presence if proposal.presence is not None else float(present),
        "predictedIou": predictedIou,
        "areaMm2": proposal.area * pixelAreaMm2,
        "confirmed": confirmed,
        "doubt": doubt,
        "suspicion": suspicion,
    }
