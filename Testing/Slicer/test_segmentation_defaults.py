"""`.seg.nrrd` files whose segments lack fields: read as Slicer's own reader does."""

import numpy as np
import pytest
from test_labels import write_segments
from test_segmentation_files import load, voxels_of

from SegmentPropagateLib.formats.reading import read_labels

SHAPE = (5, 6, 7)
WHOLE = "0 6 0 5 0 4"
SEGMENTS = [
    {"ID": "Segment_1", "Name": "liver", "Color": "0.5 0.25 0.75", "LabelValue": "1", "Layer": "0", "Extent": WHOLE},
    {"ID": "Segment_2", "Name": "kidney", "Color": "1 0 0", "LabelValue": "1", "Layer": "1", "Extent": WHOLE},
    {"ID": "Segment_3", "Name": "cyst", "Color": "0 1 0", "LabelValue": "1", "Layer": "2", "Extent": WHOLE},
]


@pytest.mark.parametrize(
    "lacking", [(), ("LabelValue", "Layer"), ("LabelValue",), ("Layer",), ("Name",), ("Extent",)], ids=" and ".join
)
def test_a_file_that_lacks_fields_is_read_as_in_slicer(slicer, lacking, tmp_path):
    path = tmp_path / "l.seg.nrrd"
    rows = [{key: value for key, value in fields.items() if key not in lacking} for fields in SEGMENTS]
    write_segments(path, rows, layers=3)

    segmentation = (node := load(slicer, path)).GetSegmentation()
    labels = read_labels(path)

    assert segmentation.GetNumberOfSegments() == len(labels.segments) == 3
    for position, info in enumerate(labels.segments):
        segment_id = segmentation.GetNthSegmentID(position)
        segment = segmentation.GetSegment(segment_id)
        assert (segment.GetName(), segment.GetColor()) == (info.name, info.color_rgb)
        voxels, _matrix = voxels_of(slicer, node, segment_id, SHAPE)
        np.testing.assert_array_equal(labels.mask(info.value), voxels)


def test_a_segment_of_a_layer_that_does_not_exist_is_left_out_as_in_slicer(slicer, tmp_path):
    write_segments(tmp_path / "l.seg.nrrd", [SEGMENTS[0], {**SEGMENTS[1], "Layer": "7"}])
    segmentation = load(slicer, tmp_path / "l.seg.nrrd").GetSegmentation()
    assert segmentation.GetNumberOfSegments() == 1
    named = [info.name for info in read_labels(tmp_path / "l.seg.nrrd").segments]
    assert named == [segmentation.GetNthSegment(0).GetName(), "Label 1"]
