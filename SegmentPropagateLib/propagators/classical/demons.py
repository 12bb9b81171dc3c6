"""Symmetric-forces demons (Vercauteren 2009, doi:10.1016/j.neuroimage.2008.10.040) on small 2-D images.

Step for step what SimpleITK's filter does, in a sixth of its time: that one takes .5 us per pixel and iteration.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

OF_UPDATE = (0.47455888, 0.21183832, 0.05088224)
"""Half of a discrete Gaussian with a variance of 1, cut off where less than .1 is missing."""
OF_FIELD = (0.31612578, 0.23230201, 0.1096351)
"""The same with a variance of 1.5 squared."""
ALIKE = 0.001
"""Difference of intensities that moves nothing."""
AT_REST = 0.02
"""Root mean square of the update, over the spacing, below which nothing more is to come."""
MARGIN = 8
"""Pixels around an image in which a field may look for its like before it has to be bounded."""
BY_MATRIX = 64
"""Largest side that is blurred by a matrix."""

Image = NDArray[np.float32]
Field = NDArray[np.float32]
"""For every pixel how far it lies from its like, `(2, rows, columns)` in rows and columns."""


def demons(fixed: Image, moving: Image, field: Field, iterations: int, spacing: float) -> Field:
    """Let a field converge.

    Args:
        fixed: what is to be reached, float32 `(rows, columns)`, at least 3 of each; images span about 0..1.
        moving: of the same shape.
        field: to begin with; left as it is.
        iterations: at most.
        spacing: of the pixels, in those of the finest grid.
    """
    slope = _doubled_gradient(fixed, None)
    slope[0, [0, -1]] = slope[1, :, [0, -1]] = 0
    smooth_update, smooth_field = (_smoother(fixed.shape, taps) for taps in (OF_UPDATE, OF_FIELD))
    warped_by = _Warping(moving)
    for _ in range(iterations):
        warped, outside = warped_by(field)
        update = _doubled_gradient(warped, outside)
        update += slope
        difference = fixed - warped
        still = np.abs(difference) < ALIKE
        if outside is not None:
            still |= outside
        difference *= 4
        norm = difference**2  # so that no step is longer than half a pixel
        for along in update:
            norm += along**2
        np.copyto(norm, np.inf, where=still)
        difference /= norm
        update *= difference
        counted = norm.size - (0 if outside is None else np.count_nonzero(outside))
        moved = float(np.vdot(update, update))
        update = smooth_update(update)
        update += field
        field = smooth_field(update)
        if moved < counted * (AT_REST / spacing) ** 2:
            break
    return field


def finer(field: Field) -> Field:
    """The field on a grid with twice as many pixels along either axis, linear in between."""
    for axis in (1, 2):
        before, at, after = _beside(field, axis, 1)
        halves = [0.25 * before + 0.75 * at, 0.75 * at + 0.25 * after]
        field = np.stack(halves, axis + 1).reshape([2 * n if a == axis else n for a, n in enumerate(field.shape)])
    return 2 * field


def warp(image: Image, field: Field) -> tuple[Image, NDArray[np.bool_] | None]:
    """The image as seen through a field, linear between pixels, and which pixels look beyond its edge; None: none does.

    Beyond the edge the nearest pixel counts.
    """
    seen, beyond = _Warping(image)(field)
    if beyond is not None:
        last = np.array([[side - 1] for side in image.shape], dtype=np.float32)
        place = np.clip(field[:, beyond] + np.argwhere(beyond).T.astype(np.float32), 0, last)
        row, column = np.floor(place + np.float32(0.5)).astype(np.intp)
        seen[beyond] = image[row, column]
    return seen, beyond


class _Warping:
    """An image to be seen through fields, with a margin, so that hardly any place has to be moved inside.

    For every pixel lie side by side in memory the numbers that give any value between it and the next three.
    """

    def __init__(self, image: Image) -> None:
        rows, columns = (np.clip(np.arange(-MARGIN, side + MARGIN), 0, side - 1) for side in image.shape)
        padded = image.take(rows, 0).take(columns, 1)
        four = np.zeros((*padded.shape, 4), dtype=np.float32)
        four[..., 0] = padded
        np.subtract(padded[:, 1:], padded[:, :-1], out=four[:, :-1, 1])
        np.subtract(padded[1:], padded[:-1], out=four[:-1, :, 2])
        np.subtract(four[1:, :, 1], four[:-1, :, 1], out=four[:-1, :, 3])
        self._four = four.view(np.complex128).ravel()  # numpy takes 16 bytes at a time where they are one number
        self._last = np.array([[[side - 1]] for side in padded.shape], dtype=np.float32)
        self._pixels = _pixels_of(image.shape)

    def __call__(self, field: Field) -> tuple[Image, NDArray[np.bool_] | None]:
        """What is seen, and what looks beyond the edge, where it does not count; None: nothing does."""
        reach = max(float(field.max()), -float(field.min()))
        place = field + self._pixels
        if reach >= MARGIN:
            np.clip(place, 0, self._last, out=place)
        corner = np.floor(place)
        place -= corner
        index = corner[0]
        index *= self._last[1] + 1
        index += corner[1]
        four = self._four.take(index.astype(np.intp)).view(np.float32).reshape(*field.shape[1:], 4)
        seen = four[..., 3] * place[1]
        seen += four[..., 2]
        seen *= place[0]
        along = four[..., 1] * place[1]
        along += four[..., 0]
        seen += along
        return seen, _beyond(field, reach)


@cache
def _pixels_of(shape: tuple[int, ...]) -> Field:
    """Row and column of every pixel, counted from the corner of the margin; not to be written to."""
    return np.indices(shape, dtype=np.float32) + np.float32(MARGIN)


def _beyond(field: Field, reach: float) -> NDArray[np.bool_] | None:
    """Which pixels of a field look beyond the edge, none of them farther than it reaches."""
    if reach <= 0.5:
        return None
    width = min(int(reach) + 1, *field.shape[1:])
    edge = np.arange(width, dtype=np.float32)[:, None] + np.float32(0.5)
    beyond = np.zeros(field.shape[1:], dtype=bool)
    for along, out in ((field[0], beyond), (field[1].T, beyond.T)):
        out[:width] |= along[:width] < -edge
        out[-width:][::-1] |= along[-width:][::-1] > edge
    return beyond if beyond.any() else None


def _doubled_gradient(image: Image, outside: NDArray[np.bool_] | None) -> Field:
    """Twice the central differences, one-sided at the edge and beside pixels that lie outside."""
    gradient = np.zeros((2, *image.shape), dtype=np.float32)
    for own, values, out in (
        (gradient[0], image, outside),
        (gradient[1].T, image.T, None if outside is None else outside.T),
    ):
        if out is None:
            np.subtract(values[2:], values[:-2], out=own[1:-1])
            own[0], own[-1] = values[1] - values[0], values[-1] - values[-2]
        else:
            known = ~(out[1:] | out[:-1])
            steps = (values[1:] - values[:-1]) * known
            own[:-1] += steps
            own[1:] += steps
            own[1:-1][known[1:] ^ known[:-1]] *= 2
        own[[0, -1]] *= 2
    return gradient


def _smoother(shape: tuple[int, ...], taps: tuple[float, ...]) -> Callable[[Field], Field]:
    """What blurs a field of that shape along both axes; beyond the edge the nearest pixel counts.

    Small ones by matrices, which take a quarter of the time there; BLAS would give larger ones to threads that spin.
    """
    if max(shape) > BY_MATRIX:
        return lambda field: _blurred(_blurred(field, taps, 1), taps, 2)
    rows, columns = (_blurred(np.eye(side, dtype=np.float32)[None], taps, 1)[0] for side in shape)
    return lambda field: rows @ field @ columns.T


def _blurred(field: Field, taps: tuple[float, ...], axis: int) -> Field:
    middle = len(taps) - 1
    shifted = _beside(field, axis, middle)
    total = shifted[middle] * np.float32(taps[0])
    for number, tap in enumerate(taps[1:], start=1):
        both = shifted[middle - number] + shifted[middle + number]
        both *= np.float32(tap)
        total += both
    return total


def _beside(field: Field, axis: int, reach: int) -> list[Field]:
    """The field moved along an axis by every number of pixels up to `reach`, either way."""
    count = field.shape[axis]
    first, last = field.take([0], axis), field.take([count - 1], axis)
    padded = np.concatenate([first] * reach + [field] + [last] * reach, axis)
    return [padded[(slice(None),) * axis + (slice(start, start + count),)] for start in range(2 * reach + 1)]
