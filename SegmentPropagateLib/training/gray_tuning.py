"""Teaching the starter, in seconds, which gray values an object has, so that boxes and points mean it.

The starter leaves boxes and points to a network of its own (`propagators.prompted`), which guesses from each prompt
which gray values are the object's. Two outlined slices know that better. Tuning that network's weights on them instead
(scales and shifts of its channels, 40 steps) made other slices worse: see Testing/Experiments/RESULTS.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from SegmentPropagateLib.models.loading import grays_of
from SegmentPropagateLib.networks.prompt_grays import keep_prompt_grays
from SegmentPropagateLib.propagation.prompts import BoxPrompt, PointsPrompt
from SegmentPropagateLib.propagators.prompted.grays import Grays, learned
from SegmentPropagateLib.propagators.prompted.outline import outline
from SegmentPropagateLib.reports.metrics import dice
from SegmentPropagateLib.training.drawn_prompts import drawn_points, jittered_box
from SegmentPropagateLib.training.prompt_tuning import Tick, Tuned, TuningSettings, outlined_slices, parts_of
from SegmentPropagateLib.volumes.stack import ImageStack

PROBES = 2
"""Prompts of each kind by which a slice is measured; a look costs more than with `prompt_tuning`, and differs less."""
SHARES = (0.5, 1.0)
"""Of what is learned in what the prompt network is told, one of which is chosen by the slices that are left out."""

Mask = NDArray[np.bool_]


def tune_grays(
    network: nn.Module,
    stack: ImageStack,
    masks: Mapping[int, Mask],
    settings: TuningSettings,
    tick: Tick = lambda *_: None,
) -> Tuned:
    """Let a network's file know an object's gray values where slices that were left out gain by it.

    Args:
        network: with a partner, which outlines what prompts name.
        stack: the image.
        masks: slice -> outline of the one object, bool `(rows, columns)`.
        settings: how prompts are drawn; nothing is trained.
        tick: is told after every prompt how many are done, of how many.

    Raises:
        InputError: fewer than two slices are outlined.
    """
    outlined = outlined_slices(masks)
    done, total = 0, len(outlined) * PROBES * 2 * (len(SHARES) + 1)

    def known(indices: Iterable[int], share: float) -> Grays:
        return learned(((stack.values[index], outlined[index]) for index in indices), share)

    def score(index: int, grays: Grays | None) -> float:
        nonlocal done
        found = []
        for prompt in _prompts(outlined[index], index, settings):
            mask = outline(stack.values[index], stack.spacing_mm[1:], prompt, grays=grays)
            found.append(dice(mask, outlined[index]))
            done += 1
            tick(done, total)
        return float(np.mean(found))

    start = grays_of(network, "The model")
    start = None if start is None else start.in_unit_of(stack.values)
    before, after = 0.0, dict.fromkeys(SHARES, 0.0)
    for part in parts_of(list(outlined)):
        others = [index for index in outlined if index not in part]
        before += sum(score(index, start) for index in part) / len(outlined)
        for share in SHARES:
            after[share] += sum(score(index, known(others, share)) for index in part) / len(outlined)
    best = max(after, key=lambda share: after[share])
    helps = after[best] > before
    if helps:
        found = known(outlined, best).portable(stack.values)
        keep_prompt_grays(network, torch.from_numpy(found.ratio), (found.low, found.high), best)
    recipe = {"learned": "gray values", "share": best} if helps else None
    return Tuned(round(before, 4), round(after[best], 4), recipe, tuple(outlined))


def _prompts(mask: Mask, index: int, settings: TuningSettings) -> list[BoxPrompt | PointsPrompt]:
    rng = np.random.default_rng([settings.seed, index])
    prompts: list[BoxPrompt | PointsPrompt] = []
    for _ in range(PROBES):
        prompts += [jittered_box(mask, settings.jitter, rng), drawn_points(mask, settings.points, rng)]
    return prompts
