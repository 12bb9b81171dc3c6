"""What an annotator gives on a key slice: a mask, a box, points, or a line across the object.

Coordinates are voxel indices within the slice, `(i, j)` = (column, row), in stored order; voxel centers lie on
whole numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.errors import InputError

ACROSS = 0.65
"""How wide an object is taken for, over the longest diameter that was drawn: over 65 objects the mean is .64.
Of .5, .65, .8 and 1 it gave the best outlines of them; points on the line besides the box gave .008 more."""
_ENDS, _ON_LINE = (0.0, 1.0), (0.25, 0.5, 0.75)


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
        both = {tuple(point) for point in points[positive].tolist()} & {
            tuple(point) for point in points[~positive].tolist()
        }
        if both:
            raise InputError(
                f"The point {_numbers(min(both))} is said to be on the object and beside it: leave one out."
            )
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
class LinePrompt:
    """The longest diameter of an object, as it is measured for RECIST: a line across it, from edge to edge.

    Args:
        line_ij: `(i0, j0, i1, j1)`, column and row of the first and of the last pixel on the object.

    Example:
        >>> LinePrompt((20, 30, 40, 30)).as_points((1.0, 1.0), (64, 64)).box.box_ij
        (20.0, 24.0, 40.0, 36.0)
    """

    line_ij: tuple[float, float, float, float]

    def __post_init__(self) -> None:
        i0, j0, i1, j1 = self.line_ij
        if not np.isfinite(self.line_ij).all() or (i0, j0) == (i1, j1):
            raise InputError(f"The line must be I0,J0,I1,J1 with two different ends, got {_numbers(self.line_ij)}.")

    def check_inside(self, shape: tuple[int, int]) -> None:
        """Raise InputError where an end lies beyond a slice of `(rows, columns)`."""
        self._points(_ENDS).check_inside(shape)

    def as_points(self, spacing_rc_mm: tuple[float, float], shape: tuple[int, int]) -> PointsPrompt:
        """Points on the line, and the box of the ellipse of which it is the longer axis: what models understand.

        Args:
            spacing_rc_mm: distance between rows and between columns.
            shape: `(rows, columns)` of the slice, beyond which the box does not reach.
        """
        spacing = np.array(spacing_rc_mm[::-1])
        ends = np.reshape(self.line_ij, (2, 2))
        along = (ends[1] - ends[0]) * spacing
        length = float(np.hypot(*along))
        half = (length + spacing.min()) / 2  # the ends are the middles of pixels
        cosine, sine = np.abs(along) / length
        sides = np.array([np.hypot(cosine, ACROSS * sine), np.hypot(sine, ACROSS * cosine)]) * half / spacing
        limits = np.array(shape[::-1]) - 1
        low = np.clip(np.ceil(ends.mean(axis=0) - sides), 0, limits)
        high = np.clip(np.floor(ends.mean(axis=0) + sides), low, limits)
        box = BoxPrompt((float(low[0]), float(low[1]), float(high[0]), float(high[1])))
        return replace(self._points(_ON_LINE), box=box)

    def _points(self, shares: tuple[float, ...]) -> PointsPrompt:
        ends = np.reshape(self.line_ij, (2, 2))
        points = np.array([(1 - share) * ends[0] + share * ends[1] for share in shares])
        return PointsPrompt(points, np.ones(len(points), dtype=bool))


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


Prompt = MaskPrompt | BoxPrompt | PointsPrompt | LinePrompt


@dataclass(frozen=True, eq=False)
class Known:
    """What is known, beside a prompt, of the object that it names.

    Args:
        outlines: slice -> the same object's finished outline there, bool `(rows, columns)`.
        others: finished outlines of other objects on the prompt's slice, bool `(rows, columns)` each.
    """

    outlines: Mapping[int, NDArray[np.bool_]] = field(default_factory=dict)
    others: tuple[NDArray[np.bool_], ...] = ()


NOTHING_KNOWN = Known()


def _numbers(values: object) -> str:
    return ",".join(f"{value:g}" for value in np.asarray(values).ravel())
