"""DICOM files written byte by byte, so that tests can draw what no library would write."""

import struct
from pathlib import Path

import numpy as np

VOXELS = np.random.default_rng(0).integers(-1000, 1000, (6, 16, 20)).astype(np.int16)
PLACES = tuple(40 + 2.5 * index for index in range(len(VOXELS)))
MATRIX = np.array([[-0.7, 0, 0, 20], [0, -0.9, 0, -30], [0, 0, 2.5, 40], [0, 0, 0, 1]])  # (i, j, k) to RAS

CT, ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1"
NUCLEAR = "1.2.840.10008.5.1.4.1.1.20"
SERIES = "1.2.826.0.1.77"
EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
LONG_KINDS = ("OB", "OW", "SQ", "UN", "UT")
UNDEFINED = 0xFFFFFFFF


def encoded(elements, implicit=False, undefined=False):
    """Elements `{tag: (kind, value)}` as bytes; the value of an SQ is a list of such items."""
    return b"".join(_element(tag, *elements[tag], implicit, undefined) for tag in sorted(elements))


def _element(tag, kind, value, implicit, undefined):
    if kind == "SQ":
        body = b"".join(_item(encoded(item, implicit, undefined), undefined) for item in value)
        body += struct.pack("<HHI", 0xFFFE, 0xE0DD, 0) if undefined else b""
    elif kind in ("US", "UL"):
        body = struct.pack("<H" if kind == "US" else "<I", value)
    else:
        body = value if isinstance(value, bytes) else str(value).encode()
        body += (b"\0" if kind in ("UI", "OB", "OW") else b" ") * (len(body) % 2)
    length = UNDEFINED if undefined and kind == "SQ" else len(body)
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    if implicit:
        return head + struct.pack("<I", length) + body
    packed = struct.pack("<HI", 0, length) if kind in LONG_KINDS else struct.pack("<H", length)
    return head + kind.encode() + packed + body


def _item(content, undefined):
    if undefined:
        return struct.pack("<HHI", 0xFFFE, 0xE000, UNDEFINED) + content + struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content


def write_dicom(path, elements, *, syntax=EXPLICIT, preamble=True, undefined=False):
    """Write a file; without the preamble also without the meta elements, as old programs do."""
    body = encoded(elements, implicit=syntax == IMPLICIT, undefined=undefined)
    meta = encoded({0x00020002: elements[0x00080016], 0x00020010: ("UI", syntax)})
    start = b"\0" * 128 + b"DICM" + encoded({0x00020000: ("UL", len(meta))}) + meta
    Path(path).write_bytes(start * preamble + body)


def pixels(array):
    """The elements of 16-bit voxels."""
    rows, columns = array.shape[-2:]
    words = {
        0x00280002: 1,
        0x00280010: rows,
        0x00280011: columns,
        0x00280100: 16,
        0x00280101: 16,
        0x00280102: 15,
        0x00280103: int(array.dtype.kind == "i"),
    }
    return {
        0x00280004: ("CS", "MONOCHROME2"),
        **{tag: ("US", value) for tag, value in words.items()},
        0x7FE00010: ("OW", array.astype(array.dtype.newbyteorder("<")).tobytes()),
    }


def slice_elements(index, changes=None):
    """One slice of VOXELS; `changes` replaces elements, or takes away those that are None."""
    elements = {
        0x00080016: ("UI", CT),
        0x00080060: ("CS", "CT"),
        0x0020000E: ("UI", SERIES),
        0x00200032: ("DS", f"-20\\30\\{PLACES[index]}"),
        0x00200037: ("DS", "1\\0\\0\\0\\1\\0"),
        0x00280030: ("DS", "0.9\\0.7"),
        **pixels(VOXELS[index]),
        **(changes or {}),
    }
    return {tag: value for tag, value in elements.items() if value is not None}


def write_slices(folder, changes=lambda index: {}, **options):
    """A series of single slices, of which each has `changes(index)`."""
    folder.mkdir(exist_ok=True)
    for index in range(len(VOXELS)):
        write_dicom(folder / f"{index}.dcm", slice_elements(index, changes(index)), **options)
    return folder


def frame_item(place, rescaling=None, orientation=None):
    """The functional groups of one frame."""
    item = {0x00209113: ("SQ", [{0x00200032: ("DS", f"-20\\30\\{place}")}])}
    if rescaling:
        slope, intercept = rescaling
        item[0x00289145] = ("SQ", [{0x00281052: ("DS", intercept), 0x00281053: ("DS", slope)}])
    if orientation:
        item[0x00209116] = ("SQ", [{0x00200037: ("DS", orientation)}])
    return item


def enhanced_elements(voxels, items, changes=None):
    """A multi-frame file with one of `items` for each frame."""
    shared = {
        0x00209116: ("SQ", [{0x00200037: ("DS", "1\\0\\0\\0\\1\\0")}]),
        0x00280008: ("IS", 99),  # stands where it does not belong
        0x00289110: ("SQ", [{0x00180088: ("DS", "0"), 0x00280030: ("DS", "0.9\\0.7")}]),
    }
    return {
        0x00080016: ("UI", ENHANCED_CT),
        0x00080060: ("CS", "CT"),
        0x00082218: ("SQ", [{0x00080100: ("SH", "1"), 0x00200032: ("DS", "9\\9\\9")}]),  # a sequence to pass over
        0x0020000E: ("UI", SERIES),
        0x00280008: ("IS", len(voxels)),
        0x52009229: ("SQ", [shared]),
        0x52009230: ("SQ", items),
        **pixels(voxels),
        **(changes or {}),
    }
