"""Slices of finished cases that support a slice: which of them, and how they come to lie on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SegmentPropagateLib.prompting.atlas.deformation import covered
from SegmentPropagateLib.prompting.atlas.fusion import Outline
from SegmentPropagateLib.prompting.atlas.grid import Body, Lattice, resample, scaled, wide_of
from SegmentPropagateLib.prompting.atlas.sampling import warped
from SegmentPropagateLib.prompting.recall import Aligned
from SegmentPropagateLib.volumes.boxes import bounding_box, first_and_last
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.intensity import to_gray
from SegmentPropagateLib.volumes.volume import Volume

SUPPORTS = 4
"""Most similar supports of a slice: K of the paper, which gained little from more."""

_SHOWN = 0.5  # of a support's mask that must lie on its volume
_MARGIN_MM = 30.0  # around an object, beside its own size: what the network's view may take in

Image = NDArray[np.float32]
Window = tuple[slice, slice]


def cosine(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Cosine of the angle between two vectors; 0 where one of them is 0."""
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.dot(a, b)) / length if length > 0 else 0.0


def most_similar(query: NDArray[Any], supports: Sequence[NDArray[Any]], count: int) -> list[int]:
    """Numbers of the most similar supports by cosine, the best first; of equals the earlier one."""
    return sorted(range(len(supports)), key=lambda n: -cosine(query, supports[n]))[:count]


def least_similar(query: NDArray[Any], bank: Sequence[NDArray[Any]]) -> int:
    """Number of the entry to be evicted, which is least similar to the query by cosine; of equals the oldest."""
    return min(range(len(bank)), key=lambda n: cosine(query, bank[n]))


def gray_of(volume: Volume, body: Body) -> Callable[[NDArray[Any]], Image]:
    """What turns the volume's values into the gray of `body.wide`, float32."""
    water = body.water
    if water is not None:
        return lambda values: wide_of(values - np.float32(water))
    values = resample(to_gray(volume.array_kji, "none").values, volume.geometry, body.lattice)
    span = np.percentile(values[body.body], (1, 99))
    return lambda values: scaled(values, *span)


def window_around(mask: NDArray[np.bool_], pixel_mm: tuple[float, float]) -> Window:
    """The part of a slice `(rows, columns)` in which an object is looked for; the whole slice for an empty mask."""
    box = bounding_box(mask)
    if box is None:
        return slice(0, mask.shape[0]), slice(0, mask.shape[1])
    longest = max((span.stop - span.start) * mm for span, mm in zip(box, pixel_mm, strict=True))
    steps = [round((longest + _MARGIN_MM) / mm) for mm in pixel_mm]
    rows, columns = (
        slice(max(0, span.start - step), min(size, span.stop + step))
        for span, step, size in zip(box, steps, mask.shape, strict=True)
    )
    return rows, columns


def points_on(lattice: Lattice, geometry: Geometry, axis: int, index: int, window: Window) -> Image:
    """Points of the lattice under the pixels of a slice: float32 `(3, rows, columns)`.

    Args:
        lattice: of the volume.
        geometry: of the volume.
        axis: of the array, across the slice.
        index: of the slice.
        window: the rows and columns.
    """
    across = [np.arange(span.start, span.stop, dtype=np.float64) for span in window]
    across.insert(axis, np.array([float(index)]))
    voxels = np.stack(np.meshgrid(*across, indexing="ij")).squeeze(axis + 1)
    matrix, offset = lattice.to_voxels(geometry)
    return np.tensordot(np.linalg.inv(matrix), voxels - offset[:, None, None], 1).astype(np.float32)


def aligned(there: Image, outline: Outline, wide: Image, lattice: Lattice) -> Aligned | None:
    """A finished case on a slice; None where it has too little of the object there.

    Args:
        there: the case's points under the slice's pixels, float32 `(3, rows, columns)`.
        outline: of the object in the case.
        wide: the case's gray on its lattice.
        lattice: of the case.
    """
    mask = mask_on(there, outline, lattice)
    return None if mask is None else Aligned(warped(wide, there), mask)


def mask_on(there: Image, outline: Outline, lattice: Lattice) -> NDArray[np.bool_] | None:
    """The mask of `aligned`, bool `(rows, columns)`, without the gray values, which take longer; None as there."""
    matrix, offset = lattice.to_voxels(outline.geometry)
    voxels = np.tensordot(matrix, there, 1) + offset[:, None, None]
    near = np.logical_and.reduce([(v > -1) & (v < n) for v, n in zip(voxels, outline.mask.shape, strict=True)])
    inside = warped(outline.mask.view(np.uint8), voxels[:, near].astype(np.float32), "grid-constant") > 0.5
    if not inside.any() or covered(there[:, near][:, inside], lattice.shape).mean() < _SHOWN:
        return None
    mask = np.zeros(near.shape, dtype=bool)
    mask[near] = inside  # a slice is much larger than most objects
    return mask


def likeness(gray: Image, mask: NDArray[np.bool_]) -> Image:
    """What slices are compared by around an object: gray values within its box, grown by a quarter, without their mean.

    Args:
        gray: float32 `(rows, columns)`.
        mask: bool `(rows, columns)`, not empty.
    """
    grown = []
    for first, last in first_and_last(mask):
        margin = (last - first) // 4
        grown.append(slice(max(0, first - margin), last + 1 + margin))
    part = ndimage.gaussian_filter(gray, 1.0)[tuple(grown)]
    return (part - part.mean()).ravel()
