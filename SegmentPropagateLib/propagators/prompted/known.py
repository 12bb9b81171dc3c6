"""The gray values of an object that the session has outlined on other slices, where they help boxes and clicks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SegmentPropagateLib.propagation.prompts import BoxPrompt, PointsPrompt
from SegmentPropagateLib.propagators.prompted.grays import Grays, learned
from SegmentPropagateLib.propagators.prompted.outline import outline
from SegmentPropagateLib.volumes.boxes import first_and_last
from SegmentPropagateLib.volumes.stack import ImageStack

SHARE = 0.25
"""Of what the prompt network is told about gray values; the rest is what the prompt itself tells. Half of it gains .01
more in the mean, and costs a vertebra .17 where this costs .04 (Testing/Experiments/measure_known.py)."""
MOST = 5
"""Outlines that are learned from, the nearest ones."""

Mask = NDArray[np.bool_]


class Acquaintance:
    """What the outlines of an object tell of its gray values; kept, as one click follows another.

    Args:
        stack: the image.
        before: what is known of them otherwise, in the image's unit.
    """

    def __init__(self, stack: ImageStack, before: Grays | None) -> None:
        self._stack, self._before = stack, before
        self._found: dict[bool, tuple[tuple[tuple[int, bytes], ...], Grays | None]] = {}  # the last of each kind

    def grays(self, slice_index: int, boxed: bool, outlines: Mapping[int, Mask]) -> Grays | None:
        """What to tell the prompt network about the object.

        It is what the outlines teach, unless the one nearest by were found less well with it than without, from a
        prompt of the same kind.

        Args:
            slice_index: of the prompt, which takes no part.
            boxed: whether there is a box.
            outlines: slice -> bool `(rows, columns)`.
        """
        slices = [index for index, mask in outlines.items() if index != slice_index and mask.any()]
        nearest = sorted(slices, key=lambda index: (abs(index - slice_index), index))[:MOST]
        if not nearest:
            return self._before
        name = tuple((index, np.packbits(outlines[index]).tobytes()) for index in nearest)
        known = self._found.get(boxed)
        if known is None or known[0] != name:
            taught = learned(((self._stack.values[index], outlines[index]) for index in nearest), SHARE)
            with_it, without = (
                self._overlap(nearest[0], outlines[nearest[0]], boxed, grays) for grays in (taught, self._before)
            )
            self._found[boxed] = known = name, taught if with_it >= without else self._before
        return known[1]

    def _overlap(self, index: int, truth: Mask, boxed: bool, grays: Grays | None) -> float:
        """IoU of a finished outline with what a prompt that fits it would give."""
        asked = _box_around(truth) if boxed else _point_in(truth)
        found = outline(self._stack.values[index], self._stack.spacing_mm[1:], asked, grays=grays)
        return float((found & truth).sum() / (found | truth).sum())


def _box_around(mask: Mask) -> BoxPrompt:
    """A box one pixel too wide."""
    (row0, row1), (column0, column1) = first_and_last(mask)
    rows, columns = mask.shape
    return BoxPrompt((max(column0 - 1, 0), max(row0 - 1, 0), min(column1 + 1, columns - 1), min(row1 + 1, rows - 1)))


def _point_in(mask: Mask) -> PointsPrompt:
    """The pixel that is farthest from the mask's edge."""
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return PointsPrompt(np.array([[float(column), float(row)]]), np.array([True]))
