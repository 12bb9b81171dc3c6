"""Where a voxel grid lies in the patient: world coordinates are RAS in millimetres, arrays are `(k, j, i)`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

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


_MOST_UNEQUAL = 1000  # the longest side of a voxel against the shortest: scans have 20 at most


@dataclass(frozen=True, eq=False)
class Geometry:
    """Voxel grid of a volume.

    Args:
        shape_kji: array shape, slowest axis first.
        ijk_to_ras: 4 x 4 matrix from voxel index `(i, j, k)` (voxel centers) to RAS in mm.
        frame_of_reference: what DICOM calls the space that RAS is meant in; empty where nothing is known of it. Only
            grids of one space can be compared.

    Example:
        >>> grid = Geometry((20, 64, 48), np.diag([-0.5, -0.5, 3.0, 1.0]))  # 20 slices, stored toward left and back
        >>> grid.spacing_kji_mm
        (3.0, 0.5, 0.5)
    """

    shape_kji: tuple[int, int, int]
    ijk_to_ras: NDArray[np.float64]
    frame_of_reference: str = ""

    def __post_init__(self) -> None:
        matrix = np.array(self.ijk_to_ras, dtype=np.float64)
        if matrix.shape != (4, 4):
            raise InputError(f"ijk_to_ras must have shape (4, 4), got {matrix.shape}.")
        if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:3, :3])) < 1e-12:
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

    def is_close(self, other: Geometry, tolerance_mm: float = 1e-3) -> bool:
        """Whether both grids have the same shape and no voxel center differs by more than the tolerance."""
        if self.shape_kji != other.shape_kji:
            return False
        corners = np.array(
            [
                [i, j, k, 1]
                for k in (0, self.shape_kji[0] - 1)
                for j in (0, self.shape_kji[1] - 1)
                for i in (0, self.shape_kji[2] - 1)
            ],
            dtype=np.float64,
        )
        difference = corners @ (self.ijk_to_ras - other.ijk_to_ras).T
        return bool(np.abs(difference).max() <= tolerance_mm)
