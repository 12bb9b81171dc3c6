"""The slices of a volume along a plane: between slice numbers, views, markups and world RAS."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import slicer
from numpy.typing import ArrayLike, NDArray
from slicer.i18n import tr as _

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.volumes.geometry import Geometry, Plane

OBLIQUE_DEGREES = 1.0
"""A view tilted further against the volume's slices is oblique: at 512 mm a degree is 9 mm."""


class BesideVolume(InputError):
    """A view that is parallel to the slices, and scrolled past the first or the last."""


class SliceGrid:
    """One stack of slices.

    Args:
        geometry: `SegmentPropagateLib.volumes.geometry.Geometry` of the volume, in world RAS.
        plane: `axial`, `coronal` or `sagittal`.
    """

    def __init__(self, geometry: Geometry, plane: str) -> None:
        self.geometry = geometry
        self.plane = Plane.parse(plane).value
        self.axis = geometry.plane_axis(plane)
        self.count = geometry.shape_kji[self.axis]
        spacing = list(geometry.spacing_kji_mm)
        del spacing[self.axis]
        self.shape = tuple(np.delete(geometry.shape_kji, self.axis).tolist())  # rows, columns
        self.pixelSizeMm = spacing[0], spacing[1]  # distance of rows, of columns
        self.pixelAreaMm2 = spacing[0] * spacing[1]

    @property
    def order(self) -> tuple[int, ...]:
        """Array axes (0 = k) as slice, row, column."""
        return (self.axis, *(axis for axis in range(3) if axis != self.axis))

    @property
    def worldFromSlice(self) -> NDArray[np.float64]:
        """4 x 4 matrix from `(slice, row, column, 1)` to world RAS."""
        columns = [2 - axis for axis in self.order]  # array axis k is matrix column 2
        return self.geometry.ijk_to_ras[:, [*columns, 3]]

    def sliceFromWorld(self, pointsRas: ArrayLike) -> NDArray[np.float64]:
        """World RAS `(N, 3)` to continuous `(slice, row, column)`, `(N, 3)`."""
        points = np.atleast_2d(np.asarray(pointsRas, dtype=float))
        return (np.c_[points, np.ones(len(points))] @ np.linalg.inv(self.worldFromSlice).T)[:, :3]

    def checkIndex(self, sliceIndex: int) -> None:
        """Raise InputError for a slice that the volume does not have."""
        if not 0 <= sliceIndex < self.count:
            raise InputError(
                _("Slice {index} is outside the volume: its {plane} slices run from 0 to {last}.").format(
                    index=sliceIndex, plane=self.plane, last=self.count - 1
                )
            )

    def centerRas(self, sliceIndex: int) -> NDArray[np.float64]:
        """World RAS of a slice's center."""
        rows, columns = self.shape
        return (self.worldFromSlice @ [sliceIndex, (rows - 1) / 2, (columns - 1) / 2, 1])[:3]

    def indexInView(self, sliceNode: slicer.vtkMRMLSliceNode) -> int:
        """Number of the slice that a slice view shows.

        Raises:
            InputError: the view is oblique to these slices, shows another plane, or lies beside the volume.
        """
        sliceToRas = slicer.util.arrayFromVTKMatrix(sliceNode.GetSliceToRAS())
        angle = self._tiltDegrees(sliceToRas[:3, 2])
        if angle > OBLIQUE_DEGREES:
            raise InputError(
                _(
                    "The {view} view is not parallel to the volume's {plane} slices ({angle:.0f} degrees off): choose "
                    "the view of that plane, or press 'Rotate to volume plane'."
                ).format(view=sliceNode.GetName(), plane=self.plane, angle=angle)
            )
        index = int(np.floor(self.sliceFromWorld(sliceToRas[:3, 3])[0, 0] + 0.5))
        if not 0 <= index < self.count:
            text = _("The {view} view shows no slice of the volume: scroll to one of its {plane} slices, 0 to {last}.")
            raise BesideVolume(text.format(view=sliceNode.GetName(), plane=self.plane, last=self.count - 1))
        return index

    def _tiltDegrees(self, normalRas: NDArray[np.float64]) -> float:
        """Angle between a view's normal and the normal of these slices (not their stacking direction)."""
        rows, columns = self.worldFromSlice[:3, 1], self.worldFromSlice[:3, 2]
        own = np.cross(rows, columns)
        cosine = abs(own @ normalRas) / np.linalg.norm(own) / np.linalg.norm(normalRas)
        return float(np.degrees(np.arccos(min(cosine, 1.0))))

    def indexRange(self, cornersRas: ArrayLike) -> tuple[int, int]:
        """First and last slice whose center plane lies within a set of corners, kept inside the volume."""
        along = self.sliceFromWorld(cornersRas)[:, 0]
        first, last = int(np.ceil(along.min() - 1e-6)), int(np.floor(along.max() + 1e-6))
        first, last = max(first, 0), min(last, self.count - 1)
        if first > last:
            raise InputError(_("The region of interest covers no {plane} slice.").format(plane=self.plane))
        return first, last

    def boxOnSlice(self, cornersRas: ArrayLike) -> tuple[float, float, float, float]:
        """`(i0, j0, i1, j1)`: columns and rows that a set of corners spans, cut at the border of the slice."""
        inside = self.sliceFromWorld(cornersRas)[:, 1:]
        low = np.maximum(np.ceil(inside.min(axis=0) - 1e-6), 0)
        high = np.minimum(np.floor(inside.max(axis=0) + 1e-6), np.array(self.shape) - 1)
        if (low > high).any():
            raise InputError(_("The box lies beside the volume: move it onto the object."))
        return float(low[1]), float(low[0]), float(high[1]), float(high[0])

    def pointsOnSlice(self, pointsRas: ArrayLike, sliceIndex: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Column and row `(M, 2)` of the points that lie on a slice, and which of the N points these are."""
        places = self.sliceFromWorld(pointsRas)
        here = np.abs(places[:, 0] - sliceIndex) <= 0.5 + 1e-6
        return places[here][:, [2, 1]], here


Ends = tuple["int | None", "int | None"]
"""First and last slice of a range; None where it is open."""


def unionOfEnds(ranges: Collection[Ends]) -> Ends:
    """The range around several; it is open where one of them is. Open on both sides where there are none."""
    firsts, lasts = [first for first, _last in ranges], [last for _first, last in ranges]
    first = min((value for value in firsts if value is not None), default=None)
    last = max((value for value in lasts if value is not None), default=None)
    return None if None in firsts else first, None if None in lasts else last


def rangeEnds(given: tuple[int | None, int | None], count: int) -> tuple[int, int]:
    """`(first, last)` slice of a range in a stack of `count` slices; what was not given (None) is the stack's."""
    first, last = given
    return (0 if first is None else first), (count - 1 if last is None else last)


def cornersOfRoi(roiNode: slicer.vtkMRMLMarkupsROINode) -> NDArray[np.float64]:
    """World RAS `(8, 3)` of a vtkMRMLMarkupsROINode's corners.

    Raises:
        InputError: a ROI that has not been placed.
    """
    half = np.array(roiNode.GetSize()) / 2
    if roiNode.GetNumberOfControlPoints() == 0 or not half.any():
        raise InputError(_("The box '{name}' has not been placed yet.").format(name=roiNode.GetName()))
    signs = np.array([[x, y, z, 1] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=float)
    world = slicer.util.arrayFromVTKMatrix(roiNode.GetObjectToWorldMatrix())
    return ((signs * [*half, 1]) @ world.T)[:, :3]
