"""Drawing in a warped millimetre grid: the shapes that phantoms are made of (float32 coordinates)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]
Vector = NDArray[np.float32]
Numbers = Sequence[float] | NDArray[Any]


def _spline_basis(count: int, knot_distance: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Cubic B-spline weights of shape `(count, knots)` with a random phase of the knots."""
    position = (np.arange(count) / max(knot_distance, 1.0) + rng.random()).astype(np.float32)
    first = position.astype(int)
    t = position - first
    weights = np.zeros((count, first[-1] + 5), np.float32)
    rows = np.arange(count)
    weights[rows, first] = (1 - t) ** 3 / 6
    weights[rows, first + 1] = (3 * t**3 - 6 * t**2 + 4) / 6
    weights[rows, first + 2] = (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6
    weights[rows, first + 3] = t**3 / 6
    return weights


def smooth_noise(
    rng: np.random.Generator, shape_kji: Sequence[int], knots_kji: Numbers, count: int = 1
) -> NDArray[np.float32]:
    """`count` smooth random fields of unit standard deviation, shape `(count, k, j, i)`.

    Interpolated from random spline knots, which is ten times quicker than blurring noise.

    Args:
        rng: source of randomness.
        shape_kji: shape of a field.
        knots_kji: distance of the knots along each axis in voxels (at least 1).
        count: number of fields.
    """
    bases = [_spline_basis(n, distance, rng) for n, distance in zip(shape_kji, knots_kji, strict=True)]
    fields = rng.standard_normal((count, *(basis.shape[1] for basis in bases))).astype(np.float32)
    fields = fields @ bases[2].T
    fields = np.einsum("nabx,jb->najx", fields, bases[1], optimize=True)
    fields = np.einsum("najx,ka->nkjx", fields, bases[0], optimize=True)
    return fields / (fields.std(axis=(1, 2, 3), keepdims=True) + 1e-6)


def smooth_curve(rng: np.random.Generator, count: int, waves: float) -> NDArray[np.float32]:
    """A smooth random curve of `count` samples with about `waves` bends; values are of the order of 1."""
    basis = _spline_basis(count, count / waves, rng)
    return np.asarray(basis @ rng.standard_normal(basis.shape[1], np.float32))


def rotation(rng: np.random.Generator, amount: float) -> NDArray[np.float32]:
    """A random 3 x 3 rotation: near the identity for a small amount, any for an amount of 1."""
    q, r = np.linalg.qr(rng.standard_normal((3, 3)) * amount + np.eye(3) * (1 - amount) * 3)
    turn = np.asarray(q * np.sign(np.diag(r)), np.float32)
    if np.linalg.det(turn) < 0:
        turn[:, -1] *= -1
    return turn


def borders(labels: NDArray[np.integer], width: int) -> Mask:
    """Pixels of `(k, j, i)` with another label within the `width` x `width` pixels around them on their slice."""
    window = (1, width, width)
    return np.asarray(ndimage.maximum_filter(labels, window) != ndimage.minimum_filter(labels, window))


class Canvas:
    """A voxel grid with warped coordinates in mm, its center at 0, and the shapes drawn in it.

    Args:
        rng: source of randomness for the warp.
        shape_kji: grid.
        spacing_kji_mm: voxel size.
        warp_mm: standard deviation of the smooth displacement that bends every shape.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        shape_kji: tuple[int, int, int],
        spacing_kji_mm: tuple[float, float, float],
        warp_mm: float,
    ) -> None:
        self.shape_kji = shape_kji
        self.spacing = np.asarray(spacing_kji_mm, np.float32)
        self.extent = self.spacing * np.asarray(shape_kji, np.float32)
        axes = [
            (np.arange(n, dtype=np.float32) - (n - 1) / 2) * s for n, s in zip(shape_kji, self.spacing, strict=True)
        ]
        knots = rng.uniform(0.2, 0.45) * self.extent[1] / self.spacing
        warp = np.float32(warp_mm) * smooth_noise(rng, shape_kji, knots, 3)
        self._reach = float(np.abs(warp).max())
        self.k = axes[0][:, None, None] + warp[0]
        self.j = axes[1][None, :, None] + warp[1]
        self.i = axes[2][None, None, :] + warp[2]
        self._axes = axes

    def _window(self, center: Vector, reach: Vector) -> tuple[slice, slice, slice]:
        """The part of the grid in which a shape can lie; keeps small shapes cheap."""
        windows = []
        for axis, middle, far in zip(self._axes, center, reach, strict=True):
            first, last = np.searchsorted(axis, (middle - far - self._reach, middle + far + self._reach))
            windows.append(slice(int(first), int(last)))
        return windows[0], windows[1], windows[2]

    def ellipsoid(
        self,
        center: Numbers,
        radii: Numbers,
        turn: NDArray[np.float32] | None = None,
        power: float = 2.0,
        rim: NDArray[np.float32] | None = None,
    ) -> Mask:
        """A superellipsoid: a box for large powers, a diamond for power 1.

        Args:
            center: (k, j, i) in mm from the middle of the grid.
            radii: half axes in mm.
            turn: 3 x 3 rotation.
            power: exponent.
            rim: positive field of the grid's shape that multiplies the squared distance from the center (1 leaves it),
                for lobed outlines; the shape is cut off at twice its size.
        """
        middle, half = np.asarray(center, np.float32), np.asarray(radii, np.float32)
        reach = half if turn is None else np.full(3, np.linalg.norm(half), np.float32)
        window = self._window(middle, reach if rim is None else 2 * reach)
        offset = [self.k[window] - middle[0], self.j[window] - middle[1], self.i[window] - middle[2]]
        turn = np.eye(3, dtype=np.float32) if turn is None else turn
        total: NDArray[np.float32] | float = 0.0
        for axis in range(3):
            part = np.abs(sum(turn[axis, n] * offset[n] for n in range(3) if turn[axis, n] != 0)) / half[axis]
            total = total + (part * part if power == 2 else part ** np.float32(power))
        if rim is not None:
            total = total * rim[window]
        mask = np.zeros(self.shape_kji, bool)
        mask[window] = total <= 1
        return mask

    def tube(self, points: NDArray[Any], radii: Numbers) -> Mask:
        """A polyline of `(N, 3)` points (k, j, i) in mm with a radius in mm at each."""
        mask = np.zeros(self.shape_kji, bool)
        for start, end, r0, r1 in zip(points[:-1], points[1:], radii[:-1], radii[1:], strict=True):
            along = end - start
            window = self._window((start + end) / 2, np.abs(along) / 2 + max(r0, r1))
            k, j, i = self.k[window] - start[0], self.j[window] - start[1], self.i[window] - start[2]
            if not k.size:
                continue
            length = float(along @ along) + 1e-6
            t = np.clip((k * along[0] + j * along[1] + i * along[2]) / length, 0, 1)
            distance = (k - t * along[0]) ** 2 + (j - t * along[1]) ** 2 + (i - t * along[2]) ** 2
            mask[window] |= distance <= (r0 + (r1 - r0) * t) ** 2
        return mask
