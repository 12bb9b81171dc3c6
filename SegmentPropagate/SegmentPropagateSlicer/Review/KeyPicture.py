"""A small picture of a key slice: the surroundings of the outline, turned as in the slice views."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateSlicer.Scene.SliceGrid import SliceGrid
from SegmentPropagateSlicer.Values.Proposal import Proposal

MARGIN = 1.6  # side of the picture over the larger side of the outline
SMALLEST_MM = 10.0
CONTRAST = 10, 99.5  # percentiles shown as black and white: air beside a body must not take all the grays
SCREEN_AXES = {  # to the right and upwards, in RAS
    "axial": ((-1, 0, 0), (0, 1, 0)),
    "coronal": ((-1, 0, 0), (0, 0, 1)),
    "sagittal": ((0, -1, 0), (0, 0, 1)),
}


def draw(
    grid: SliceGrid, plane: np.ndarray, outline: Proposal, color: tuple[float, float, float], size: int
) -> NDArray[np.uint8]:
    """Draw a slice with an outline on it.

    Args:
        grid: `SliceGrid`.
        plane: gray values `(rows, columns)`.
        outline: `Proposal`; an empty one shows the whole slice.
        color: of the outline, three numbers 0..1.
        size: side of the picture in pixels.

    Returns:
        uint8 `(size, size, 3)`.
    """
    places, inside = _places(grid, outline, size)
    gray: np.ndarray = np.where(inside, plane[places], 0).astype(np.float32)
    low, high = _contrast(gray[inside]) if inside.any() else (0, 1)
    gray = np.clip((gray - low) * (255 / max(high - low, 1e-6)), 0, 255) * inside
    picture = np.repeat(np.nan_to_num(gray).astype(np.uint8)[:, :, None], 3, axis=2)
    picture[_edge(outline.mask[places] & inside)] = np.rint(255 * np.array(color))
    return picture


def _contrast(values: NDArray[np.float32]) -> tuple[float, float]:
    """`numpy.percentile` has to import another module when it is first called: 60 ms."""
    places = [round(share / 100 * (values.size - 1)) for share in CONTRAST]
    ordered = np.partition(values, places)
    return float(ordered[places[0]]), float(ordered[places[1]])


def _places(grid: SliceGrid, outline: Proposal, size: int) -> tuple[tuple[NDArray[np.intp], ...], NDArray[np.bool_]]:
    """Row and column of the slice under every pixel of the picture, and where there is one."""
    spacing = np.array(grid.pixelSizeMm)
    start, extent = np.zeros(2), np.array(grid.shape, dtype=float)
    if outline.area:
        start, extent = np.array(outline.origin, dtype=float), np.array(outline.box.shape, dtype=float)
    side = max((extent * spacing).max() * (MARGIN if outline.area else 1.0), SMALLEST_MM)
    steps = ((np.arange(size) + 0.5) / size - 0.5) * side  # mm from the middle
    directions = grid.worldFromSlice[:3, 1:3] / spacing  # unit vectors along a step of row and of column
    right, up = (np.array(axis) @ directions for axis in SCREEN_AXES[grid.plane])
    swapped = abs(right[0]) > abs(right[1])  # rows run across the screen
    across = steps * np.sign(right[0] if swapped else right[1])
    down = -steps * np.sign(up[1] if swapped else up[0])
    rows, columns = (across[None, :], down[:, None]) if swapped else (down[:, None], across[None, :])
    middle = start + (extent - 1) / 2
    found = [
        np.rint(middle[axis] + offsets / spacing[axis]).astype(int) for axis, offsets in enumerate((rows, columns))
    ]
    inside = (found[0] >= 0) & (found[0] < grid.shape[0]) & (found[1] >= 0) & (found[1] < grid.shape[1])
    return tuple(np.clip(place, 0, count - 1) for place, count in zip(found, grid.shape, strict=True)), inside


def _edge(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of a mask that have a neighbor outside."""
    padded = np.pad(mask, 1)
    return mask & ~(padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:])
