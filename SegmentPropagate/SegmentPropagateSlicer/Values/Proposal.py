"""What a run proposes for one segment on one slice."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.volumes.boxes import bounding_box
from SegmentPropagateLib.worker.replies import SliceDone, SliceReply


@dataclass(frozen=True, eq=False)
class Proposal:
    """A mask kept as its bounding box, with what the model thinks of it.

    Args:
        shape: `(rows, columns)` of the slice.
        origin: first row and column of `box`.
        box: bool, the mask within its bounding box; of size 0 for an empty mask.
        presence: how sure the model is that the object is there, 0..1; None where it does not say.
        predictedIou: the model's own guess of the mask's IoU, 0..1; None where it has none.
    """

    shape: tuple[int, int]
    origin: tuple[int, int]
    box: NDArray[np.bool_]
    presence: float | None = None
    predictedIou: float | None = None

    @classmethod
    def ofReply(cls, reply: SliceReply) -> "Proposal":
        """The proposal that the worker sends for a slice."""
        logit, iou = (reply.presence, reply.predicted_iou) if isinstance(reply, SliceDone) else (None, None)
        presence = None if logit is None else 1 / (1 + math.exp(-min(max(logit, -50), 50)))
        return cls(reply.shape, reply.origin, reply.box, presence, iou)

    @property
    def place(self) -> tuple[slice, slice]:
        """Index of `box` within the slice."""
        (row, column), (rows, columns) = self.origin, self.box.shape
        return slice(row, row + rows), slice(column, column + columns)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Bool `(rows, columns)`."""
        mask = np.zeros(self.shape, dtype=bool)
        mask[self.place] = self.box
        return mask

    @cached_property
    def area(self) -> int:
        """Number of pixels."""
        return int(np.count_nonzero(self.box))


def emptyProposal(shape: tuple[int, int], presence: float = 0.0) -> Proposal:
    """Nothing on a slice of `(rows, columns)`."""
    return Proposal(shape, (0, 0), np.zeros((0, 0), dtype=bool), presence)


def proposalOfMask(mask: NDArray[np.bool_]) -> Proposal:
    """A key slice's outline as a proposal that is sure of itself."""
    box = bounding_box(mask)
    if box is None:
        return emptyProposal(mask.shape)
    rows, columns = box
    return Proposal(mask.shape, (rows.start, columns.start), mask[box].copy(), 1.0, 1.0)
