"""What the tracking network makes of a slice when slices of finished cases stand in its memory (SAM2-SGP, Xu 2025).

Supports lie on the slice they are to help with, as if they came just before it. The same organ may have another gray
value in another patient: contrast medium alone moves an aorta by 100 HU. So every slice is asked about twice, with the
supports as they are and with gray values brought to those of the slice, and the answers vote with what was expected.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SegmentPropagateLib.models.loading import load_model
from SegmentPropagateLib.propagation.propagator import Lane, PropagationSettings, Propagator, SliceUpdate
from SegmentPropagateLib.reports.metrics import dice
from SegmentPropagateLib.volumes.stack import ImageStack

EXPECTED = 0.5
"""Weight of the mask that was expected; the network's answers weigh as much as the IoU that they promise, 0..1."""

_CERTAIN = 9.0  # logits are cut off there
_BLUR_MM = 2.0  # of the surface of the expected mask
_RING_MM = (3.0, 12.0)  # from a mask: what is compared with it
_LEAST_CONTRAST = 0.01  # of gray values 0..1

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]


class Aligned(NamedTuple):
    """A slice of a finished case on the grid of the slice that it supports; float32 0..1 and bool `(rows, columns)`."""

    gray: Image
    mask: Mask


class Question(NamedTuple):
    """A slice.

    Args:
        gray: float32 0..1 `(rows, columns)`.
        expected: where the object should be, bool, not empty.
        supports: at least one, the most similar last: the network's short memory holds one slice.
        weight: of `expected` in the vote.
    """

    gray: Image
    expected: Mask
    supports: Sequence[Aligned]
    weight: float = EXPECTED


class Answer(NamedTuple):
    """What is believed of a slice.

    Args:
        mask: the object, bool `(rows, columns)`; empty where it is held to be absent.
        worth: IoU that the network promises times the DSC of its own mask and the expected one, the better of its two
            answers, 0..1. Of 24 organs in parts of two volumes the mean DSC was .69 on the slice that registration
            alone held for its best, .74 after a vote there, and .79 after a vote on the slice of the most worth.
    """

    mask: Mask
    worth: float


class Memory:
    """A network that reads supports.

    Args:
        network: alone, without a partner that would vote by the image; None takes the bundled one.
    """

    def __init__(self, network: Propagator | None = None) -> None:
        self._network = network or load_model("starter", device="cpu", partner=False)

    def ask(self, questions: Sequence[Question], pixel_mm: tuple[float, float]) -> list[Answer]:
        """An answer per question; all questions have slices of one size.

        Args:
            questions: at least one.
            pixel_mm: spacing of rows and columns.
        """
        sides = [side for question in questions for side in (question.supports, matched(question, pixel_mm))]
        grays = [question.gray for question in questions for _ in range(2)]
        updates = self._read(grays, sides, pixel_mm)
        return [_voted(question, updates[2 * n : 2 * n + 2], pixel_mm) for n, question in enumerate(questions)]

    def _read(
        self, grays: Sequence[Image], supports: Sequence[Sequence[Aligned]], pixel_mm: tuple[float, float]
    ) -> list[SliceUpdate]:
        """All slices in one stack, each after its supports, a lane for each; they do not see each other."""
        slices: list[Image] = []
        lanes, keys = [], {}
        for number, (gray, before) in enumerate(zip(grays, supports, strict=True)):
            start = len(slices)
            slices += [*(support.gray for support in before), gray]
            at = start + len(before)
            keys[number] = {start + n: support.mask for n, support in enumerate(before)}
            lanes.append(Lane(number, tuple(keys[number]), (range(at, at + 1),)))
        values = np.stack(slices)
        stack = ImageStack(values, (255 * np.clip(values, 0, 1)).astype(np.uint8), (1.0, *pixel_mm))
        self._network.open(stack, PropagationSettings(looks_twice=True))
        updates = {update.object_id: update for update in self._network.run(lanes, keys)}
        return [updates[number] for number in range(len(lanes))]


def remembering(model: str | Path | None) -> Memory:
    """The memory of a network, such as `finetune --recipe sgp` writes; of the bundled one where none is named."""
    return Memory(None if model is None else load_model(model, partner=False))


def matched(question: Question, pixel_mm: tuple[float, float]) -> list[Aligned]:
    """The supports with the object's gray value and contrast as the expected mask has them in the slice."""
    level, contrast = _look(question.gray, question.expected, pixel_mm)
    supports = []
    for gray, mask in question.supports:
        own, spread = _look(gray, mask, pixel_mm)
        supports.append(Aligned(((gray - own) * np.float32(contrast / spread) + level).astype(np.float32), mask))
    return supports


def _look(gray: Image, mask: Mask, pixel_mm: tuple[float, float]) -> tuple[float, float]:
    """Gray value of an object, and how far its surroundings are from it."""
    level = float(np.median(gray[mask]))
    distance = ndimage.distance_transform_edt(~mask, sampling=pixel_mm)
    ring = gray[(distance > _RING_MM[0]) & (distance <= _RING_MM[1])]
    contrast = float(np.abs(ring - level).mean()) if ring.size else 0.0
    return level, max(contrast, _LEAST_CONTRAST)


def _voted(question: Question, updates: Sequence[SliceUpdate], pixel_mm: tuple[float, float]) -> Answer:
    sigma = [_BLUR_MM / step for step in pixel_mm]
    expected = ndimage.gaussian_filter(question.expected.astype(np.float32), sigma)
    promised = [_promised(update) for update in updates]
    votes = [*zip(promised, map(_share, updates), strict=True), (question.weight, expected)]
    total = max(sum(weight for weight, _ in votes), 1e-6)
    mask = sum(weight * share for weight, share in votes) / total > 0.5
    worth = [iou * dice(update.mask, question.expected) for iou, update in zip(promised, updates, strict=True)]
    return Answer(mask, max(worth))


def _promised(update: SliceUpdate) -> float:
    return float(update.predicted_iou) if update.mask.any() else 0.0


def _share(update: SliceUpdate) -> Image:
    logits = np.where(update.mask, _CERTAIN, -_CERTAIN) if update.logits is None else update.logits
    return (1 / (1 + np.exp(-np.clip(logits, -_CERTAIN, _CERTAIN)))).astype(np.float32)
