"""What two answers to one slice cost: Dice and cross-entropy of the result, and how far the pseudo-mask is from it.

The paper (Xing et al. 2025) names these three terms and no weights, so each counts 1. It has no object score; SAM 2's
silences a mask, so it is taught for both answers, and an absent object costs mask terms as well: its mask is to be
empty, whatever the score says.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from SegmentPropagateLib.training.losses import LossTerms, SliceOutput, soft_dice_loss, true_iou


@dataclass(frozen=True)
class SupportWeights:
    """Weights of the terms.

    Args:
        dice: soft Dice loss of the result.
        cross_entropy: mean cross-entropy of the result's pixels.
        divergence: mean Kullback-Leibler divergence of the result's pixels from the pseudo-mask's.
        iou: |predicted - true IoU| of the result.
        presence: cross-entropy of the object score, for both answers.
    """

    dice: float = 1.0
    cross_entropy: float = 1.0
    divergence: float = 1.0
    iou: float = 0.1
    presence: float = 1.0


@dataclass(frozen=True)
class SupportLoss(LossTerms):
    """What a slice costs that finished cases support."""

    dice: Tensor
    cross_entropy: Tensor
    divergence: Tensor
    iou: Tensor
    presence: Tensor


def support_loss(pseudo: SliceOutput, result: SliceOutput, target: Tensor, weights: SupportWeights) -> SupportLoss:
    """Compare both answers with the reference mask, and with each other.

    Args:
        pseudo: the first answer, one mask each.
        result: the second one.
        target: reference masks, bool `(B, S, S)`; empty = the object is absent.
        weights: of the terms.
    """
    truth = target.float()
    first, second = (_sized(output.logits, truth.shape[-1]) for output in (pseudo, result))
    present = target.flatten(1).any(1).float()
    iou = present * (result.ious[:, 0].float() - true_iou(second > 0, target)).abs()
    presence = [
        functional.binary_cross_entropy_with_logits(output.presence[:, 0].float(), present)
        for output in (pseudo, result)
    ]
    return SupportLoss(
        dice=weights.dice * soft_dice_loss(second.sigmoid(), truth).mean(),
        cross_entropy=weights.cross_entropy * functional.binary_cross_entropy_with_logits(second, truth),
        divergence=weights.divergence * divergence(first, second).mean(),
        iou=weights.iou * iou.mean(),
        presence=weights.presence * torch.stack(presence).mean(),
    )


def divergence(first: Tensor, second: Tensor) -> Tensor:
    """Kullback-Leibler divergence KL(first || second) of probabilities of yes and no, given as logits; 0 or more."""
    yes = first.sigmoid() * (functional.logsigmoid(first) - functional.logsigmoid(second))
    no = (-first).sigmoid() * (functional.logsigmoid(-first) - functional.logsigmoid(-second))
    return yes + no


def _sized(logits: Tensor, side: int) -> Tensor:
    """`(B, 1, h, w)` as float32 `(B, side, side)`."""
    return functional.interpolate(logits.float(), (side, side), mode="bilinear", align_corners=False)[:, 0]
