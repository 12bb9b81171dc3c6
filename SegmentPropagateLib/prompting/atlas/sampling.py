"""Values between the points of a lattice, by linear interpolation.

Points that lie anyhow take some 70 ns each and image (`scipy.ndimage.map_coordinates`). What lies on straight lines
along the lattice is interpolated one axis after the other, and several images at the same points share their corners.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_TILT = 1e-3  # points, 3 um, from one end of a slice to the other: less of it is rounding

Image = NDArray[np.float32]


def warped(image: NDArray[Any], points: Image, beyond: str = "nearest") -> Image:
    """An image's values at points, float32; `beyond` as in `grid.resample`."""
    return ndimage.map_coordinates(image, points, output=np.float32, order=1, mode=beyond)


def on_lines(images: Image, lines: Sequence[NDArray[Any]]) -> Image:
    """Values where lines cross; beyond an image its border is repeated.

    Args:
        images: float32 `(n, s, a, r)`.
        lines: places along S, A and R, points.

    Returns:
        Float32 `(n, *lengths of the lines)`.
    """
    found = images
    for axis, line in sorted(enumerate(lines, start=1), key=lambda it: len(it[1]) / images.shape[it[0]]):
        last = images.shape[axis] - 1
        at = np.clip(line, 0, last)
        low = np.minimum(at.astype(np.intp), max(last - 1, 0))
        share = (at - low).astype(np.float32).reshape([-1, *[1] * (3 - axis)])
        below, step = found.take(low, axis), found.take(np.minimum(low + 1, last), axis)
        step -= below
        step *= share
        step += below
        found = step
    return found


def on_slice(images: Image, points: Image) -> Image:
    """Values on a slice; beyond an image its border is repeated.

    Args:
        images: float32 `(n, s, a, r)`.
        points: under the slice's pixels, float32 `(3, rows, columns)`, as far from each other everywhere.

    Returns:
        Float32 `(n, rows, columns)`.
    """
    corner, row, column = (points[:, at, to] for at, to in ((0, 0), (-1, 0), (0, -1)))
    down, across = np.abs(row - corner), np.abs(column - corner)
    order = max(permutations(range(3)), key=lambda it: down[it[1]] + across[it[2]])
    still, rows, columns = order
    if max(*down[[still, columns]], *across[[still, rows]]) > _TILT:
        return np.stack([warped(image, points) for image in images])
    lines = {still: corner[still, None], rows: points[rows, :, 0], columns: points[columns, 0]}
    crossed = on_lines(images, [lines[axis] for axis in range(3)])
    return crossed.transpose(0, *(1 + axis for axis in order))[:, 0]


@dataclass(frozen=True, eq=False)
class Corners:
    """The eight points of a lattice around each of some places.

    Args:
        numbers: of them in the flat lattice, int `(8, N)`.
        shares: how much each counts, float32 `(8, N, 1)`.
    """

    numbers: NDArray[np.intp]
    shares: Image

    @classmethod
    def around(cls, points: Image, shape: tuple[int, ...]) -> Corners:
        """Around points, float32 `(3, N)`; those beyond the lattice are at its border."""
        last = np.array(shape)[:, None] - 1
        at = np.clip(points, 0, last.astype(np.float32))
        low = np.minimum(at.astype(np.intp), np.maximum(last - 1, 0))
        share = at - low.astype(np.float32)
        high = np.minimum(low + 1, last)
        numbers, shares = [], []
        for corner in product((0, 1), repeat=3):
            s, a, r = ((low, high)[end][axis] for axis, end in enumerate(corner))
            numbers.append((s * shape[1] + a) * shape[2] + r)
            x, y, z = (share[axis] if end else 1 - share[axis] for axis, end in enumerate(corner))
            shares.append(x * y * z)
        return cls(np.stack(numbers), np.stack(shares)[..., None])

    def of(self, images: Image) -> Image:
        """Values of images `(s, a, r, n)` at the places: float32 `(N, n)`."""
        flat = images.reshape(-1, images.shape[-1])
        total = np.zeros((self.numbers.shape[1], flat.shape[1]), np.float32)
        for number, share in zip(self.numbers, self.shares, strict=True):
            part = flat.take(number, axis=0)
            part *= share
            total += part
        return total
