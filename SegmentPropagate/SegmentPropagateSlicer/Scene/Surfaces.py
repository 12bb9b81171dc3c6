"""Surfaces as Slicer makes them of labelmaps, in a thread.

Slicer's `vtkBinaryLabelmapToClosedSurfaceConversionRule` holds everything until it returns. The filters that it is made
of do not, when they are told to update: VTK then lets other threads of Python run. Versions of Slicer differ in their
settings, so a few voxels are tried first: where that gives another surface than Slicer's, Slicer has to do it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from functools import cached_property
from itertools import pairwise

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from SegmentPropagateSlicer.Scene.Labelmaps import Labelmap, arrayOf, distinct

WAIT_S = 0.005
KEPT = ("Normals", "vtkOriginalPointIds")
"""Values of points in a surface that is made jointly with others."""
SMOOTHING, JOINT = "Smoothing factor", "Joint smoothing"
"""A segmentation's conversion parameters; with the second, segments that share a labelmap have common borders."""
ITERATIONS = (40, 20)
"""Of smoothing: in Slicer on VTK 9.6, and before."""


class Surfaces:
    """Makes the closed surfaces of a segmentation's labelmaps; those of segments that share one jointly, if so set.

    Args:
        segmentation: vtkSegmentation, whose conversion parameters count.
        bySlicer: makes a surface as Slicer does.
    """

    def __init__(
        self, segmentation: slicer.vtkSegmentation, bySlicer: Callable[[Labelmap], vtk.vtkDataObject | None]
    ) -> None:
        self._segmentation, self._bySlicer = segmentation, bySlicer
        self.isJoint = _number(segmentation, JOINT) > 0 and _number(segmentation, SMOOTHING) > 0
        self._shared: dict[vtk.vtkDataArray, vtk.vtkPolyData] = {}  # values of a labelmap -> of all labels in it

    def building(self, labelmap: Labelmap) -> Generator[float, None, vtk.vtkPolyData | None]:
        """Make the surface of a segment; yields 0 while it is waited for.

        Args:
            labelmap: has memory that nobody else changes; its image is no larger than what carries the label, but with
                joint smoothing has all that the segments hold which share it.

        Returns:
            vtkPolyData; None where only Slicer makes one like its own.
        """
        surface, (image, label) = vtk.vtkPolyData(), labelmap
        if image is None:
            return surface
        if self._way is None:
            return None
        yield 0.0
        iterations, wholeCells = self._way
        if self.isJoint:
            values = image.GetPointData().GetScalars()
            if values not in self._shared:
                whole = yield from _updating(_pipeline(self._segmentation, image, None, iterations))
                self._shared[values] = whole
            found = yield from _updating(_part(self._shared[values], label, wholeCells))
        else:
            found = yield from _updating(_pipeline(self._segmentation, image, label, iterations))
        surface.ShallowCopy(found)
        return surface

    @cached_property
    def _way(self) -> tuple[int, bool] | None:
        """Iterations of smoothing, and how one of several is taken out, by which a few voxels become Slicer's surface.

        None where there is no such way.
        """
        small = _fewVoxels()
        expected = self._bySlicer((small, 1))
        ways = ((count, wholeCells) for count in ITERATIONS for wholeCells in (False, True)[: 1 + self.isJoint])
        return next((way for way in ways if _areSame(self._trial(small, *way), expected)), None)

    def _trial(self, image: slicer.vtkOrientedImageData, iterations: int, wholeCells: bool) -> vtk.vtkPolyData:
        last = _pipeline(self._segmentation, image, None if self.isJoint else 1, iterations)
        last.Update()
        if self.isJoint:
            last = _part(last.GetOutput(), 1, wholeCells)
            last.Update()
        return last.GetOutput()


def _updating(last: vtk.vtkPolyDataAlgorithm) -> Generator[float, None, vtk.vtkPolyData]:
    """What the last filter gives, updated in a thread that is waited for in pieces."""
    thread = threading.Thread(target=last.Update, name="surface")
    thread.start()
    while thread.is_alive():
        thread.join(WAIT_S)
        yield 0.0
    return last.GetOutput()


def _labelsIn(image: slicer.vtkOrientedImageData) -> list[int]:
    return [label for label in distinct(arrayOf(image)) if label]


def _part(shared: vtk.vtkPolyData, label: int, wholeCells: bool) -> vtk.vtkPolyDataAlgorithm:
    """What carries a label of a surface made of several, as Slicer takes it out: on VTK 9.6 only its points."""
    wanted, part = vtk.vtkSelectionSource(), vtk.vtkExtractSelection()
    surface, plain = vtk.vtkGeometryFilter(), vtk.vtkPassSelectedArrays()
    wanted.SetContentType(vtk.vtkSelectionNode.THRESHOLDS)
    wanted.SetFieldType(vtk.vtkSelectionNode.POINT)
    wanted.SetContainingCells(wholeCells)
    wanted.AddThreshold(label, label)
    part.SetInputData(shared)
    part.SetSelectionConnection(wanted.GetOutputPort())
    surface.SetInputConnection(part.GetOutputPort())
    plain.SetInputConnection(surface.GetOutputPort())
    for name in KEPT:  # not the labels, which whoever draws it would take for colors
        plain.GetPointDataArraySelection().EnableArray(name)
    return plain


def _number(segmentation: slicer.vtkSegmentation, name: str) -> float:
    return float(segmentation.GetConversionParameter(name) or 0)


def _fewVoxels() -> slicer.vtkOrientedImageData:
    """An object that has edges and corners of all kinds, with the label 1, and another beside it."""
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(4, 4, 5)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    values = arrayOf(image)
    values[...] = 1
    values[2:, 2:, 1:] = values[0, 0, 3] = 0
    values[4] *= 2
    return image


def _areSame(one: vtk.vtkPolyData, other: vtk.vtkDataObject | None) -> bool:
    """Whether surfaces have the same points, and as many polygons and values."""
    if not isinstance(other, vtk.vtkPolyData) or _countsOf(one) != _countsOf(other):
        return False
    return bool(np.allclose(_pointsOf(one), _pointsOf(other), atol=1e-4))


def _pointsOf(surface: vtk.vtkPolyData) -> np.ndarray:
    points = surface.GetPoints()
    return vtk_to_numpy(points.GetData()) if points is not None else np.empty((0, 3))


def _countsOf(surface: vtk.vtkPolyData) -> tuple[int, int, int]:
    return surface.GetNumberOfPoints(), surface.GetNumberOfPolys(), surface.GetPointData().GetNumberOfArrays()


def _pipeline(
    segmentation: slicer.vtkSegmentation, image: slicer.vtkOrientedImageData, label: int | None, iterations: int
) -> vtk.vtkPolyDataAlgorithm:
    """The filters of Slicer's rule, with its settings, for one label or, with None, for all; returns the last one."""
    toWorld = vtk.vtkTransform()
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    toWorld.SetMatrix(matrix)
    flat = vtk.vtkImageData()  # without directions and spacing: all is done in indices
    flat.SetExtent(image.GetExtent())
    flat.GetPointData().SetScalars(image.GetPointData().GetScalars())
    pad = vtk.vtkImageConstantPad()  # else the surface is open where the object touches the border
    pad.SetInputData(flat)
    pad.SetOutputWholeExtent([end + (-1, 1)[place % 2] for place, end in enumerate(image.GetExtent())])
    edges = vtk.vtkDiscreteFlyingEdges3D()
    edges.SetInputConnection(pad.GetOutputPort())
    edges.ComputeGradientsOff()
    edges.ComputeNormalsOff()
    if label is not None:  # whoever draws it would take them for colors
        edges.ComputeScalarsOff()
    for number, value in enumerate(_labelsIn(image) if label is None else [label]):
        edges.SetValue(number, value)
    filters: list[vtk.vtkPolyDataAlgorithm] = [
        edges,
        *_thinning(_number(segmentation, "Decimation factor")),
        *_smoothing(_number(segmentation, SMOOTHING), iterations),
    ]
    place = vtk.vtkTransformPolyDataFilter()
    place.SetTransform(toWorld)
    filters.append(place)
    if _number(segmentation, "Compute surface normals") > 0:
        normals = vtk.vtkPolyDataNormals()
        normals.ConsistencyOn()
        normals.SplittingOff()
        filters.append(normals)
    for before, after in pairwise(filters):
        after.SetInputConnection(before.GetOutputPort())
    return filters[-1]


def _thinning(factor: float) -> list[vtk.vtkPolyDataAlgorithm]:
    if factor <= 0:
        return []
    decimate = vtk.vtkDecimatePro()
    decimate.SetFeatureAngle(60)
    decimate.SplittingOff()
    decimate.PreserveTopologyOn()
    decimate.SetMaximumError(1)
    decimate.SetTargetReduction(factor)
    return [decimate]


def _smoothing(factor: float, iterations: int) -> list[vtk.vtkPolyDataAlgorithm]:
    if factor <= 0:
        return []
    smooth = vtk.vtkWindowedSincPolyDataFilter()
    smooth.SetNumberOfIterations(iterations)
    smooth.SetPassBand(10 ** (-4 * factor))
    smooth.BoundarySmoothingOff()
    smooth.FeatureEdgeSmoothingOff()
    smooth.NonManifoldSmoothingOn()
    smooth.NormalizeCoordinatesOn()
    return [smooth]
