"""The trunk of EfficientNet-Lite0 up to stride 16, as plain convolutions that its published weights fit.

Batch normalization is folded into the convolutions. Padding is the same on all sides, where TensorFlow's is not with a
stride of 2: the weights see the same surroundings either way, but so a feature lies in the middle of what it sees, as
those of `starter.ConvTrunk` do.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional

STEM = 32


class Row(NamedTuple):
    """Blocks of equal width; the first one has the stride and comes from the width before."""

    kernel: int
    stride: int
    expansion: int
    before: int
    width: int
    blocks: int


ROWS = (
    Row(3, 1, 1, 32, 16, 1),
    Row(3, 2, 6, 16, 24, 2),
    Row(5, 2, 6, 24, 40, 2),
    Row(3, 2, 6, 40, 80, 3),
    Row(5, 1, 6, 80, 112, 3),
)
CHANNELS = (16, 24, 40, 112)
"""Of the feature maps at strides 2, 4, 8 and 16."""
_LAST = (0, 2, 4, 10)
"""The blocks that these come from."""


class Lite0(nn.Module):
    """Inverted residual blocks with ReLU6, without squeeze and excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, STEM, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList(_Block(row, place == 0) for row in ROWS for place in range(row.blocks))

    def forward(self, image: Tensor) -> list[Tensor]:
        """Turn `(B, 3, S, S)` of about -1 to 1 into feature maps of strides 2, 4, 8 and 16."""
        image, maps = functional.relu6(self.stem(image)), []
        for number, block in enumerate(self.blocks):
            image = block(image)
            if number in _LAST:
                maps.append(image)
        return maps


class _Block(nn.Module):
    def __init__(self, row: Row, is_first: bool) -> None:
        super().__init__()
        before, stride = (row.before, row.stride) if is_first else (row.width, 1)
        inner = before * row.expansion
        self.expand = nn.Conv2d(before, inner, 1) if row.expansion > 1 else None
        self.depthwise = nn.Conv2d(inner, inner, row.kernel, stride, row.kernel // 2, groups=inner)
        self.project = nn.Conv2d(inner, row.width, 1)
        self.is_residual = not is_first

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else functional.relu6(self.expand(x))
        y = self.project(functional.relu6(self.depthwise(y)))
        return x + y if self.is_residual else y
