"""Mask attention (SAM2-SGP, Xing et al. 2025): a first answer, the pseudo-mask, tells where to look again.

The paper's own decoder has 207 M numbers; what its equation 7 says takes three projections, 197 k at 256 channels.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from SegmentPropagateLib.networks.sam2 import Network
from SegmentPropagateLib.networks.steps import Decoded, Points, decode, embed_prompt

NAME = "mask_attention"
"""Of the module within a network, and how the names of its tensors begin."""
_BOX, _NO_POINT = (2, 3), -1  # labels of a box's corners, and of a point that is none


class MaskAttention(nn.Module):
    """Equation 7: `F^ = y * softmax(Q K' / sqrt d) V + F`, of one head.

    The values begin with zeros, so that features stay what they are, bit for bit, until it is trained.

    Args:
        width: channels of the features.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.queries, self.keys, self.values = (nn.Linear(width, width) for _ in range(3))
        nn.init.zeros_(self.values.weight)
        nn.init.zeros_(self.values.bias)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Add what the features see of each other to where the mask is.

        Args:
            features: `(B, C, H, W)`.
            mask: probabilities of the pseudo-mask in 0..1, `(B, 1, h, w)`, resized to the features.
        """
        size = features.shape[-2:]
        tokens = features.flatten(2).transpose(1, 2)
        seen = functional.scaled_dot_product_attention(self.queries(tokens), self.keys(tokens), self.values(tokens))
        shares = functional.interpolate(mask, size=size, mode="bilinear", align_corners=False, antialias=True)
        return shares * seen.transpose(1, 2).unflatten(2, size) + features


def has_mask_attention(network: nn.Module) -> bool:
    """Whether a network can look twice."""
    return hasattr(network, NAME)


def add_mask_attention(network: Network) -> None:
    """Give a network mask attention, which changes nothing yet; one that has it keeps its own."""
    if not has_mask_attention(network):
        setattr(network, NAME, MaskAttention(network.hidden_dim))


def second_look(
    network: Network, features: Tensor, fine: list[Tensor], first: Decoded, places: Tensor | None = None
) -> Decoded:
    """Decode once more, from the box of the first answer and the features that its mask has been laid over.

    Where the first answer is empty, the object is not here, and it stays the answer.

    Args:
        network: with mask attention.
        features: those that the first answer was decoded from, `(B, C, H, W)`.
        fine: the two high-resolution maps.
        first: the first answer; of several candidates the best counts.
        places: as `steps.decode` takes it.
    """
    attention = cast(MaskAttention, getattr(network, NAME))
    points, is_there = boxes_of(first.silenced, network.image_size)
    laid_over = attention(features, first.best.sigmoid()[:, None].to(features.dtype))
    second = decode(network, laid_over, fine, embed_prompt(network, points), places)

    def chosen(name: str) -> Tensor:
        new, old = second.of_best(getattr(second, name)), first.of_best(getattr(first, name))
        return _where(is_there, new, old)[:, None]

    presence = _where(is_there, second.presence, first.presence)
    return Decoded(chosen("logits"), chosen("ious"), chosen("tokens"), presence)


def boxes_of(logits: Tensor, side: int) -> tuple[Points, Tensor]:
    """The boxes of masks as prompts.

    Args:
        logits: `(B, h, w)`; above 0 is the object.
        side: of the network's input in pixels.

    Returns:
        First and last corner of each, with their labels; an empty mask has no box, never the whole image. And bool
        `(B,)`: which masks have one.
    """
    sized = functional.interpolate(logits.detach()[:, None], size=(side, side), mode="bilinear", align_corners=False)
    masks = sized[:, 0] > 0
    is_there = masks.flatten(1).any(1)
    ends = []
    for across in (1, 2):  # over rows, which leaves x, and over columns
        line = masks.any(across).to(torch.int32)
        ends.append((line.argmax(1), side - 1 - line.flip(1).argmax(1)))
    (left, right), (top, bottom) = ends
    corners = torch.stack([torch.stack([left, top], 1), torch.stack([right, bottom], 1)], 1).float()
    labels = torch.tensor(_BOX, dtype=torch.int32, device=logits.device).expand(len(logits), 2)
    return (corners, labels.masked_fill(~is_there[:, None], _NO_POINT)), is_there


def _where(is_there: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(is_there.view(-1, *[1] * (new.ndim - 1)), new, old.to(new.dtype))
