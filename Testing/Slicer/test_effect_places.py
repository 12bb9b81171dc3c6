"""Which slices a segment is drawn on, however image and segments are stored; and a range as it is kept."""

import itertools

import numpy as np
import pytest
from bench import MATRIX, ellipsoid
from SegmentPropagateSlicer.Effect.Places import Range, drawnSlices
from SegmentPropagateSlicer.Scene.VolumeReader import VolumeReader
from stored import ROTATION, segmentOnGrid, stored

from SegmentPropagateLib.errors import InputError


def outlined(bench, plane, *indices):
    mask, axis = np.zeros_like(bench.truth), bench.grid(plane).axis
    for index in indices:
        np.moveaxis(mask, axis, 0)[index] = np.moveaxis(bench.truth, axis, 0)[index]
    bench.set(bench.segment, mask)


def found(bench, segmentation=None, segmentId=None):
    geometry = VolumeReader(bench.volume).geometry
    return drawnSlices(geometry, segmentation or bench.segmentation, segmentId or bench.segment)


@pytest.mark.parametrize("base", [MATRIX, ROTATION @ MATRIX], ids=["straight", "oblique"])
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_the_slices_that_are_drawn_are_found_in_every_order_of_axes(makeBench, base, order, plane):
    mask, matrix = stored(ellipsoid(), base, order, (False, True, False))
    bench = makeBench(mask=mask, matrix=matrix, key=None)
    outlined(bench, plane, 4, 6)
    assert found(bench) == (plane, [4, 6])


def test_a_segment_on_a_finer_grid_is_drawn_on_the_slices_of_the_image(makeBench, slicer):
    bench = makeBench(key=None)
    segmentation, reference = segmentOnGrid(slicer, bench, 3)
    segmentId = segmentation.GetSegmentation().AddEmptySegment("", "Organ")
    truth = bench.truth.repeat(3, 0).repeat(3, 1).repeat(3, 2)
    drawn = np.zeros_like(truth)
    drawn[15:18] = truth[15:18]
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn.astype(np.uint8), segmentation, segmentId, reference)
    assert found(bench, segmentation, segmentId) == ("axial", [5])


def test_a_segment_that_shares_its_labelmap_is_told_from_its_neighbor(makeBench):
    bench = makeBench(key=None)
    outlined(bench, "coronal", 9)
    neighbor = np.zeros_like(bench.truth)
    neighbor[:, 0:3] = True
    bench.addSegment("Neighbor", neighbor)
    bench.segmentation.GetSegmentation().CollapseBinaryLabelmaps(False)
    assert found(bench) == ("coronal", [9])


def test_a_segment_beside_the_image_counts_as_empty(makeBench, slicer):
    bench = makeBench(key=None)
    away = MATRIX.copy()
    away[2, 3] = 1000
    segmentation, reference = segmentOnGrid(slicer, bench, 1, away)
    segmentId = segmentation.GetSegmentation().AddEmptySegment("", "Elsewhere")
    slicer.util.updateSegmentBinaryLabelmapFromArray(bench.truth.astype(np.uint8), segmentation, segmentId, reference)
    with pytest.raises(InputError, match="Segment 'Elsewhere' is empty"):
        found(bench, segmentation, segmentId)


@pytest.mark.parametrize("given", [Range("axial", 3, 9), Range("coronal", None, 0), Range("sagittal", 12)])
def test_a_range_is_read_as_it_was_written(given):
    assert Range.read(str(given)) == given


@pytest.mark.parametrize("text", [None, "", "axial", "axial 1", "axial 1 2 3", "oblique 1 2", "axial one 2"])
def test_what_is_no_range_is_an_open_one(text):
    assert Range.read(text) == Range()
