"""What a run learns from: sequences of a volume's own slices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import torch

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.cases import Case
from SegmentPropagateLib.networks.card import Card
from SegmentPropagateLib.networks.sam2 import Network
from SegmentPropagateLib.training.clips import Clip
from SegmentPropagateLib.training.data import Example, Library
from SegmentPropagateLib.training.forward import ClipPrompt
from SegmentPropagateLib.training.mixture import Mixture
from SegmentPropagateLib.training.settings import FinetuneSettings
from SegmentPropagateLib.training.trainer import Trainer
from SegmentPropagateLib.training.validation import Examiner, Score
from SegmentPropagateLib.wording import counted

Say = Callable[[str], None]


class Batches(Protocol):
    """Draws the batches of a run.

    What is random depends on the seed, the step and the place in the epoch alone.
    """

    @property
    def length(self) -> int:
        """Slices of a clip."""

    def batch(self, step: int, epoch: int, places: Sequence[int], card: Card) -> tuple[list[Clip], ClipPrompt]:
        """The clips at some places of an epoch, and what the network is told of their first slices."""


class Exam(Protocol):
    """Measures networks on the same targets again and again."""

    def score(self, network: Network, card: Card) -> Score:
        """Mean figures of a network as it is now."""


class Lessons(Protocol):
    """What a run learns from, and what it is measured on."""

    trainer: type[Trainer]

    def examples(self, case: Case) -> list[Example]:
        """The targets of a case, or InputError."""

    def check_labels(self) -> None:
        """Raise InputError for a label that was asked for and that no case so far has."""

    def batches(self, training: Sequence[Example], say: Say) -> Batches:
        """What draws batches from these targets, or InputError."""

    def exam(self, training: Sequence[Example], validating: Sequence[Example], device: torch.device) -> Exam:
        """What measures on the latter."""


class Sequences:
    """Clips of consecutive slices, and propagation through whole volumes; implements `Lessons`.

    Args:
        settings: of the run.
        say: takes a sentence for the user.
    """

    trainer: type[Trainer] = Trainer

    def __init__(self, settings: FinetuneSettings, say: Say) -> None:
        self._settings = settings
        self._library = Library(settings.plane, settings.intensity, settings.labels, notify=say)

    def examples(self, case: Case) -> list[Example]:
        """The targets of a case."""
        return self._library.examples(case)

    def check_labels(self) -> None:
        """Raise InputError for a label that no case has."""
        self._library.wanted.check()

    def batches(self, training: Sequence[Example], say: Say) -> Mixture:
        """Clips as long as the shortest volume allows."""
        shortest = min(len(self._library.load(example.case).stack) for example in training)
        length, wanted = min(self._settings.slices, shortest), self._settings.slices
        if wanted < 2:
            raise InputError(
                f"Sequences of {counted(wanted, 'slice')} have nothing to propagate to: give --slices 2 or more."
            )
        if length < 2:
            raise InputError("A volume of one slice has nothing to propagate to: leave it out of the dataset.")
        if length < wanted:
            say(f"The shortest volume has {shortest} slices: clips have {length} instead of {wanted}.")
        return Mixture(self._settings, self._library, training, length)

    def exam(self, training: Sequence[Example], validating: Sequence[Example], device: torch.device) -> Examiner:
        """Carries the largest slice of each target."""
        del training
        targets = [(partial(self._library.load, example.case), example.target) for example in validating]
        return Examiner(targets, device)
