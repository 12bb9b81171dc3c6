"""Surfaces are made in a thread, and are those that Slicer makes."""

import time

import numpy as np
import pytest
from SegmentPropagateSlicer.Scene.Derived import SURFACE, Derivation
from SegmentPropagateSlicer.Scene.Labelmaps import labelmapOf
from vtk.util.numpy_support import vtk_to_numpy

SLOT_S = 0.05
PARAMETERS = [{}, {"Decimation factor": "0.5"}, {"Smoothing factor": "0.0"}, {"Smoothing factor": "0.25"},
              {"Smoothing factor": "1.0"}, {"Compute surface normals": "0"}, {"Conversion method": "1"}]  # fmt: skip


def surfaceOf(segmentation, segmentId):
    return segmentation.GetSegmentation().GetSegment(segmentId).GetRepresentation(SURFACE)


def derived(node, segmentId):
    """What is made of a segment, and what the main thread does in each piece, seconds of the processor."""
    steps, times = Derivation(node, [SURFACE]).making(labelmapOf(node, segmentId)), []
    while True:
        began = time.thread_time()
        try:
            next(steps)
        except StopIteration as end:
            return end.value, times
        finally:
            times.append(time.thread_time() - began)


@pytest.mark.parametrize("parameters", PARAMETERS, ids=str)
def test_a_surface_is_the_one_that_slicer_makes(bench, parameters):
    bench.set(bench.segment, bench.truth)
    for name, value in parameters.items():
        bench.segmentation.GetSegmentation().SetConversionParameter(name, value)
    found = derived(bench.segmentation, bench.segment)[0][SURFACE]
    bench.segmentation.CreateClosedSurfaceRepresentation()
    expected = surfaceOf(bench.segmentation, bench.segment)
    assert found.GetNumberOfPolys() == expected.GetNumberOfPolys() > 0
    assert found.GetPointData().GetNumberOfArrays() == expected.GetPointData().GetNumberOfArrays()
    points = (vtk_to_numpy(surface.GetPoints().GetData()) for surface in (found, expected))
    np.testing.assert_allclose(*points, atol=1e-3)


def test_a_large_surface_holds_nothing_up(makeBench):
    k, j, i = np.ogrid[-45:46, -45:46, -45:46]
    bench = makeBench(mask=k**2 + j**2 + i**2 <= 40**2, key=None)
    bench.set(bench.segment, bench.truth)
    made, times = derived(bench.segmentation, bench.segment)
    assert made[SURFACE].GetNumberOfPolys() > 50_000
    assert len(times) > 3
    assert max(times) < SLOT_S  # Slicer's takes 0.4 s in one


def test_an_empty_segment_has_an_empty_surface(bench):
    bench.set(bench.segment, np.zeros_like(bench.truth))
    assert derived(bench.segmentation, bench.segment)[0][SURFACE].GetNumberOfPoints() == 0
