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
from SegmentPropagateLib.propagators.tracking.graphs import Recorded, Tensors, recorded_on, recorder_on
from SegmentPropagateLib.propagators.tracking.hiera import HieraEncoder

ENCODERS = 2
"""How many images may be encoded beside each other."""


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
        keys: per attention and layer, `(HW, C)`; dropped when out of reach, and computed again when they are read.
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


@dataclass(frozen=True)
class _Plan:
    """All of a batch of looks but the numbers.

    Args:
        ages: per bank that is read, per lane, the temporal encoding of each spatial memory.
        banks: which banks those are.
        weights: per bank, as `BankContents` has them.
        wants_unchosen: as in `Look`.
        twice: as in `Look`.
    """

    ages: tuple[tuple[tuple[int, ...], ...], ...]
    banks: tuple[int, ...]
    weights: tuple[tuple[tuple[tuple[float, ...], tuple[float, ...]], ...], ...]
    wants_unchosen: bool
    twice: bool


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
            self._encoder = (HieraEncoder if is_hiera else PlainEncoder)(network, dtype)
            self._places = network.sam_prompt_encoder.get_dense_pe()
            self._no_prompt = embed_prompt(network)
        self._times = PointerTimes(network)
        if dtype != torch.float32:
            _cast_matrices(network, dtype)
        self._fuser: Any = getattr(network, "recent_memory_fuser", None)
        _keep_channels_together(network, self._fuser)
        self._side = network.image_size // network.backbone_stride
        # What is encoded may be encoded beside the rest, so it shares no recordings with it.
        self._encoded = [recorded_on(device, self._encode) for _ in range(ENCODERS)]
        beside_it = recorder_on(device)
        self._segmented, self._remembered, self._keyed = (
            recorded_on(device, function, beside_it) for function in (self._segment, self._remember, self._key)
        )

    def on_cpu(self) -> Tracker:
        """The same network on the CPU, in float32."""
        return Tracker(self._network.float(), torch.device("cpu"), torch.float32)

    def forget(self) -> None:
        """Give back what was kept to be quicker."""
        for function in (*self._encoded, self._segmented, self._remembered, self._keyed):
            if isinstance(function, Recorded):
                function.forget()

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
    def encode(self, image: Tensor, place: int = 0) -> Features:
        """Features of an image `(1, 3, S, S)`; in another place than what is encoded beside it, of `ENCODERS`."""
        fine0, fine1, tokens, *started = self._encoded[place](None, [image.to(self.device)])
        return Features(tokens, tuple(started), (fine0, fine1))

    @torch.inference_mode()
    def look(self, looks: Sequence[Look], slices: int) -> list[Outcome]:
        """Segment one slice per lane, all in one batch; the looks have the same signature.

        Args:
            looks: what each lane sees and reads.
            slices: number of slices of the stack.
        """
        with self._autocast():
            plan, tensors = self._gathered(looks, slices)
        # A second look sends its box to the device, and weights are others on each slice: neither can be recorded.
        segment = self._segment if plan.twice or any(plan.weights) else self._segmented
        return _outcomes(segment(plan, tensors))

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
            decoded = self._decode(self._without_memory(features), features.fine, prompt)
            return _outcomes(self._columns(decoded))[0]

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
        tops = torch.cat([entry.top for entry in features])
        said = (torch.stack(column) for column in zip(*((it.logits, it.presence) for it in outcomes), strict=True))
        tokens, *keys = self._remembered(given, [tops, *said])
        return [
            SliceMemory(outcome, tokens[row], self._by_attention([each[row] for each in keys]))
            for row, outcome in enumerate(outcomes)
        ]

    def _encode(self, _: None, tensors: Sequence[Tensor]) -> Tensors:
        """An image to what `Features` holds: two fine maps, tokens, and these as each attention starts with them."""
        with self._autocast():
            fine0, fine1, tokens = self._encoder(tensors[0])
            started = (attention.start(tokens).float() for attention in self._attentions)
            return fine0, fine1, tokens.float(), *started

    def _remember(self, given: bool, tensors: Sequence[Tensor]) -> Tensors:
        """Image tokens `(B, HW, C)`, logits and presences to memories `(B, HW, M)` and their keys."""
        tops, logits, presences = tensors
        size = (self.image_size, self.image_size)
        high = functional.interpolate(logits[:, None], size=size, mode="bilinear", align_corners=False)
        top, scores = tops.transpose(0, 1), presences[:, None]
        with self._autocast():
            maps, _ = self._network._encode_new_memory([top], [(self._side, self._side)], high, scores, given)
            tokens = maps.to(torch.bfloat16).flatten(2).transpose(1, 2)
            return tokens, *self._key(None, [tokens])

    def _without_memory(self, features: Features) -> Tensor:
        tokens = features.top + self._network.no_mem_embed
        return tokens if self._fuser is None else self.fuse(2 * tokens)

    def _gathered(self, looks: Sequence[Look], slices: int) -> tuple[_Plan, list[Tensor]]:
        """What `_segment` takes: fine maps of each lane, and for each bank that is read images and memories."""
        tensors = [tensor for look in looks for tensor in look.features.fine]
        ages, banks, weights, span = [], [], [], pointer_span(slices)
        for bank in range(min(len(self._attentions), len(looks[0].reads))):
            if not looks[0].reads[bank].spatial:  # the released SLM-SAM 2 crashes here
                continue
            banks.append(bank)
            reads = [look.reads[bank] for look in looks]
            ages.append(tuple(tuple(age for _, age in read.spatial) for read in reads))
            weighed = [read for read in reads if read.spatial_weights]
            weights.append(tuple((read.spatial_weights, read.pointer_weights) for read in weighed))
            tensors += [look.features.started[bank] for look in looks]
            for look, read in zip(looks, reads, strict=True):
                for memory in (look.memories[key] for key, _ in read.spatial):
                    tensors += [*self._keys(memory)[bank], memory.tokens]
            pointers = [[look.memories[key].outcome.pointer for key, _ in look.reads[bank].pointers] for look in looks]
            times = [[self._times.encode(distance, span) for _, distance in read.pointers] for read in reads]
            stacked = [torch.stack([torch.stack(lane) for lane in lanes]) for lanes in (pointers, times)]
            tensors += pointer_tokens(self._network, *stacked)
        twice = looks[0].twice and has_mask_attention(self._network)
        return _Plan(tuple(ages), tuple(banks), tuple(weights), looks[0].wants_unchosen, twice), tensors

    def _segment(self, plan: _Plan, tensors: Sequence[Tensor]) -> Tensors:
        """What `_gathered` gives to the columns of `_outcomes`, of the best masks and of each of the others."""
        given, lanes = iter(tensors), len(plan.ages[0])
        fine = [torch.cat(maps) for maps in zip(*((next(given), next(given)) for _ in range(lanes)), strict=True)]
        with self._autocast():
            results = []
            for bank, ages, weights in zip(plan.banks, plan.ages, plan.weights, strict=True):
                attention = self._attentions[bank]
                started = torch.cat([next(given) for _ in range(lanes)])
                memories = [
                    [([next(given) for _ in range(attention.depth)], next(given).to(self.dtype), age) for age in lane]
                    for lane in ages
                ]
                pointers, times = (next(given).to(self.dtype) for _ in range(2))
                results.append(attention.read(started, BankContents(memories, pointers, times, weights)))
            tokens = results[0] if self._fuser is None else self.fuse(results[0] + results[-1])
            decoded = self._decode(tokens, fine, None, plan.twice)
            others = decoded.unchosen if plan.wants_unchosen and decoded.logits.shape[1] > 1 else []
            return tuple(column for each in (decoded, *others) for column in self._columns(each))

    def _keys(self, memory: SliceMemory) -> list[list[Tensor]]:
        if memory.keys is None:
            memory.keys = self._by_attention(self._keyed(None, [memory.tokens]))
        return memory.keys

    def _by_attention(self, keys: Sequence[Tensor]) -> list[list[Tensor]]:
        layers = iter(keys)
        return [[next(layers) for _ in range(attention.depth)] for attention in self._attentions]

    def _key(self, _: None, tensors: Sequence[Tensor]) -> Tensors:
        """The tokens of memories to their keys, attention by attention and layer by layer."""
        tokens = tensors[0].to(self.dtype)
        return tuple(keys for attention in self._attentions for keys in attention.keys(tokens))

    def fuse(self, tokens: Tensor) -> Tensor:
        """Let the fuser smooth the sum of what both attentions have read; tokens `(B, H W, C)` in and out."""
        return self._fuser(self._map(tokens)).flatten(2).transpose(1, 2)

    def _decode(
        self, tokens: Tensor, fine: Sequence[Tensor], prompt: Prompt | None = None, twice: bool = False
    ) -> Decoded:
        decoded = decode(self._network, self._map(tokens), fine, prompt or self._no_prompt, self._places)
        return second_look(self._network, self._map(tokens), list(fine), decoded, self._places) if twice else decoded

    def _columns(self, decoded: Decoded) -> Tensors:
        """Logits, pointers, presences and predicted IoUs, a row each."""
        pointers = object_pointers(self._network, decoded)
        return decoded.silenced, pointers, decoded.presence[:, 0].float(), decoded.of_best(decoded.ious).float()

    def _map(self, tokens: Tensor) -> Tensor:
        """Tokens `(B, HW, C)` as a feature map `(B, C, H, W)`."""
        return tokens.transpose(1, 2).unflatten(2, (self._side, self._side))

    def _autocast(self) -> AbstractContextManager:
        if self.dtype == torch.float32:
            return nullcontext()
        # What is recorded must not read copies of weights that were made before and are gone after.
        return torch.autocast(self.device.type, dtype=self.dtype, cache_enabled=self.device.type == "cpu")


def _outcomes(columns: Sequence[Tensor]) -> list[Outcome]:
    """Of columns of the best masks, and then of each of the unchosen ones."""
    masks = [[Outcome(*row) for row in zip(*columns[at : at + 4], strict=True)] for at in range(0, len(columns), 4)]
    return [replace(best, unchosen=tuple(others)) for best, *others in zip(*masks, strict=True)]


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
