"""NIfTI files written byte by byte, so that a test can say whatever a header may say."""

import gzip
import struct

import numpy as np

CODES = {"u1": 2, "i2": 4, "i4": 8, "f4": 16, "f8": 64, "i1": 256, "u2": 512, "u4": 768, "i8": 1024, "u8": 1280}
PLACES = {  # name in NIfTI-1: where, and of what kind
    "sizeof_hdr": (0, "i"),
    "dim": (40, "8h"),
    "datatype": (70, "h"),
    "bitpix": (72, "h"),
    "pixdim": (76, "8f"),
    "vox_offset": (108, "f"),
    "scl": (112, "2f"),
    "xyzt_units": (123, "B"),
    "codes": (252, "2h"),
    "quatern": (256, "3f"),
    "qoffset": (268, "3f"),
    "srow": (280, "12f"),
    "magic": (344, "4s"),
}
PLACES_2 = {
    "sizeof_hdr": (0, "i"),
    "magic": (4, "8s"),
    "datatype": (12, "h"),
    "bitpix": (14, "h"),
    "dim": (16, "8q"),
    "pixdim": (104, "8d"),
    "vox_offset": (168, "q"),
    "scl": (176, "2d"),
    "codes": (344, "2i"),
    "quatern": (352, "3d"),
    "qoffset": (376, "3d"),
    "srow": (400, "12d"),
    "xyzt_units": (500, "i"),
}
SPACING = (0.7, 1.1, 4.0)
SHAPE = (5, 6, 7)


def values(kind="i2", shape=SHAPE):
    return np.random.default_rng(1).integers(0, 100, shape).astype(kind)


def nifti_bytes(array, *, order="<", version=1, **changes):
    """A file with a qform; `changes` of its fields by name, `dim` with the number of axes first."""
    kind = array.dtype.str[1:]
    fields = {
        "sizeof_hdr": 348 if version == 1 else 540,
        "dim": (array.ndim, *array.shape[::-1]),
        "datatype": CODES.get(kind, 0),
        "bitpix": 8 * array.dtype.itemsize,
        "pixdim": (1.0, *SPACING),
        "vox_offset": 352 if version == 1 else 544,
        "scl": (1.0, 0.0),
        "xyzt_units": 2,
        "codes": (1, 0),
        "quatern": (0.0, 0.0, 1.0),
        "qoffset": (20.0, -30.0, 40.0),
        "srow": (0.0,) * 12,
        "magic": b"n+1" if version == 1 else b"n+2\0\r\n\x1a\n",
        **changes,
    }
    header = bytearray(352 if version == 1 else 544)
    for name, (place, form) in (PLACES if version == 1 else PLACES_2).items():
        given = np.atleast_1d(np.asarray(fields[name], None if name != "magic" else object)).ravel().tolist()
        missing = struct.calcsize(f"{order}{form}") // struct.calcsize(f"{order}{form[-1]}") - len(given)
        struct.pack_into(order + form, header, place, *given, *[1] * (missing if form[-1] != "s" else 0))
    return bytes(header) + array.astype(array.dtype.newbyteorder(order)).tobytes()


def draw(path, array, **changes):
    """Write the file, packed where its name says so."""
    content = nifti_bytes(array, **changes)
    path.write_bytes(gzip.compress(content, 1) if path.suffix == ".gz" else content)
    return path


def draw_pair(folder, array, ending=".img", magic=b"ni1", **changes):
    """Write `case.hdr` and its voxels; both paths."""
    content = nifti_bytes(array, magic=magic, vox_offset=0, **changes)
    header, voxels = folder / "case.hdr", folder / f"case{ending}"
    header.write_bytes(content[:348])
    voxels.write_bytes(gzip.compress(content[352:]) if ending.endswith(".gz") else content[352:])
    return header, voxels
