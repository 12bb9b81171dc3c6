"""A key slice as the panel lists it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Key:
    """One segment outlined (or confirmed) on one slice; the outline itself is what the segment holds there.

    Args:
        segmentId: which segment.
        plane: `axial`, `coronal` or `sagittal`.
        sliceIndex: 0-based index along the volume's array axis nearest to the plane's normal, in stored order.
        areaMm2: area of the outline when it was last read; 0 when it has not been read yet.
        confirmed: the slice is locked: no run and no Accept changes it.
    """

    segmentId: str
    plane: str
    sliceIndex: int
    areaMm2: float = 0.0
    confirmed: bool = False

    @property
    def place(self) -> tuple[str, str, int]:
        """What makes the key unique: `(segmentId, plane, sliceIndex)`."""
        return self.segmentId, self.plane, self.sliceIndex
