import math

import numpy as np
import torch

from SegmentPropagateLib.training.losses import LossWeights, SliceOutput, clip_loss, slice_loss


def _toy(slices=3, batch=2, candidates=3, side=8):
    generator = torch.Generator().manual_seed(1)
    outputs = [
        SliceOutput(
            torch.randn(batch, candidates, side, side, generator=generator),
            torch.rand(batch, candidates, generator=generator),
            torch.randn(batch, 1, generator=generator),
        )
        for _ in range(slices)
    ]
    targets = torch.rand(slices, batch, side, side, generator=generator) > 0.6
    targets[2, 1] = False  # absent
    return outputs, targets


def _sigmoid(x):
    return 1 / (1 + math.exp(-x))


def _by_hand(outputs, targets):
    """20 focal + Dice + IoU + presence, in loops over single numbers, as the SLM-SAM 2 paper writes it."""
    total = 0.0
    for output, target in zip(outputs, targets, strict=True):
        batch, candidates = output.ious.shape
        for b in range(batch):
            truth = target[b].numpy().astype(float).ravel()
            present = float(truth.any())
            score = _sigmoid(float(output.presence[b, 0]))
            total -= (present * math.log(score) + (1 - present) * math.log(1 - score)) / batch
            if not present:
                continue
            mask_losses, iou_losses = [], []
            for m in range(candidates):
                logits = output.logits[b, m].double().numpy().ravel()
                focal = overlap = size = 0.0
                for logit, t in zip(logits, truth, strict=True):
                    p = _sigmoid(logit)
                    right = p if t else 1 - p
                    focal += (0.25 if t else 0.75) * (1 - right) ** 2 * -math.log(right)
                    overlap += p * t
                    size += p + t
                mask_losses.append(20 * focal / len(truth) + 1 - (2 * overlap + 1) / (size + 1))
                hard = logits > 0
                iou = np.logical_and(hard, truth).sum() / max(np.logical_or(hard, truth).sum(), 1)
                iou_losses.append(abs(float(output.ious[b, m]) - iou))
            total += (min(mask_losses) + np.mean(iou_losses)) / batch
    return total


def test_the_loss_of_three_slices_equals_a_loop_written_by_hand():
    outputs, targets = _toy()
    loss = clip_loss(list(enumerate(outputs)), targets, LossWeights())
    assert abs(float(loss.total) - _by_hand(outputs, targets)) < 1e-4


def test_a_slice_without_the_object_teaches_the_object_score_alone():
    logits, ious, presence = (torch.randn(1, 3, 8, 8), torch.rand(1, 3), torch.randn(1, 1))
    leaves = [tensor.requires_grad_() for tensor in (logits, ious, presence)]
    slice_loss(SliceOutput(*leaves), torch.zeros(1, 8, 8, dtype=torch.bool), LossWeights()).total.backward()
    assert not logits.grad.any()
    assert not ious.grad.any()
    assert presence.grad.item() > 0  # a step downhill lowers the score


def test_absent_masks_can_be_taught_too():
    logits = torch.randn(1, 1, 8, 8, requires_grad=True)
    output = SliceOutput(logits, torch.rand(1, 1), torch.zeros(1, 1))
    slice_loss(output, torch.zeros(1, 8, 8, dtype=torch.bool), LossWeights(absent_masks=0.3)).total.backward()
    assert (logits.grad > 0).all()


def test_only_the_best_candidate_learns_the_mask_but_all_learn_their_iou():
    target = torch.zeros(1, 8, 8, dtype=torch.bool)
    target[0, 2:6, 2:6] = True
    good = torch.where(target, 4.0, -4.0)
    logits = torch.stack([good, -good], 1).requires_grad_()
    ious = torch.tensor([[0.5, 0.5]], requires_grad=True)
    slice_loss(SliceOutput(logits, ious, torch.zeros(1, 1)), target, LossWeights()).total.backward()
    assert logits.grad[0, 0].any()
    assert not logits.grad[0, 1].any()
    assert ious.grad[0, 0] < 0 < ious.grad[0, 1]  # towards 1 and towards 0


def test_masks_are_compared_at_the_resolution_of_the_reference():
    target = torch.zeros(1, 32, 32, dtype=torch.bool)
    target[0, 8:24, 8:24] = True
    coarse = torch.nn.functional.interpolate(torch.where(target, 9.0, -9.0)[:, None], (8, 8), mode="area")
    loss = slice_loss(SliceOutput(coarse, torch.ones(1, 1), torch.full((1, 1), 9.0)), target, LossWeights())
    assert float(loss.dice) < 0.1
