"""Which remembered slices a network reads when it comes to a slice: memory banks as data.

A network has one or two memory attentions, and each reads a `Bank`. The published arms are settings of the same data:

* `M_O`, SAM 2: every key slice and the last 6 slices: `MemoryPolicy((long_bank(),))`
* `M_R=k`: only the last k slices, a key slice being one of them: `MemoryPolicy((short_bank(k),))`
* `M_O+M_R=k`, SLM-SAM 2: two attentions whose results are added and fused: `MemoryPolicy((long_bank(), short_bank(k)))`

Rules after Ravi et al. 2024 (SAM 2), Chen et al. 2025 (SLM-SAM 2) and the behaviour of their released predictors.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from SegmentPropagateLib.errors import InputError

MEMORY_SLOTS = 7
"""Temporal encodings of spatial memories in all SAM 2 checkpoints (`num_maskmem`); the last one marks key slices."""

POINTER_SLOTS = 16
"""Object pointers that SAM 2 reads at most, the slice's own place included (`max_obj_ptrs_in_encoder`)."""


@dataclass(frozen=True)
class Bank:
    """What one memory attention reads.

    Args:
        keeps_keys: key slices are always read, marked by the last temporal encoding, and never count as recent ones.
            Otherwise a key slice is read only while it is among the recent slices, as one of them.
        recent: how many slices back along the direction of travel spatial memories are read from.
        pointers: how many slices back object pointers are read from.
    """

    keeps_keys: bool
    recent: int
    pointers: int

    def __post_init__(self) -> None:
        longest = MEMORY_SLOTS - self.keeps_keys
        if not 1 <= self.recent <= longest:
            raise InputError(f"A memory bank must read 1 to {longest} recent slices, got {self.recent}.")


def long_bank() -> Bank:
    """SAM 2's own bank: key slices, the last 6 slices, pointers of the last 15."""
    return Bank(keeps_keys=True, recent=MEMORY_SLOTS - 1, pointers=POINTER_SLOTS - 1)


def short_bank(slices: int) -> Bank:
    """The last slices alone (1 to 7), whatever they are."""
    return Bank(keeps_keys=False, recent=slices, pointers=slices)


@dataclass(frozen=True)
class MemoryPolicy:
    """One bank per memory attention of the network, in the order long, short."""

    banks: tuple[Bank, ...]


@dataclass(frozen=True)
class Reads:
    """What a slice reads from one bank.

    Args:
        spatial: `(slice, index of the temporal encoding)` per spatial memory.
        pointers: `(slice, signed distance in slices)` per object pointer; positive = already passed.
    """

    spatial: tuple[tuple[int, int], ...]
    pointers: tuple[tuple[int, int], ...]


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
    spatial = [(key, MEMORY_SLOTS - 1) for key in sorted(keys)] if bank.keeps_keys else []
    pointers = [(key, distance) for key in sorted(keys) if (distance := (index - key) * direction) >= 0]
    if not bank.keeps_keys:
        pointers = []
    recent = set(filled) if bank.keeps_keys else set(filled) | set(keys)
    spatial += [
        (index - distance * direction, distance - 1)
        for distance in range(bank.recent, 0, -1)
        if index - distance * direction in recent
    ]
    pointers += [
        (index - distance * direction, distance)
        for distance in range(1, min(bank.pointers, pointer_span(slices)) + 1)
        if index - distance * direction in recent
    ]
    return Reads(tuple(spatial), tuple(pointers))


def pointer_span(slices: int) -> int:
    """The farthest distance a pointer is read from, by which its temporal encoding is divided."""
    return min(slices, POINTER_SLOTS) - 1
