"""The network that turns channels into masks: a small U-Net in plain numpy, so that it works where torch is missing.

Thirteen convolutions of 3 x 3 on grids of 64, 32, 16 and 8 samples, each with a ReLU; then one of 1 x 1 for the mask,
and a weighted sum that says how good it is. Trained by Testing/Experiments/fit_prompts.py on drawn volumes alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array = NDArray[np.float32]

WEIGHTS = Path(__file__).resolve().parents[2] / "bundled" / "prompts.npz"
DOWN = (("e0.0", "e0.1"), ("e1.0", "e1.1"), ("e2.0", "e2.1"), ("e3.0", "e3.1", "e3.2"))
"""Convolutions by grid, on the way to the coarsest."""
UP = (("d2",), ("d1",), ("d0.0", "d0.1"))
"""The same on the way back; the first of each sees what the way down left on its grid, too."""


class PromptNetwork:
    """Masks from the channels of `channels.channels_of`.

    Args:
        weights: `NAME.weight` `(9 x inputs, outputs)`, rows by kernel row, kernel column and input, and `NAME.bias`
            `(outputs,)` of each convolution and of `out` (1 x 1) and `quality`.
    """

    def __init__(self, weights: Mapping[str, NDArray[np.floating]]) -> None:
        self._weights = {name: np.asarray(array, dtype=np.float32) for name, array in weights.items()}

    def __call__(self, channels: Array) -> tuple[Array, float]:
        """Logits `(rows, columns)` of a mask, and the DSC that it is expected to have, 0..1.

        Args:
            channels: float32 `(channels, rows, columns)`, both sides multiples of 8.
        """
        x = np.ascontiguousarray(np.moveaxis(channels, 0, -1))
        left = []
        for level, names in enumerate(DOWN):
            if level:
                rows, columns, depth = x.shape
                x = x.reshape(rows // 2, 2, columns // 2, 2, depth).max(axis=(1, 3))
            for name in names:
                x = self._convolve(x, name)
            left.append(x)
        deepest = left.pop().mean(axis=(0, 1))
        for names in UP:
            x = np.concatenate((x.repeat(2, axis=0).repeat(2, axis=1), left.pop()), axis=-1)
            for name in names:
                x = self._convolve(x, name)
        logits = (x @ self._weights["out.weight"] + self._weights["out.bias"])[..., 0]
        soft = sigmoid(logits)
        seen = np.concatenate((deepest, [soft.mean(), 2 * np.abs(soft - 0.5).mean()]))
        return logits, float(sigmoid(seen @ self._weights["quality.weight"] + self._weights["quality.bias"])[0])

    def _convolve(self, x: Array, name: str) -> Array:
        """3 x 3 with zeros beyond the edge, and a ReLU; `(rows, columns, inputs)` to `(rows, columns, outputs)`."""
        rows, columns, depth = x.shape
        windows = sliding_window_view(np.pad(x, ((1, 1), (1, 1), (0, 0))), (3, 3), axis=(0, 1))
        patches = np.moveaxis(windows, 2, -1).reshape(rows * columns, 9 * depth)
        result = patches @ self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]
        return np.maximum(result, 0, out=result).reshape(rows, columns, -1)


def sigmoid(logits: Array) -> Array:
    """Logits to 0..1."""
    return (1 / (1 + np.exp(-np.clip(logits, -30, 30)))).astype(np.float32)


@cache
def bundled_network() -> PromptNetwork:
    """The network that comes with the library, read once."""
    with np.load(WEIGHTS, allow_pickle=False) as file:
        return PromptNetwork(dict(file))
