"""The part of a slice that a network looks at: the whole slice, or a window that follows the object."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.volumes.boxes import first_and_last
from SegmentPropagateLib.volumes.cropped import Box

Pixels = TypeVar("Pixels", bound=Any)

NEAR_BORDER = 0.08
"""A mask this close to a view's edge (fraction of the view's side) is about to leave it."""

SIZE_STEP = 1.1
PLACE_STEP = 8
"""Sizes of views are powers of 1.1 apart and places an eighth of the size, so that a corrected outline mostly leads to
the same view, whose features are kept."""

LARGEST_GROWTH = 1.5
"""How much a view may grow at once, so that one leaking slice does not give up the close-up."""


@dataclass(frozen=True)
class View:
    """A rectangle of whole pixels inside a slice.

    Args:
        row: first row.
        column: first column.
        rows: number of rows.
        columns: number of columns.
    """

    row: int
    column: int
    rows: int
    columns: int

    @property
    def box(self) -> Box:
        """Its rows and columns."""
        return slice(self.row, self.row + self.rows), slice(self.column, self.column + self.columns)

    def cut(self, pixels: Pixels) -> Pixels:
        """The view of an array or tensor whose last two axes are rows and columns; nothing is copied."""
        return pixels[(..., *self.box)]


@dataclass(frozen=True)
class ViewFinder:
    """Chooses views for objects.

    Args:
        slice_shape: `(rows, columns)`.
        pixel_mm: spacing of rows and columns; a view is square in millimetres unless the slice ends.
        factor: side of a view over the longer side of the object's bounding box (up to 1.1 times that); None always
            takes the whole slice.
        smallest: shortest side of a view, in pixels of the finer axis.
    """

    slice_shape: tuple[int, int]
    pixel_mm: tuple[float, float]
    factor: float | None = None
    smallest: int = 32

    @property
    def whole(self) -> View:
        """The view of the whole slice."""
        return View(0, 0, *self.slice_shape)

    def around(self, mask: NDArray[np.bool_]) -> View:
        """A view centered on the mask's bounding box, moved inside the slice; the whole slice where that is smaller."""
        if self.factor is None or not mask.any():
            return self.whole
        return self._square(mask, self.factor * self._extent_mm(mask))

    def follow(self, view: View, mask: NDArray[np.bool_]) -> View:
        """The same view unless the mask comes near an edge that is not the slice's own: then one around the mask.

        The new view is never smaller than the old one and at most `LARGEST_GROWTH` times its size.
        """
        if self.factor is None or not mask.any() or not self._is_near_edge(view, mask):
            return view
        old_mm = max(view.rows * self.pixel_mm[0], view.columns * self.pixel_mm[1])
        one_less = old_mm - min(self.pixel_mm)  # so that rounding to pixels does not make it grow a step
        wanted_mm = max(one_less, self.factor * self._extent_mm(mask))
        return self._square(mask, min(wanted_mm, LARGEST_GROWTH * old_mm))

    def for_memory(self, view: View, mask: NDArray[np.bool_]) -> View:
        """Where a remembered slice is best seen by someone who looks at `view` now.

        The same place, unless most of the object was elsewhere on that slice: a memory must not say that the object is
        absent because the view has moved on. Then a view of the same size around the object.
        """
        if 2 * np.count_nonzero(view.cut(mask)) >= np.count_nonzero(mask):
            return view
        lengths = view.rows, view.columns
        (row, rows), (column, columns) = (
            _place(bounds, length, size)
            for bounds, length, size in zip(first_and_last(mask), lengths, self.slice_shape, strict=True)
        )
        return View(row, column, rows, columns)

    def _square(self, mask: NDArray[np.bool_], side_mm: float) -> View:
        smallest_mm = self.smallest * min(self.pixel_mm)
        side_mm = smallest_mm * SIZE_STEP ** max(0, ceil(log(side_mm / smallest_mm, SIZE_STEP) - 1e-6))
        spans = [
            _place(bounds, round(side_mm / spacing), size)
            for bounds, spacing, size in zip(first_and_last(mask), self.pixel_mm, self.slice_shape, strict=True)
        ]
        (row, rows), (column, columns) = spans
        return View(row, column, rows, columns)

    def _extent_mm(self, mask: NDArray[np.bool_]) -> float:
        bounds = first_and_last(mask)
        return max((last - first + 1) * mm for (first, last), mm in zip(bounds, self.pixel_mm, strict=True))

    def _is_near_edge(self, view: View, mask: NDArray[np.bool_]) -> bool:
        bounds, starts, sizes = first_and_last(mask), (view.row, view.column), (view.rows, view.columns)
        for (first, last), start, size, whole in zip(bounds, starts, sizes, self.slice_shape, strict=True):
            margin = NEAR_BORDER * size
            if start > 0 and first - start < margin:
                return True
            if start + size < whole and start + size - 1 - last < margin:
                return True
        return False


def _place(bounds: tuple[int, int], length: int, size: int) -> tuple[int, int]:
    """Start and length of a run of `length` pixels centered on the bounds, within `0..size-1`."""
    length = min(max(length, 1), size)
    step = max(1, length // PLACE_STEP)
    start = round((bounds[0] + bounds[1] + 1 - length) / 2 / step) * step
    return min(max(start, 0), size - length), length
