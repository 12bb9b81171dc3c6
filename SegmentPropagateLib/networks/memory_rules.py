"""Memory rules by name: how published trackers choose what SAM 2 reads, each without any training.

They change the long bank; the short one of SLM-SAM 2 is the last slices by definition. Counted from the key slice, so
that flipping a volume flips the result; where that is slice 0 they are what was published for videos. Imports nothing
heavy, as the help of the command line lists them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import copysign, exp, log

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.networks.memory import (
    MEMORY_SLOTS,
    AnchorRule,
    Bank,
    MemoryPolicy,
    Score,
    Walk,
    long_bank,
    short_bank,
)

PUBLISHED = "sam2"
"""The rule that networks were trained with."""

SURE_PRESENCE = 2.0
"""SAM2Long holds the best courses to be right where an object score is beyond this, on either side."""


@dataclass(frozen=True)
class MemoryRule:
    """A named rule.

    Args:
        about: what it does, a sentence.
        source: who published it.
        bank: the long bank.
        anchors: see `MemoryPolicy`.
        pathways: see `MemoryPolicy`.
    """

    about: str
    source: str
    bank: Bank
    anchors: AnchorRule | None = None
    pathways: int = 1

    def policy(self, short_slices: int | None) -> MemoryPolicy:
        """The policy of a network whose short bank has so many slices, None where it has none.

        Raises:
            InputError: the short bank cannot have that length.
        """
        short = () if short_slices is None else (short_bank(short_slices),)
        return MemoryPolicy((self.bank, *short), self.anchors, self.pathways)


def is_sure(score: Score) -> bool:
    """SAM 3: the product of how sure it is to be there and how well it is outlined."""
    return max(0.0, 2 / (1 + exp(-score.presence)) - 1) * score.predicted_iou > 0.01


def is_well_outlined(score: Score) -> bool:
    """SAMURAI: there, and outlined well; its model of motion is no part of this."""
    return score.presence > 0 and score.predicted_iou > 0.5


def is_fair(score: Score) -> bool:
    """SAM2Long: there, and not outlined badly."""
    return score.presence > 0 and score.predicted_iou > 0.1


def has_area(score: Score) -> bool:
    """DAM4SAM: something was found."""
    return score.area > 0


def _ranked(walk: Walk) -> Bank:
    return replace(long_bank(), spatial_walk=walk, pointer_walk=walk)


RULES: Mapping[str, MemoryRule] = {
    PUBLISHED: MemoryRule("key slices and the last 6 slices", "Ravi et al. 2024, SAM 2", long_bank()),
    "sam2-stride": MemoryRule(
        "key slices, the last slice and every 5th one before it",
        "SAM 2's switch memory_temporal_stride_for_eval",
        replace(long_bank(), spatial_walk=Walk(stride=5)),
    ),
    "sam2-near-keys": MemoryRule(
        "of many key slices the 4 nearest, in a coupled pass",
        "SAM 2's switch max_cond_frames_in_attn",
        replace(long_bank(), most_keys=4),
    ),
    "sam3": MemoryRule(
        "older slices in place of those where presence times predicted IoU was below .01",
        "Carion et al. 2025, SAM 3",
        _ranked(Walk(is_sure, always_previous=True, by_rank=True)),
    ),
    "samurai": MemoryRule(
        "older slices in place of those where the object was absent or its predicted IoU below .5",
        "Yang et al. 2024, SAMURAI (without its model of motion)",
        _ranked(Walk(is_well_outlined, always_previous=True, by_rank=True)),
    ),
    "dam4sam": MemoryRule(
        "no empty slices, every 5th one, and up to 3 where a look-alike was seen and rejected",
        "Videnovic et al. 2025, DAM4SAM",
        replace(
            long_bank(),
            spatial_walk=Walk(has_area, by_rank=True, stride=5),
            pointer_walk=Walk(has_area),
            most_keys=4,
            places=MEMORY_SLOTS,
        ),
        anchors=AnchorRule(),
    ),
    "sam2long": MemoryRule(
        "three courses with memories of their own, the best one told when it has ended",
        "Ding et al. 2024, SAM2Long",
        replace(_ranked(Walk(is_fair, always_previous=True, by_rank=True)), weights=(0.95, 1.05)),
        pathways=3,
    ),
}
"""Name -> rule."""


def find_rule(name: str) -> MemoryRule:
    """The rule of that name.

    Raises:
        InputError: there is none.
    """
    if name not in RULES:
        raise InputError(f"There is no memory rule '{name}': choose one of {', '.join(RULES)}.")
    return RULES[name]


@dataclass(frozen=True)
class Course:
    """One way to go on from a slice.

    Args:
        pathway: which pathway it belongs to.
        merit: of all slices so far, this one included; see `merit_after`.
        presence: object score of the slice.
        predicted_iou: of this mask.
    """

    pathway: int
    merit: float
    presence: float
    predicted_iou: float


def merit_after(merit: float, predicted_iou: float) -> float:
    """The merit of a pathway with one slice more."""
    return merit + log(predicted_iou + 1e-5)


def best_courses(courses: Sequence[Course], pathways: int) -> list[int]:
    """Which courses become the next pathways, as positions in `courses`, the best first.

    Where a pathway is sure, they are those of most merit. Else they must differ from each other in their predicted IoU,
    with the sign of the presence and rounded to hundredths; pathways without a course fill what is left, then merit.
    """
    order = sorted(range(len(courses)), key=lambda number: -courses[number].merit)
    if max(abs(course.presence) for course in courses) > SURE_PRESENCE:
        return order[:pathways]
    kept: list[int] = []
    seen: set[float] = set()
    for number in order:
        kind = round(copysign(courses[number].predicted_iou, courses[number].presence), 2)
        if kind not in seen and len(kept) < pathways:
            kept.append(number)
            seen.add(kind)
    for other in (False, True):
        for number in order:
            is_new = other or courses[number].pathway not in {courses[chosen].pathway for chosen in kept}
            if number not in kept and is_new and len(kept) < pathways:
                kept.append(number)
    return sorted(kept, key=order.index)
