"""How good the masks are that supports lead to, measured as the source `support-memory` makes them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from SegmentPropagateLib.models.loading import as_run
from SegmentPropagateLib.networks.card import Card
from SegmentPropagateLib.networks.families import find_family
from SegmentPropagateLib.networks.sam2 import Network
from SegmentPropagateLib.prompting.recall import Memory
from SegmentPropagateLib.reports.metrics import dice
from SegmentPropagateLib.training.data import Example
from SegmentPropagateLib.training.supports.bookcase import Asked, Bookcase
from SegmentPropagateLib.training.validation import Score, frozen_propagator
from SegmentPropagateLib.volumes.choice import evenly

TARGETS = 8
"""Targets that are measured, evenly over all; more would take longer than the training."""
SLICES = 3
"""Slices of each with the object, and as many without it, evenly over both."""


class SupportExaminer:
    """Asks about slices of some cases, supported by slices of others; implements `lessons.Exam`.

    Args:
        bookcase: opens cases.
        training: targets of the cases that support.
        validating: targets to measure on.
        device: where the network computes.
    """

    def __init__(
        self, bookcase: Bookcase, training: Sequence[Example], validating: Sequence[Example], device: torch.device
    ) -> None:
        self._bookcase, self._device = bookcase, device
        self._cases = list({example.case.name: example.case for example in training}.values())
        self._validating = evenly(validating, TARGETS, ends=False)
        self._asked: list[list[Asked]] | None = None

    def score(self, network: Network, card: Card) -> Score:
        """Mean figures of the targets; NaN without any.

        An open range is all slices that were asked about, a range given those that show the object.
        """
        if self._asked is None:
            self._asked = [found for found in map(self._questions, self._validating) if found]
        memory = Memory(as_run(frozen_propagator(network, card, self._device), find_family(card.family), None))
        rows = [_figures(asked, memory) for asked in self._asked]
        open_dsc, range_dsc, absent_empty = np.mean(rows, axis=0) if rows else (np.nan,) * 3
        return Score(float(open_dsc), float(range_dsc), float(absent_empty))

    def _questions(self, example: Example) -> list[Asked]:
        absent = sorted(set(range(self._bookcase.slices(example.case))).difference(example.target.slices))
        indices = [*evenly(example.target.slices, SLICES, ends=False), *evenly(absent, SLICES, ends=False)]
        others = [case for case in self._cases if case.name != example.case.name]
        asked = (self._bookcase.ask(example, index, others) for index in indices)
        found = [each for each in asked if each is not None]
        return found if any(each.truth.any() for each in found) else []  # two empty masks have a DSC of 1


def _figures(asked: Sequence[Asked], memory: Memory) -> tuple[float, float, float]:
    """The figures of a `Score` for one target."""
    answers = memory.ask([it.question for it in asked], asked[0].pixel_mm)
    masks, truths = np.stack([answer.mask for answer in answers]), np.stack([it.truth for it in asked])
    present = truths.any(axis=(1, 2))
    return dice(masks, truths), dice(masks[present], truths[present]), _empty(masks[~present])


def _empty(masks: NDArray[np.bool_]) -> float:
    return 1.0 - float(masks.any(axis=(1, 2)).mean()) if len(masks) else 1.0
