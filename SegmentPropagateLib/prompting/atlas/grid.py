"""Volumes and masks on one isotropic grid along the patient's axes, whatever their storage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SegmentPropagateLib.volumes import intensity
from SegmentPropagateLib.volumes.boxes import bounding_box
from SegmentPropagateLib.volumes.geometry import Geometry, Plane
from SegmentPropagateLib.volumes.volume import Volume

MM = 3.0
"""Distance of grid points. Organs of 2 cm keep 7 of them; half of it costs eight times as much."""

ALONG = (Plane.AXIAL, Plane.CORONAL, Plane.SAGITTAL)  # whose normals are the grid's axes S, A, R
_LEAST_BODY = 200  # grid points, 5 ml: with less there is nothing to lay a template over
_SOFT_TISSUE_HU = (-150.0, 250.0)
_PADDED_HU = -1500.0  # no tissue and no air: what scanners write beyond their field of view, -2000 or -3024


@dataclass(frozen=True, eq=False)
class Lattice:
    """Grid points along the patient's axes.

    Args:
        origin_mm: world `(S, A, R)` of the first point.
        shape: number of points along S, A and R.
    """

    origin_mm: NDArray[np.float64]
    shape: tuple[int, int, int]

    def part(self, box: tuple[slice, ...]) -> Lattice:
        """The points within a box of indices, cut to the lattice as the box of an array is."""
        spans = [range(size)[span] for size, span in zip(self.shape, box, strict=True)]
        s, a, r = (len(span) for span in spans)
        return Lattice(self.origin_mm + MM * np.array([span.start for span in spans]), (s, a, r))

    def over(self, geometry: Geometry) -> tuple[slice, ...]:
        """The box of indices that voxels of a grid may reach, as means and interpolated; never empty."""
        low, high = _world_box(geometry, margin=1)
        first = np.floor((low - self.origin_mm) / MM).astype(int) - 1
        last = np.ceil((high - self.origin_mm) / MM).astype(int) + 1
        starts = np.clip(first, 0, np.array(self.shape) - 1)
        stops = np.clip(last + 1, starts + 1, self.shape)
        return tuple(slice(int(start), int(stop)) for start, stop in zip(starts, stops, strict=True))

    def to_voxels(self, geometry: Geometry) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """`matrix` and `offset` for which `matrix @ point + offset` is the index `(k, j, i)` of a grid point."""
        inverse = np.linalg.inv(geometry.ijk_to_ras)[2::-1].astype(np.float64)  # rows k, j, i
        matrix = inverse[:, 2::-1]  # columns S, A, R
        return matrix * MM, matrix @ self.origin_mm + inverse[:, 3]


@dataclass(frozen=True, eq=False)
class Body:
    """A volume on a lattice.

    Args:
        lattice: its points.
        gray: float32, 0..1: soft tissue of CT, percentiles of all else.
        wide: float32, 0..1: from air to bone of CT; `gray` itself for all else.
        inside: bool, points within the field of view.
        body: bool, points within the patient.
        water: value of water in CT, in the volume's own unit; None for all else.
    """

    lattice: Lattice
    gray: NDArray[np.float32]
    wide: NDArray[np.float32]
    inside: NDArray[np.bool_]
    body: NDArray[np.bool_]
    water: float | None

    @property
    def is_ct(self) -> bool:
        """Whether gray values are Hounsfield units, or such a number above them."""
        return self.water is not None

    def part(self, box: tuple[slice, ...]) -> Body:
        """The volume within a box of indices."""
        gray, wide = np.ascontiguousarray(self.gray[box]), np.ascontiguousarray(self.wide[box])
        return Body(self.lattice.part(box), gray, wide, self.inside[box], self.body[box], self.water)


def body_of(volume: Volume) -> Body | None:
    """The volume on a lattice over its field of view, cut to the patient; None where nobody is in it.

    Raises:
        InputError: no voxel is finite.
    """
    finite, _count = intensity.replace_nonfinite(volume.array_kji)
    water = intensity.water_of(finite, volume.modality)
    lattice = _lattice_over(volume.geometry)
    values = resample(finite, volume.geometry, lattice)
    inside = _inside(volume.geometry, lattice)
    if water is not None:
        values -= np.float32(water)
        inside &= values > _PADDED_HU
    body = _patient(values, inside, water is not None)
    box = bounding_box(body)
    if box is None or np.count_nonzero(body) < _LEAST_BODY:
        return None
    values, inside, body = values[box], inside[box], body[box]
    if water is None:
        gray = wide = scaled(values, *np.percentile(values[body], (1, 99)))
    else:
        gray, wide = scaled(values, *_SOFT_TISSUE_HU), wide_of(values)
    return Body(lattice.part(box), gray, wide, inside, body, water)


def shows_no_body(image: str) -> str:
    """The sentence on an image, named as it stands in one, that `body_of` finds nobody in."""
    return f"{image} shows no body: it is empty, all air, or smaller than 5 ml."


def wide_of(hu: NDArray[Any]) -> NDArray[np.float32]:
    """Gray values from air to bone of CT, float32 0..1, by the breakpoints of MedLSAM's published preprocessing."""
    return np.interp(hu, [-1000, -200, 200, 1500], [0, 0.2, 0.8, 1]).astype(np.float32)


def resample(array_kji: NDArray[Any], geometry: Geometry, lattice: Lattice, beyond: str = "nearest") -> NDArray[Any]:
    """Float32 values at the points: means over what a step of the grid covers, interpolated.

    Args:
        array_kji: real numbers or bool.
        geometry: its grid.
        lattice: where values are wanted.
        beyond: `nearest` repeats the border, `grid-constant` gives 0 there.
    """
    array, geometry = _upright(array_kji, geometry)
    factors = [max(1, int(MM / step + 1e-6)) for step in geometry.spacing_kji_mm]
    array, geometry = _means(array, geometry, factors)
    matrix, offset = lattice.to_voxels(geometry)
    if np.abs(matrix - np.diag(np.diag(matrix))).max() < 1e-6:
        matrix = np.diag(matrix)  # scipy then goes axis by axis, which is quicker
    return ndimage.affine_transform(
        array, matrix, offset, lattice.shape, output=np.float32, order=1, mode=beyond, cval=0.0
    )


def _upright(array_kji: NDArray[Any], geometry: Geometry) -> tuple[NDArray[Any], Geometry]:
    """A view with the axes in the order and direction nearest to S, A and R, so that storage makes no difference."""
    order = [geometry.plane_axis(plane) for plane in ALONG]
    columns = geometry.ijk_to_ras[:3, [2 - axis for axis in order]]  # steps along the view's axes, RAS
    start = np.append(geometry.ijk_to_ras[:3, 3], 1.0)[:3]
    view = array_kji.transpose(order)
    signs = []
    for axis, ras in enumerate((2, 1, 0)):
        backward = columns[ras, axis] < 0
        signs.append(-1 if backward else 1)
        if backward:
            start = start + columns[:, axis] * (view.shape[axis] - 1)
    view = view[tuple(slice(None, None, sign) for sign in signs)]
    matrix = np.eye(4)
    matrix[:3, :3] = (columns * signs)[:, ::-1]
    matrix[:3, 3] = start
    s, a, r = view.shape
    return view, Geometry((s, a, r), matrix)


def _means(array: NDArray[Any], geometry: Geometry, factors: list[int]) -> tuple[NDArray[np.float32], Geometry]:
    """Means of blocks of so many voxels, slab by slab, so that no second volume of the full size is made."""
    blocks = []
    count = factors[0]
    for start in range(0, array.shape[0], count):
        slab = array[start : start + count].astype(np.float32).mean(axis=0)
        for axis in (0, 1):
            starts = np.arange(0, slab.shape[axis], factors[axis + 1])
            sizes = np.diff([*starts, slab.shape[axis]]).astype(np.float32)
            slab = np.add.reduceat(slab, starts, axis) / (sizes[:, None] if axis == 0 else sizes)
        blocks.append(slab)
    matrix = np.array(geometry.ijk_to_ras)
    shift = (np.array(factors[::-1]) - 1) / 2
    matrix[:3, 3] += matrix[:3, :3] @ shift
    matrix[:3, :3] *= factors[::-1]
    means = np.stack(blocks)
    s, a, r = means.shape
    return means, Geometry((s, a, r), matrix)


def _lattice_over(geometry: Geometry) -> Lattice:
    """Points over the field of view, its middle among them or halfway between two."""
    low, high = _world_box(geometry)
    s, a, r = (max(1, round(float(extent) / MM)) for extent in high - low)
    return Lattice((low + high) / 2 - MM * (np.array([s, a, r]) - 1) / 2, (s, a, r))


def _world_box(geometry: Geometry, margin: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Low and high world `(S, A, R)` of a grid's voxels, and so many more around them."""
    faces = [(-0.5 - margin, size - 0.5 + margin) for size in geometry.shape_kji[::-1]]
    corners = np.stack([axis.ravel() for axis in np.meshgrid(*faces)])
    world = (geometry.ijk_to_ras[:3, :3] @ corners + geometry.ijk_to_ras[:3, 3:])[::-1]
    return world.min(axis=1), world.max(axis=1)


def _inside(geometry: Geometry, lattice: Lattice) -> NDArray[np.bool_]:
    matrix, offset = lattice.to_voxels(geometry)
    steps = [np.arange(size) for size in lattice.shape]
    inside = np.ones(lattice.shape, dtype=bool)
    for row, start, size in zip(matrix, offset, geometry.shape_kji, strict=True):
        s, a, r = (factor * step for factor, step in zip(row, steps, strict=True))
        index = s[:, None, None] + a[:, None] + r + start
        inside &= (index > -0.51) & (index < size - 0.49)  # the faces, and what rounding adds
    return inside


def _patient(values: NDArray[np.float32], inside: NDArray[np.bool_], is_ct: bool) -> NDArray[np.bool_]:
    """The largest connected part that is no air; the lungs are left out."""
    if values.max() <= values.min():
        return np.zeros_like(inside)
    smooth = ndimage.gaussian_filter(values, 1.0)
    air = -300.0 if is_ct else float(values.min()) + 0.08 * float(np.percentile(values, 99) - values.min())
    solid = (smooth > air) & inside
    solid &= ndimage.binary_dilation(ndimage.binary_erosion(solid, border_value=1))  # it goes on beyond the image
    parts, count = ndimage.label(solid)
    if count > 1:
        solid = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    return (ndimage.binary_closing(solid, iterations=2) | solid) & inside


def scaled(values: NDArray[Any], low: float, high: float) -> NDArray[np.float32]:
    """Float32 0..1: 0 from `low` down, 1 from `high` up."""
    return np.clip((values - low) / max(high - low, 1e-6), 0, 1).astype(np.float32)
