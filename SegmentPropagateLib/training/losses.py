"""What a clip costs: 20 focal + Dice + IoU + presence, slice by slice, as SAM 2 and SLM-SAM 2 are trained.

On a slice without the object the mask terms count nothing, so that presence alone teaches the network to stop. That is
what SAM 2 does (sam2/training/loss_fns.py) and `LossWeights.absent_masks` can change.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional

FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0


@dataclass(frozen=True)
class SliceOutput:
    """What the network says of one slice.

    Args:
        logits: candidate masks `(B, M, h, w)`, not silenced where the object is held to be absent.
        ious: predicted IoU per candidate, `(B, M)` in 0..1.
        presence: object score as a logit, `(B, 1)`.
    """

    logits: Tensor
    ious: Tensor
    presence: Tensor


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms.

    Args:
        focal: mean focal loss of the pixels.
        cross_entropy: mean cross-entropy of the pixels; a stronger pull than focal where training starts from nothing.
        dice: soft Dice loss.
        iou: |predicted - true IoU|.
        presence: cross-entropy of the object score.
        absent_masks: share of the focal and cross-entropy terms that remains on slices without the object.
    """

    focal: float = 20.0
    cross_entropy: float = 0.0
    dice: float = 1.0
    iou: float = 1.0
    presence: float = 1.0
    absent_masks: float = 0.0


@dataclass(frozen=True)
class LossTerms:
    """Weighted terms, each the mean over the batch."""

    @property
    def total(self) -> Tensor:
        """Their sum."""
        first, *others = (getattr(self, item.name) for item in fields(self))
        return sum(others, start=first)


@dataclass(frozen=True)
class SliceLoss(LossTerms):
    """What a slice costs that memories were carried to."""

    focal: Tensor
    cross_entropy: Tensor
    dice: Tensor
    iou: Tensor
    presence: Tensor

    def __add__(self, other: SliceLoss) -> SliceLoss:
        return SliceLoss(*(getattr(self, item.name) + getattr(other, item.name) for item in fields(self)))


def soft_dice_loss(probability: Tensor, truth: Tensor) -> Tensor:
    """Soft Dice loss `(...)` of masks `(..., h, w)` in 0..1; 1 above and below lets two empty masks cost nothing."""
    overlap = 2 * (probability * truth).sum((-2, -1)) + 1
    return 1 - overlap / (probability.sum((-2, -1)) + truth.sum((-2, -1)) + 1)


def true_iou(found: Tensor, truth: Tensor) -> Tensor:
    """Intersection over union `(...)` of bool masks `(..., h, w)`; 0 of two empty ones."""
    return (found & truth).sum((-2, -1)) / (found | truth).sum((-2, -1)).clamp_min(1)


def slice_loss(output: SliceOutput, target: Tensor, weights: LossWeights) -> SliceLoss:
    """Compare a slice with its reference mask.

    The candidate with the least focal + cross-entropy + Dice gets those terms, the best one alone; IoU predictions are
    all taught.

    Args:
        output: the network's answer.
        target: reference masks, bool `(B, S, S)`; empty = the object is absent.
        weights: of the terms.
    """
    truth = target[:, None].to(output.logits.dtype)
    logits = output.logits
    if logits.shape[-2:] != truth.shape[-2:]:
        logits = functional.interpolate(logits.float(), truth.shape[-2:], mode="bilinear", align_corners=False)
    truth = truth.expand_as(logits)
    present = target.flatten(1).any(1).float()
    pixel = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    probability = logits.sigmoid()
    agreement = probability * truth + (1 - probability) * (1 - truth)
    balance = FOCAL_ALPHA * truth + (1 - FOCAL_ALPHA) * (1 - truth)
    focal = weights.focal * (balance * (1 - agreement) ** FOCAL_GAMMA * pixel).mean((2, 3))
    cross_entropy = weights.cross_entropy * pixel.mean((2, 3))
    dice = weights.dice * soft_dice_loss(probability, truth)
    best = (focal + cross_entropy + dice).argmin(1, keepdim=True)
    iou = weights.iou * (output.ious - true_iou(logits > 0, truth.bool())).abs().mean(1)
    mask_share = present + (1 - present) * weights.absent_masks
    presence = functional.binary_cross_entropy_with_logits(output.presence[:, 0].float(), present)
    return SliceLoss(
        focal=(focal.gather(1, best)[:, 0] * mask_share).mean(),
        cross_entropy=(cross_entropy.gather(1, best)[:, 0] * mask_share).mean(),
        dice=(dice.gather(1, best)[:, 0] * present).mean(),
        iou=(iou * present).mean(),
        presence=weights.presence * presence,
    )


def clip_loss(outputs: list[tuple[int, SliceOutput]], targets: Tensor, weights: LossWeights) -> SliceLoss:
    """Sum over the answers of a clip.

    Args:
        outputs: `(slice of the clip, answer)`; a slice that was corrected by clicks has several.
        targets: reference masks, bool `(T, B, S, S)`.
        weights: of the terms.
    """
    total: SliceLoss | None = None
    for index, output in outputs:
        loss = slice_loss(output, targets[index], weights)
        total = loss if total is None else total + loss
    if total is None:
        return SliceLoss(*(torch.zeros(()) for _term in fields(SliceLoss)))
    return total
