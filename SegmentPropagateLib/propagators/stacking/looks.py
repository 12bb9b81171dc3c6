"""What is known of the pixels of a slice: what both halves of a pair say of them, how they look, and where they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from SegmentPropagateLib.propagation.propagator import SliceUpdate
from SegmentPropagateLib.propagators.finishing import CERTAIN
from SegmentPropagateLib.propagators.tracking.appearance import view_values
from SegmentPropagateLib.propagators.tracking.places import fourier
from SegmentPropagateLib.propagators.tracking.views import View, ViewFinder
from SegmentPropagateLib.volumes.cropped import Cropped, combined
from SegmentPropagateLib.volumes.stack import ImageStack

SIDE = 80
"""Of the grid that is laid over the object."""
VIEW = 2.0
"""Side of the grid over that of all outlines together."""
BLURS = (0.7, 2.0, 4.0)
"""Standard deviations in half a grid's pixels."""
FREQUENCIES = 8

Look = Callable[[int, View, int, NDArray[np.bool_]], Sequence[Tensor]]
"""(slice, view, key slice, its mask) -> maps `(C, h, w)` of a network."""


class Looks:
    """The looks of one object's slices.

    Args:
        stack: the slices.
        masks: key slice -> bool `(rows, columns)`.
        look: asks a network.
    """

    def __init__(self, stack: ImageStack, masks: Mapping[int, NDArray[np.bool_]], look: Look) -> None:
        self._stack, self._look = stack, look
        keys = sorted(masks)
        self._key = keys[len(keys) // 2]
        self._mask = masks[self._key]
        outlined = np.logical_or.reduce([masks[key] for key in keys])
        self.view = ViewFinder(stack.slice_shape, stack.spacing_mm[1:], VIEW).around(outlined)
        inside = np.asarray(stack.values[self._key])[self._mask].astype(np.float64)
        self._middle, self._deviation = float(np.median(inside)), float(inside.std()) + 1e-3
        self._place = fourier(SIDE, FREQUENCIES, 1.0)

    def maps(self, index: int, pair: SliceUpdate, halves: Sequence[SliceUpdate]) -> Tensor:
        """Of a slice: `(C, SIDE, SIDE)`."""
        said = [self.logits(update) for update in halves]
        seen = [_stretched(each) for each in self._look(index, self.view, self._key, self._mask)]
        maps = [torch.stack([*said, self.logits(pair), *(each.sigmoid() for each in said)])]
        return torch.cat([*maps, self._values(index), self._place, *seen])

    def logits(self, update: SliceUpdate) -> Tensor:
        """What an update says, `(SIDE, SIDE)`; as sure as can be where it holds the object to be absent."""
        return self.grid(certain_logits(update))

    def grid(self, pixels: NDArray[np.float32]) -> Tensor:
        """A map of the whole slice on the grid."""
        cut = torch.from_numpy(np.ascontiguousarray(self.view.cut(pixels)))[None, None]
        size = (SIDE, SIDE)
        return functional.interpolate(cut, size=size, mode="bilinear", align_corners=False, antialias=True)[0, 0]

    def in_view(self, logits: Tensor) -> NDArray[np.float32]:
        """Logits of the grid as `(rows, columns)` of the view."""
        size = (self.view.rows, self.view.columns)
        return functional.interpolate(logits[None, None], size=size, mode="bilinear", align_corners=False)[0, 0].numpy()

    def _values(self, index: int) -> Tensor:
        values = (view_values(self._stack, index, self.view, 2 * SIDE).numpy() - self._middle) / self._deviation
        blurred = np.stack([ndimage.gaussian_filter(np.clip(values, -6, 6), blur) for blur in BLURS])
        return functional.adaptive_avg_pool2d(torch.from_numpy(blurred)[None], SIDE)[0]


def certain_logits(update: SliceUpdate) -> NDArray[np.float32]:
    """Logits of an update within `CERTAIN`, float32 `(rows, columns)`; a copy."""
    if update.part is None or not update.mask.any():
        return Cropped.of_mask(update.mask, CERTAIN, -CERTAIN).whole
    return combined(lambda logits: np.clip(logits, -CERTAIN, CERTAIN), update.part).whole


def _stretched(maps: Tensor) -> Tensor:
    return functional.interpolate(maps[None], size=(SIDE, SIDE), mode="bilinear", align_corners=False)[0]
