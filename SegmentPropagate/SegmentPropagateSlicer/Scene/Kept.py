"""What a write into segments leaves alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateSlicer.Scene.Held import Held
from SegmentPropagateSlicer.Scene.Lattice import Lattice, voxelsOfSlices
from SegmentPropagateSlicer.Scene.SliceGrid import SliceGrid

Locks = Mapping[str, Sequence[tuple[SliceGrid, Sequence[int]]]]
"""segmentId -> slices that nothing may change, a stack at a time."""


@dataclass(frozen=True)
class Kept:
    """What a write leaves alone.

    Args:
        locked: slices of segments that they themselves do not change.
        given: slices of segments that others which overwrite them do not change: the locked ones, and the keys.
        finished: other segments of which a segment takes nothing.
        held: what the segments held before: what differs from it was drawn since, and stays drawn, or erased.
        overwrites: whether other segments lose what this one gets, as the editor says.
    """

    locked: Locks = field(default_factory=dict)
    given: Locks = field(default_factory=dict)
    finished: Mapping[str, Collection[str]] = field(default_factory=dict)
    held: Held | None = None
    overwrites: bool = True

    def fixed(self, segmentId: str, lattice: Lattice) -> NDArray[np.bool_] | None:
        """Voxels of a segment's own lattice that neither are added nor removed: locked, or drawn or erased by hand."""
        locked = self.locked.get(segmentId)
        fixed = voxelsOfSlices(lattice, locked) if locked else None
        if self.held is None or self.held.isUntouched(segmentId):
            return fixed
        drawn = self.held.drawn(segmentId, lattice)
        return drawn if fixed is None else fixed | drawn


def leaveOut(mask: NDArray[np.bool_], fixed: NDArray[np.bool_] | None) -> None:
    """Make a mask False where another, or none, is True; no new array, as these are as large as the segment."""
    if fixed is not None:
        np.greater(mask, fixed, out=mask)
