"""Two label files on one grid that covers both, whatever part of the image each was saved on.

Slicer and DICOM SEG save a segmentation on the smallest box around it. Compared on the grid of such a file, all that
lies outside it is lost: a leak of 43 % was told as DSC 1.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.grids import resample
from SegmentPropagateLib.volumes.boxes import bounding_box
from SegmentPropagateLib.volumes.geometry import Geometry, Plane
from SegmentPropagateLib.volumes.labels import Labels

_MOST_VOXELS = 1 << 28  # 512 x 512 x 1024; two crops of one image at its far ends still fit
_OFF_GRID = 0.1  # voxels that the centers of two crops of one grid may differ by: origins are rounded in files


class CommonGrid(NamedTuple):
    """Two label files on one grid.

    Args:
        prediction: its labels on the grid.
        reference: its labels on the grid, which has the reference's axes and spacing.
        axis: array axis of the plane's slices.
        numbers: what each slice of the grid is called in the larger of the two files, shape `(slices,)`; below 0 or
            from `slices` on where that file has no such slice.
        slices: how many the larger of the two files has.
    """

    prediction: Labels
    reference: Labels
    axis: int
    numbers: NDArray[np.int64]
    slices: int


def on_common_grid(prediction: Labels, reference: Labels, plane: Plane | str) -> CommonGrid:
    """Put both on the smallest part of the reference's grid, continued where need be, that holds every label.

    Along the plane's axis it holds every slice of both files. Slices are numbered as in the larger of the two.

    Raises:
        InputError: the two cannot belong to one image, or lie too far apart for a grid over both.
    """
    if prediction.geometry.is_close(reference.geometry):  # also by another of the places that NIfTI files give
        prediction = replace(prediction, geometry=reference.geometry)
    axis = reference.geometry.plane_axis(plane)
    spans = [_span(labels, reference.geometry) for labels in (prediction, reference)]
    grids = [_grid_span(labels.geometry, reference.geometry) for labels in (prediction, reference)]
    meet = bool((np.maximum(*(grid[0] for grid in grids)) <= np.minimum(*(grid[1] for grid in grids))).all())
    if not meet and not _is_one_lattice(prediction.geometry, reference.geometry):
        raise InputError(
            "Prediction and reference lie at different places and on different grids: they belong to different images, "
            "or one of them lost its geometry."
        )
    reached = [span for span in spans if span is not None] or grids[1:]  # where no label has a voxel, the reference
    low, high = np.min([span[0] for span in reached], axis=0), np.max([span[1] for span in reached], axis=0)
    low[axis], high[axis] = min(grid[0][axis] for grid in grids), max(grid[1][axis] for grid in grids)
    shape = (high - low + 1).tolist()
    larger = max((reference, prediction), key=lambda labels: math.prod(labels.geometry.shape_kji)).geometry
    if math.prod(shape) > max(_MOST_VOXELS, math.prod(larger.shape_kji)):
        raise InputError(
            f"A grid over prediction and reference would have {' x '.join(map(str, shape))} voxels: they lie too far "
            "apart or differ too much in spacing, so check that they belong to one image."
        )
    grid = reference.geometry.part(low.tolist(), shape)
    return CommonGrid(
        _placed(prediction, grid),
        _placed(reference, grid),
        axis=axis,
        numbers=_numbers_in(larger, grid, plane),
        slices=larger.shape_kji[larger.plane_axis(plane)],
    )


def _placed(labels: Labels, grid: Geometry) -> Labels:
    return Labels(tuple(resample(labels.layers, labels.geometry, grid)), grid, labels.segments)


def _span(labels: Labels, grid: Geometry) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """First and last index `(k, j, i)` in `grid` that the labels reach; None without a label."""
    boxes = [box for layer in labels.layers if (box := bounding_box(layer != 0)) is not None]
    if not boxes:
        return None
    low = np.min([[span.start for span in box] for box in boxes], axis=0)
    high = np.max([[span.stop - 1 for span in box] for box in boxes], axis=0)
    return _mapped(labels.geometry, grid, low, high)


def _grid_span(geometry: Geometry, grid: Geometry) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return _mapped(geometry, grid, np.zeros(3), np.array(geometry.shape_kji) - 1)


def _mapped(
    source: Geometry, target: Geometry, low_kji: NDArray[Any], high_kji: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last index in `target` of the voxels whose centers lie within a box of voxels of `source`."""
    faces = zip(low_kji[::-1] - 0.5, high_kji[::-1] + 0.5, strict=True)
    corners = np.stack([*(axis.ravel() for axis in np.meshgrid(*faces)), np.ones(8)])
    there = np.linalg.solve(target.ijk_to_ras, source.ijk_to_ras @ corners)[2::-1]
    if np.abs(there).max() > 2**31:
        raise InputError("Prediction and reference lie too far apart to belong to one image: check their geometry.")
    low, high = np.ceil(there.min(axis=1)), np.floor(there.max(axis=1))
    return low.astype(np.int64), np.maximum(low, high).astype(np.int64)


def _is_one_lattice(a: Geometry, b: Geometry) -> bool:
    """Whether both are crops of one grid: each voxel center of `a` is one of `b`, continued."""
    matrix = np.linalg.solve(b.ijk_to_ras, a.ijk_to_ras)[:3]
    steps = np.rint(matrix)
    reach = np.append(np.array(a.shape_kji[::-1]), 1.0)
    permutes = (np.abs(steps[:, :3]).sum(axis=0) == 1).all() and (np.abs(steps[:, :3]).sum(axis=1) == 1).all()
    return bool(permutes and (np.abs(matrix - steps) @ reach).max() <= _OFF_GRID)


def _numbers_in(larger: Geometry, grid: Geometry, plane: Plane | str) -> NDArray[np.int64]:
    axis = grid.plane_axis(plane)
    centers = np.tile((np.array(grid.shape_kji) - 1) / 2, (grid.shape_kji[axis], 1))
    centers[:, axis] = np.arange(grid.shape_kji[axis])
    points = np.column_stack([centers[:, ::-1], np.ones(len(centers))]).T
    there = np.linalg.solve(larger.ijk_to_ras, grid.ijk_to_ras @ points)[2::-1]
    return np.rint(there[larger.plane_axis(plane)]).astype(np.int64)
