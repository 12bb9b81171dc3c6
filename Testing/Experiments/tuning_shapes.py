"""Objects that fill their box badly, drawn onto slices of phantoms: the prompt network failed on such of real volumes.

Bands that wind, rings with and without a gap, bodies with processes, several parts; and objects of which a neighbor has
taken the middle, so that a rim or a crescent is left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SegmentPropagateLib.volumes.boxes import first_and_last

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
Strokes = list[tuple[NDArray[np.float64], NDArray[np.float64]]]
"""Points `(N, 2)` of a line, in half sides of the object, and how thick it is there `(N,)`."""
WARP = 0.12
"""Standard deviation of the bending, in half sides."""
SMALLEST = 8
"""Pixels of half a side of what is drawn, at least; the shorter one's before it is bent."""
SHELLS, BITTEN_TOO, LEAST_LEFT = 0.35, 0.3, 0.15
"""Shares of the drawn objects: with a shell of another gray, with a neighbor on top; and of an object's area that must
be left beside a neighbor."""

IN_THE_MIDDLE, MIDDLE, ANYWHERE = 0.6, (0.2, 0.6, 0.95), (0.45, 0.4, 1.1)
"""Share of the neighbors that leave a rim; how far from the object's middle these and the others may be, and their
least and largest size, all in sides of the object."""


def drawn_object(image: NDArray[Any], place: Mask, neighbor: Mask, rng: np.random.Generator) -> tuple[Array, Mask]:
    """A new object on a slice, about where another one is: the image, and a mask that may have several parts.

    Args:
        image: `(rows, columns)`.
        place: the other object.
        neighbor: an object of any slice, whose outline a thing on top of the new one may have.
        rng: chance.
    """
    image = image.astype(np.float32)
    strokes = SHAPES[str(rng.choice(list(SHAPES)))](rng)
    ends = np.array(first_and_last(place), dtype=float)
    half = np.maximum((ends[:, 1] - ends[:, 0] + 1) / 2 * rng.uniform(0.8, 1.5, 2), SMALLEST)
    half = np.maximum(half, half.max() * rng.uniform(0.4, 1))
    depth = _depth(strokes, image.shape, ends.mean(axis=1), half, rng) * half.min()
    mask = depth > 0
    if not mask.any():
        return image, place
    gray = _visible_gray(image, mask, rng)
    image = _paint(image, mask, gray, rng)
    if rng.random() < SHELLS:
        core = depth > rng.uniform(1, 2.5)
        image = _paint(image, core, _visible_gray(image, core, rng), rng) if core.any() else image
    return bitten(image, mask, neighbor, rng) if rng.random() < BITTEN_TOO else (image, mask)


def bitten(image: NDArray[Any], mask: Mask, neighbor: Mask, rng: np.random.Generator) -> tuple[Array, Mask]:
    """The same with a neighbor that has taken a part of the object, most often its middle.

    Args:
        image: `(rows, columns)`.
        mask: the object.
        neighbor: an object of any slice, whose outline the neighbor takes.
        rng: chance.
    """
    image = image.astype(np.float32)
    ends, own = np.array(first_and_last(mask), dtype=float), np.array(first_and_last(neighbor), dtype=float)
    sides, size = np.ptp(ends, axis=1) + 1, np.ptp(own, axis=1) + 1
    aside, low, high = MIDDLE if rng.random() < IN_THE_MIDDLE else ANYWHERE
    center = ends.mean(axis=1) + rng.uniform(-aside, aside, 2) * sides
    step = size / np.maximum(rng.uniform(low, high, 2) * sides, 2)
    cut = neighbor[tuple(slice(int(first), int(last) + 1) for first, last in own)].astype(np.float32)
    origin = (size - 1) / 2 - step * center
    taken = ndimage.affine_transform(cut, step, origin, image.shape, order=1) > 0.5
    left = mask & ~taken
    if not taken.any() or left.sum() < LEAST_LEFT * mask.sum():
        return image, mask
    return _paint(image, taken, _visible_gray(image, taken, rng), rng), left


def _depth(
    strokes: Strokes,
    shape: tuple[int, ...],
    center: NDArray[np.float64],
    half: NDArray[np.float64],
    rng: np.random.Generator,
) -> Array:
    """How deep in the strokes each pixel is, in half sides of the object; below 0 outside."""
    axes = [(np.arange(side) - middle) / by for side, middle, by in zip(shape, center, half, strict=True)]
    places = np.stack(np.meshgrid(*axes, indexing="ij"))
    angle = rng.uniform(0, 2 * np.pi)
    places = np.tensordot([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], places, axes=1)
    knots = rng.normal(0, WARP, (2, 5, 5))
    places += [ndimage.zoom(knot, np.array(shape) / 5, order=3, grid_mode=True, mode="nearest") for knot in knots]
    rows, columns = places.astype(np.float32)
    depth = np.full(shape, -np.inf, dtype=np.float32)
    for points, radii in strokes:
        for (row, column), radius in zip(points, radii, strict=True):
            np.maximum(
                depth, np.float32(radius) - np.hypot(rows - np.float32(row), columns - np.float32(column)), out=depth
            )
    return depth


def _visible_gray(image: Array, mask: Mask, rng: np.random.Generator) -> float:
    """A gray that differs from what is around the mask, more or less."""
    ring = image[ndimage.binary_dilation(mask, iterations=3) & ~mask]
    around = ring if ring.size else image
    low, high = np.percentile(image, (2, 98))
    difference = rng.uniform(0.5, 4) * (around.std() + _noise(image)) * rng.choice([-1, 1])
    gray = float(np.clip(around.mean() + difference, low, high))
    return gray if rng.random() < 0.7 else float(rng.uniform(low, high))


def _noise(image: Array) -> float:
    return 1.5 * float(np.median(np.abs(image - ndimage.uniform_filter(image, 3)))) + 1e-6


def _paint(image: Array, mask: Mask, gray: float, rng: np.random.Generator) -> Array:
    """The image with a mask painted over: noise as elsewhere, some unevenness, and a soft edge."""
    noise = _noise(image)
    uneven = ndimage.zoom(rng.normal(0, noise * rng.uniform(0, 1.5), (6, 6)), np.array(image.shape) / 6, order=3)
    grain = rng.standard_normal(image.shape, np.float32) * np.float32(noise * rng.uniform(0.6, 1.2))
    cover = ndimage.gaussian_filter(mask.astype(np.float32), rng.uniform(0.3, 0.9))
    return (image + cover * (np.float32(gray) + uneven.astype(np.float32) + grain - image)).astype(np.float32)


def _stroke(points: NDArray[np.float64], radii: NDArray[np.float64] | float, count: int = 24) -> Strokes:
    """Points along a line of corners, close to one another."""
    radii = np.broadcast_to(np.asarray(radii, dtype=float), len(points))
    steps = np.linspace(0, len(points) - 1, count)
    corners = np.arange(len(points))
    line = np.stack([np.interp(steps, corners, points[:, axis]) for axis in (0, 1)], axis=1)
    return [(line, np.interp(steps, corners, radii))]


def _band(rng: np.random.Generator) -> Strokes:
    """A band that winds, thicker here and thinner there, as the pancreas or a gut."""
    count = 30
    turns = ndimage.gaussian_filter1d(rng.normal(0, rng.uniform(0.5, 1.6), count), 3)
    points = np.cumsum(np.stack([np.cos(np.cumsum(turns)), np.sin(np.cumsum(turns))], axis=1), axis=0)
    middle, size = (points.max(axis=0) + points.min(axis=0)) / 2, np.ptp(points, axis=0).max() / 2
    uneven = ndimage.gaussian_filter1d(rng.normal(0, 1, count), 3)
    return _stroke((points - middle) / size, np.maximum(rng.uniform(0.08, 0.28) * np.exp(uneven), 0.06), 80)


def _arc(rng: np.random.Generator) -> Strokes:
    """A ring, a C or a crescent."""
    angles = np.linspace(0, rng.uniform(0.5, 2.0) * np.pi, 30)
    points = np.stack([np.cos(angles), rng.uniform(0.6, 1) * np.sin(angles)], axis=1)
    thin = np.sin(np.linspace(0, np.pi, 30)) if rng.random() < 0.4 else np.ones(30)
    return _stroke(points, rng.uniform(0.07, 0.3) * (0.25 + thin), 40)


def _vertebra(rng: np.random.Generator) -> Strokes:
    """A body, its arch and some of the processes."""
    thick = rng.uniform(0.06, 0.13)
    wide, back = rng.uniform(0.25, 0.4), rng.uniform(0.25, 0.4)
    strokes = _stroke(np.array([[-0.5, -0.18], [-0.5, 0.18]]), rng.uniform(0.34, 0.45), 8)
    arch = [[-0.3, -wide], [0.0, -wide], [back, 0.0], [0.0, wide], [-0.3, wide]]
    strokes += _stroke(np.array(arch), thick, 40)
    if rng.random() < 0.8:
        strokes += _stroke(np.array([[back, 0.0], [rng.uniform(0.6, 1.0), 0.0]]), thick)
    for side in (-1, 1):
        if rng.random() < 0.8:
            strokes += _stroke(np.array([[0.0, wide * side], [rng.uniform(0, 0.3), rng.uniform(0.7, 1) * side]]), thick)
    return strokes


def _with_processes(rng: np.random.Generator) -> Strokes:
    """A body that is not in the middle, with one to four rods."""
    body = rng.uniform(-0.5, 0.5, 2)
    strokes = _stroke(np.stack([body, body + rng.uniform(-0.2, 0.2, 2)]), rng.uniform(0.3, 0.5), 8)
    for _ in range(int(rng.integers(1, 5))):
        strokes += _stroke(np.stack([body, rng.uniform(-1, 1, 2)]), np.array([0.2, rng.uniform(0.06, 0.2)]))
    return strokes


def _parts(rng: np.random.Generator) -> Strokes:
    """Two to four pieces of one gray, which may touch."""
    strokes: Strokes = []
    for _ in range(int(rng.integers(2, 5))):
        place = rng.uniform(-0.8, 0.8, 2)
        strokes += _stroke(np.stack([place, place + rng.uniform(-0.3, 0.3, 2)]), rng.uniform(0.12, 0.35), 12)
    return strokes


SHAPES: Mapping[str, Callable[[np.random.Generator], Strokes]] = {
    "band": _band,
    "arc": _arc,
    "vertebra": _vertebra,
    "processes": _with_processes,
    "parts": _parts,
}
