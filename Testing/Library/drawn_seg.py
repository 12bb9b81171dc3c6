"""DICOM segmentation objects drawn byte by byte on the grid of `drawn_dicom`, and a series that others can refer to."""

import numpy as np
from drawn_dicom import PLACES, VOXELS, write_slices

SEG, LABELMAP = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"
SHAPE = VOXELS.shape
STUDY, SPACE = "1.2.826.0.1.7", "1.2.826.0.1.8"

KIDNEY = np.zeros(SHAPE, bool)
KIDNEY[1:4, 3:9, 4:9] = True
KIDNEY[1, 3, 4] = False  # no axis is a mirror
TUMOR = np.zeros(SHAPE, bool)
TUMOR[3:6, 6:12, 7:15] = True  # overlaps the kidney
TUMOR[5, 6, 7] = False


def write_series(folder, changes=None):
    """Single slices that say who they are, as those of a scanner do."""

    def elements(index):
        return {
            0x00080018: ("UI", f"1.2.826.0.1.77.{index + 1}"),
            0x00100010: ("PN", "Drawn^Nobody"),
            0x0020000D: ("UI", STUDY),
            0x00200052: ("UI", SPACE),
            **(changes(index) if changes else {}),
        }

    return write_slices(folder, elements)


def frames_of(masks, order=1):
    """(number, slice, plane) of every plane with a voxel, segment after segment."""
    return [(number, k, mask[k]) for number, mask in masks.items() for k in range(len(mask))[::order] if mask[k].any()]


def code(value, meaning):
    return ("SQ", [{0x00080100: ("SH", value), 0x00080102: ("SH", "SCT"), 0x00080104: ("LO", meaning)}])


def segment(number, name):
    return {
        0x00620003: code("123037004", "Anatomical Structure"),
        0x00620004: ("US", number),
        0x00620005: ("LO", name),
        0x00620008: ("CS", "MANUAL"),
        0x0062000F: code("64033007", "Kidney"),
    }


def frame(number, k):
    return {
        0x00209113: ("SQ", [{0x00200032: ("DS", f"-20\\30\\{PLACES[k]}")}]),
        0x0062000A: ("SQ", [{0x0062000B: ("US", number)}]),
    }


def seg_elements(frames, names, changes=None, measures=None):
    """A binary SEG with those frames; `changes` replaces elements, or takes away those that are None."""
    planes = [plane for _number, _k, plane in frames]
    shared = {
        0x00209116: ("SQ", [{0x00200037: ("DS", "1\\0\\0\\0\\1\\0")}]),
        0x00289110: ("SQ", [{0x00180088: ("DS", "2.5"), 0x00280030: ("DS", "0.9\\0.7"), **(measures or {})}]),
    }
    words = {0x00280002: 1, 0x00280010: SHAPE[1], 0x00280011: SHAPE[2], 0x00280100: 1, 0x00280101: 1}
    words |= {0x00280102: 0, 0x00280103: 0}
    elements = {
        0x00080016: ("UI", SEG),
        0x00080018: ("UI", "1.2.826.0.1.55.1"),
        0x00080060: ("CS", "SEG"),
        0x0020000D: ("UI", STUDY),
        0x0020000E: ("UI", "1.2.826.0.1.55"),
        0x00200052: ("UI", SPACE),
        0x00280004: ("CS", "MONOCHROME2"),
        0x00280008: ("IS", len(frames)),
        **{tag: ("US", value) for tag, value in words.items()},
        0x00620001: ("CS", "BINARY"),
        0x00620002: ("SQ", [segment(number, name) for number, name in names.items()]),
        0x52009229: ("SQ", [shared]),
        0x52009230: ("SQ", [frame(number, k) for number, k, _plane in frames]),
        0x7FE00010: ("OB", np.packbits(np.ravel(planes).astype(np.uint8), bitorder="little").tobytes()),
        **(changes or {}),
    }
    return {tag: value for tag, value in elements.items() if value is not None}
