"""Surfaces as Slicer makes them of labelmaps, in a thread.

Slicer's `vtkBinaryLabelmapToClosedSurfaceConversionRule` holds everything until it returns. The filters that it is made
of do not, when they are told to update: VTK then lets other threads of Python run. Versions of Slicer differ in their
settings, so a few voxels are tried first: where that gives another surface than Slicer's, Slicer has to do it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from itertools import pairwise

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from SegmentPropagateSlicer.Scene.Labelmaps import Labelmap, arrayOf

WAIT_S = 0.005
ITERATIONS = (40, 20)
"""Of smoothing: in Slicer on VTK 9.6, and before."""


def buildingSurface(
    segmentation: slicer.vtkSegmentation, labelmap: Labelmap, bySlicer: Callable[[Labelmap], vtk.vtkDataObject | None]
) -> Generator[float, None, vtk.vtkPolyData | None]:
    """Make the closed surface of a labelmap, without joint smoothing; yields 0 while it is waited for.

    Args:
        segmentation: vtkSegmentation, whose conversion parameters count.
        labelmap: has memory that nobody else changes; its image is no larger than what carries the label.
        bySlicer: makes a surface as Slicer does.

    Returns:
        vtkPolyData; None where only Slicer makes one like its own.
    """
    surface, small, (image, label) = vtk.vtkPolyData(), _fewVoxels(), labelmap
    if image is None:
        return surface
    expected = bySlicer((small, 1))
    trials = (count for count in ITERATIONS if _areSame(_updated(segmentation, small, count), expected))
    iterations = next(trials, None)
    if iterations is None:
        return None
    yield 0.0
    last = _pipeline(segmentation, image, label, iterations)
    thread = threading.Thread(target=last.Update, name="surface")
    thread.start()
    while thread.is_alive():
        thread.join(WAIT_S)
        yield 0.0
    surface.ShallowCopy(last.GetOutput())
    return surface


def _fewVoxels() -> slicer.vtkOrientedImageData:
    """An object that has edges and corners of all kinds, with the label 1."""
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(4, 4, 4)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    values = arrayOf(image)
    values[...] = 1
    values[2:, 2:, 1:] = values[0, 0, 3] = 0
    return image


def _updated(segmentation: slicer.vtkSegmentation, image: slicer.vtkOrientedImageData, count: int) -> vtk.vtkPolyData:
    last = _pipeline(segmentation, image, 1, count)
    last.Update()
    return last.GetOutput()


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
    segmentation: slicer.vtkSegmentation, image: slicer.vtkOrientedImageData, label: int, iterations: int
) -> vtk.vtkPolyDataAlgorithm:
    """The filters of Slicer's rule, with its settings; returns the last one."""

    def number(name: str) -> float:
        return float(segmentation.GetConversionParameter(name) or 0)

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
    edges.ComputeScalarsOff()  # whoever draws it would take them for colors
    edges.SetValue(0, label)
    filters: list[vtk.vtkPolyDataAlgorithm] = [
        edges,
        *_thinning(number("Decimation factor")),
        *_smoothing(number("Smoothing factor"), iterations),
    ]
    place = vtk.vtkTransformPolyDataFilter()
    place.SetTransform(toWorld)
    filters.append(place)
    if number("Compute surface normals") > 0:
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
