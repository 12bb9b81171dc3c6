"""Teaching a network, in seconds, what boxes and points mean for an object: from a few outlined slices of one volume.

SAM^assist of SAM^Med (Wang 2023, arXiv:2307.05617): encoder and decoder stay, the prompt encoder learns, and prompts
are drawn anew for every step: points, boxes that are somewhat off, boxes with clicks into what is missed or exceeded.
Here only the embeddings of points and of corners learn, 4 x C of its numbers. Propagation from a mask reads all others
but never these, so that it stays the same bit for bit.

The paper gives neither rates nor steps nor a rule for when to keep the result. It is kept here when slices that were
left out gain in the mean.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.networks.card import Card
from SegmentPropagateLib.networks.families import find_family
from SegmentPropagateLib.networks.sam2 import Network
from SegmentPropagateLib.networks.steps import Decoded, decode, embed_prompt
from SegmentPropagateLib.propagation.prompts import BoxPrompt, PointsPrompt
from SegmentPropagateLib.propagators.tracking.appearance import CHOOSERS, resize_mask
from SegmentPropagateLib.propagators.tracking.points import as_points, box_mask
from SegmentPropagateLib.propagators.tracking.tracker import Tracker
from SegmentPropagateLib.propagators.tracking.views import View, ViewFinder
from SegmentPropagateLib.training.drawn_prompts import drawn_points, jittered_box
from SegmentPropagateLib.training.forward import correcting_click
from SegmentPropagateLib.training.losses import LossWeights, SliceOutput, slice_loss
from SegmentPropagateLib.volumes.choice import evenly
from SegmentPropagateLib.volumes.stack import ImageStack
from SegmentPropagateLib.wording import are

Mask = NDArray[np.bool_]
Points = tuple[Tensor, Tensor]
Tick = Callable[[int, int], None]

FEWEST = 2
"""Outlined slices: one cannot tell whether the others would gain."""
MOST = 5
"""Slices that are learned from; of more, these evenly spread. Each has four views to encode and 48 answers to measure:
of SAM 2.1 tiny at 512 pixels 13 slices took 105 s of a core beside the steps, which are as many, and 5 took 43 s."""
MOST_PARTS = 5
"""Into so many parts the slices are split, at most, each of which is left out once."""
PROBES = 4
"""Prompts of each kind by which a slice is measured."""
CORRECTED = 0.3
"""Share of the steps whose prompts are corrected by clicks."""
NOTHING = -1
"""Label of a point that fills up a batch."""
WEIGHTS = LossWeights(cross_entropy=1.0, iou=0.1, presence=0.3)


@dataclass(frozen=True)
class TuningSettings:
    """How to tune.

    Args:
        steps: of the optimizer.
        rates: of Adam, one of which is chosen by the slices that are left out: embeddings that were trained have little
            way to go, those that never saw a box a long one.
        batch: prompts per step.
        boxes: views of each slice, around boxes that are drawn once; what is encoded is kept.
        points: most points on the object, and most beside it.
        clicks: most clicks that correct an answer.
        jitter: how far a side of a box is off, as a share of the box's length.
        seed: of everything random.
    """

    steps: int = 40
    rates: tuple[float, ...] = (0.02, 0.2)
    batch: int = 6
    boxes: int = 3
    points: int = 5
    clicks: int = 5
    jitter: float = 0.1
    seed: int = 123


@dataclass(frozen=True)
class Tuned:
    """What came of it.

    Args:
        before: mean DSC of slices before, by boxes and by points.
        after: the same by what had been tuned on the other slices, in the best of the ways that were tried.
        recipe: that way, for the card; None where it did not help and the network is as it was.
        slices: that were learned from.
    """

    before: float
    after: float
    recipe: Mapping[str, Any] | None
    slices: tuple[int, ...]


@dataclass(frozen=True)
class _Look:
    """A view of an outlined slice, encoded."""

    mask: Mask
    view: View
    maps: Tensor  # (1, C, H, W), as they are without a memory
    fine: list[Tensor]
    truth: Tensor  # bool (1, S, S)
    around_box: bool


def tune_prompts(
    network: Network,
    card: Card,
    stack: ImageStack,
    masks: Mapping[int, Mask],
    settings: TuningSettings = TuningSettings(),
    tick: Tick = lambda *_: None,
) -> Tuned:
    """Tune a network's embeddings of points and of the corners of boxes, in place.

    Args:
        network: where it is to compute.
        card: what is known of it.
        stack: the image.
        masks: slice -> outline of the one object, bool `(rows, columns)`; of more than `MOST` that many are used.
        settings: see there.
        tick: is told after every step how many are done, of how many.

    Raises:
        InputError: fewer than two slices are outlined.
    """
    tuner = _Tuner(network, card, settings)
    outlined = outlined_slices(masks)
    numbers = evenly(list(outlined), MOST, ends=False)
    looks = {index: tuner.looks(stack, index, outlined[index]) for index in numbers}
    parts = parts_of(numbers)
    total, done = settings.steps * (len(parts) * len(settings.rates) + 1), 0

    def count() -> None:
        nonlocal done
        done += 1
        tick(done, total)

    start = tuner.embeddings()
    before = float(np.mean([tuner.score(looks[index]) for index in numbers]))
    after = dict.fromkeys(settings.rates, 0.0)
    for rate in settings.rates:
        for part in parts:
            tuner.learn([look for index in numbers if index not in part for look in looks[index]], rate, count)
            after[rate] += sum(tuner.score(looks[index]) for index in part) / len(numbers)
            tuner.put(start)
    best = max(after, key=lambda rate: after[rate])
    kept = best if after[best] > before else None
    if kept is not None:
        tuner.learn([look for index in numbers for look in looks[index]], kept, count)
    recipe = None if kept is None else {"steps": settings.steps, "rate": kept}
    return Tuned(round(before, 4), round(after[best], 4), recipe, tuple(numbers))


def outlined_slices(masks: Mapping[int, Mask]) -> dict[int, Mask]:
    """The slices with an outline, in order.

    Raises:
        InputError: there are fewer than two.
    """
    outlined = {index: mask for index, mask in sorted(masks.items()) if mask.any()}
    if len(outlined) < FEWEST:
        wanted = f"{FEWEST} to {MOST} outlined slices"
        raise InputError(f"Prompts are tuned on {wanted}, there {are(len(outlined))} {len(outlined)}: outline more.")
    return outlined


def parts_of(numbers: Sequence[int]) -> list[Sequence[int]]:
    """The slices that are left out together."""
    return [numbers[first::MOST_PARTS] for first in range(min(len(numbers), MOST_PARTS))]


class _Tuner:
    def __init__(self, network: Network, card: Card, settings: TuningSettings) -> None:
        self._network, self._card, self._settings = network, card, settings
        self._appearance = CHOOSERS[find_family(card.family).appearance]
        self._weights = [embedding.weight for embedding in network.sam_prompt_encoder.point_embeddings]
        self._device = network.no_mem_embed.device
        self._tracker = Tracker(network, self._device, torch.float32)

    # -------------------------------------------------------------------------------------------------- embeddings

    def embeddings(self) -> list[Tensor]:
        """Copies of what learns."""
        return [weight.detach().clone() for weight in self._weights]

    @torch.no_grad()
    def put(self, embeddings: Sequence[Tensor]) -> None:
        """Write what `embeddings` gave."""
        for weight, kept in zip(self._weights, embeddings, strict=True):
            weight.copy_(kept)

    # ------------------------------------------------------------------------------------------------------- looks

    def looks(self, stack: ImageStack, index: int, mask: Mask) -> list[_Look]:
        """A slice as it is seen with boxes, and as it is seen with points alone."""
        rng = np.random.default_rng([self._settings.seed, index])
        boxes = [jittered_box(mask, self._settings.jitter, rng) for _ in range(self._settings.boxes)]
        prompts: list[BoxPrompt | None] = [*boxes, None]
        return [self._look(stack, index, mask, prompt) for prompt in prompts]

    def _look(self, stack: ImageStack, index: int, mask: Mask, box: BoxPrompt | None) -> _Look:
        finder = ViewFinder(stack.slice_shape, stack.spacing_mm[1:], self._card.roi_factor)
        boxed = np.zeros_like(mask) if box is None else box_mask(box, mask.shape)
        view, size = finder.around(boxed), self._tracker.image_size
        image = self._appearance(stack, index, view, boxed, size).image(stack, index, view, size)
        maps, fine = self._tracker.without_memory(self._tracker.encode(image))
        truth = resize_mask(view.cut(mask), size)[None] > 0
        return _Look(
            mask, view, maps.clone(), [level.clone() for level in fine], truth.to(self._device), box is not None
        )

    # ---------------------------------------------------------------------------------------------------- learning

    def learn(self, looks: Sequence[_Look], rate: float, count: Callable[[], None]) -> None:
        """Take all steps on prompts for these looks."""
        settings, rng = self._settings, np.random.default_rng(self._settings.seed)
        self._network.requires_grad_(False)
        for weight in self._weights:
            weight.requires_grad_(True)
        optimizer = torch.optim.Adam(self._weights, rate)
        for _ in range(settings.steps):
            seen = [looks[number] for number in rng.integers(len(looks), size=settings.batch)]
            points = self._prompts(seen, rng)
            if rng.random() < CORRECTED:
                points = self._corrected(seen, points, int(rng.integers(1, settings.clicks + 1)))
            answer = self._answer(seen, points)
            output = SliceOutput(answer.logits, answer.ious, answer.presence)
            optimizer.zero_grad()
            slice_loss(output, _truth(seen), WEIGHTS).total.backward()
            optimizer.step()
            count()
        self._network.requires_grad_(False)

    def _prompts(self, looks: Sequence[_Look], rng: np.random.Generator) -> Points:
        """A box or points for each look, `(B, N, 2)` and `(B, N)`, filled up with points that say nothing."""
        drawn = [as_points(self._prompt(look, rng), look.view, self._tracker.image_size) for look in looks]
        points, labels = zip(*drawn, strict=True)
        filled = pad_sequence(list(points), batch_first=True), pad_sequence(list(labels), True, NOTHING)
        return filled[0].to(self._device), filled[1].to(self._device)

    def _prompt(self, look: _Look, rng: np.random.Generator) -> BoxPrompt | PointsPrompt:
        if look.around_box:
            return jittered_box(look.mask, self._settings.jitter, rng)
        return drawn_points(look.mask, self._settings.points, rng)

    @torch.no_grad()
    def _corrected(self, looks: Sequence[_Look], points: Points, clicks: int) -> Points:
        """Add clicks into what is missed or exceeded; of each look's prompts the one with the best answer is kept."""
        truth = _truth(looks)
        best, best_dice = points[1].clone(), torch.full((len(looks),), -1.0, device=self._device)
        for click in range(clicks + 1):
            found = self._found(self._answer(looks, points), truth)
            dice = _dice(found, truth)
            better = dice > best_dice
            best = torch.where(better[:, None], points[1], best)
            best_dice = torch.maximum(dice, best_dice)
            if click < clicks:
                xy, label = correcting_click(found, truth)
                points = torch.cat([points[0], xy], 1), torch.cat([points[1], label], 1)
                best = functional.pad(best, (0, 1), value=NOTHING)
        return points[0], best

    def _answer(self, looks: Sequence[_Look], points: Points) -> Decoded:
        maps = torch.cat([look.maps for look in looks])
        fine = [torch.cat(levels) for levels in zip(*(look.fine for look in looks), strict=True)]
        return decode(self._network, maps, fine, embed_prompt(self._network, points))

    # --------------------------------------------------------------------------------------------------- measuring

    @torch.no_grad()
    def score(self, looks: Sequence[_Look]) -> float:
        """Mean DSC of a slice by boxes and points that are the same whenever it is measured."""
        rng = np.random.default_rng(self._settings.seed + 1)
        truth = _truth(looks)
        dices = [
            _dice(self._found(self._answer(looks, self._prompts(looks, rng)), truth), truth) for _ in range(PROBES)
        ]
        return float(torch.cat(dices).mean())

    @staticmethod
    def _found(answer: Decoded, truth: Tensor) -> Tensor:
        """What is segmented, bool `(B, S, S)`."""
        size = truth.shape[-2:]
        return functional.interpolate(answer.silenced[:, None], size, mode="bilinear", align_corners=False)[:, 0] > 0


def _truth(looks: Sequence[_Look]) -> Tensor:
    return torch.cat([look.truth for look in looks])


def _dice(found: Tensor, truth: Tensor) -> Tensor:
    """DSC `(B,)`."""
    both = (found & truth).flatten(1).sum(1)
    return 2 * both / (found.flatten(1).sum(1) + truth.flatten(1).sum(1)).clamp_min(1)
