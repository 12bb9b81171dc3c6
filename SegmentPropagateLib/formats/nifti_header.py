"""What the headers of NIfTI-1, NIfTI-2 and Analyze 7.5 say (https://nifti.nimh.nih.gov, nifti1.h and nifti2.h).

Where a grid lies follows ITK, so that Slicer shows the same: the sform, if it is at right angles and either has code 1
or agrees with the qform, or there is no qform; else the qform; without both, the sizes of a voxel in stored order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.volumes.geometry import SAME_PLACE_VOXELS, Frames, Geometry, apart_voxels, spans_volume

HEADER_BYTES = 540  # of the longer kind
FIRST_VOXEL = 352  # in what `make_header` is put before

_FIELDS_1: tuple[tuple[str, Any, int], ...] = (
    ("sizeof_hdr", "i4", 0),
    ("dim", ("i2", 8), 40),
    ("datatype", "i2", 70),
    ("bitpix", "i2", 72),
    ("pixdim", ("f4", 8), 76),
    ("vox_offset", "f4", 108),
    ("scl", ("f4", 2), 112),
    ("xyzt_units", "u1", 123),
    ("codes", ("i2", 2), 252),
    ("quatern", ("f4", 3), 256),
    ("qoffset", ("f4", 3), 268),
    ("srow", ("f4", (3, 4)), 280),
    ("magic", "V4", 344),
)
_FIELDS_2: tuple[tuple[str, Any, int], ...] = (
    ("sizeof_hdr", "i4", 0),
    ("magic", "V8", 4),
    ("datatype", "i2", 12),
    ("bitpix", "i2", 14),
    ("dim", ("i8", 8), 16),
    ("pixdim", ("f8", 8), 104),
    ("vox_offset", "i8", 168),
    ("scl", ("f8", 2), 176),
    ("codes", ("i4", 2), 344),
    ("quatern", ("f8", 3), 352),
    ("qoffset", ("f8", 3), 376),
    ("srow", ("f8", (3, 4)), 400),
    ("xyzt_units", "i4", 500),
)
_MAGIC = {b"n+1\0": True, b"ni1\0": False, b"n+2\0\r\n\x1a\n": True, b"ni2\0\r\n\x1a\n": False}  # voxels follow it?
_KINDS = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"
}  # fmt: skip
_SEVERAL = {32: "complex", 1792: "complex", 2048: "complex", 128: "color", 2304: "color"}
_UNIT_MM = {1: 1000.0, 3: 0.001}  # meters and micrometers; what is not said is millimeters
_MOST_VOXELS = 1 << 48
_MOST_BEFORE = 64 << 20  # bytes of extensions before the first voxel


def _layout(fields: tuple[tuple[str, Any, int], ...], itemsize: int) -> np.dtype[np.void]:
    names, formats, offsets = zip(*fields, strict=True)
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": itemsize})


@dataclass(frozen=True, eq=False)
class Header:
    """What a header says.

    Args:
        sizes: along i, j, k and further axes, those of a single voxel at the end left out.
        kind: type of the voxels, in the file's byte order; None where a voxel is no single number.
        several: what a voxel is in that case.
        offset: of the first voxel, in bytes.
        scale: slope and intercept of the values.
        single: whether the voxels follow in the same file; else they are in another one.
        ijk_to_ras: 4 x 4 matrix from voxel index to RAS in mm.
        frames: both places that the file gives.
    """

    sizes: tuple[int, ...]
    kind: np.dtype[Any] | None
    several: str
    offset: int
    scale: tuple[float, float]
    single: bool
    ijk_to_ras: NDArray[np.float64]
    frames: Frames


@np.errstate(all="ignore")  # numbers that make no sense are looked for afterwards
def header_in(start: bytes) -> Header:
    """Read the first bytes of a file.

    Raises:
        ValueError: they are no header, or one that makes no sense; says why.
    """
    fields, single = _fields_in(start)
    code = int(fields["datatype"])
    if code not in _KINDS and code not in _SEVERAL:
        raise ValueError(f"its voxels are of the unknown type {code}")
    order = cast("Literal['<', '>', '=']", fields["dim"].dtype.byteorder)
    kind = np.dtype(_KINDS[code]).newbyteorder(order) if code in _KINDS else None
    if kind is not None and int(fields["bitpix"]) != 8 * kind.itemsize:
        raise ValueError(f"it announces {fields['bitpix']} bits for a voxel of {8 * kind.itemsize}")
    sizes = _sizes(fields["dim"].tolist())
    frames = _frames(fields)
    slope, inter = fields["scl"].tolist()
    usual = slope == 0 or not (math.isfinite(slope) and math.isfinite(inter))  # as nibabel and the NIfTI library
    return Header(
        sizes=sizes,
        kind=kind,
        several=_SEVERAL.get(code, ""),
        offset=_offset(fields, single=single),
        scale=(1.0, 0.0) if usual else (slope, inter),
        single=single,
        ijk_to_ras=_place(fields, frames, sizes),
        frames=frames,
    )


def _fields_in(start: bytes) -> tuple[np.void, bool]:
    """The fields, and whether the voxels follow in the same file."""
    orders: tuple[Literal["<", ">"], ...] = ("<", ">")
    for fields, length in ((_FIELDS_1, 348), (_FIELDS_2, 540)):
        for order in orders:
            if len(start) < length or start[:4] != np.array(length, order + "i4").tobytes():
                continue
            found = np.frombuffer(start[:length], _layout(fields, length).newbyteorder(order)).copy()[0]
            single = _MAGIC.get(found["magic"].tobytes())
            if single is None and length == 348:  # Analyze keeps other things where NIfTI has these
                found["codes"], found["scl"], found["xyzt_units"] = 0, 0, 0
            elif single is None:
                break
            return found, bool(single)
    raise ValueError("it has no NIfTI header")


def _sizes(dim: list[int]) -> tuple[int, ...]:
    count, *lengths = dim
    if not 1 <= count <= 7 or min(lengths[:count]) < 0 or lengths[0] == 0:
        raise ValueError(f"its sizes are impossible ({', '.join(map(str, dim))})")
    sizes = [max(length, 1) for length in lengths[:count]]  # some writers leave unused axes at 0
    if math.prod(sizes) > _MOST_VOXELS:
        raise ValueError(f"its sizes are impossible ({', '.join(map(str, sizes))})")
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    while len(sizes) > 3 and sizes[0] == 1:  # a channel that was put first, as networks have it
        sizes.pop(0)
    return tuple(sizes + [1] * (3 - len(sizes)))


def _offset(fields: np.void, *, single: bool) -> int:
    value = float(fields["vox_offset"])
    least = int(fields["sizeof_hdr"]) if single else 0
    if single and value == 0:  # left out by some writers
        return least + 4
    if not (math.isfinite(value) and least <= value <= _MOST_BEFORE):
        raise ValueError(f"its voxels are said to begin at byte {value:g}")
    return int(value)


def _frames(fields: np.void) -> Frames:
    unit = _UNIT_MM.get(int(fields["xyzt_units"]) & 7, 1.0)
    to_mm = np.diag([unit, unit, unit, 1.0])
    q_code, s_code = (max(code, 0) for code in fields["codes"].tolist())
    sform = np.vstack([fields["srow"].astype(np.float64), [0, 0, 0, 1]])
    qform = _from_quaternion(*(fields[name].astype(np.float64) for name in ("quatern", "qoffset", "pixdim")))
    return Frames(
        to_mm @ qform if q_code > 0 and spans_volume(qform) else None,
        to_mm @ sform if s_code > 0 and spans_volume(sform) else None,
        (q_code, s_code),
        unit,
    )


def _place(fields: np.void, frames: Frames, sizes: tuple[int, ...]) -> NDArray[np.float64]:
    qform, sform = frames.qform, frames.sform
    if sform is not None and (qform is None or (_at_right_angles(sform) and _goes_first(frames, sizes))):
        return sform
    if qform is not None:
        return qform
    of_forms = zip((("quatern", "qoffset"), ("srow",)), frames.codes, strict=True)
    stated = [fields[name] for names, code in of_forms for name in names if code > 0]
    lengths = fields["pixdim"][1:4].astype(np.float64) * frames.unit_mm
    matrix = np.diag([*lengths, 1.0]) * (-1, -1, 1, 1)  # stored toward left and back
    if not (spans_volume(matrix) and all(np.isfinite(values).all() for values in stated)):
        raise ValueError("neither its qform nor its sform nor the size of its voxels says where it lies")
    return matrix


def _goes_first(frames: Frames, sizes: tuple[int, ...]) -> bool:
    qform, sform = frames.qform, frames.sform
    if frames.codes[1] == 1 or qform is None or sform is None:
        return True
    i, j, k = sizes[:3]
    return apart_voxels(qform, sform, (k, j, i)) <= SAME_PLACE_VOXELS


def _at_right_angles(ijk_to_ras: NDArray[np.float64]) -> bool:
    """Whether the axes of a grid are, as ITK asks it."""
    axes = ijk_to_ras[:3, :3] / np.linalg.norm(ijk_to_ras[:3, :3], axis=0)
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() < 1e-4)


def _from_quaternion(
    quatern: NDArray[np.float64], qoffset: NDArray[np.float64], pixdim: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The qform: a rotation (its first number is left to be found), sizes of a voxel, a mirror and a shift."""
    rest = 1.0 - float(quatern @ quatern)
    if rest < 1e-7:  # half a turn; the bound is that of the NIfTI library
        a, (b, c, d) = 0.0, quatern / np.linalg.norm(quatern)
    else:
        a, (b, c, d) = math.sqrt(rest), quatern
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
        [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
        [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - c * c - b * b],
    ]
    matrix[:3, :3] *= np.abs(pixdim[1:4]) * (1, 1, -1 if pixdim[0] < 0 else 1)
    matrix[:3, 3] = qoffset
    return matrix


def make_header(kind: np.dtype[Any], geometry: Geometry) -> bytes:
    """The NIfTI-1 header of a grid and the four bytes after it; of its `frames` where it has some.

    Raises:
        ValueError: NIfTI-1 has no place for such voxels, or for so many along an axis.
    """
    code = next((code for code, name in _KINDS.items() if np.dtype(name) == kind), None)
    if code is None or max(geometry.shape_kji) > np.iinfo(np.int16).max:
        raise ValueError(f"NIfTI holds no array of shape {geometry.shape_kji} and type {kind}")
    frames = geometry.frames or Frames(geometry.ijk_to_ras, geometry.ijk_to_ras, (1, 1))
    fields = np.zeros((), _layout(_FIELDS_1, 348).newbyteorder("<"))
    fields["sizeof_hdr"], fields["magic"] = 348, np.void(b"n+1\0")
    fields["dim"] = (3, *geometry.shape_kji[::-1], 1, 1, 1, 1)
    fields["datatype"], fields["bitpix"] = code, 8 * kind.itemsize
    fields["vox_offset"], fields["scl"] = FIRST_VOXEL, (1, 0)
    fields["xyzt_units"] = next((unit for unit, mm in _UNIT_MM.items() if mm == frames.unit_mm), 2)
    fields["codes"] = [
        code if form is not None else 0 for code, form in zip(frames.codes, (frames.qform, frames.sform), strict=True)
    ]
    to_unit = np.diag([1 / frames.unit_mm] * 3 + [1.0])
    if frames.sform is not None:
        fields["srow"] = (to_unit @ frames.sform)[:3]
    fields["pixdim"] = (1, *geometry.spacing_kji_mm[::-1], 1, 1, 1, 1)
    fields["pixdim"][1:4] /= frames.unit_mm
    if frames.qform is not None:
        matrix = to_unit @ frames.qform
        lengths = np.linalg.norm(matrix[:3, :3], axis=0)
        mirror = -1.0 if np.linalg.det(matrix[:3, :3]) < 0 else 1.0
        fields["pixdim"][:4] = (mirror, *lengths)
        fields["quatern"] = _quaternion_of(matrix[:3, :3] / lengths * (1, 1, mirror))
        fields["qoffset"] = matrix[:3, 3]
    elif frames.sform is None:  # the place is that of voxels in stored order: see `_place`
        fields["pixdim"][1:4] = (to_unit @ geometry.ijk_to_ras).diagonal()[:3] * (-1, -1, 1)
    return fields.tobytes() + bytes(4)


def _quaternion_of(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """The last three numbers of the unit quaternion that comes nearest to a matrix, its first being >= 0.

    I. Y. Bar-Itzhack, New method for extracting the quaternion from a rotation matrix, J. Guidance 23 (2000) 1085.
    """
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = rotation
    _values, vectors = np.linalg.eigh(
        np.array(
            [
                [xx + yy + zz, zy - yz, xz - zx, yx - xy],
                [zy - yz, xx - yy - zz, xy + yx, xz + zx],
                [xz - zx, xy + yx, yy - xx - zz, yz + zy],
                [yx - xy, xz + zx, yz + zy, zz - xx - yy],
            ]
        )
    )
    first, *others = vectors[:, -1]
    return np.array(others) * (-1 if first < 0 else 1)
