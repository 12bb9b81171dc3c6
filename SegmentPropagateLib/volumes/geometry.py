"""Where a voxel grid lies in the patient: world coordinates are RAS in millimetres, arrays are `(k, j, i)`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import product

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.errors import InputError


class Plane(str, Enum):
    """An anatomical plane; its normal is a RAS axis."""

    SAGITTAL = "sagittal"
    CORONAL = "coronal"
    AXIAL = "axial"

    @classmethod
    def parse(cls, name: str | Plane) -> Plane:
        """Return the plane of that name, or raise InputError naming the choices."""
        try:
            return cls(name)
        except ValueError:
            raise InputError(f"Unknown plane '{name}': choose axial, coronal or sagittal.") from None


SAME_PLACE_VOXELS = 0.02
"""Grids whose voxel centers lie no farther apart are one grid: rounding in headers, not another place."""

_RIGHT_ANGLE = 1e-3  # by how much the cosine of two axes may miss 0: files round directions to four digits
RESAMPLE = "resample it to a regular grid, as Resample Scalar/Vector/DWI Volume of 3D Slicer does"
"""What to do about a volume that lies on none."""

_FARTHEST_MM, _SHORTEST_MM = 1e9, 1e-9
_MOST_UNEQUAL = 1000  # the longest side of a voxel against the shortest: scans have 20 at most


def spans_volume(ijk_to_ras: NDArray[np.float64]) -> bool:
    """Whether the axes of a 4 x 4 matrix span a volume, of voxels however small, that is not beyond all measure."""
    if not np.isfinite(ijk_to_ras).all() or np.abs(ijk_to_ras).max() > _FARTHEST_MM:
        return False
    lengths = np.linalg.norm(ijk_to_ras[:3, :3], axis=0)
    if lengths.min() < _SHORTEST_MM:
        return False
    return bool(abs(np.linalg.det(ijk_to_ras[:3, :3] / lengths)) > 1e-6)


def apart_voxels(mine: NDArray[np.float64], its: NDArray[np.float64], shape_kji: tuple[int, int, int]) -> float:
    """The farthest that two index-to-RAS matrices put a voxel center apart, along the axes of the first."""
    return float(np.abs(np.linalg.solve(mine, (mine - its) @ _corners(shape_kji).T)[:3]).max())


def _corners(shape_kji: tuple[int, int, int]) -> NDArray[np.float64]:
    """Indices `(i, j, k, 1)` of the outermost voxels, where two grids differ most."""
    k, j, i = (sorted({0, length - 1}) for length in shape_kji)
    return np.array([*product(i, j, k, (1,))], dtype=np.float64)


LPS_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From the axes that most files have (left, posterior, superior) to RAS, and back."""


@dataclass(frozen=True, eq=False)
class Frames:
    """The two places that a NIfTI file gives its grid: tools differ in the one that they go by.

    Args:
        qform: 4 x 4 matrix from voxel index `(i, j, k)` to RAS in mm; None where the file has none that is of use.
        sform: the same.
        codes: of the qform and of the sform, as in the file; 0 stands for none.
        unit_mm: the length in which the file counts.
    """

    qform: NDArray[np.float64] | None = None
    sform: NDArray[np.float64] | None = None
    codes: tuple[int, int] = (0, 0)
    unit_mm: float = 1.0


@dataclass(frozen=True, eq=False)
class Geometry:
    """Voxel grid of a volume.

    Args:
        shape_kji: array shape, slowest axis first.
        ijk_to_ras: 4 x 4 matrix from voxel index `(i, j, k)` (voxel centers) to RAS in mm.
        frames: what a NIfTI file says of the same grid, which results repeat; None where it came from elsewhere.
        frame_of_reference: what DICOM calls the space that RAS is meant in; empty where nothing is known of it. Only
            grids of one space can be compared.

    Example:
        >>> grid = Geometry((20, 64, 48), np.diag([-0.5, -0.5, 3.0, 1.0]))  # 20 slices, stored toward left and back
        >>> grid.spacing_kji_mm
        (3.0, 0.5, 0.5)
    """

    shape_kji: tuple[int, int, int]
    ijk_to_ras: NDArray[np.float64]
    frames: Frames | None = None
    frame_of_reference: str = ""

    def __post_init__(self) -> None:
        matrix = np.array(self.ijk_to_ras, dtype=np.float64)
        if matrix.shape != (4, 4):
            raise InputError(f"ijk_to_ras must have shape (4, 4), got {matrix.shape}.")
        if not spans_volume(matrix):
            raise InputError("The volume's geometry is degenerate: its axes do not span a volume.")
        steps = np.linalg.norm(matrix[:3, :3], axis=0)
        if steps.max() >= _MOST_UNEQUAL * steps.min():
            raise InputError(
                f"The volume's voxels measure {' x '.join(f'{step:g}' for step in steps)} mm, which cannot be right: "
                f"mend its spacing."
            )
        matrix.setflags(write=False)
        object.__setattr__(self, "ijk_to_ras", matrix)
        object.__setattr__(self, "shape_kji", tuple(int(n) for n in self.shape_kji))

    @property
    def spacing_kji_mm(self) -> tuple[float, float, float]:
        """Distance of neighboring voxels along the array axes k, j, i."""
        i, j, k = np.linalg.norm(self.ijk_to_ras[:3, :3], axis=0)
        return float(k), float(j), float(i)

    @property
    def ijk_to_lps(self) -> NDArray[np.float64]:
        """4 x 4 matrix from voxel index `(i, j, k)` to the axes of DICOM, NRRD and ITK, mm."""
        return LPS_RAS @ self.ijk_to_ras

    @property
    def at_right_angles(self) -> bool:
        """Whether the axes are, but for rounding.

        Where they are not, as from a tilted gantry, neighboring slices lie aside of each other and distances along the
        axes are wrong: images are neither read nor written so, in no kind of file. Labels are read all the same, as
        they are matched in physical space.
        """
        axes = self.ijk_to_ras[:3, :3] / np.linalg.norm(self.ijk_to_ras[:3, :3], axis=0)
        return bool(np.abs(axes.T @ axes - np.eye(3)).max() < _RIGHT_ANGLE)

    def part(self, start_kji: Sequence[int], shape_kji: Sequence[int]) -> Geometry:
        """Return the grid of that shape whose first voxel is `start_kji` of this one; it may reach beyond this one."""
        matrix = np.array(self.ijk_to_ras)
        matrix[:3, 3] += matrix[:3, :3] @ np.asarray(start_kji, dtype=np.float64)[::-1]
        k, j, i = shape_kji
        return Geometry((k, j, i), matrix)

    def plane_axis(self, plane: Plane | str) -> int:
        """Array axis (0 = k, 1 = j, 2 = i) whose slices lie in the plane, or nearest to it when oblique.

        The three planes get three different axes, whatever the obliquity: the axis-to-normal assignment with the
        largest summed |cosine| is taken.

        Example:
            >>> ijk_to_ras = np.array([[0, 0, 3, 0], [1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])  # k toward right
            >>> [Geometry((20, 64, 48), ijk_to_ras).plane_axis(plane) for plane in ("sagittal", "coronal", "axial")]
            [0, 2, 1]
        """
        columns = self.ijk_to_ras[:3, :3] / np.linalg.norm(self.ijk_to_ras[:3, :3], axis=0)
        cosines = np.abs(columns)  # row = RAS axis, column = ijk axis
        orders = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
        best = max(orders, key=lambda order: sum(cosines[ras, order[ras]] for ras in range(3)))
        return 2 - best[list(Plane).index(Plane.parse(plane))]

    def is_close(self, other: Geometry, tolerance_voxels: float = SAME_PLACE_VOXELS) -> bool:
        """Whether both are the same voxels: of one shape, and at one place of those that their files give them."""
        if self.shape_kji != other.shape_kji:
            return False
        pairs = product(self._places, other._places)
        return any(apart_voxels(mine, its, self.shape_kji) <= tolerance_voxels for mine, its in pairs)

    def apart_mm(self, ijk_to_ras: NDArray[np.float64]) -> float:
        """The farthest that a voxel center lies from where another matrix puts it."""
        return float(np.linalg.norm(_corners(self.shape_kji) @ (self.ijk_to_ras - ijk_to_ras).T, axis=1).max())

    def lies_at(self, ijk_to_ras: NDArray[np.float64]) -> bool:
        """Whether another matrix puts every voxel center where this geometry does, but for rounding."""
        return apart_voxels(self.ijk_to_ras, ijk_to_ras, self.shape_kji) <= SAME_PLACE_VOXELS

    @property
    def _places(self) -> list[NDArray[np.float64]]:
        others = () if self.frames is None else (self.frames.qform, self.frames.sform)
        return [self.ijk_to_ras, *(matrix for matrix in others if matrix is not None)]
