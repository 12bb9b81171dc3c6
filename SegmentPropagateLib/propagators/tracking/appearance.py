"""How the pixels of a view become the three input channels of a network.

SAM 2 and its kin take gray as RGB, normalized as ImageNet is. The starter network takes three windows of the volume's
own values, chosen from the key slice and its mask: a wide one, one centered on the object, one scaled by its contrast.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from SegmentPropagateLib.propagators.tracking.views import View
from SegmentPropagateLib.volumes.robust import MAD_TO_DEVIATION
from SegmentPropagateLib.volumes.stack import ImageStack

CPU = torch.device("cpu")
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class RgbAppearance:
    """Gray as RGB, the same for all objects."""

    def image(self, stack: ImageStack, index: int, view: View, size: int, device: torch.device = CPU) -> Tensor:
        """Input `(1, 3, size, size)`, float32; resized as `sam2` does it: 8 bits, bicubic, aspect ratio not kept."""
        gray = Image.fromarray(np.ascontiguousarray(view.cut(stack.gray[index])))
        if gray.size != (size, size):
            gray = gray.resize((size, size))
        pixels = torch.from_numpy(np.array(gray)).to(device)
        return _normalized(device)[:, pixels.long()][None]


@cache
def _normalized(device: torch.device) -> Tensor:
    """What each of 256 grays becomes in each channel, `(3, 256)`."""
    grays = torch.arange(256, dtype=torch.float64) / 255
    mean, std = (torch.tensor(values, dtype=torch.float32)[:, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    return ((grays - mean) / std).float().to(device)


@dataclass(frozen=True)
class WindowsAppearance:
    """Three windows, each `(center, half width)` in the volume's own unit."""

    windows: tuple[tuple[float, float], tuple[float, float], tuple[float, float]]

    @classmethod
    def from_key(cls, values: Tensor, mask: Tensor) -> WindowsAppearance:
        """Choose the windows.

        Args:
            values: float `(size, size)`, the key slice as the network sees it.
            mask: bool `(size, size)`, the object on it.
        """
        low, high = torch.quantile(values.flatten(), torch.tensor([0.01, 0.99], dtype=values.dtype)).tolist()
        spread = max(high - low, 1e-3)
        inside = values[mask] if mask.any() else values.flatten()
        center = inside.median()
        deviation = max(MAD_TO_DEVIATION * float((inside - center).abs().median()), 0.02 * spread)
        grown = mask[None, None].float()
        for side, padding in (((17, 1), (8, 0)), ((1, 17), (0, 8))):  # a square at once takes four times as long
            grown = functional.max_pool2d(grown, side, stride=1, padding=padding)
        grown = grown[0, 0] > 0
        ring = values[grown & ~mask]
        contrast = float((ring - center).abs().mean()) if ring.numel() else spread / 4
        contrast = max(contrast, 0.04 * spread)
        middle = float(center)
        return cls((((low + high) / 2, spread / 2), (middle, 4 * deviation), (middle, 2 * contrast)))

    def image(self, stack: ImageStack, index: int, view: View, size: int, device: torch.device = CPU) -> Tensor:
        """Input `(1, 3, size, size)`, float32, clipped to -1.5..1.5."""
        return self.apply(view_values(stack, index, view, size, device))[None]

    def apply(self, values: Tensor) -> Tensor:
        """Turn `(..., size, size)` into `(..., 3, size, size)`."""
        channels = [((values - center) / half).clamp(-1.5, 1.5) for center, half in self.windows]
        return torch.stack(channels, dim=-3)


Appearance = RgbAppearance | WindowsAppearance
"""A hashable choice of input channels with a method `image(stack, index, view, size, device)`."""

ChooseAppearance = Callable[[ImageStack, int, View, NDArray[np.bool_], int], Appearance]
"""(stack, key slice, view, its mask `(rows, columns)`, network size) -> appearance."""


def rgb_appearance(stack: ImageStack, key: int, view: View, mask: NDArray[np.bool_], size: int) -> Appearance:
    """What the SAM 2 families take."""
    del stack, key, view, mask, size
    return RgbAppearance()


def windows_appearance(stack: ImageStack, key: int, view: View, mask: NDArray[np.bool_], size: int) -> Appearance:
    """Windows for the object; what the starter family takes."""
    return WindowsAppearance.from_key(view_values(stack, key, view, size), resize_mask(view.cut(mask), size) > 0)


CHOOSERS: Mapping[str, ChooseAppearance] = {"rgb": rgb_appearance, "windows": windows_appearance}
"""`families.Family.appearance` -> how it is chosen."""


def view_values(stack: ImageStack, index: int, view: View, size: int, device: torch.device = CPU) -> Tensor:
    """The volume's own values in a view, float32 `(size, size)`, bilinear with antialiasing."""
    values = torch.from_numpy(np.array(view.cut(stack.values[index]), dtype=np.float32))
    return _resize(values.to(device), size)


def resize_mask(mask: NDArray[np.bool_], size: int) -> Tensor:
    """A mask prompt at the network's size, as `sam2` resizes it: float32 `(size, size)` of 0 and 1."""
    pixels = torch.from_numpy(mask.astype(np.float32))
    return pixels if pixels.shape == (size, size) else (_resize(pixels, size) >= 0.5).float()


def _resize(pixels: Tensor, size: int) -> Tensor:
    resized = functional.interpolate(
        pixels[None, None], size=(size, size), mode="bilinear", align_corners=False, antialias=True
    )
    return resized[0, 0]
