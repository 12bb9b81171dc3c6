"""Segmentation objects as other programs write them: what they do in other ways than highdicom, one at a time."""

import copy
import zlib

import numpy as np
import pydicom
import pytest
from drawn_dicom import write_dicom
from drawn_files import sentence_of
from drawn_seg import KIDNEY, SHAPE, TUMOR, frames_of, seg_elements
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from SegmentPropagateLib.formats import dicom_header
from SegmentPropagateLib.formats.reading import read_labels
from SegmentPropagateLib.volumes.geometry import Geometry

MASKS = {1: KIDNEY, 2: TUMOR}
UNWRAPPED, DEFLATED_FRAMES = "1.2.840.10008.1.2.1.98", "1.2.840.10008.1.2.8.1"


@pytest.fixture
def seg(tmp_path):
    """One that reads well, to be changed."""
    write_dicom(tmp_path / "seg.dcm", seg_elements(frames_of(MASKS), {1: "kidney", 2: "tumor"}))
    return pydicom.dcmread(tmp_path / "seg.dcm")


def saved(seg, tmp_path, syntax=None):
    path = tmp_path / "changed.dcm"
    if syntax:
        seg.file_meta.TransferSyntaxUID = UNWRAPPED if syntax == DEFLATED_FRAMES else syntax
    seg.save_as(path, enforce_file_format=True)
    if syntax == DEFLATED_FRAMES:  # of which pydicom does not know yet
        path.write_bytes(path.read_bytes().replace(UNWRAPPED.encode(), DEFLATED_FRAMES.encode() + b"\0"))
    return path


def planes_of(seg):
    bits = np.unpackbits(np.frombuffer(seg.PixelData, np.uint8), bitorder="little")
    return bits[: seg.NumberOfFrames * seg.Rows * seg.Columns].reshape(-1, seg.Rows, seg.Columns)


def in_bytes(seg, whole=1):
    """A byte for each voxel."""
    seg.BitsAllocated = seg.BitsStored = 8
    seg.HighBit = 7
    seg.PixelData = (planes_of(seg) * np.uint8(whole)).tobytes()


def measures_in_each_frame(seg):
    shared = seg.SharedFunctionalGroupsSequence[0]
    for group in ("PixelMeasuresSequence", "PlaneOrientationSequence"):
        for frame in seg.PerFrameFunctionalGroupsSequence:
            setattr(frame, group, copy.deepcopy(getattr(shared, group)))
        delattr(shared, group)


def spacing(thickness, between):
    def change(seg):
        measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        for name, value in (("SliceThickness", thickness), ("SpacingBetweenSlices", between)):
            if value is None and name in measures:
                delattr(measures, name)
            elif value is not None:
                setattr(measures, name, value)

    return change


def without_descriptions(seg):
    del seg.SegmentSequence


def without_names(seg):
    for segment in seg.SegmentSequence:
        del segment.SegmentLabel, segment.SegmentedPropertyCategoryCodeSequence
        del segment.SegmentedPropertyTypeCodeSequence


def without_frame_of_reference(seg):
    del seg.FrameOfReferenceUID


def with_all_empty_frames(seg):
    """As of programs that leave none out."""
    present = {(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber,
                float(group.PlanePositionSequence[0].ImagePositionPatient[2])): plane
               for group, plane in zip(seg.PerFrameFunctionalGroupsSequence, planes_of(seg), strict=True)}  # fmt: skip
    example, groups, planes = seg.PerFrameFunctionalGroupsSequence[0], [], []
    for number in MASKS:
        for place in (40 + 2.5 * k for k in range(SHAPE[0])):
            group = copy.deepcopy(example)
            group.SegmentIdentificationSequence[0].ReferencedSegmentNumber = number
            group.PlanePositionSequence[0].ImagePositionPatient = ["-20", "30", str(place)]
            groups.append(group)
            planes.append(present.get((number, place), np.zeros(SHAPE[1:], np.uint8)))
    seg.PerFrameFunctionalGroupsSequence, seg.NumberOfFrames = groups, len(groups)
    seg.PixelData = np.packbits(np.ravel(planes), bitorder="little").tobytes()


CHANGES = {
    "a byte for each voxel": in_bytes,
    "measures in each frame": measures_in_each_frame,
    "no distance of slices": spacing("2.5", None),
    "slices with gaps": spacing("1", None),
    "slices that overlap": spacing("5", None),
    "no thickness": spacing(None, None),
    "a distance backwards": spacing("2.5", "-2.5"),
    "a wrong distance": spacing("1", "1"),
    "no descriptions": without_descriptions,
    "no names and codes": without_names,
    "no frame of reference": without_frame_of_reference,
    "empty frames": with_all_empty_frames,
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_another_program_does_otherwise_the_masks_are_the_same(change, seg, tmp_path):
    geometry = read_labels(tmp_path / "seg.dcm").geometry
    CHANGES[change](seg)
    labels = read_labels(saved(seg, tmp_path), whole_grid(geometry))
    for value, mask in MASKS.items():
        np.testing.assert_array_equal(labels.mask(value), mask)


def whole_grid(geometry):
    """That of the drawn masks, which begin a slice earlier than their frames."""
    matrix = np.array(geometry.ijk_to_ras)
    matrix[:3, 3] -= matrix[:3, 2]
    return Geometry(SHAPE, matrix)


def test_frames_need_not_end_where_a_byte_does(tmp_path):
    size = {0x00280010: ("US", 15), 0x00280011: ("US", 19)}
    frames = [(number, k, plane[:15, :19]) for number, k, plane in frames_of(MASKS)]
    write_dicom(tmp_path / "s.dcm", seg_elements(frames, {1: "kidney", 2: "tumor"}, size))
    labels = read_labels(tmp_path / "s.dcm")
    for value, mask in MASKS.items():
        np.testing.assert_array_equal(labels.mask(value), mask[1:, :15, :19])


def test_numbers_of_segments_may_have_gaps(seg, tmp_path):
    numbers = {1: 7, 2: 300}
    for segment in seg.SegmentSequence:
        segment.SegmentNumber = numbers[segment.SegmentNumber]
    for frame in seg.PerFrameFunctionalGroupsSequence:
        identity = frame.SegmentIdentificationSequence[0]
        identity.ReferencedSegmentNumber = numbers[identity.ReferencedSegmentNumber]
    labels = read_labels(saved(seg, tmp_path))
    assert [(segment.value, segment.name) for segment in labels.segments] == [(7, "kidney"), (300, "tumor")]
    np.testing.assert_array_equal(labels.mask(300), TUMOR[1:])


def test_what_all_frames_share_may_be_told_once(seg, tmp_path):
    for frame in seg.PerFrameFunctionalGroupsSequence[3:]:
        frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber = 2
    identity = seg.PerFrameFunctionalGroupsSequence[-1].SegmentIdentificationSequence
    seg.PerFrameFunctionalGroupsSequence = seg.PerFrameFunctionalGroupsSequence[3:]
    for frame in seg.PerFrameFunctionalGroupsSequence:
        del frame.SegmentIdentificationSequence
    seg.SharedFunctionalGroupsSequence[0].SegmentIdentificationSequence = identity
    seg.NumberOfFrames, seg.PixelData = 3, np.packbits(np.ravel(planes_of(seg)[3:]), bitorder="little").tobytes()
    np.testing.assert_array_equal(read_labels(saved(seg, tmp_path)).mask(2), TUMOR[3:])


def deflated(content):
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = packer.compress(content) + packer.flush()
    return packed + b"\0" * (len(packed) % 2)


def pieces_of(seg, pack):
    planes = [np.packbits(plane, bitorder="little").tobytes() for plane in planes_of(seg)]
    seg.PixelData = encapsulate([pack(plane) for plane in planes])
    seg["PixelData"].is_undefined_length = True


COMPRESSIONS = {
    "deflated as a whole": lambda seg: DeflatedExplicitVRLittleEndian,
    "frames deflated": lambda seg: pieces_of(seg, deflated) or DEFLATED_FRAMES,
    "frames in pieces": lambda seg: pieces_of(seg, bytes) or UNWRAPPED,
    "RLE": lambda seg: in_bytes(seg) or seg.compress(RLELossless) or RLELossless,
}


@pytest.mark.parametrize("how", COMPRESSIONS)
def test_it_may_be_compressed(how, seg, tmp_path):
    path = saved(seg, tmp_path, COMPRESSIONS[how](seg))
    for value, mask in MASKS.items():
        np.testing.assert_array_equal(read_labels(path).mask(value), mask[1:])


@pytest.mark.parametrize("how", COMPRESSIONS)
def test_what_is_compressed_may_be_damaged_and_that_is_told(how, seg, tmp_path):
    path = saved(seg, tmp_path, COMPRESSIONS[how](seg))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 9 // 10])
    assert "is damaged" in sentence_of(read_labels, path)


@pytest.mark.parametrize("pack", [bytes, lambda plane: b"\xff" * 50, lambda plane: deflated(plane[:-1])])
def test_a_deflated_frame_that_is_too_short_or_none_is_told(pack, seg, tmp_path):
    pieces_of(seg, pack)
    assert "its frame 1 is incomplete" in sentence_of(read_labels, saved(seg, tmp_path, DEFLATED_FRAMES))


def test_a_small_file_that_would_fill_the_memory_is_refused(seg, tmp_path, monkeypatch):
    path = saved(seg, tmp_path, DeflatedExplicitVRLittleEndian)
    monkeypatch.setattr(dicom_header, "MOST_INFLATED", 1000)
    assert "deflated to a very small part of its size" in sentence_of(read_labels, path)


@pytest.mark.parametrize("whole", [None, 0])
def test_fractions_of_nobody_knows_what_are_refused(whole, seg, tmp_path):
    in_bytes(seg, 200)
    seg.SegmentationType = "FRACTIONAL"
    seg.MaximumFractionalValue = 200
    np.testing.assert_array_equal(read_labels(saved(seg, tmp_path)).mask(2), TUMOR[1:])
    seg.MaximumFractionalValue = whole
    assert "MaximumFractionalValue, which stands for a whole voxel, is missing" in sentence_of(
        read_labels, saved(seg, tmp_path)
    )
