"""What is learned of one object, what it is worth, and what it does to a slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from SegmentPropagateLib.propagation.propagator import SliceUpdate
from SegmentPropagateLib.propagators.finishing import CERTAIN
from SegmentPropagateLib.propagators.stacking.gate import WEIGHTS
from SegmentPropagateLib.propagators.stacking.head import NESTED_STEPS, STEPS, Head, fit
from SegmentPropagateLib.propagators.stacking.looks import Looks, certain_logits
from SegmentPropagateLib.volumes.cropped import Cropped


@dataclass(frozen=True)
class Example:
    """A key slice that was propagated to from its neighbors.

    Args:
        maps: its looks, `(C, h, w)`.
        said: logits of the pair, `(h, w)`.
        truth: the outline, bool `(h, w)`.
    """

    maps: Tensor
    said: Tensor
    truth: Tensor

    @classmethod
    def of(cls, looks: Looks, mask: NDArray[np.bool_], pair: SliceUpdate, halves: Sequence[SliceUpdate]) -> Example:
        """From what was propagated to a key slice, and its outline, bool `(rows, columns)`."""
        truth = looks.grid(mask.astype(np.float32)) > 0.5
        return cls(looks.maps(pair.slice_index, pair, halves), looks.logits(pair), truth)

    def dice(self, logits: Tensor) -> float:
        """DSC of what is above 0."""
        mask = logits > 0
        return float(2 * (mask & self.truth).sum() / (mask.sum() + self.truth.sum()).clamp_min(1))


class Taught:
    """A head and its weight.

    Args:
        looks: of the object.
        head: what was learned.
        weight: of it; the pair has the rest.
    """

    def __init__(self, looks: Looks, head: Head, weight: float) -> None:
        self._looks, self._head, self._weight = looks, head, weight

    @classmethod
    def by(cls, examples: Sequence[Example], looks: Looks, weight: float) -> Taught:
        """What is learned from all examples."""
        return cls(looks, _head(examples, STEPS), weight)

    def put_right(self, pair: SliceUpdate, halves: Sequence[SliceUpdate]) -> SliceUpdate:
        """The update with what was learned mixed in, where it is seen; an empty slice stays empty."""
        if not pair.mask.any():
            return pair
        head = self._head.logits(self._looks.maps(pair.slice_index, pair, halves))
        logits = certain_logits(pair)
        seen = self._looks.view.cut(logits)
        seen[:] = (1 - self._weight) * seen + self._weight * np.clip(self._looks.in_view(head), -CERTAIN, CERTAIN)
        mask = logits > 0
        return replace(pair, mask=mask, part=Cropped.of(logits), presence=pair.presence if mask.any() else -1.0)


def nested_gains(examples: Sequence[Example], left: int) -> dict[float, float]:
    """What each weight does to the DSC of one example, when a head has learned from all others.

    Args:
        examples: two or more.
        left: number of the example that is left out of the learning.
    """
    judged = examples[left]
    head = _head([*examples[:left], *examples[left + 1 :]], NESTED_STEPS)
    logits = head.logits(judged.maps).clamp(-CERTAIN, CERTAIN)
    before = judged.dice(judged.said)
    return {weight: judged.dice((1 - weight) * judged.said + weight * logits) - before for weight in WEIGHTS}


def _head(examples: Sequence[Example], steps: int) -> Head:
    return fit([it.maps for it in examples], [it.truth for it in examples], steps)
