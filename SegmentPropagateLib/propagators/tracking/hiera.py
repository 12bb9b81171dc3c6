"""The image encoder of SAM 2 (Hiera and its neck) with the same weights and numbers, up to rounding, in less time.

`sam2.modeling.backbones` moves tokens into windows, pads them and moves them back in every block. Here:

* tokens are kept in an order in which every window is a run and every 2 x 2 cell is a run inside it, so that window
  attention, global attention (which knows no order) and pooling need no moving; the order changes once, between the
  second and the third stage;
* windows at the right and lower edge are not padded: a padded place has the keys and values of a zero token, all the
  same, so P of them are one key with log P added to its score;
* position tables are computed once, and what the neck and the decoder do to the two fine levels is one matrix each;
* position encodings of the output, which nothing reads, are not made.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt, log
from typing import Any

import torch
from sam2.modeling.backbones.hieradet import MultiScaleBlock
from torch import Tensor
from torch.nn import functional

from SegmentPropagateLib.networks.sam2 import Network
from SegmentPropagateLib.propagators.tracking.encoder import neck_layers
from SegmentPropagateLib.propagators.tracking.products import Linear, attend

PART = 4096
"""About how many tokens a block takes at a time on a CPU."""


@dataclass(frozen=True)
class _Run:
    """Windows of the same number of tokens, which lie one after another.

    Args:
        windows: how many.
        tokens: in each.
        padding: how many zero tokens the original puts into each.
    """

    windows: int
    tokens: int
    padding: int


@dataclass(frozen=True)
class Layout:
    """An order of the tokens of a square map.

    Args:
        order: natural index (row-major) of each token, `(N,)`.
        side: of the map.
        window: side of the windows, 0 for none.
        runs: the windows in order.
    """

    order: Tensor
    side: int
    window: int
    runs: tuple[_Run, ...]

    @classmethod
    def of(cls, side: int, window: int) -> Layout:
        """Window by window, full ones first; inside, 4 x 4 cells, in them 2 x 2 cells, in them tokens."""
        natural = torch.arange(side * side)
        row, column = natural // side, natural % side
        key = _window_size(row, side, window) * _window_size(column, side, window)
        parts = [-key, row // window, column // window]
        for cell in (4, 2, 1):
            parts += [row // cell, column // cell]
        order = natural
        for part in reversed(parts):
            order = order[torch.argsort(part[order], stable=True)]
        sizes, counts = torch.unique_consecutive(key[order], return_counts=True)
        runs = tuple(
            _Run(int(count) // int(size), int(size), window * window - int(size))
            for size, count in zip(sizes, counts, strict=True)
        )
        return cls(order, side, window, runs)

    def pooled(self) -> Layout:
        """The layout after 2 x 2 pooling."""
        corner = self.order[::4]
        half = self.side // 2
        runs = tuple(_Run(run.windows, run.tokens // 4, run.padding // 4) for run in self.runs)
        order = corner // self.side // 2 * half + corner % self.side // 2
        return Layout(order, half, self.window // 2, runs)

    def inverse(self) -> Tensor:
        """Where in this order each natural index is."""
        return torch.argsort(self.order)


def _window_size(index: Tensor, side: int, window: int) -> Tensor:
    """How many of the rows (or columns) of the window of each index lie inside the map."""
    return (side - index // window * window).clamp(max=window)


class _Block:
    """One transformer block on tokens `(N, C)`."""

    def __init__(self, block: MultiScaleBlock, layout: Layout, dtype: torch.dtype) -> None:
        def cast(module: Any) -> tuple[Tensor, Tensor]:
            return module.weight.to(dtype), module.bias.to(dtype)

        def linear(module: Any) -> Linear:
            return Linear(module.weight, module.bias, dtype)

        self._norm1, self._norm2 = cast(block.norm1), cast(block.norm2)
        self._qkv, self._proj = linear(block.attn.qkv), linear(block.attn.proj)
        self._shortcut = linear(block.proj) if block.dim != block.dim_out else None
        self._up, self._down = (linear(layer) for layer in block.mlp.layers)
        self._heads = block.attn.num_heads
        self._pooling = 4 if block.q_stride else 1
        self._runs = layout.runs if block.window_size else (_Run(1, layout.side**2, 0),)
        # Windows know nothing of each other. A few at a time stay in the processor's cache and take little memory.
        is_cut = len(self._runs) == 1 and block.norm1.weight.device.type == "cpu"
        self._part = max(1, PART // self._runs[0].tokens) * self._runs[0].tokens if is_cut else layout.side**2

    def __call__(self, x: Tensor) -> Tensor:
        if len(x) <= self._part:
            return self._run(x)
        return torch.cat([self._run(part) for part in x.split(self._part)])

    def _run(self, x: Tensor) -> Tensor:
        y = _norm(x, self._norm1)
        if self._shortcut is not None:
            x = self._pool(self._shortcut(y))
        x = self._proj(self._attend(y)).add_(x)
        y = torch.ops.aten.gelu_(self._up(_norm(x, self._norm2)))
        return self._down(y).add_(x)

    def _attend(self, y: Tensor) -> Tensor:
        queries, keys, values = self._qkv(y).chunk(3, dim=1)
        queries = self._pool(queries)
        if len(self._runs) == 1:
            return self._read(queries, keys, values, self._runs[0])
        counts = [run.windows * run.tokens for run in self._runs]
        parts = zip(
            queries.split([count // self._pooling for count in counts]),
            keys.split(counts),
            values.split(counts),
            self._runs,
            strict=True,
        )
        return torch.cat([self._read(*part) for part in parts])

    def _read(self, queries: Tensor, keys: Tensor, values: Tensor, run: _Run) -> Tensor:
        """Attention within each window of a run."""
        keys, values = (self._windows(x, run.tokens) for x in (keys, values))
        queries = self._windows(queries, run.tokens // self._pooling)
        scores = None
        if run.padding:
            _, zero_key, zero_value = self._qkv.bias.view(3, self._heads, 1, -1)
            keys = torch.cat([keys, zero_key.expand(len(keys), -1, -1, -1)], dim=2)
            values = torch.cat([values, zero_value.expand(len(values), -1, -1, -1)], dim=2)
            scores = torch.zeros(queries.shape[2], keys.shape[2], device=keys.device)
            scores[:, -1] = log(run.padding)
        read = attend(queries, keys, values, scores)
        return read.transpose(1, 2).reshape(-1, self._heads * read.shape[3])

    def _windows(self, x: Tensor, tokens: int) -> Tensor:
        """`(windows, heads, tokens, width)`."""
        return x.unflatten(0, (-1, tokens)).unflatten(2, (self._heads, -1)).transpose(1, 2)

    def _pool(self, x: Tensor) -> Tensor:
        """Maximum of each 2 x 2 cell, which is a run of four tokens; or nothing."""
        return x if self._pooling == 1 else x.view(-1, 4, x.shape[1]).amax(dim=1)


def _norm(x: Tensor, affine: tuple[Tensor, Tensor]) -> Tensor:
    return functional.layer_norm(x, x.shape[-1:], *affine, eps=1e-6)


class HieraEncoder:
    """The image encoder of a network with a Hiera trunk.

    Args:
        network: on its final device.
        dtype: what to compute in; float32 shares the network's weights.
    """

    def __init__(self, network: Network, dtype: torch.dtype) -> None:
        trunk = network.image_encoder.trunk
        self._dtype = dtype
        self._patch = trunk.patch_embed.proj
        self._patch_weights = (self._patch.weight.to(dtype), self._patch.bias.to(dtype))
        side = network.image_size // self._patch.stride[0]
        layout = Layout.of(side, trunk.blocks[0].window_size)
        device = self._patch.weight.device
        self._first = layout.order.to(device)
        self._place = trunk._get_pos_embed((side, side)).reshape(side * side, -1)[self._first].to(dtype)
        self._blocks, self._moves, ends = [], [], []
        for index, block in enumerate(trunk.blocks):
            before = layout
            if block.window_size not in (0, layout.window):
                layout = Layout.of(layout.side, block.window_size)
            self._moves.append(None if layout is before else before.inverse()[layout.order].to(device))
            self._blocks.append(_Block(block, layout, dtype))
            layout = layout.pooled() if block.q_stride else layout
            if index in trunk.stage_ends:
                ends.append(layout)
        self._ends = trunk.stage_ends
        self._inverses = [end.inverse().to(device) for end in ends]
        parents = torch.arange(ends[3].side).repeat_interleave(2)
        parents = parents[:, None] * ends[3].side + parents
        self._parents = self._inverses[3][parents.flatten().to(device)]
        self._necks = [Linear(*pair, dtype) for pair in neck_layers(network)]

    def __call__(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode an image `(1, 3, S, S)`.

        Returns:
            what the mask decoder reads of strides 4 and 8, `(1, C / 8, S / 4, S / 4)` and `(1, C / 4, S / 8, S / 8)`,
            and the tokens of stride 16, `(1, HW, C)`.
        """
        with torch.autocast(image.device.type, enabled=False):  # everything has its dtype already
            return self._encode(image.to(self._dtype))

    def _encode(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = functional.conv2d(image, *self._patch_weights, self._patch.stride, self._patch.padding)
        x = x[0].flatten(1).T[self._first] + self._place
        ends: list[Tensor] = []
        for index, (block, move) in enumerate(zip(self._blocks, self._moves, strict=True)):
            x = block(x if move is None else x[move])
            if index in self._ends:
                ends.append(self._necks[len(ends)](x))
        fine = [_map(x[order]) for x, order in zip(ends[:2], self._inverses, strict=False)]
        top = ends[2][self._inverses[2]] + ends[3][self._parents]
        return fine[0], fine[1], top[None]


def _map(x: Tensor) -> Tensor:
    """Tokens `(HW, C)` in natural order as a feature map `(1, C, H, W)`."""
    side = isqrt(len(x))
    return x.T.reshape(1, -1, side, side)
