"""Which remembered slices a network reads when it comes to a slice: memory banks as data.

A network has one or two memory attentions, and each reads a `Bank`. The published arms are settings of the same data:

* `M_O`, SAM 2: every key slice and the last 6 slices: `MemoryPolicy((long_bank(),))`
* `M_R=k`: only the last k slices, a key slice being one of them: `MemoryPolicy((short_bank(k),))`
* `M_O+M_R=k`, SLM-SAM 2: two attentions whose results are added and fused: `MemoryPolicy((long_bank(), short_bank(k)))`

Rules after Ravi et al. 2024 (SAM 2), Chen et al. 2025 (SLM-SAM 2) and the behaviour of their released predictors. Later
trackers choose by what the network said of each slice; how they do is data as well, and has names in `memory_rules`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from SegmentPropagateLib.errors import InputError

MEMORY_SLOTS = 7
"""Temporal encodings of spatial memories in all SAM 2 checkpoints (`num_maskmem`); the last one marks key slices."""

POINTER_SLOTS = 16
"""Object pointers that SAM 2 reads at most, the slice's own place included (`max_obj_ptrs_in_encoder`)."""

KEY_PRESENCE = 10.0
"""How sure of the object a key slice counts where memories are weighed by that."""


@dataclass(frozen=True)
class Score:
    """What was said of a slice when it was segmented.

    Args:
        presence: object score, a logit.
        predicted_iou: 0..1.
        area: pixels of the mask.
        rival: overlap (IoU) of the mask's box with the box of mask and rival, where that is least; see
            `rivals.rival_overlap`. 1 where there was none.
    """

    presence: float
    predicted_iou: float
    area: int = 0
    rival: float = 1.0


Accept = Callable[[Score], bool]


@dataclass(frozen=True)
class Walk:
    """How remembered slices are gathered, from the previous one back along the direction of travel.

    Args:
        accept: which slices may be read; None takes all. Key slices always may.
        always_previous: the previous slice comes first, whether it is accepted or not.
        by_rank: slices that are not accepted are replaced by older ones, and those gathered count as 1, 2, ... slices
            old. Otherwise they leave gaps, and age is distance.
        stride: beyond the first only every so-manieth slice, counted from the key slice.
    """

    accept: Accept | None = None
    always_previous: bool = False
    by_rank: bool = False
    stride: int = 1


@dataclass(frozen=True)
class Bank:
    """What one memory attention reads.

    Args:
        keeps_keys: key slices are always read, marked by the last temporal encoding, and never count as recent ones.
            Otherwise a key slice is read only while it is among the recent slices, as one of them.
        recent: how many slices back along the direction of travel spatial memories are read from.
        pointers: how many slices back object pointers are read from.
        spatial_walk: how those slices are found.
        pointer_walk: the same for pointers.
        most_keys: how many key slices are read; None reads all. The others count as recent ones.
        places: spatial memories in all, the key slices' included; None does not limit them.
        weights: factors on the keys of the memory, and of the pointer, in which the object was least and most surely
            seen; the others lie evenly between.
    """

    keeps_keys: bool
    recent: int
    pointers: int
    spatial_walk: Walk = Walk()
    pointer_walk: Walk = Walk()
    most_keys: int | None = None
    places: int | None = None
    weights: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        longest = MEMORY_SLOTS - self.keeps_keys
        if not 1 <= self.recent <= longest:
            raise InputError(f"A memory bank must read 1 to {longest} recent slices, got {self.recent}.")

    @property
    def reach(self) -> int | None:
        """How many slices back a memory may be read from that is no key slice; None where that has no bound."""
        if self.spatial_walk.by_rank or self.pointer_walk.by_rank:
            return None
        return max(self.recent * self.spatial_walk.stride, self.pointers * self.pointer_walk.stride)


def long_bank() -> Bank:
    """SAM 2's own bank: key slices, the last 6 slices, pointers of the last 15."""
    return Bank(keeps_keys=True, recent=MEMORY_SLOTS - 1, pointers=POINTER_SLOTS - 1)


def short_bank(slices: int) -> Bank:
    """The last slices alone (1 to 7), whatever they are."""
    return Bank(keeps_keys=False, recent=slices, pointers=slices)


@dataclass(frozen=True)
class AnchorRule:
    """Which slices are kept beside the key slices: those where something like the object was seen and rejected.

    Args:
        most: how many are kept; the oldest gives way.
        predicted_iou: must be above this.
        area: least and largest area, over the median of the slices before.
        median_of: how many slices before, without empty ones.
        apart: must be further than this from the anchor before, or from the key slice.
        rival: `Score.rival` must not be above this.
    """

    most: int = 3
    predicted_iou: float = 0.8
    area: tuple[float, float] = (0.8, 1.2)
    median_of: int = 10
    apart: int = 5
    rival: float = 0.7

    def admits(self, score: Score, areas: Sequence[int], distance: int) -> bool:
        """Whether a slice becomes an anchor.

        Args:
            score: what was said of it.
            areas: those of the slices before, in the order of visit.
            distance: slices to the anchor before, or to the key slice.
        """
        before = sorted([area for area in areas if area > 0][-self.median_of :])
        if not before or score.area < 1 or distance <= self.apart:
            return False
        median = (before[len(before) // 2] + before[(len(before) - 1) // 2]) / 2
        low, high = self.area
        is_sure = score.predicted_iou > self.predicted_iou and low <= score.area / median <= high
        return is_sure and score.rival <= self.rival


@dataclass(frozen=True)
class MemoryPolicy:
    """What is remembered, and what of it is read.

    Args:
        banks: one per memory attention of the network, in the order long, short.
        anchors: which slices are read like key slices from then on; None makes none.
        pathways: how many courses with memories of their own are followed until the last slice tells the best; see
            `memory_rules.best_courses`.
    """

    banks: tuple[Bank, ...]
    anchors: AnchorRule | None = None
    pathways: int = 1

    @property
    def judges(self) -> bool:
        """Whether it matters what was said of a slice."""
        walks = [walk for bank in self.banks for walk in (bank.spatial_walk, bank.pointer_walk)]
        has_weights = any(bank.weights is not None for bank in self.banks)
        return self.anchors is not None or has_weights or any(walk.accept is not None for walk in walks)

    @property
    def wants_rivals(self) -> bool:
        """Whether masks that were not chosen matter."""
        return self.anchors is not None or self.pathways > 1

    @property
    def reach(self) -> int | None:
        """How many slices back a memory may be read from; None where that has no bound."""
        reaches = [bank.reach for bank in self.banks]
        return None if None in reaches else max(reach for reach in reaches if reach is not None)


@dataclass(frozen=True)
class Reads:
    """What a slice reads from one bank.

    Args:
        spatial: `(slice, index of the temporal encoding)` per spatial memory.
        pointers: `(slice, signed distance in slices)` per object pointer; positive = already passed.
        spatial_weights: a factor on the keys of each spatial memory; none where empty.
        pointer_weights: the same for pointers.
    """

    spatial: tuple[tuple[int, int], ...]
    pointers: tuple[tuple[int, int], ...]
    spatial_weights: tuple[float, ...] = ()
    pointer_weights: tuple[float, ...] = ()


@dataclass(frozen=True)
class Remembered:
    """What a lane has to choose from.

    Args:
        keys: its key slices.
        filled: slices that it has segmented so far (also on an earlier leg); no key slices.
        scores: what was said of them; needed by rules that accept or weigh.
        anchors: those of them that are read like key slices.
    """

    keys: Collection[int]
    filled: Collection[int]
    scores: Mapping[int, Score] = field(default_factory=dict)
    anchors: Collection[int] = ()


def select(
    bank: Bank, index: int, direction: int, keys: Collection[int], filled: Collection[int], slices: int
) -> Reads:
    """Choose what slice `index` reads from a bank.

    Args:
        bank: the rule.
        index: the slice to be segmented.
        direction: +1 when slices are visited in ascending order, -1 otherwise.
        keys: key slices of the lane.
        filled: slices that the lane has segmented so far (also on an earlier leg); no key slices.
        slices: number of slices of the stack; pointers are read from no farther than it is long.
    """
    return select_from(bank, index, direction, Remembered(keys, filled), slices)


def select_from(bank: Bank, index: int, direction: int, remembered: Remembered, slices: int) -> Reads:
    """The same for rules that need to know what was said of each slice."""
    marked = {*remembered.keys, *remembered.anchors}
    attended = _closest(marked, index, bank.most_keys) if bank.keeps_keys else []
    recent = {*remembered.filled, *remembered.keys}.difference(attended)
    behind = _Behind(index, direction, _origin(remembered.keys, index, direction), recent, remembered.scores)
    room = bank.recent if bank.places is None else max(min(bank.recent, bank.places - len(attended)), 0)
    span = pointer_span(slices)
    spatial = [(key, MEMORY_SLOTS - 1) for key in attended]
    spatial += [(slice_, age - 1) for slice_, age in reversed(list(behind.gather(bank.spatial_walk, room, span)))]
    pointers = [(key, distance) for key in attended if (distance := (index - key) * direction) >= 0]
    pointers += behind.gather(bank.pointer_walk, min(bank.pointers, span), span, leaves_oldest=True)
    weights = [_weights(bank, entries, remembered) for entries in (spatial, pointers)]
    return Reads(tuple(spatial), tuple(pointers), *weights)


@dataclass(frozen=True)
class _Behind:
    """The slices behind a slice.

    Args:
        index: the slice.
        direction: of travel.
        origin: the key slice from which strides are counted.
        recent: slices that may be read.
        scores: what was said of them.
    """

    index: int
    direction: int
    origin: int
    recent: Collection[int]
    scores: Mapping[int, Score]

    def gather(self, walk: Walk, count: int, span: int, leaves_oldest: bool = False) -> Iterator[tuple[int, int]]:
        """At most `count` slices with their ages, the latest first.

        Args:
            walk: the rule.
            count: how many.
            span: ranks end there.
            leaves_oldest: the released predictors read no pointer of the oldest slice that they have gathered by rank.
        """
        if walk.by_rank:
            ranked = self._ranked(walk, span)
            ranked = ranked[:-1] if leaves_oldest else ranked
            places = enumerate(ranked[:count], start=1)
        else:
            passed = (self.index - self.origin) * self.direction
            last = (passed - 2) // walk.stride * walk.stride  # behind the previous slice
            steps = [passed - 1, *(last - number * walk.stride for number in range(count - 1))][:count]
            places = enumerate((self.origin + step * self.direction for step in steps), start=1)
        for age, slice_ in places:
            excused = walk.always_previous and slice_ == self.index - self.direction
            if slice_ in self.recent and (excused or self._is_accepted(walk, slice_)):
                yield slice_, age

    def _ranked(self, walk: Walk, most: int) -> list[int]:
        previous = self.index - self.direction
        accepted: list[int] = []
        passed = [slice_ for slice_ in self.recent if (self.index - slice_) * self.direction > 0]
        for slice_ in sorted(passed, key=lambda slice_: abs(self.index - slice_)):
            is_due = not accepted or (slice_ - self.origin) % walk.stride == 0
            if is_due and len(accepted) < most and self._is_accepted(walk, slice_):
                accepted.append(slice_)
        # A key slice takes the previous slice's rank, though it is read as a key slice.
        return [previous, *accepted] if walk.always_previous and previous not in accepted else accepted

    def _is_accepted(self, walk: Walk, slice_: int) -> bool:
        return walk.accept is None or slice_ not in self.scores or walk.accept(self.scores[slice_])


def _origin(keys: Collection[int], index: int, direction: int) -> int:
    """The nearest key slice behind; where there is none, the nearest one."""
    return min(keys, key=lambda key: ((index - key) * direction < 0, abs(index - key)))


def _closest(keys: Collection[int], index: int, most: int | None) -> list[int]:
    """At most so many key slices, ascending: the nearest one on either side, then the nearest of the others."""
    if most is None or len(keys) <= most:
        return sorted(keys)
    before, after = [key for key in keys if key < index], [key for key in keys if key >= index]
    beside = [*([max(before)] if before else []), *([min(after)] if after else [])]
    others = sorted(set(keys).difference(beside), key=lambda key: abs(key - index))
    return sorted([*beside, *others][:most])


def _weights(bank: Bank, entries: Sequence[tuple[int, int]], remembered: Remembered) -> tuple[float, ...]:
    if bank.weights is None:
        return ()
    scores = remembered.scores
    sure = [scores[slice_].presence if slice_ in scores else KEY_PRESENCE for slice_, _ in entries]
    order = sorted(range(len(entries)), key=lambda number: sure[number])
    low, high = bank.weights
    step = (high - low) / max(len(entries) - 1, 1)
    weights = {number: low + rank * step for rank, number in enumerate(order)}
    return tuple(weights[number] for number in range(len(entries)))


def pointer_span(slices: int) -> int:
    """The farthest distance a pointer is read from, by which its temporal encoding is divided."""
    return min(slices, POINTER_SLOTS) - 1
