"""Label files: which values are labels, what a `.seg.nrrd` says of them, and what is lost on another grid."""

import gzip

import numpy as np
import pytest
import SimpleITK as sitk
from drawn_files import SHAPE, image_of, medsam_archive, random_masks, sentence_of
from test_geometry import geometry_of

from SegmentPropagateLib.formats.reading import read_labels
from SegmentPropagateLib.formats.writing import write_segmentation
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.labels import default_segment

MASK = random_masks()[7]
BOX = np.zeros((8, 8, 8), bool)
BOX[2:6, 2:6, 1:4] = True


def write(path, array):
    """An image file, or an archive."""
    if path.suffix == ".npz":
        medsam_archive(path, gts=array)
    else:
        sitk.WriteImage(image_of(array), str(path))
    return path


@pytest.mark.parametrize("name", ["l.nii.gz", "l.nrrd", "l.mha", "l.npz"])
@pytest.mark.parametrize(
    ("array", "value"),
    [
        (MASK * 2.999999999301508, 3),
        ((MASK * 3.0000457763671875).astype(np.float32), 3),
        (np.where(MASK, 3.0, -1e-9), 3),
        ((MASK * 14175.003).astype(np.float32), 14175),
        (MASK.astype(np.int64) * 7, 7),
    ],
    ids=["below", "above", "background below 0", "large and rounded", "64 bits"],
)
def test_labels_that_are_nearly_whole_are_taken(name, array, value, tmp_path):
    labels = read_labels(write(tmp_path / name, array))
    assert labels.values == (value,)
    np.testing.assert_array_equal(labels.mask(value), MASK)


NO_LABELS = {
    "halves": (MASK * 0.5, "it has 0.5 among its values"),
    "a hundredth off": (MASK * 3.01, "it has 3.01 among its values"),
    "below 0": (MASK * np.int16(-3), "it has -3 to 0"),
    "NaN": (np.where(MASK, 3.0, np.nan), "NaN or infinite"),
    "infinite": (np.where(MASK, np.inf, 0.0), "NaN or infinite"),
    "too large": (MASK * np.int64(2**40), "has label 1099511627776: labels up to 4294967295"),
}


@pytest.mark.parametrize("name", ["l.nrrd", "l.npz"])
@pytest.mark.parametrize(("array", "words"), NO_LABELS.values(), ids=NO_LABELS)
def test_values_that_are_no_labels_are_refused_by_their_cause(name, array, words, tmp_path):
    assert words in sentence_of(read_labels, write(tmp_path / name, array))


def write_segments(path, segments, layers=2, numbers=None):
    """A `.seg.nrrd` with `layers` masks of the value 1, and these fields of segments, numbered from 0 or as told."""
    masks = {value: np.random.default_rng(value).random(SHAPE) > 0.4 for value in range(1, layers + 1)}
    write_segmentation(path, masks, geometry_of(np.eye(3)))
    head = path.read_bytes().partition(b"\n\n")[0].decode().split("\n")
    lines = [line for line in head if not line.startswith("Segment")]
    for number, fields in zip(numbers or range(len(segments)), segments, strict=True):
        lines += [f"Segment{number}_{key}:={value}" for key, value in fields.items()]
    stack = np.stack(list(masks.values()), axis=-1).astype(np.uint8)
    path.write_bytes("\n".join([*lines, "", ""]).encode() + gzip.compress(stack.tobytes()))
    return masks


LIVER, KIDNEY = {"ID": "Segment_1", "Name": "liver"}, {"ID": "Segment_2", "Name": "kidney"}


def test_segments_without_a_label_value_and_a_layer_have_a_layer_each(tmp_path):
    masks = write_segments(tmp_path / "l.seg.nrrd", [LIVER, KIDNEY])
    labels = read_labels(tmp_path / "l.seg.nrrd")
    assert [(info.value, info.name) for info in labels.segments] == [(1, "liver"), (2, "kidney")]
    for value, mask in masks.items():
        np.testing.assert_array_equal(labels.mask(value), mask)


def test_segments_of_one_layer_are_found_by_their_label_values(tmp_path):
    write_segments(tmp_path / "l.seg.nrrd", [{**KIDNEY, "LabelValue": "5"}, {**LIVER, "LabelValue": "1"}], layers=1)
    assert [info.name for info in read_labels(tmp_path / "l.seg.nrrd").segments] == ["liver", "kidney"]


WRONG_FIELDS = {
    "a layer that does not exist": {"Layer": "7"},
    "a layer below 0": {"Layer": "-1"},
    "a layer that is no number": {"Layer": "one"},
    "a label value of 0": {"LabelValue": "0"},
    "a label value below 0": {"LabelValue": "-3"},
    "a label value that is no number": {"LabelValue": "nan"},
    "a label value without end": {"LabelValue": "9" * 5000},
    "a label value of another segment": {"Layer": "0"},
}


@pytest.mark.parametrize("numbers", [(1, 2), (0, 7), (9, 10)])
def test_segments_that_are_not_numbered_from_0_on_keep_names_and_layers(numbers, tmp_path):
    masks = write_segments(tmp_path / "l.seg.nrrd", [LIVER, KIDNEY], numbers=numbers)
    labels = read_labels(tmp_path / "l.seg.nrrd")
    assert [info.name for info in labels.segments] == ["liver", "kidney"]
    np.testing.assert_array_equal(labels.mask(2), masks[2])


@pytest.mark.parametrize("fields", WRONG_FIELDS.values(), ids=WRONG_FIELDS)
def test_a_segment_that_no_voxel_can_belong_to_is_left_out_with_a_word(fields, tmp_path):
    write_segments(tmp_path / "l.seg.nrrd", [LIVER, {**KIDNEY, **fields}])
    notes = []
    labels = read_labels(tmp_path / "l.seg.nrrd", notify=notes.append)
    assert [info.name for info in labels.segments] == ["liver", "Label 1"]
    assert len(notes) == 1
    assert "'kidney' is left out" in notes[0]


@pytest.mark.parametrize("color", ["nan 0 0", "inf 0 0", "1 2 3", "-1 0 0", "0.5 0.5", "red", ""])
def test_a_color_that_is_none_is_replaced(color, tmp_path):
    write_segments(tmp_path / "l.seg.nrrd", [{**LIVER, "Color": color}], layers=1)
    assert read_labels(tmp_path / "l.seg.nrrd").segments[0].color_rgb == default_segment(1).color_rgb


def test_names_are_short_and_move_no_cursor(tmp_path):
    write_segments(tmp_path / "l.seg.nrrd", [{**LIVER, "Name": "a\x1b[2Jb" + "c" * 10**6}], layers=1)
    (segment,) = read_labels(tmp_path / "l.seg.nrrd").segments
    assert segment.name.startswith("a [2Jbccc")
    assert len(segment.name) == 255


def write_box(path, origin_mm=(0, 0, 0), spacing_mm=1.0, masks=None):
    """Cubes of labels on a grid of 8 voxels a side."""
    affine = np.diag([spacing_mm] * 3 + [1.0])
    affine[:3, 3] = origin_mm
    write_segmentation(path, masks or {1: BOX}, Geometry((8, 8, 8), affine))
    return path


IMAGE_GRID = Geometry((8, 8, 8), np.eye(4))


def test_a_mask_of_the_same_shape_at_another_place_is_told(tmp_path):
    notes = []
    read_labels(write_box(tmp_path / "l.nrrd", (2, 0, 0)), IMAGE_GRID, notes.append)
    assert len(notes) == 1
    assert "the shape of the image but lies at another place" in notes[0]


def test_voxels_that_are_lost_outside_the_image_are_counted(tmp_path):
    notes = []
    read_labels(write_box(tmp_path / "l.nrrd", (-3, 0, 0)), Geometry((9, 9, 9), np.eye(4)), notes.append)
    assert notes == [f"32 of 48 label voxels in '{tmp_path / 'l.nrrd'}' are outside the image and left out."]


def test_objects_that_are_lost_are_named(tmp_path):
    corner = np.zeros((8, 8, 8), bool)
    corner[0, 0, 0] = True
    notes = []
    path = write_box(tmp_path / "l.nrrd", masks={1: BOX, 9: corner})
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = 1
    read_labels(path, Geometry((4, 4, 4), affine), notes.append)
    assert notes == [f"No voxel of the image lies in label 9 of '{path}'."]


def test_nothing_is_said_of_a_mask_in_its_place(tmp_path):
    flipped = np.diag([-1.0, 1.0, 1.0, 1.0])
    flipped[0, 3] = 7
    notes = []
    for name, grid in {
        "same": IMAGE_GRID,
        "stored in another order": Geometry((8, 8, 8), flipped),
        "larger": Geometry((20, 9, 30), np.eye(4)),
    }.items():
        labels = read_labels(write_box(tmp_path / "l.nrrd"), grid, notes.append)
        assert np.count_nonzero(labels.mask(1)) == 48, name
    assert notes == []


def test_labels_that_are_cropped_to_one_slice_lie_where_it_lies(tmp_path):
    """As Slicer writes them with *Crop to minimum extent*."""
    geometry = geometry_of(np.eye(3))
    whole = np.zeros(geometry.shape_kji, np.uint8)
    whole[3, 1:4, 2:5] = 1
    matrix = np.array(geometry.ijk_to_ras)
    matrix[:3, 3] += 3 * matrix[:3, 2]
    cropped = np.ascontiguousarray(whole[3:4])
    path = tmp_path / "one.seg.nrrd"
    write_segmentation(path, {1: cropped > 0}, Geometry(cropped.shape, matrix))
    assert np.array_equal(read_labels(path, geometry).mask(1), whole > 0)


def test_a_segmentation_of_nothing_is_one_voxel_and_read_as_nothing(tmp_path):
    """As Slicer writes segments in which nothing is drawn."""
    geometry = geometry_of(np.eye(3))
    path = tmp_path / "none.seg.nrrd"
    write_segmentation(path, {1: np.zeros((1, 1, 1), bool)}, Geometry((1, 1, 1), np.eye(4)))
    assert not read_labels(path, geometry).mask(1).any()
