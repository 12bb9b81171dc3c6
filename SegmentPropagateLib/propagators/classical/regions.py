"""A square working grid around an object, and the way back to the slice."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SegmentPropagateLib.volumes.boxes import first_and_last

GRID = 128
"""Samples per side, unless a region has a number of its own: an object of 2.5 times smaller extent has about 50."""


@dataclass(frozen=True)
class Region:
    """A square in mm, sampled on `size` x `size` points.

    Args:
        center_rc: row and column of the middle, in voxels of the slice.
        step_rc: distance between samples along rows and columns, in voxels of the slice.
        size: samples per side.
    """

    center_rc: tuple[float, float]
    step_rc: tuple[float, float]
    size: int = GRID

    @classmethod
    def around(cls, mask: NDArray[np.bool_], spacing_rc_mm: tuple[float, float], factor: float = 2.5) -> Region:
        """Return the square whose side is `factor` times the longer extent of a mask `(rows, columns)`."""
        first, last = np.array(first_and_last(mask)).T
        side_mm = max(factor * ((last - first + 1) * spacing_rc_mm).max(), 24 * min(spacing_rc_mm))
        row, column = (float(middle) for middle in (first + last) / 2)
        return cls((row, column), (side_mm / GRID / spacing_rc_mm[0], side_mm / GRID / spacing_rc_mm[1]))

    @property
    def origin_rc(self) -> tuple[float, float]:
        """Row and column of the first sample."""
        middle = (self.size - 1) / 2
        return self.center_rc[0] - middle * self.step_rc[0], self.center_rc[1] - middle * self.step_rc[1]

    def moved(self, center_rc: tuple[float, float]) -> Region:
        """Return the same square about another middle."""
        return replace(self, center_rc=center_rc)

    def take(self, image: NDArray[np.generic]) -> NDArray[np.float32]:
        """Sample a slice `(rows, columns)`: float32 `(size, size)`, blurred first if samples are coarser."""
        window, offset = self._window(image.shape)
        pixels = np.asarray(image[window], dtype=np.float32)
        sigma = [0.5 * step if step > 1.3 else 0.0 for step in self.step_rc]
        if any(sigma):
            pixels = ndimage.gaussian_filter(pixels, sigma, mode="nearest")
        return ndimage.affine_transform(
            pixels, self.step_rc, offset, (self.size, self.size), output=np.float32, order=1, mode="nearest"
        )

    def put(self, soft: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
        """Bring samples `(size, size)` back to a slice of that shape; 0 outside the square."""
        window, offset = self._window(shape)
        full = np.zeros(shape, dtype=np.float32)
        scale = (1 / self.step_rc[0], 1 / self.step_rc[1])
        back = (-offset[0] * scale[0], -offset[1] * scale[1])
        size = full[window].shape
        full[window] = ndimage.affine_transform(soft, scale, back, size, output=np.float32, order=1, mode="constant")
        return full

    def _window(self, shape: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[float, float]]:
        """Return the pixels that the square covers (at least one), and where its first sample lies within them."""
        first, window = self.origin_rc, []
        for axis in (0, 1):
            last = first[axis] + (self.size - 1) * self.step_rc[axis]
            low = min(max(int(np.floor(first[axis])) - 2, 0), shape[axis] - 1)
            window.append(slice(low, max(low + 1, min(int(np.ceil(last)) + 3, shape[axis]))))
        return (window[0], window[1]), (first[0] - window[0].start, first[1] - window[1].start)
