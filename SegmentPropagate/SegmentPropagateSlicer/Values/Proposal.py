"""What a run proposes for one segment on one slice."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np


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

    shape: tuple
    origin: tuple
    box: np.ndarray
    presence: float | None = None
    predictedIou: float | None = None

    @classmethod
    def ofMessage(cls, message):
        """The proposal that a worker's message carries."""
        header = message.header
        box = np.zeros((0, 0), dtype=bool) if message.array is None else message.array.astype(bool)
        logit = header.get("presence")
        presence = None if logit is None else 1 / (1 + math.exp(-min(max(logit, -50), 50)))
        return cls(
            tuple(header["shape"]), tuple(header.get("origin", (0, 0))), box, presence, header.get("predicted_iou")
        )

    @property
    def place(self):
        """Index of `box` within the slice."""
        (row, column), (rows, columns) = self.origin, self.box.shape
        return slice(row, row + rows), slice(column, column + columns)

    @property
    def mask(self):
        """Bool `(rows, columns)`."""
        mask = np.zeros(self.shape, dtype=bool)
        mask[self.place] = self.box
        return mask

    @cached_property
    def area(self):
        """Number of pixels."""
        return int(np.count_nonzero(self.box))

    @cached_property
    def center(self):
        """Mean row and column of the mask; None for an empty one."""
        if not self.area:
            return None
        rows, columns = self.box.sum(axis=1), self.box.sum(axis=0)
        center = (int(counts @ np.arange(len(counts))) / self.area for counts in (rows, columns))
        return tuple(start + offset for start, offset in zip(self.origin, center, strict=True))


def emptyProposal(shape, presence=0.0):
    """Nothing on a slice of `(rows, columns)`."""
    return Proposal(tuple(shape), (0, 0), np.zeros((0, 0), dtype=bool), presence)


def proposalOfMask(mask):
    """A key slice's outline as a proposal that is sure of itself."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return emptyProposal(mask.shape)
    origin = int(rows[0]), int(columns[0])
    box = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].copy()
    return Proposal(mask.shape, origin, box, 1.0, 1.0)
