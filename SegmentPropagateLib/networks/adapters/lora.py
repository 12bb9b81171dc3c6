"""Low-rank adaptation of the image encoder: queries and values of every Hiera block get `B A` added to their weights.

The fused `qkv` stays one linear layer whose weight is computed (`torch.nn.utils.parametrize`), so that all that reads
it, the tracker included, sees the adapted weight, and merging only keeps what was computed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from SegmentPropagateLib.errors import InputError

RANK = 4
PARTS = ("a_q", "b_q", "a_v", "b_v")
MARK = ".lora_"
"""Between the name of a layer and that of a part, in files."""
_WITHIN = "parametrizations.weight.0"
_LAYER = re.compile(r"image_encoder\.trunk\.blocks\.\d+\.attn\.qkv")


class LowRank(nn.Module):
    """What is added to the weight of a fused `qkv` layer: nothing at first, as B starts with zeros.

    Args:
        outputs: rows of the weight, a third each for queries, keys and values. Some blocks of Hiera widen, so that a
            third is not the width of the input.
        inputs: columns of the weight.
        rank: of both products.
    """

    def __init__(self, outputs: int, inputs: int, rank: int) -> None:
        super().__init__()
        third = outputs // 3
        for letter in "qv":
            down, up = torch.empty(rank, inputs), torch.zeros(third, rank)
            nn.init.kaiming_uniform_(down, a=math.sqrt(5))
            setattr(self, f"a_{letter}", nn.Parameter(down))
            setattr(self, f"b_{letter}", nn.Parameter(up))

    def forward(self, weight: Tensor) -> Tensor:
        """The weight with the products added."""
        return added(weight, {part: getattr(self, part) for part in PARTS})


def added(weight: Tensor, parts: Mapping[str, Tensor]) -> Tensor:
    """Add `B A` to the rows of queries and of values; those of keys stay.

    Args:
        weight: `(3 d, inputs)`.
        parts: a tensor for each of `PARTS`, A being `(rank, inputs)` and B `(d, rank)`.
    """
    query, key, value = weight.chunk(3)
    return torch.cat([query + parts["b_q"] @ parts["a_q"], key, value + parts["b_v"] @ parts["a_v"]])


def add_lora(network: nn.Module, rank: int = RANK) -> None:
    """Give every Hiera block of a network its products; the network says the same as before, bit for bit.

    Raises:
        InputError: the network has no Hiera trunk.
    """
    layers = list(_layers(network))
    if not layers:
        raise InputError("The starter's image encoder has no attention for LoRA: choose the method full or decoder.")
    for _, layer in layers:
        parametrize.register_parametrization(layer, "weight", LowRank(layer.out_features, layer.in_features, rank))


def has_lora_layers(network: nn.Module) -> bool:
    """Whether a network has a Hiera trunk."""
    return any(True for _ in _layers(network))


def merge_lora(network: nn.Module) -> None:
    """Turn the computed weights into plain ones, bit for bit as they were computed; plain ones stay."""
    for _, layer in _layers(network):
        if parametrize.is_parametrized(layer, "weight"):
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)


def lora_parts(network: nn.Module) -> dict[str, Tensor]:
    """The products' factors as files name them, `...attn.qkv.lora_a_q`; empty where there are none."""
    return {
        f"{name}{MARK}{part}": layer.get_parameter(f"{_WITHIN}.{part}").detach()
        for name, layer in _layers(network)
        if parametrize.is_parametrized(layer, "weight")
        for part in PARTS
    }


def with_lora(state: Mapping[str, Tensor], parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights with what `lora_parts` gave added; the given ones stay as they are.

    Raises:
        ValueError: a layer's factors are not all there or do not fit its weight.
    """
    merged = dict(state)
    for layer in dict.fromkeys(name.partition(MARK)[0] for name in parts):
        factors = {part: parts.get(f"{layer}{MARK}{part}") for part in PARTS}
        weight = state.get(f"{layer}.weight")
        if weight is None or any(factor is None for factor in factors.values()):
            raise ValueError(f"{layer} lacks a part of its low-rank products")
        try:
            merged[f"{layer}.weight"] = added(
                weight.float(), {part: factor.float() for part, factor in factors.items() if factor is not None}
            )
        except RuntimeError as error:  # shapes
            raise ValueError(f"the low-rank products of {layer} do not fit its weight") from error
    return merged


def _layers(network: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    """The fused layers with their names in a state dict."""
    for name, module in network.named_modules():
        if _LAYER.fullmatch(name) and isinstance(module, nn.Linear):
            yield name, module
