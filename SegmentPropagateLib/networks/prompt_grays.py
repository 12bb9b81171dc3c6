"""What a model file may know of the gray values of the object that boxes and points are to mean; no network reads it.

It lies among the weights, so that it opens, is fine-tuned on and is written as they are; whoever turns prompts into
outlines asks for it (`propagators.prompted.grays`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

NAME = "prompt_grays"
"""Of the module within a network, and how the names of its tensors begin."""


class PromptGrays(nn.Module):
    """Numbers that are kept and not trained.

    Args:
        bins: of gray values.
    """

    ratio: Tensor
    ends: Tensor
    share: Tensor

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.register_buffer("ratio", torch.zeros(bins))
        self.register_buffer("ends", torch.zeros(2))
        self.register_buffer("share", torch.zeros(1))


def keep_prompt_grays(network: nn.Module, ratio: Tensor, ends: tuple[float, float], share: float) -> None:
    """Write down what was learned, in place of what was known.

    Args:
        network: whose file is to have it.
        ratio: of each bin, float32 `(bins,)`.
        ends: where the bins begin and end.
        share: how much of what is told to the prompt network this is, 0..1.
    """
    device = next(network.parameters()).device
    kept = PromptGrays(len(ratio)).to(device)
    kept.ratio.copy_(ratio)
    kept.ends.copy_(torch.tensor(ends))
    kept.share.fill_(share)
    setattr(network, NAME, kept)


def prompt_grays_of(network: nn.Module) -> PromptGrays | None:
    """What a network's file knows, if anything."""
    found = getattr(network, NAME, None)
    return found if isinstance(found, PromptGrays) else None
