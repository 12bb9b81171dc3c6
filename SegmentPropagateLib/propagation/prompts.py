"""What an annotator gives on a key slice: a mask, a box, or points.

Coordinates are voxel indices within the slice, `(i, j)` = (column, row), in stored order; voxel centers lie on
whole numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.errors import InputError


@dataclass(frozen=True)
class BoxPrompt:
    """A rectangle around the object.

    Args:
        box_ij: `(i0, j0, i1, j1)`, first and last column and row, inclusive.

    Example:
        >>> BoxPrompt((96, 74, 128, 102)).check_inside((160, 160))
        >>> BoxPrompt((128, 74, 96, 102))
        Traceback (most recent call last):
            ...
        SegmentPropagateLib.errors.InputError: The box must be I0,J0,I1,J1 with I0 <= I1 and J0 <= J1, got (128, ...).
    """

    box_ij: tuple[float, float, float, float]

    def __post_init__(self) -> None:
        i0, j0, i1, j1 = self.box_ij
        if not np.isfinite(self.box_ij).all() or i1 < i0 or j1 < j0:
            raise InputError(f"The box must be I0,J0,I1,J1 with I0 <= I1 and J0 <= J1, got {self.box_ij}.")

    def check_inside(self, shape: tuple[int, int]) -> None:
        """Raise InputError where the box reaches beyond a slice of `(rows, columns)`."""
        i0, j0, i1, j1 = self.box_ij
        if i0 < 0 or j0 < 0 or i1 > shape[1] - 1 or j1 > shape[0] - 1:
            raise InputError(
                f"The box {_numbers(self.box_ij)} reaches beyond the slice: columns run from 0 to {shape[1] - 1}, "
                f"rows from 0 to {shape[0] - 1}."
            )


@dataclass(frozen=True)
class PointsPrompt:
    """Points on the object (positive) and beside it (negative), with an optional box.

    Args:
        points_ij: float array of shape `(N, 2)`.
        positive: bool array of shape `(N,)`.
        box: a box that is given together with the points.

    Example:
        >>> on_the_object, beside_it = (30, 12), (8, 40)
        >>> PointsPrompt(np.array([on_the_object, beside_it]), np.array([True, False])).positive
        array([ True, False])
    """

    points_ij: NDArray[np.float64]
    positive: NDArray[np.bool_]
    box: BoxPrompt | None = None

    def __post_init__(self) -> None:
        points = np.asarray(self.points_ij, dtype=np.float64)
        positive = np.asarray(self.positive, dtype=bool)
        if points.ndim != 2 or points.shape[1] != 2 or len(points) == 0:
            raise InputError(f"Points must have shape (N, 2) with N >= 1, got {points.shape}.")
        if positive.shape != (len(points),):
            raise InputError(f"{len(points)} points need {len(points)} positive/negative flags, got {positive.shape}.")
        if self.box is None and not positive.any():
            raise InputError("At least one positive point is needed when no box is given.")
        object.__setattr__(self, "points_ij", points)
        object.__setattr__(self, "positive", positive)

    def check_inside(self, shape: tuple[int, int]) -> None:
        """Raise InputError where a point or the box lies beyond a slice of `(rows, columns)`."""
        outside = (self.points_ij < -0.5) | (self.points_ij > np.array([shape[1], shape[0]]) - 0.5)
        if outside.any():
            point = self.points_ij[outside.any(axis=1)][0]
            raise InputError(
                f"The point {_numbers(point)} lies outside the slice of {shape[1]} columns and {shape[0]} rows."
            )
        if self.box is not None:
            self.box.check_inside(shape)


@dataclass(frozen=True)
class MaskPrompt:
    """The finished outline of the object on the slice.

    Args:
        mask: bool array of shape `(rows, columns)`.
    """

    mask: NDArray[np.bool_]

    def __post_init__(self) -> None:
        mask = np.array(self.mask, dtype=bool)  # a copy: the caller may go on painting
        if mask.ndim != 2:
            raise InputError(f"A mask prompt must have shape (rows, columns), got {mask.shape}.")
        mask.setflags(write=False)
        object.__setattr__(self, "mask", mask)

    def check_inside(self, shape: tuple[int, int]) -> None:
        """Raise InputError unless the mask has the `(rows, columns)` of the slice and is not empty."""
        if self.mask.shape != shape:
            raise InputError(f"The mask has {self.mask.shape} rows and columns, the slice {shape}.")
        if not self.mask.any():
            raise InputError("The mask of the key slice is empty: outline the object on it first.")


Prompt = MaskPrompt | BoxPrompt | PointsPrompt


def _numbers(values: object) -> str:
    return ",".join(f"{value:g}" for value in np.asarray(values).ravel())
