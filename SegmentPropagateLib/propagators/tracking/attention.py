"""Memory attention of SAM 2 over memories whose keys are computed once and kept.

`sam2.modeling.memory_attention.MemoryAttention` projects and rotates every memory again on every slice. The same
numbers come cheaper, up to rounding:

* a key is `rope(W (memory + place + time) + b) = rope(W memory) + rope(W (place + time) + b)`: the first part is
  computed once per memory, the second is a constant of the network;
* attention weights sum to one, so `weights (memory W_v) = (weights memory) W_v`: values stay as narrow as memories, and
  with a single head `W_v` and what follows the attention are one matrix;
* a rotation turns pairs of channels, and a score does not depend on the order of channels: with the first members of
  all pairs before the second ones there is nothing to interleave;
* the first self-attention sees the image alone, so it is computed once per slice and shared by all lanes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from SegmentPropagateLib.networks.memory import MEMORY_SLOTS
from SegmentPropagateLib.networks.sam2 import Network
from SegmentPropagateLib.networks.steps import pointer_times
from SegmentPropagateLib.propagators.tracking.products import Linear, attend, attend_in_blocks, chain


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
    weights: Sequence[tuple[tuple[float, ...], tuple[float, ...]]] = ()


class _Layer:
    """The weights of one layer, put together as they are used here.

    Args:
        layer: of a memory attention.
        dtype: what to compute in.

    Attributes:
        own: to queries, keys and values of the self-attention, the latter already as it puts them out.
        query: to queries that read memories.
        key: the same for keys; weight and bias, which are used apart.
        value: from what was read of memories to what is added to the image.
    """

    def __init__(self, layer: Any, dtype: torch.dtype) -> None:
        own, cross = layer.self_attn, layer.cross_attn_image
        parts = _in_halves(own.q_proj), _in_halves(own.k_proj), chain(own.v_proj, own.out_proj)
        weights, biases = zip(*parts, strict=True)
        self.own = Linear(torch.cat(weights), torch.cat(biases), dtype)
        self.query = Linear(*_in_halves(cross.q_proj), dtype)
        self.key = tuple(tensor.to(dtype) for tensor in _in_halves(cross.k_proj))
        self.value = Linear(*chain(cross.v_proj, cross.out_proj), dtype)
        self.up, self.down = (Linear(wide.weight, wide.bias, dtype) for wide in (layer.linear1, layer.linear2))
        self.norms = layer.norm1, layer.norm2, layer.norm3


class KeptKeysAttention:
    """One memory attention of a network.

    Args:
        attention: `network.memory_attention` or `network.recent_memory_attention`.
        network: the network it belongs to, on its final device.
        dtype: what to compute in: float32 to equal the original.
    """

    def __init__(self, attention: Any, network: Network, dtype: torch.dtype) -> None:
        self._layers = [_Layer(layer, dtype) for layer in attention.layers]
        self._norm = attention.norm
        self._dtype = dtype
        side = network.image_size // network.backbone_stride
        self._place = _sine_table(network.image_encoder.neck.position_encoding, network.hidden_dim, side, network)
        rotation = attention.layers[0].self_attn.compute_cis(end_x=side, end_y=side).to(self._place.device)
        cos, sin = rotation.real.repeat(1, 2), torch.cat((-rotation.imag, rotation.imag), dim=1)
        place = _sine_table(network.memory_encoder.position_encoding, network.mem_dim, side, network)
        times = network.maskmem_tpos_enc.view(MEMORY_SLOTS, 1, network.mem_dim)
        self._cos, self._sin = cos, sin
        self._key_offsets = [
            self._rope(functional.linear(place + times, *_in_halves(layer.cross_attn_image.k_proj))).to(dtype)
            for layer in attention.layers
        ]  # (slots, HW, C) per layer
        self._cos, self._sin = cos.to(dtype), sin.to(dtype)

    @property
    def depth(self) -> int:
        """Number of layers."""
        return len(self._layers)

    @property
    def key_bytes(self) -> int:
        """Size of the keys of one memory."""
        return sum(offsets[0].nbytes for offsets in self._key_offsets)

    def start(self, top: Tensor) -> Tensor:
        """The first self-attention over image tokens `(B, HW, C)`: the part that needs no memory."""
        return self._attend_self(self._layers[0], top.float() + 0.1 * self._place)

    def keys(self, tokens: Tensor) -> list[Tensor]:
        """Rotated keys `(..., HW, C)` per layer of memories `(..., HW, M)`, but for what depends on their age."""
        return [self._rope(functional.linear(tokens, layer.key[0])) for layer in self._layers]

    def read(self, started: Tensor, contents: BankContents) -> Tensor:
        """Let image tokens `(B, HW, C)`, as `start` gives them, read a bank; same shape, float32."""
        values = torch.stack([torch.cat([tokens for _, tokens, _ in lane]) for lane in contents.memories])
        values = torch.cat([values, contents.pointers], dim=1)
        x = started
        for index, layer in enumerate(self._layers):
            if index > 0:
                x = self._attend_self(layer, x)
            queries = self._rope(layer.query(self._normed(x, layer.norms[1])))
            x = x + _attend(queries, self._all_keys(index, contents), values, layer.value)
            x = x + layer.down(functional.relu_(layer.up(self._normed(x, layer.norms[2]))))
        return self._norm(x).float()

    def _all_keys(self, index: int, contents: BankContents) -> Tensor:
        layer = self._layers[index]
        offsets = self._key_offsets[index]
        tokens, width = offsets.shape[1:]
        batch, pointers = contents.pointers.shape[:2]
        spatial = len(contents.memories[0]) * tokens
        keys = torch.empty(batch, spatial + pointers, width, dtype=self._dtype, device=offsets.device)
        for lane, memories in zip(keys, contents.memories, strict=True):
            for slot, (kept, _, age) in enumerate(memories):
                torch.add(kept[index], offsets[age], out=lane[slot * tokens : (slot + 1) * tokens])
        keys[:, spatial:] = functional.linear(contents.pointers + contents.pointer_times, *layer.key)
        for lane, (of_memories, of_pointers) in zip(keys, contents.weights, strict=False):
            factors = keys.new_tensor([*of_memories, *of_pointers])
            each = [tokens] * len(of_memories) + [pointers // max(len(of_pointers), 1)] * len(of_pointers)
            lane *= factors.repeat_interleave(torch.tensor(each, device=keys.device))[:, None]
        return keys

    def _attend_self(self, layer: _Layer, x: Tensor) -> Tensor:
        projected = layer.own(self._normed(x, layer.norms[0])).unflatten(-1, (3, -1))
        queries, keys = self._rope(projected[..., 0, :]), self._rope(projected[..., 1, :])
        return x + attend(queries[:, None], keys[:, None], projected[..., 2, :][:, None])[:, 0]

    def _normed(self, x: Tensor, norm: torch.nn.Module) -> Tensor:
        return norm(x).to(self._dtype)

    def _rope(self, x: Tensor) -> Tensor:
        return torch.addcmul(x * self._cos, x.roll(x.shape[-1] // 2, dims=-1), self._sin)


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


def _in_halves(projection: Any) -> tuple[Tensor, Tensor]:
    """Weight and bias of a projection that gives the first members of all rotated pairs, then the second ones."""
    weight, bias = projection.weight, projection.bias
    return torch.cat((weight[::2], weight[1::2])), torch.cat((bias[::2], bias[1::2]))


def _attend(queries: Tensor, keys: Tensor, values: Tensor, project: Linear) -> Tensor:
    """Attention over narrow values `(B, N, M)`, projected to the queries' width."""
    if queries.device.type != "cpu":  # fused kernels want values as wide as keys
        return functional.scaled_dot_product_attention(queries[:, None], keys[:, None], project(values)[:, None])[:, 0]
    return project(attend_in_blocks(queries, keys, values))
