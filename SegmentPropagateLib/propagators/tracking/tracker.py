"""What a network does with one slice: encode it, read memories, decode masks, remember. No lanes, no volume."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from sam2.modeling.backbones.hieradet import Hiera
from torch import Tensor
from torch.nn import functional

from SegmentPropagateLib.networks.mask_attention import has_mask_attention, second_look
from SegmentPropagateLib.networks.memory import Reads, pointer_span
from SegmentPropagateLib.networks.sam2 import Network
from SegmentPropagateLib.networks.steps import (
    Decoded,
    Prompt,
    decode,
    embed_prompt,
    memory_attentions,
    object_pointers,
    pointer_tokens,
)
from SegmentPropagateLib.propagators.tracking.attention import BankContents, KeptKeysAttention, PointerTimes
from SegmentPropagateLib.propagators.tracking.encoder import Features, PlainEncoder
from SegmentPropagateLib.propagators.tracking.hiera import HieraEncoder


@dataclass(frozen=True)
class Outcome:
    """What the mask decoder says about one object on one slice.

    Args:
        logits: float32 `(S / 4, S / 4)` for an input of side S (`S / 2` for the starter); -1024 where absent.
        pointer: object pointer `(C,)`.
        presence: object score `()`, a logit.
        predicted_iou: `()`, 0..1.
        unchosen: the other masks that were decoded, where they were asked for.
    """

    logits: Tensor
    pointer: Tensor
    presence: Tensor
    predicted_iou: Tensor
    unchosen: tuple[Outcome, ...] = ()

    def to(self, device: torch.device) -> Outcome:
        """A copy on another device."""
        logits, pointer, presence, iou = (
            x.to(device) for x in (self.logits, self.pointer, self.presence, self.predicted_iou)
        )
        return Outcome(logits, pointer, presence, iou, tuple(other.to(device) for other in self.unchosen))


@dataclass
class SliceMemory:
    """What is remembered of one object on one slice.

    Args:
        outcome: what was decoded or given there.
        tokens: spatial memory `(HW, M)`, bfloat16: `sam2` stores it so in every precision.
        keys: per attention and layer, `(HW, C)`; computed when first read, dropped when out of reach.
    """

    outcome: Outcome
    tokens: Tensor
    keys: list[list[Tensor]] | None = field(default=None, repr=False)

    def to(self, device: torch.device) -> SliceMemory:
        """A copy on another device."""
        return SliceMemory(self.outcome.to(device), self.tokens.to(device))


@dataclass(frozen=True)
class Look:
    """One lane's step: the slice it looks at and what it reads.

    Args:
        features: of the slice.
        reads: per bank, which memories.
        memories: slice -> memory, all that `reads` names.
        wants_unchosen: whether the masks that are not chosen are to be told.
        twice: whether the network looks again with its first answer, where it can.
    """

    features: Features
    reads: tuple[Reads, ...]
    memories: dict[int, SliceMemory]
    wants_unchosen: bool = False
    twice: bool = False

    @property
    def signature(self) -> tuple[tuple[int, int], ...]:
        """Looks with the same signature can share a batch."""
        return tuple((len(reads.spatial), len(reads.pointers)) for reads in self.reads)


class Tracker:
    """A network on a device.

    Args:
        network: in evaluation mode; moved to the device, and its matrices to the precision.
        device: where to compute.
        dtype: float32 (equal to `sam2` up to rounding) or bfloat16.
    """

    def __init__(self, network: Network, device: torch.device, dtype: torch.dtype) -> None:
        self.device = device
        self.dtype = dtype
        self._network = network.to(device)
        with torch.inference_mode():
            self._attentions = [KeptKeysAttention(module, network, dtype) for module in memory_attentions(network)]
            is_hiera = isinstance(network.image_encoder.trunk, Hiera)
            self._encode = (HieraEncoder if is_hiera else PlainEncoder)(network, dtype)
            self._places = network.sam_prompt_encoder.get_dense_pe()
            self._no_prompt = embed_prompt(network)
        self._times = PointerTimes(network)
        if dtype != torch.float32:
            _cast_matrices(network, dtype)
        self._fuser: Any = getattr(network, "recent_memory_fuser", None)
        _keep_channels_together(network, self._fuser)
        self._side = network.image_size // network.backbone_stride

    def on_cpu(self) -> Tracker:
        """The same network on the CPU, in float32."""
        return Tracker(self._network.float(), torch.device("cpu"), torch.float32)

    @property
    def image_size(self) -> int:
        """Side of the square input in pixels."""
        return self._network.image_size

    @property
    def tokens(self) -> int:
        """Tokens of an image, and of a memory."""
        return self._side**2

    @property
    def key_bytes(self) -> int:
        """Size of `SliceMemory.keys`."""
        return sum(attention.key_bytes for attention in self._attentions)

    @torch.inference_mode()
    def encode(self, image: Tensor) -> Features:
        """Features of an image `(1, 3, S, S)`."""
        with self._autocast():
            fine0, fine1, tokens = self._encode(image.to(self.device))
            started = tuple(attention.start(tokens).float() for attention in self._attentions)
        return Features(tokens.float(), started, (fine0, fine1))

    @torch.inference_mode()
    def look(self, looks: Sequence[Look], slices: int) -> list[Outcome]:
        """Segment one slice per lane, all in one batch; the looks have the same signature.

        Args:
            looks: what each lane sees and reads.
            slices: number of slices of the stack.
        """
        features, twice = [look.features for look in looks], looks[0].twice and has_mask_attention(self._network)
        with self._autocast():
            return self._decode(self._read(looks, slices), features, None, looks[0].wants_unchosen, twice)

    @torch.inference_mode()
    def take_mask(self, features: Features, mask: Tensor) -> Outcome:
        """Take a mask prompt, float `(S, S)` of 0 and 1, for the result: neither attention nor fuser is used."""
        with self._autocast():
            maps = self._map(features.top)
            low, high, _, _, _, pointer, score = self._network._use_mask_as_output(
                maps, list(features.fine), mask.to(self.device)[None, None]
            )
        if not self._network.binarize_mask_from_pts_for_mem_enc:
            low = high  # released predictors pass a mask through the decoder's resolution and then binarize it
        return Outcome(low[0, 0].float(), pointer[0].float(), score[0, 0].float(), torch.ones_like(score[0, 0]))

    @torch.inference_mode()
    def take_points(self, features: Features, points: Tensor, labels: Tensor) -> Outcome:
        """Segment a slice from points alone, no memory.

        Args:
            features: of the slice.
            points: `(N, 2)` x, y in pixels of the network's input.
            labels: int32 `(N,)`: 1 on the object, 0 beside it, 2 and 3 the corners of a box.
        """
        with self._autocast():
            prompt = embed_prompt(self._network, (points.to(self.device)[None], labels.to(self.device)[None]))
            return self._decode(self._without_memory(features), [features], prompt)[0]

    @torch.inference_mode()
    def without_memory(self, features: Features) -> tuple[Tensor, list[Tensor]]:
        """What the mask decoder takes where there is no memory: maps `(1, C, H, W)`, and the two finer ones."""
        with self._autocast():
            return self._map(self._without_memory(features)), list(features.fine)

    @torch.inference_mode()
    def remember(self, features: Sequence[Features], outcomes: Sequence[Outcome], given: bool) -> list[SliceMemory]:
        """Encode what was decoded, one object and slice per entry, as memories.

        Args:
            features: of the slices.
            outcomes: what is to be remembered.
            given: whether the user gave it; given masks are remembered as yes or no, others as probabilities.
        """
        size = (self.image_size, self.image_size)
        low = torch.stack([outcome.logits for outcome in outcomes])[:, None]
        high = functional.interpolate(low, size=size, mode="bilinear", align_corners=False)
        top = torch.cat([entry.top for entry in features]).transpose(0, 1)
        scores = torch.stack([outcome.presence for outcome in outcomes])[:, None]
        with self._autocast():
            maps, _ = self._network._encode_new_memory([top], [(self._side, self._side)], high, scores, given)
        tokens = maps.to(torch.bfloat16).flatten(2).transpose(1, 2)
        return [SliceMemory(*entry) for entry in zip(outcomes, tokens, strict=True)]

    def _without_memory(self, features: Features) -> Tensor:
        tokens = features.top + self._network.no_mem_embed
        return tokens if self._fuser is None else self.fuse(2 * tokens)

    def _read(self, looks: Sequence[Look], slices: int) -> Tensor:
        """Image tokens `(B, HW, C)` that have read all banks."""
        results = []
        for index, attention in enumerate(self._attentions[: len(looks[0].reads)]):
            if not looks[0].reads[index].spatial:  # the released SLM-SAM 2 crashes here
                continue
            started = torch.cat([look.features.started[index] for look in looks])
            results.append(attention.read(started, self._contents(looks, index, slices)))
        if self._fuser is None:
            return results[0]
        return self.fuse(results[0] + results[-1])

    def _contents(self, looks: Sequence[Look], index: int, slices: int) -> BankContents:
        span = pointer_span(slices)
        memories, pointers, times, weights = [], [], [], []
        for look in looks:
            reads = look.reads[index]
            entries = [(look.memories[key], age) for key, age in reads.spatial]
            memories.append([(self._keys(entry)[index], entry.tokens.to(self.dtype), age) for entry, age in entries])
            if reads.spatial_weights:
                weights.append((reads.spatial_weights, reads.pointer_weights))
            pointers.append([look.memories[key].outcome.pointer for key, _ in reads.pointers])
            times.append([self._times.encode(distance, span) for _, distance in reads.pointers])
        stacked = [torch.stack([torch.stack(lane) for lane in lanes]) for lanes in (pointers, times)]
        tokens, encoded = pointer_tokens(self._network, *stacked)
        return BankContents(memories, tokens.to(self.dtype), encoded.to(self.dtype), weights)

    def _keys(self, memory: SliceMemory) -> list[list[Tensor]]:
        if memory.keys is None:
            tokens = memory.tokens.to(self.dtype)
            memory.keys = [attention.keys(tokens) for attention in self._attentions]
        return memory.keys

    def fuse(self, tokens: Tensor) -> Tensor:
        """Let the fuser smooth the sum of what both attentions have read; tokens `(B, H W, C)` in and out."""
        return self._fuser(self._map(tokens)).flatten(2).transpose(1, 2)

    def _decode(
        self,
        tokens: Tensor,
        features: Sequence[Features],
        prompt: Prompt | None = None,
        unchosen: bool = False,
        twice: bool = False,
    ) -> list[Outcome]:
        fine = [torch.cat([entry.fine[level] for entry in features]) for level in (0, 1)]
        decoded = decode(self._network, self._map(tokens), fine, prompt or self._no_prompt, self._places)
        if twice:
            decoded = second_look(self._network, self._map(tokens), fine, decoded, self._places)
        best = self._outcomes(decoded)
        if not unchosen or decoded.logits.shape[1] == 1:
            return best
        others = zip(*(self._outcomes(other) for other in decoded.unchosen), strict=True)
        return [replace(outcome, unchosen=rest) for outcome, rest in zip(best, others, strict=True)]

    def _outcomes(self, decoded: Decoded) -> list[Outcome]:
        pointers = object_pointers(self._network, decoded)
        columns = (decoded.silenced, pointers, decoded.presence[:, 0].float(), decoded.of_best(decoded.ious).float())
        return [Outcome(*row) for row in zip(*columns, strict=True)]

    def _map(self, tokens: Tensor) -> Tensor:
        """Tokens `(B, HW, C)` as a feature map `(B, C, H, W)`."""
        return tokens.transpose(1, 2).unflatten(2, (self._side, self._side))

    def _autocast(self) -> AbstractContextManager:
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)


def _cast_matrices(network: torch.nn.Module, dtype: torch.dtype) -> None:
    """Spare autocast the casting of weights on every call; norms and embeddings stay float32, as it leaves them."""
    for module in network.modules():
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            module.to(dtype)


def _keep_channels_together(network: Network, fuser: Any) -> None:
    """Have maps laid out as the linear layers of their convolutions take them, which else copy their weights per row.

    One memory at 512 x 512 pixels in bf16: 27 ms in place of 48 ms. What handles masks has few channels and loses.
    """
    encoder = network.memory_encoder
    for module in (encoder.pix_feat_proj, encoder.fuser, encoder.out_proj, fuser):
        if module is not None:
            module.to(memory_format=torch.channels_last)
