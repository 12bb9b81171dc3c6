"""Image features: computed once per slice, view and appearance, and kept within a bound."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from torch import Tensor


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
    def bytes(self) -> int:
        """Memory held."""
        return sum(tensor.nbytes for tensor in (self.top, *self.started, *self.fine))


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
