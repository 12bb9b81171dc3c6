"""How a template bends: a discrete search from coarse to fine, coupled to a smooth field (Heinrich 2014).

At every grid point the descriptors of all steps are compared; then the cheapest step near a smooth field and the smooth
field of the cheapest steps are found in turn, with a growing weight on their agreement.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SegmentPropagateLib.prompting.atlas.descriptors import CHANNELS, blurred, self_similarity
from SegmentPropagateLib.prompting.atlas.grid import Body
from SegmentPropagateLib.prompting.atlas.sampling import on_lines, warped
from SegmentPropagateLib.volumes.boxes import bounding_box

LEVELS = ((3, 4), (3, 3), (2, 3), (1, 1))
"""Distance of the points at which is searched, which is also the length of a step; steps each way."""
OUTSIDE = 0.3
"""Misfit where the template has nothing: more than that of organs that do not belong to each other."""

_COUPLING = np.geomspace(0.01, 1.0, 6)
_SMOOTH = 1.2  # points
_BLOCK = 10_000  # points that are compared at once: so many stay in the processor's cache
_BEYOND = 1.0  # what a step out of the template costs; a descriptor's channel differs by 1 at most
_MARGIN = 8  # points around the template's first place that it may come to
_FIT_SIGMA = 3.0  # points around a voxel that tell how well its surroundings fit
_LEAST_SHARE = 1e-3  # of what is around a point in the field of view

Image = NDArray[np.float32]


class Deformed(NamedTuple):
    """A template laid over a volume.

    Args:
        points: the template's points under the volume's lattice, float32 `(3, *shape)`.
        misfit: mean squared difference of the descriptors around a point, float32 `shape`.
    """

    points: Image
    misfit: Image


def deform(
    volume: Body,
    template: Body,
    points: Image,
    levels: Sequence[tuple[int, int]] = LEVELS,
    more: Sequence[tuple[Image, Image]] = (),
) -> Deformed:
    """Bend `points` until the template looks as the volume does.

    Args:
        volume: what is looked at.
        template: what is laid over it.
        points: where it lies, float32 `(3, *volume.gray.shape)`.
        levels: of the search, as `LEVELS`.
        more: what is compared beside self-similarity, which counts as much where values are 1 apart: float32 images of
            the volume and of the template, each on its lattice. They are no part of the misfit.
    """
    there = bounding_box(covered(points, template.gray.shape))
    if there is None:
        return Deformed(points, np.full_like(volume.gray, OUTSIDE))
    spans = [(max(0, span.start - _MARGIN), span.stop + _MARGIN) for span in there]
    box = tuple(slice(*span) for span in spans)  # a long volume is looked at where the template lies
    whole, misfit = points.copy(), np.full_like(volume.gray, OUTSIDE)
    part = (slice(None), *box)
    here = [(mine[box], other) for mine, other in more]
    bent = _bent(volume.gray[box], volume.inside[box], template, points[part], levels, here)
    whole[part], misfit[box] = bent
    return Deformed(whole, misfit)


def _bent(
    gray: Image,
    inside: NDArray[np.bool_],
    template: Body,
    points: Image,
    levels: Sequence[tuple[int, int]],
    more: Sequence[tuple[Image, Image]],
) -> Deformed:
    mine = self_similarity(gray)
    every = np.stack([*mine, *(own for own, _ in more)])
    for stride, reach in levels:
        other = np.stack([*self_similarity(warped(template.gray, points)), *(warped(it, points) for _, it in more)])
        points = _moved(points, _search(every, other, inside, shown(template, points), stride, reach))
    difference = ((mine - self_similarity(warped(template.gray, points))) ** 2).mean(axis=0)
    difference[~shown(template, points)] = OUTSIDE
    weight = inside.astype(np.float32)
    share = ndimage.gaussian_filter(weight, _FIT_SIGMA)
    return Deformed(points, ndimage.gaussian_filter(difference * weight, _FIT_SIGMA) / np.maximum(share, _LEAST_SHARE))


def covered(points: Image, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Whether points lie on the template."""
    within = [(axis > -0.5) & (axis < size - 0.5) for axis, size in zip(points, shape, strict=True)]
    return np.logical_and.reduce(within)


def shown(template: Body, points: Image) -> NDArray[np.bool_]:
    """Whether points lie in the template's field of view, which fills its lattice unless it is oblique."""
    there = covered(points, template.inside.shape)
    return there if template.inside.all() else there & (warped(template.inside.view(np.uint8), points) > 0.5)


def _search(
    mine: Image, other: Image, inside: NDArray[np.bool_], there: NDArray[np.bool_], stride: int, reach: int
) -> Image:
    """Steps in points, float32 `(3, *shape)`, that bring the template's descriptors onto the volume's.

    `inside` and `there`, bool `shape`, tell where the volume and the template show something.
    """
    full = there.shape
    at = (slice(stride // 2, None, stride),) * 3
    mine, other = _means(mine, stride), _means(other, stride)
    inside, there = inside[at], there[at]
    shape = there.shape
    grid = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 3, indexing="ij"), -1).reshape(-1, 3)
    steps = grid[np.argsort((grid**2).sum(axis=1), kind="stable")]  # of equal costs the shortest step is taken
    padded = np.pad(other, ((0, 0), *((reach, reach),) * 3), mode="edge")
    unknown = np.pad(~there, reach, constant_values=True)
    cost = np.empty((len(steps), *shape), np.float32)
    rows = max(1, _BLOCK // (shape[1] * shape[2]))
    for first in range(0, shape[0], rows):
        block = slice(first, first + rows)
        fixed, absent = mine[:, block], ~(inside & there)[block]
        difference = np.empty_like(fixed)
        for price, step in zip(cost[:, block], steps, strict=True):
            s, a, r = (slice(reach + o, reach + o + n) for o, n in zip(step, fixed.shape[1:], strict=True))
            s = slice(s.start + first, s.stop + first)
            np.subtract(fixed, padded[:, s, a, r], out=difference)
            np.einsum("c...,c...->...", difference, difference, out=price)
            np.copyto(price, _BEYOND, where=unknown[s, a, r])
            np.copyto(price, 0, where=absent)  # else the template's ends would be drawn out over what it does not show
    for price in cost:
        blurred(price)
    field = _coupled(cost.reshape(len(steps), -1), steps.astype(np.float32), shape) * stride
    return on_lines(field, [(np.arange(size) - stride // 2) / stride for size in full])


def _coupled(cost: Image, steps: Image, shape: tuple[int, ...]) -> Image:
    def smooth(best: NDArray[np.intp]) -> Image:
        return np.stack([ndimage.gaussian_filter(steps[best, axis].reshape(shape), _SMOOTH) for axis in range(3)])

    size = max(1, _BLOCK * CHANNELS // len(steps))
    starts = range(0, cost.shape[1], size)
    blocks = [np.ascontiguousarray(cost[:, start : start + size].T) for start in starts]  # quicker to search this way
    field = smooth(np.concatenate([block.argmin(axis=1) for block in blocks]))
    terms = np.vstack([-2 * steps.T, (steps**2).sum(axis=1)])
    total = np.empty_like(blocks[0])
    for weight in _COUPLING.astype(np.float32):  # least of cost + weight * |step - field|^2, but for |field|^2
        at = np.vstack([field.reshape(3, -1), np.ones((1, cost.shape[1]), np.float32)]).T
        best, scaled = [], weight * terms
        for start, block in zip(starts, blocks, strict=True):
            pull = np.matmul(at[start : start + size], scaled, out=total[: len(block)])
            pull += block
            best.append(pull.argmin(axis=1))
        field = smooth(np.concatenate(best))
    return field


def _moved(points: Image, field: Image) -> Image:
    """The points that lie a step further; beyond the lattice they go on as straight lines."""
    own = np.stack(np.meshgrid(*[np.arange(size, dtype=np.float32) for size in field.shape[1:]], indexing="ij"))
    own += field
    last = np.array(field.shape[1:], np.float32)[:, None, None, None] - 1
    beyond = own - np.clip(own, 0, last)
    return np.stack([warped(axis, own) for axis in points]) + beyond


def _means(images: Image, stride: int) -> Image:
    """Means of the points that a point of the search stands for, `stride` along every axis; the border is repeated."""
    found = images
    for axis in (1, 2, 3):
        size = images.shape[axis]
        starts = np.arange(0, size - stride // 2, stride)
        rows = [found.take(np.minimum(starts + step, size - 1), axis) for step in range(stride)]
        found = sum(rows[1:], start=rows[0])
    return found / np.float32(stride**3)
