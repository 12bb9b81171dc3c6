"""Image features: computed once per slice, view and appearance, and kept within a bound.

What the neck does to the two fine levels of a trunk, and the mask decoder after it, are two 1 x 1 convolutions with
nothing between them, the first of which is wide: here they are one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from SegmentPropagateLib.networks.sam2 import Network
from SegmentPropagateLib.propagators.tracking.products import chain


@dataclass(frozen=True)
class Features:
    """What all lanes and later corrections share of one image.

    Args:
        top: tokens `(1, HW, C)` of the coarsest level.
        started: per memory attention, `top` after the part that needs no memory; `(1, HW, C)`.
        fine: the two high-resolution maps of the mask decoder, strides /4 and /2 of the coarsest.
    """

    top: Tensor
    started: tuple[Tensor, ...]
    fine: tuple[Tensor, Tensor]

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All of them."""
        return self.top, *self.started, *self.fine

    @property
    def bytes(self) -> int:
        """Memory held."""
        return sum(tensor.nbytes for tensor in self.tensors)


class FeatureCache:
    """The most recently used features, up to a number of bytes; the newest is always kept.

    Attributes:
        limit: that number.
    """

    def __init__(self, limit_mb: float) -> None:
        self.limit = limit_mb * 2**20
        self._kept: OrderedDict[Hashable, Features] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._kept

    def get(self, key: Hashable, compute: Callable[[], Features]) -> Features:
        """The features of that key, computed where they are not kept."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        features = compute()
        self._kept[key] = features
        self._bytes += features.bytes
        while self._bytes > self.limit and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= oldest.bytes
        return features

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
        self._bytes = 0


def neck_layers(network: Network) -> list[tuple[Tensor, Tensor]]:
    """Weight `(out, in)` and bias of what is done to each level of the trunk by itself, from the finest on."""
    laterals, decoder = [conv.conv for conv in network.image_encoder.neck.convs[::-1]], network.sam_mask_decoder
    fine = [chain(laterals[level], conv) for level, conv in ((0, decoder.conv_s0), (1, decoder.conv_s1))]
    return [*fine, *((conv.weight.flatten(1), conv.bias) for conv in laterals[2:])]


class PlainEncoder:
    """The image encoder of a network whose trunk is taken as it is.

    Args:
        network: on its final device.
        dtype: what to compute in.
    """

    def __init__(self, network: Network, dtype: torch.dtype) -> None:
        # Convolutions then need not move pixels back and forth: the starter's trunk takes 10.8 ms in place of 14.9 ms.
        self._trunk = network.image_encoder.trunk.to(memory_format=torch.channels_last)
        self._necks = [(weight[:, :, None, None].to(dtype), bias.to(dtype)) for weight, bias in neck_layers(network)]

    def __call__(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the mask decoder reads of an image `(1, 3, S, S)`: two fine maps, and tokens `(1, HW, C)`."""
        maps = zip(self._trunk(image), self._necks, strict=True)
        fine0, fine1, top, coarsest = (functional.conv2d(seen, *neck) for seen, neck in maps)
        top = top + functional.interpolate(coarsest.float(), scale_factor=2.0, mode="nearest")
        return fine0, fine1, top.flatten(2).transpose(1, 2).contiguous()
