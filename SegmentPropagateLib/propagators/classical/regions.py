"""A square working grid around an object, and the way back to the slice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SegmentPropagateLib.volumes.boxes import first_and_last
from SegmentPropagateLib.volumes.cropped import Cropped

GRID = 128
"""Samples per side, unless a region has a number of its own: an object of 2.5 times smaller extent has about 50."""


ROWS = 8
"""Samples that are taken at once."""


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
        places = zip(pixels.shape, self.step_rc, offset, strict=True)
        rows, columns = (
            _Sampling.of(count, step, first, self.size, 0.5 * step if step > 1.3 else 0.0)
            for count, step, first in places
        )
        return columns.of_columns(rows.of_rows(pixels))

    def put(self, soft: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
        """Bring samples `(size, size)` back to a slice of that shape; 0 outside the square."""
        return self.put_cropped(soft, shape).whole

    def put_cropped(self, soft: NDArray[np.float32], shape: tuple[int, int]) -> Cropped:
        """The same without what lies outside."""
        window, offset = self._window(shape)
        places = zip(window, self.step_rc, offset, strict=True)
        rows, columns = (
            _Sampling.of(self.size, 1 / step, -first / step, span.stop - span.start, None)
            for span, step, first in places
        )
        return Cropped(columns.of_columns(rows.of_rows(soft)), window, shape)

    def _window(self, shape: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[float, float]]:
        """Return the pixels that the square covers (at least one), and where its first sample lies within them."""
        first, window = self.origin_rc, []
        for axis in (0, 1):
            last = first[axis] + (self.size - 1) * self.step_rc[axis]
            low = min(max(int(np.floor(first[axis])) - 2, 0), shape[axis] - 1)
            window.append(slice(low, max(low + 1, min(int(np.ceil(last)) + 3, shape[axis]))))
        return (window[0], window[1]), (first[0] - window[0].start, first[1] - window[1].start)


class _Sampling:
    """Blurs and samples lines of pixels, by matrices of what becomes of each pixel alone.

    These have few numbers beside 0, so they are cut into pieces; what is done to a slice with them takes a fifth of the
    time that scipy takes. Pieces of `ROWS` are also so small that BLAS gives them to no other threads, which would
    spin.
    """

    def __init__(self, matrix: NDArray[np.float32]) -> None:
        self._count, self._pieces = len(matrix), []
        for start in range(0, self._count, ROWS):
            piece = matrix[start : start + ROWS]
            used = np.flatnonzero(piece.any(0))
            reach = slice(used[0], used[-1] + 1) if len(used) else slice(0)
            self._pieces.append((slice(start, start + ROWS), reach, np.ascontiguousarray(piece[:, reach])))

    @classmethod
    @lru_cache(maxsize=64)  # a slice is taken and put with the same four as the one before it
    def of(cls, count: int, step: float, first: float, samples: int, blur: float | None) -> _Sampling:
        """Samples of a line of pixels, as scipy takes them.

        Args:
            count: of the pixels.
            step: between samples, in pixels.
            first: place of the first sample.
            samples: how many.
            blur: standard deviation of a Gaussian that goes before it, and beyond the edge the nearest pixel counts;
                without one nothing does.
        """
        alone, mode = np.eye(count, dtype=np.float32), "constant" if blur is None else "nearest"
        if blur:
            alone = ndimage.gaussian_filter1d(alone, blur, axis=0, mode="nearest")
        shape = samples, count
        return cls(ndimage.affine_transform(alone, (step, 1.0), (first, 0.0), shape, np.float32, order=1, mode=mode))

    def of_rows(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Samples along the first axis."""
        samples = np.zeros((self._count, pixels.shape[1]), dtype=np.float32)
        for rows, reach, piece in self._pieces:
            np.matmul(piece, pixels[reach], out=samples[rows])
        return samples

    def of_columns(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Samples along the second axis."""
        samples = np.zeros((len(pixels), self._count), dtype=np.float32)
        for columns, reach, piece in self._pieces:
            np.matmul(pixels[:, reach], piece.T, out=samples[:, columns])
        return samples
