"""What was drawn is found by comparing labelmaps, whatever their sizes."""

import numpy as np
import pytest
import vtk
from SegmentPropagateSlicer.Scene.Held import findingChangedRows
from SegmentPropagateSlicer.Values.Pieces import finished
from vtk.util.numpy_support import numpy_to_vtk


def changedRows(now, then):
    return finished(findingChangedRows(now, then))


def imageOf(slicer, values, start=(0, 0, 0)):
    image = slicer.vtkOrientedImageData()
    image.SetExtent(
        [v for first, size in zip(start, values.shape[::-1], strict=True) for v in (first, first + size - 1)]
    )
    image.SetImageToWorldMatrix(vtk.vtkMatrix4x4())
    image.GetPointData().SetScalars(numpy_to_vtk(values.ravel(), deep=True))
    return image


@pytest.mark.parametrize("dtypes", [(np.uint8, np.uint8), (np.int16, np.int16), (np.uint8, np.int16)])
@pytest.mark.parametrize("shape", [(3, 6, 8), (3, 5, 7)], ids=["whole words", "odd sizes"])
def test_the_rows_that_differ_are_found_in_any_kind_of_labelmap(slicer, shape, dtypes):
    values = np.random.default_rng(0).integers(0, 3, shape)
    other = values.copy()
    other[1, 2, -1] += 1
    other[1, 4, 0] += 1
    images = [imageOf(slicer, array.astype(dtype)) for array, dtype in zip((values, other), dtypes, strict=True)]
    assert changedRows(*images) == {1: (2, 4)}
    assert changedRows(images[0], images[0]) == {}


def test_what_lies_beyond_the_smaller_labelmap_counts(slicer):
    values = np.zeros((4, 6, 8), np.uint8)
    values[1:3, 2:4, 2:4] = 1
    small, large = imageOf(slicer, values[1:3, 1:5, 1:7], (1, 1, 1)), imageOf(slicer, values)
    assert changedRows(large, small) == changedRows(small, large) == {}
    values[3, 0, 0] = 1
    assert set(changedRows(imageOf(slicer, values), small)) == {3}
