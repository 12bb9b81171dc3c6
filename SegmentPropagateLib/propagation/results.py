"""What is known of an object on a slice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.propagation.propagator import SliceUpdate
from SegmentPropagateLib.volumes.boxes import bounding_box

Source = Literal["key", "propagated", "empty"]


@dataclass(frozen=True)
class SliceResult:
    """What is known of one object on one slice.

    Args:
        bits: the mask, packed: all slices of a volume are kept.
        shape: `(rows, columns)`.
        source: `key` (given or confirmed by the user), `propagated`, or `empty` (held to be absent).
        presence: object score as a logit; +inf for key slices, -inf where a lane had ended before it came here.
        predicted_iou: 0..1; 1 for key slices, NaN where the propagator has no opinion.
        claim: what overlaps with other objects are settled by; None for key slices and empty ones.
    """

    bits: NDArray[np.uint8]
    shape: tuple[int, int]
    source: Source
    presence: float
    predicted_iou: float
    claim: Claim | None = None

    @classmethod
    def of_mask(cls, mask: NDArray[np.bool_], source: Source, presence: float, predicted_iou: float) -> SliceResult:
        """A result without a claim."""
        rows, columns = mask.shape
        return cls(np.packbits(mask), (rows, columns), source, presence, predicted_iou)

    @classmethod
    def of_draft(cls, mask: NDArray[np.bool_], believed: float, is_key: bool = False) -> SliceResult:
        """A mask that somebody else made, believed by so much, 0..1."""
        share = float(np.clip(believed, 0.001, 0.999))
        return cls.of_mask(mask, "key" if is_key else "propagated", float(np.log(share / (1 - share))), believed)

    @classmethod
    def of(cls, update: SliceUpdate) -> SliceResult:
        """What is kept of an update."""
        source: Source = "propagated" if update.mask.any() else "empty"
        result = cls.of_mask(update.mask, source, update.presence, update.predicted_iou)
        return replace(result, claim=Claim.of(update))

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Bool, `(rows, columns)`; a copy."""
        rows, columns = self.shape
        return np.unpackbits(self.bits, count=rows * columns).view(np.bool_).reshape(self.shape)

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int(np.count_nonzero(self.mask))


@dataclass(frozen=True)
class Claim:
    """Logits inside a mask's bounding box: what overlaps are settled by, at a fraction of a full slice's memory."""

    rows: slice
    columns: slice
    logits: NDArray[np.float16]

    @classmethod
    def of(cls, update: SliceUpdate) -> Claim | None:
        """What is kept of an update's logits; None where there are none, or nothing to claim."""
        box = bounding_box(update.mask)
        if update.part is None or box is None:
            return None
        rows, columns = box
        return cls(rows, columns, np.clip(update.part.on((rows, columns)), -100, 100).astype(np.float16))
