"""Memory attention of SAM 2 over memories whose keys are computed once and kept.

`sam2.modeling.memory_attention.MemoryAttention` projects and rotates every memory again on every slice. The same
numbers come cheaper, up to rounding:

* a key is `rope(W (memory + place + time) + b) = rope(W memory) + rope(W (place + time) + b)`: the first part is
  computed once per memory, the second is a constant of the network;
* attention weights sum to one, so `weights (memory W_v) = (weights memory) W_v`: values stay as narrow as memories;
* the first self-attention sees the image alone, so it is computed once per slice and shared by all lanes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from SegmentPropagateLib.networks.memory import MEMORY_SLOTS
from SegmentPropagateLib.networks.sam2 import Network
from SegmentPropagateLib.networks.steps import pointer_times

QUERY_CHUNK = 512
"""Queries per block on a CPU: 512 x 7 memories of 1024 tokens are 15 MB of weights, which stay in the cache."""


@dataclass(frozen=True)
class BankContents:
    """What a batch of lanes reads from one memory bank.

    Args:
        memories: per lane, `(keys per layer, tokens, index of the temporal encoding)` per memory; keys `(HW, C)` each,
            tokens `(HW, M)`. The same number for each lane.
        pointers: `(B, P, M)` tokens of object pointers.
        pointer_times: `(B, P, M)` their temporal encoding.
        weights: per lane, factors on the keys of each memory and of each pointer; none where empty.
    """

    memories: list[list[tuple[list[Tensor], Tensor, int]]]
    pointers: Tensor
    pointer_times: Tensor
    weights: list[tuple[tuple[float, ...], tuple[float, ...]]] = field(default_factory=list)


class KeptKeysAttention:
    """One memory attention of a network.

    Args:
        attention: `network.memory_attention` or `network.recent_memory_attention`.
        network: the network it belongs to, on its final device.
        dtype: what to compute in: float32 to equal the original.
    """

    def __init__(self, attention: Any, network: Network, dtype: torch.dtype) -> None:
        self._layers = list(attention.layers)
        self._norm = attention.norm
        self._dtype = dtype
        side = network.image_size // network.backbone_stride
        self._place = _sine_table(network.image_encoder.neck.position_encoding, network.hidden_dim, side, network)
        rotation = self._layers[0].self_attn.compute_cis(end_x=side, end_y=side).to(self._place.device)
        self._cos = rotation.real.repeat_interleave(2, dim=-1).contiguous()
        self._sin = rotation.imag.repeat_interleave(2, dim=-1).contiguous()
        place = _sine_table(network.memory_encoder.position_encoding, network.mem_dim, side, network)
        times = network.maskmem_tpos_enc.view(MEMORY_SLOTS, 1, network.mem_dim)
        self._key_offsets = [
            self._rope(layer.cross_attn_image.k_proj(place + times)).to(dtype) for layer in self._layers
        ]  # (slots, HW, C) per layer
        self._cos, self._sin = self._cos.to(dtype), self._sin.to(dtype)

    @property
    def key_bytes(self) -> int:
        """Size of the keys of one memory."""
        return sum(offsets[0].nbytes for offsets in self._key_offsets)

    def start(self, top: Tensor) -> Tensor:
        """The first self-attention over image tokens `(B, HW, C)`: the part that needs no memory."""
        return self._attend_self(self._layers[0], top.float() + 0.1 * self._place)

    def keys(self, tokens: Tensor) -> list[Tensor]:
        """Rotated keys `(HW, C)` per layer of one memory `(HW, M)`, but for the constant that depends on its age."""
        return [
            self._rope(functional.linear(tokens, layer.cross_attn_image.k_proj.weight.to(self._dtype)))
            for layer in self._layers
        ]

    def read(self, started: Tensor, contents: BankContents) -> Tensor:
        """Let image tokens `(B, HW, C)`, as `start` gives them, read a bank; same shape, float32."""
        values = torch.stack([torch.cat([tokens for _, tokens, _ in lane]) for lane in contents.memories])
        values = torch.cat([values, contents.pointers], dim=1)
        x = started
        for index, layer in enumerate(self._layers):
            if index > 0:
                x = self._attend_self(layer, x)
            cross = layer.cross_attn_image
            queries = self._rope(cross.q_proj(layer.norm2(x)))
            x = x + cross.out_proj(_attend(queries, self._all_keys(index, contents), values, cross.v_proj))
            x = x + layer.linear2(functional.relu_(layer.linear1(layer.norm3(x))))
        return self._norm(x).float()

    def _all_keys(self, index: int, contents: BankContents) -> Tensor:
        cross = self._layers[index].cross_attn_image
        offsets = self._key_offsets[index]
        tokens, width = offsets.shape[1:]
        batch, pointers = contents.pointers.shape[:2]
        spatial = len(contents.memories[0]) * tokens
        keys = torch.empty(batch, spatial + pointers, width, dtype=self._dtype, device=offsets.device)
        for lane, memories in zip(keys, contents.memories, strict=True):
            for slot, (kept, _, age) in enumerate(memories):
                torch.add(kept[index], offsets[age], out=lane[slot * tokens : (slot + 1) * tokens])
        keys[:, spatial:] = cross.k_proj(contents.pointers + contents.pointer_times)
        for lane, (of_memories, of_pointers) in zip(keys, contents.weights, strict=False):
            factors = keys.new_tensor([*of_memories, *of_pointers])
            each = [tokens] * len(of_memories) + [pointers // max(len(of_pointers), 1)] * len(of_pointers)
            lane *= factors.repeat_interleave(torch.tensor(each, device=keys.device))[:, None]
        return keys

    def _attend_self(self, layer: Any, x: Tensor) -> Tensor:
        own = layer.self_attn
        y = layer.norm1(x)
        queries, keys, values = self._rope(own.q_proj(y)), self._rope(own.k_proj(y)), own.v_proj(y)
        read = functional.scaled_dot_product_attention(queries[:, None], keys[:, None], values[:, None])
        return x + own.out_proj(read[:, 0])

    def _rope(self, x: Tensor) -> Tensor:
        turned = torch.stack((-x[..., 1::2], x[..., ::2]), dim=-1).flatten(-2)
        return torch.addcmul(x * self._cos, turned, self._sin)


class PointerTimes:
    """Temporal encodings of object pointers, each computed once."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._known: dict[tuple[int, int], Tensor] = {}

    def encode(self, distance: int, span: int) -> Tensor:
        """Encoding `(M,)` of a pointer so many slices away, of `span` at most."""
        if (distance, span) not in self._known:
            self._known[distance, span] = pointer_times(self._network, [distance], span)[0]
        return self._known[distance, span]


def _sine_table(encoding: torch.nn.Module, width: int, side: int, network: Network) -> Tensor:
    device = network.maskmem_tpos_enc.device
    return encoding(torch.zeros(1, width, side, side, device=device))[0].flatten(1).T.contiguous()


def _attend(queries: Tensor, keys: Tensor, values: Tensor, projection: torch.nn.Linear) -> Tensor:
    """Attention over narrow values `(B, N, M)`, projected to the queries' width."""
    if queries.device.type != "cpu":  # fused kernels want values as wide as keys
        wide = projection(values)[:, None]
        return functional.scaled_dot_product_attention(queries[:, None], keys[:, None], wide)[:, 0]
    queries = queries * queries.shape[-1] ** -0.5
    read = queries.new_empty(*queries.shape[:2], values.shape[-1])
    weights = queries.new_empty(min(QUERY_CHUNK, queries.shape[1]), keys.shape[1])  # one block for all: it stays warm
    for lane in range(len(queries)):
        for start in range(0, queries.shape[1], QUERY_CHUNK):
            part = slice(start, start + QUERY_CHUNK)
            block = weights[: queries[lane, part].shape[0]]
            torch.mm(queries[lane, part], keys[lane].T, out=block)
            torch.softmax(block, dim=-1, out=block)
            torch.mm(block, values[lane], out=read[lane, part])
    return projection(read)
