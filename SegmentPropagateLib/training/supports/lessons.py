"""What SAM2-SGP learns from: slices of finished cases, each with the slices of other cases that look most like it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.cases import Case
from SegmentPropagateLib.networks.card import Card
from SegmentPropagateLib.prompting.recall import matched
from SegmentPropagateLib.prompting.supports import SUPPORTS
from SegmentPropagateLib.training.clips import Clip, ClipSettings, Target, TrainingVolume, rendered
from SegmentPropagateLib.training.data import Example
from SegmentPropagateLib.training.forward import ClipPrompt
from SegmentPropagateLib.training.settings import FinetuneSettings
from SegmentPropagateLib.training.supports.bookcase import Asked, Bookcase
from SegmentPropagateLib.training.supports.examiner import SupportExaminer
from SegmentPropagateLib.training.supports.trainer import SupportTrainer
from SegmentPropagateLib.training.trainer import Trainer
from SegmentPropagateLib.volumes.stack import ImageStack

MOST_CASES = 5
"""Other cases whose slices may support a slice in training, drawn anew each time."""
MATCHED = 0.5
"""Share of the slices whose supports get the slice's own gray values, as in every second question of a run."""
_ATTEMPTS = 40
_LEAST_PIXELS = 12  # of an object, at the network's size

Say = Callable[[str], None]


class SupportLessons:
    """Slices with supports from other cases; implements `lessons.Lessons`.

    Args:
        settings: of the run.
        say: takes a sentence for the user.
    """

    trainer: type[Trainer] = SupportTrainer

    def __init__(self, settings: FinetuneSettings, say: Say) -> None:
        self._settings = settings
        self._bookcase = Bookcase(settings.plane, settings.labels, say)

    def examples(self, case: Case) -> list[Example]:
        """The targets of a case."""
        return self._bookcase.examples(case)

    def check_labels(self) -> None:
        """Raise InputError for a label that no case has."""
        self._bookcase.wanted.check()

    def batches(self, training: Sequence[Example], say: Say) -> SupportBatches:
        """Draws slices with their supports."""
        del say
        cases = {example.case.name: example.case for example in training}
        if len(cases) < 2:
            raise InputError(
                f"Supports are slices of other cases, and '{next(iter(cases))}' is the only case to learn from: give "
                "three cases or more, or two with --validation 0."
            )
        return SupportBatches(self._settings, self._bookcase, training)

    def exam(self, training: Sequence[Example], validating: Sequence[Example], device: torch.device) -> SupportExaminer:
        """Asks about slices of the latter, supported by the former."""
        return SupportExaminer(self._bookcase, training, validating, device)


class SupportBatches:
    """Draws batches; implements `lessons.Batches`.

    Args:
        settings: of the run.
        bookcase: opens cases.
        training: targets to learn.
    """

    length = SUPPORTS + 1

    def __init__(self, settings: FinetuneSettings, bookcase: Bookcase, training: Sequence[Example]) -> None:
        self._settings, self._bookcase, self._training = settings, bookcase, training
        self._cases = list({example.case.name: example.case for example in training}.values())

    def batch(self, step: int, epoch: int, places: Sequence[int], card: Card) -> tuple[list[Clip], ClipPrompt]:
        """The slices at some places of an epoch, each the last of a clip whose others are its supports."""
        seed = self._settings.seed
        order = np.random.default_rng([seed, 1, epoch]).permutation(len(self._training))
        clip_settings = self._settings.clips_for(card, self.length)
        clips = []
        for place in places:
            rng = np.random.default_rng([seed, 2, step, place])
            clips.append(self._draw(self._training[order[place % len(order)]], clip_settings, rng))
        return clips, ClipPrompt()

    def _draw(self, example: Example, settings: ClipSettings, rng: np.random.Generator) -> Clip:
        for _ in range(_ATTEMPTS):
            asked = self._ask(example, rng)
            clip = None if asked is None else clip_of(asked, settings, rng)
            if clip is not None:
                return clip
            example = self._training[int(rng.integers(len(self._training)))]
        raise InputError(
            "The cases cannot support each other: give cases of one modality that show the same part of the body and "
            "have labels in common."
        )

    def _ask(self, example: Example, rng: np.random.Generator) -> Asked | None:
        """A slice with the object, or without it as often as the settings say, and its supports."""
        present = example.target.slices
        absent = sorted(set(range(self._bookcase.slices(example.case))).difference(present))
        is_absent = bool(absent) and rng.random() < self._settings.absent
        index = int(rng.choice(absent if is_absent else present))
        others = [case for case in self._cases if case.name != example.case.name]
        chosen = rng.permutation(len(others))[:MOST_CASES]
        return self._bookcase.ask(example, index, [others[number] for number in chosen])


def clip_of(asked: Asked, settings: ClipSettings, rng: np.random.Generator) -> Clip | None:
    """A slice and its supports as the network sees them; None where the object is out of sight on one that shows it.

    Args:
        asked: the slice, its supports and where the object is.
        settings: of the clip.
        rng: of the augmentation.
    """
    question = asked.question
    if rng.random() < MATCHED:
        question = matched(question, asked.pixel_mm)
    best_first = list(question.supports)[::-1]
    best_first += best_first[-1:] * (SUPPORTS - len(best_first))
    values = np.stack([*(support.gray for support in best_first), question.gray]).astype(np.float32)
    masks = np.stack([*(support.mask for support in best_first), asked.truth])
    stack = ImageStack(values, (255 * np.clip(values, 0, 1)).astype(np.uint8), (1.0, *asked.pixel_mm))
    volume = TrainingVolume("supports", stack, (masks.astype(np.uint8),))
    found = rendered(volume, Target((1,), ()), np.arange(len(masks)), settings, rng, keys=SUPPORTS)
    if found is None:
        return None
    images, truth, prompt_mask = found
    if asked.truth.any() and int(truth[-1].sum()) < _LEAST_PIXELS:
        return None
    order = [*range(SUPPORTS - 1, -1, -1), SUPPORTS]  # the short memory holds what comes just before the slice
    return Clip(images[order], truth[order], prompt_mask, False)
