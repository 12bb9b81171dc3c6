"""Steps of a network that runs and training share: prompts, decoding, object pointers.

Functions on tensors that know neither lanes nor losses; gradients flow through all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from sam2.modeling.sam2_utils import get_1d_sine_pe
from torch import Tensor, nn

from SegmentPropagateLib.networks.sam2 import ABSENT_LOGIT, Network

Points = tuple[Tensor, Tensor]
"""Pixels of the network's input `(B, N, 2)`, x and y, and int32 labels `(B, N)`: 1 on the object, 0 beside it, 2 and 3
the corners of a box."""


def memory_attentions(network: Network) -> list[nn.Module]:
    """The attention over the long bank, then the one over the short bank where the network has one."""
    short = getattr(network, "recent_memory_attention", None)
    return [network.memory_attention] if short is None else [network.memory_attention, short]


@dataclass(frozen=True)
class Prompt:
    """What the mask decoder takes beside image features.

    Args:
        sparse: embedded points, `(B or 1, N, C)`.
        dense: embedded mask, `(B or 1, C, H, W)`.
        labels: of the points; None where there are none.
    """

    sparse: Tensor
    dense: Tensor
    labels: Tensor | None = None


def embed_prompt(
    network: Network, points: Points | None = None, earlier: Tensor | None = None, batch: int = 1
) -> Prompt:
    """Embed points; where there are none, a single padding point takes their place.

    Args:
        network: whose prompt encoder to use.
        points: see there.
        earlier: logits that the points correct, `(B, 1, h, w)`.
        batch: how many padding points.
    """
    taken = points
    if taken is None:
        device = network.no_mem_embed.device
        taken = torch.zeros(batch, 1, 2, device=device), -torch.ones(batch, 1, dtype=torch.int32, device=device)
    sparse, dense = network.sam_prompt_encoder(points=taken, boxes=None, masks=earlier)
    return Prompt(sparse, dense, None if points is None else points[1])


@dataclass(frozen=True)
class Decoded:
    """What the mask decoder says.

    Args:
        logits: candidate masks `(B, M, h, w)`.
        ious: predicted IoU per candidate, `(B, M)` in 0..1.
        tokens: what pointers come from, `(B, M or 1, C)`.
        presence: object score as a logit, `(B, 1)`.
    """

    logits: Tensor
    ious: Tensor
    tokens: Tensor
    presence: Tensor

    @property
    def unchosen(self) -> list[Decoded]:
        """The candidates beside the best, each alone, in the order in which they were decoded."""
        count = self.logits.shape[1]
        order = torch.arange(count, device=self.ious.device).expand(len(self.ious), -1)
        others = order[order != self.ious.argmax(dim=1, keepdim=True)].view(len(order), -1)
        rows = torch.arange(len(order), device=order.device)
        return [
            Decoded(
                self.logits[rows, column][:, None],
                self.ious[rows, column][:, None],
                self.tokens[rows, column][:, None] if self.tokens.shape[1] > 1 else self.tokens,
                self.presence,
            )
            for column in others.unbind(dim=1)
        ]

    def of_best(self, values: Tensor) -> Tensor:
        """Of values `(B, M or 1, ...)` those of the candidate with the highest predicted IoU, `(B, ...)`."""
        rows = torch.arange(len(values), device=values.device)
        return values[rows, self.ious.argmax(dim=1) if values.shape[1] > 1 else 0]

    @property
    def best(self) -> Tensor:
        """The best candidate, float32 `(B, h, w)`."""
        return self.of_best(self.logits).float()

    @property
    def silenced(self) -> Tensor:
        """The best candidate, -1024 where the object is held to be absent; float32 `(B, h, w)`."""
        return torch.where(self.presence[:, :, None] > 0, self.best, ABSENT_LOGIT)


def decode(
    network: Network, features: Tensor, fine: Sequence[Tensor], prompt: Prompt, places: Tensor | None = None
) -> Decoded:
    """Run the mask decoder: `SAM2Base._forward_sam_heads` without masks at full resolution, which nothing reads.

    Args:
        network: whose decoder to use.
        features: `(B, C, H, W)`.
        fine: the two high-resolution maps, strides /4 and /2 of the features.
        prompt: for all of the batch, or one that all share.
        places: what `sam_prompt_encoder.get_dense_pe` gives, where the caller has it at hand.
    """
    described = None if prompt.labels is None else {"point_labels": prompt.labels}
    logits, ious, tokens, presence = network.sam_mask_decoder(
        image_embeddings=features,
        image_pe=network.sam_prompt_encoder.get_dense_pe() if places is None else places,
        sparse_prompt_embeddings=prompt.sparse.expand(len(features), -1, -1),
        dense_prompt_embeddings=prompt.dense,
        multimask_output=network._use_multimask(described is not None, described),
        repeat_image=False,
        high_res_features=list(fine),
    )
    return Decoded(logits, ious, tokens, presence)


def object_pointers(network: Network, decoded: Decoded) -> Tensor:
    """What is remembered of objects beside their masks, float32 `(B, C)`."""
    pointers = network.obj_ptr_proj(decoded.of_best(decoded.tokens))
    return torch.where(decoded.presence > 0, pointers.float(), network.no_obj_ptr)


def pointer_times(network: Network, distances: Sequence[int], span: int) -> Tensor:
    """Temporal encodings `(P, M)` of pointers so many slices away, of `span` at most; zeros if the network has none."""
    times = network.maskmem_tpos_enc
    if not network.add_tpos_enc_to_obj_ptrs:
        return times.new_zeros(len(distances), network.mem_dim)
    fractions = torch.tensor(distances, device=times.device) / span
    wide = network.hidden_dim if network.proj_tpos_enc_in_obj_ptrs else network.mem_dim
    return network.obj_ptr_tpos_proj(get_1d_sine_pe(fractions, dim=wide))


def pointer_tokens(network: Network, pointers: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
    """Cut pointers `(B, P, C)` into tokens as wide as memories, and give each its pointer's encoding of `(B, P, M)`.

    Returns:
        both `(B, P C / M, M)`.
    """
    tokens = pointers.reshape(len(pointers), -1, network.mem_dim)
    return tokens, times.repeat_interleave(network.hidden_dim // network.mem_dim, dim=1)
