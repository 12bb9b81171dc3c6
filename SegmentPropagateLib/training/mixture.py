"""The clips of a step: from the cases, and a share of them from drawn volumes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from SegmentPropagateLib.networks.card import Card
from SegmentPropagateLib.training.clips import Clip, ClipSettings, draw_clip, draw_kind, draw_prompt, try_clip
from SegmentPropagateLib.training.data import Example, Library
from SegmentPropagateLib.training.forward import ClipPrompt
from SegmentPropagateLib.training.settings import FinetuneSettings
from SegmentPropagateLib.training.starter.targets import PhantomPool, draw_target

DRAWN_SEEDS = range(20_000_000, 20_000_016)
"""Phantoms that clips are cut from; few, as each takes as long to draw as a step."""


class Mixture:
    """Draws batches; what is random depends on the seed, the step and the place in the epoch alone.

    Args:
        settings: of the run.
        library: reads cases.
        training: targets to learn.
        length: slices of a clip.
    """

    def __init__(self, settings: FinetuneSettings, library: Library, training: Sequence[Example], length: int) -> None:
        self._settings, self._library, self._training, self.length = settings, library, training, length
        self._phantoms = PhantomPool(len(DRAWN_SEEDS))

    def batch(self, step: int, epoch: int, places: Sequence[int], card: Card) -> tuple[list[Clip], ClipPrompt]:
        """The clips at some places of an epoch, and what the network is told of their first slices."""
        settings, seed = self._settings, self._settings.seed
        clip_settings = settings.clips_for(card, self.length)
        order = np.random.default_rng([seed, 1, epoch]).permutation(len(self._training))
        generators = [np.random.default_rng([seed, 2, step, place]) for place in places]
        clips = [
            self._clip(self._training[order[place % len(order)]], clip_settings, generator)
            for place, generator in zip(places, generators, strict=True)
        ]
        kind = draw_kind(settings.prompt, np.random.default_rng([seed, 3, step]))
        return clips, draw_prompt(clips, kind, settings.clicks, generators)

    def _clip(self, example: Example, settings: ClipSettings, generator: np.random.Generator) -> Clip:
        # Drawn volumes are made for networks that look at values.
        if self._settings.drawn and settings.windows and generator.random() < self._settings.drawn:
            return self._drawn(settings, generator)
        return draw_clip(self._library.load(example.case), example.target, settings, generator)

    def _drawn(self, settings: ClipSettings, generator: np.random.Generator) -> Clip:
        while True:
            volume = self._phantoms.get(int(generator.choice(DRAWN_SEEDS)))
            found = draw_target(volume, settings.slices, generator)
            clip = None if found is None else try_clip(*found, settings, generator)
            if clip is not None:
                return clip
