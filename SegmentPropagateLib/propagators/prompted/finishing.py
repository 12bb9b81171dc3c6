"""From a soft mask to one that obeys its prompt."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SegmentPropagateLib.propagators.prompted.channels import Array, Box, Given, Mask
from SegmentPropagateLib.volumes.boxes import first_and_last

MARGIN = 0.06
"""How far a mask may leave its box on each side, over the box's own side; boxes are drawn in haste."""
HOLE = 0.2
"""Mean of the soft mask above which a hole is filled."""
NEEDED = 0.15
"""A piece more is kept where it brings the mask nearer to the box's sides by this much of them: the box says then that
the object has several."""
WITHIN = 0.5
"""Share of a mask that another object may take; one that would take more is what the object lies in, as a tumor in a
liver, or is the same one."""
WITH_DIAGONALS = np.ones((3, 3), dtype=bool)


def finish(soft: Array, given: Given) -> Mask:
    """Make a mask of a soft one: bool `(rows, columns)`, not empty unless negative points ask for it.

    Positive points are inside, negative ones outside, and the mask leaves the box by no more than `MARGIN`. Its holes
    are filled, but for those that look like one or hold a negative point. It is one piece, the likeliest, unless
    positive points lie in several or the box reaches much farther than one.

    Args:
        soft: 0..1, `(rows, columns)`.
        given: the prompt.
    """
    allowed = _allowed(soft.shape, given)
    soft = np.where(allowed, soft, 0)
    mask = soft > min(0.5, 0.5 * float(soft.max()))  # of what is seen nowhere, where it is seen most
    mask = _pieces(_obey(mask, given), soft, given)
    mask = _filled(mask, soft, given)
    return _pieces(_obey(mask, given), soft, given)


def keep_out(soft: Array, given: Given, others: Sequence[Mask]) -> Array:
    """The soft mask without what belongs to other objects.

    It keeps what lies in an object that a positive point is in, or that would take more than `WITHIN` of the mask.

    Args:
        soft: 0..1, `(rows, columns)`.
        given: the prompt.
        others: outlines of other objects, bool `(rows, columns)` each.
    """
    if not others:
        return soft
    found = finish(soft, given)
    rows, columns = given.positive.astype(int).T
    taken = np.zeros_like(found)
    for other in others:
        if np.count_nonzero(other & found) <= WITHIN * np.count_nonzero(found) and not other[rows, columns].any():
            taken |= other
    return np.where(taken, np.float32(0), soft)


def _allowed(shape: tuple[int, ...], given: Given) -> Mask:
    """Where the mask may be: the box with its margin, and positive points outside it."""
    if given.box is None:
        return np.ones(shape, dtype=bool)
    row0, column0, row1, column1 = given.box
    allowed = np.zeros(shape, dtype=bool)
    window = []
    for first, last in ((row0, row1), (column0, column1)):
        room = MARGIN * (last - first)
        window.append(slice(max(int(np.ceil(first - room)), 0), int(np.floor(last + room)) + 1))
    allowed[tuple(window)] = True
    for row, column in given.positive.astype(int):
        allowed[_beside(row), _beside(column)] = True
    return allowed


def _obey(mask: Mask, given: Given) -> Mask:
    """Add the pixel of a positive point, with its neighbors where the mask is not there, and take those of negative."""
    mask = mask.copy()
    for points, value in ((given.negative, False), (given.positive, True)):
        for row, column in points.astype(int):
            if mask[row, column] != value:
                mask[_beside(row), _beside(column)] = value
    for points, value in ((given.negative, False), (given.positive, True)):
        rows, columns = points.astype(int).T
        mask[rows, columns] = value
    return mask


def _beside(index: int) -> slice:
    return slice(max(index - 1, 0), index + 2)


def _pieces(mask: Mask, soft: Array, given: Given) -> Mask:
    """The pieces with a positive point, else the likeliest one; then those that bring the mask to the box's sides."""
    parts, count = ndimage.label(mask, WITH_DIAGONALS)
    if count < 2:
        return mask
    weights = ndimage.sum_labels(soft, parts, np.arange(1, count + 1))
    order = 1 + np.argsort(-weights, kind="stable")
    rows, columns = given.positive.astype(int).T
    wanted = {int(part) for part in parts[rows, columns]} or {int(order[0])}
    if given.box is None:
        return np.isin(parts, list(wanted))
    ends = np.array([_edges(parts == part) for part in range(1, count + 1)])
    for part in order:
        together = [number - 1 for number in wanted]
        gained = _short_of(given.box, ends[together]) - _short_of(given.box, ends[[*together, part - 1]])
        if gained > NEEDED:
            wanted.add(int(part))
    return np.isin(parts, list(wanted))


def _edges(mask: Mask) -> Box:
    (row0, row1), (column0, column1) = first_and_last(mask)
    return row0 - 0.5, column0 - 0.5, row1 + 0.5, column1 + 0.5


def _short_of(box: Box, ends: NDArray[np.float64]) -> float:
    """How far pieces with these edges `(N, 4)` together stay from the box's sides, over its size; 0..2."""
    begin, end = np.array(box[:2]), np.array(box[2:])
    before, behind = ends[:, :2].min(axis=0) - begin, end - ends[:, 2:].max(axis=0)
    return float(((np.maximum(before, 0) + np.maximum(behind, 0)) / (end - begin)).sum())


def _filled(mask: Mask, soft: Array, given: Given) -> Mask:
    """Fill the holes that are held for the object rather than not, save those with a negative point."""
    gaps, count = ndimage.label(~mask)
    likely = ndimage.mean(soft, gaps, np.arange(1, count + 1)) > HOLE
    rows, columns = given.negative.astype(int).T
    for open_ in (gaps[[0, -1]], gaps[:, [0, -1]], gaps[rows, columns]):  # to the outside, or said to be
        likely[open_[open_ > 0] - 1] = False
    return mask | np.concatenate(([False], likely))[gaps]
