"""Maps of a slice of which only a box is kept: an object and what surrounds it cover a tenth of most slices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.volumes.boxes import bounding_box

Box = tuple[slice, slice]
Values = NDArray[np.float32]
NOWHERE: Box = (slice(0, 0), slice(0, 0))


@dataclass(frozen=True, eq=False)
class Cropped:
    """A map of a slice.

    Args:
        values: float32, of the pixels in the box.
        box: their rows and columns, of plain ints, the stop exclusive.
        shape: rows and columns of the slice.
        outside: value of all other pixels.
    """

    values: Values
    box: Box
    shape: tuple[int, int]
    outside: float = 0.0

    @classmethod
    def of(cls, values: Values) -> Cropped:
        """A whole map, `(rows, columns)`."""
        rows, columns = values.shape
        return cls(values, (slice(0, rows), slice(0, columns)), (rows, columns))

    @classmethod
    def nothing(cls, shape: tuple[int, int], outside: float = 0.0) -> Cropped:
        """One value everywhere."""
        return cls(np.empty((0, 0), dtype=np.float32), NOWHERE, shape, outside)

    @classmethod
    def of_mask(cls, mask: NDArray[np.bool_], inside: float, outside: float) -> Cropped:
        """One value in a mask, bool `(rows, columns)`, and another elsewhere."""
        rows, columns = bounding_box(mask) or NOWHERE
        values = np.where(mask[rows, columns], np.float32(inside), np.float32(outside))
        return cls(values, (rows, columns), (mask.shape[0], mask.shape[1]), outside)

    @property
    def whole(self) -> Values:
        """Float32 `(rows, columns)`; a copy."""
        whole = np.full(self.shape, self.outside, dtype=np.float32)
        whole[self.box] = self.values
        return whole

    def above(self, least: float) -> NDArray[np.bool_]:
        """Where the map is above a value, bool `(rows, columns)`."""
        mask = np.full(self.shape, self.outside > least)
        mask[self.box] = self.values > least
        return mask

    def on(self, box: Box) -> Values:
        """The pixels of another box; not to be written to."""
        if box == self.box:
            return self.values
        cut = np.full([span.stop - span.start for span in box], self.outside, dtype=np.float32)
        source, target = [], []
        for own, other in zip(self.box, box, strict=True):
            start, stop = max(own.start, other.start), min(own.stop, other.stop)
            source.append(slice(start - own.start, max(stop, start) - own.start))
            target.append(slice(start - other.start, max(stop, start) - other.start))
        cut[tuple(target)] = self.values[tuple(source)]
        return cut

    def trimmed(self) -> Cropped:
        """The same, in the smallest box that holds all that differs from what lies outside."""
        found = bounding_box(self.values != np.float32(self.outside))
        if found is None:
            return Cropped.nothing(self.shape, self.outside)
        rows, columns = (
            slice(first.start + own.start, first.start + own.stop) for first, own in zip(self.box, found, strict=True)
        )
        return Cropped(self.values[found].copy(), (rows, columns), self.shape, self.outside)


def combined(function: Callable[..., Values], *maps: Cropped) -> Cropped:
    """What a function makes of maps of the same slice, pixel by pixel."""
    box = _around([each.box for each in maps])
    values, outside = (
        function(*those).astype(np.float32, copy=False)
        for those in ([each.on(box) for each in maps], [np.full(1, each.outside, np.float32) for each in maps])
    )
    return Cropped(values, box, maps[0].shape, float(outside[0]))


def _around(boxes: list[Box]) -> Box:
    """The smallest box that holds all of some."""
    occupied = [box for box in boxes if box[0].start < box[0].stop] or [NOWHERE]
    rows, columns = (
        slice(min(box[axis].start for box in occupied), max(box[axis].stop for box in occupied)) for axis in (0, 1)
    )
    return rows, columns
