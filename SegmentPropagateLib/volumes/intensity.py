"""From the volume's own unit to 8 bits, by one window per volume and always on a copy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.volumes.presets import PRESET_OF, PRESETS
from SegmentPropagateLib.wording import counted

PERCENTILES = (0.5, 99.5)

_AIR_HU = (-3100, -500)  # scanners pad with -3024; a small crop holds a little lung or bowel gas
_FAT_HU, _LEAST_FAT = (-150, -30), 0.05
_TISSUE_HU, _LEAST_TISSUE = (0, 200), 0.25
_MOST_ZEROS = 0.05  # of HU, 0 is one value among many; differences of other images are 0 wherever nothing happens
_SAMPLES = 1 << 20
_RAISED_HU = 1024.0  # what scanners store above HU, so that no value is negative
_RAISED_AIR_HU = (-3100, -900)
_LEAST_RAISED_TISSUE = 0.15  # of all that is no air: five CT and ten drawn bodies have .20 or more, four MR .06 or less
_GAP_HU, _MOST_IN_GAP = (-300, -150), 0.1  # between lung and fat: they have .07 or less, inverted CT .2 or more


@dataclass(frozen=True)
class GrayResult:
    """A volume in 8 bits, and how it comes about; what is asked for is made then, as not all methods look at it.

    Args:
        values: the input itself where it is finite throughout, else a copy with NaN and infinities replaced; read only.
        preset: the preset that was applied; never `auto`.
        low: value that became 0.
        high: value that became 255.
        nonfinite_voxels: how many voxels were NaN or infinite.
    """

    values: NDArray[Any]
    preset: str
    low: float
    high: float
    nonfinite_voxels: int = 0

    def __getitem__(self, index: int | slice | NDArray[np.intp]) -> NDArray[np.uint8]:
        """Some of the volume in 8 bits, uint8 of the shape of `values[index]`."""
        return self._scaled(self.values[index])

    @property
    def gray(self) -> NDArray[np.uint8]:
        """The volume in 8 bits, uint8 of the shape of `values`."""
        gray = np.empty(self.values.shape, dtype=np.uint8)
        for plane, out in zip(self.values, gray, strict=True):  # float32 of one slice, not of the volume
            out[...] = self._scaled(plane)
        return gray

    @property
    def note(self) -> str:
        """One sentence about voxels that were no numbers; empty when there were none."""
        if not self.nonfinite_voxels:
            return ""
        return (
            f"{counted(self.nonfinite_voxels, 'voxel')} held NaN or infinity, which count as the volume's lowest "
            "finite value, +inf as its highest."
        )

    def _scaled(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        if self.high <= self.low:  # one value in the foreground, or in the whole volume, which is then black
            return ((values >= self.high) & (self._lowest < self.high)).astype(np.uint8) * 255
        scaled = (values.astype(np.float32) - np.float32(self.low)) * np.float32(255 / (self.high - self.low))
        return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)

    @cached_property
    def _lowest(self) -> Any:
        return self.values.min()


def to_gray(values: NDArray[Any], preset: str = "auto", modality: str | None = None) -> GrayResult:
    """Map a volume to 0..255.

    Args:
        values: real numbers, three axes in any order; never modified.
        preset: one of `PRESETS`. `percentile` spans the 0.5 to 99.5 percentiles of the foreground, that is of voxels
            that are neither 0 nor the volume's minimum (air, padding, skull stripping); `none` takes values as gray.
        modality: DICOM modality (`CT`, `MR`, ...) where it is known; it only guides `auto`.

    Raises:
        InputError: unknown preset, or no finite voxel at all.
    """
    if preset not in PRESETS:
        raise InputError(f"Unknown intensity preset '{preset}': choose one of {', '.join(PRESETS)}.")
    finite, nonfinite_voxels = replace_nonfinite(values)
    if preset == "auto":
        preset = _choose(finite, modality)
    low, high = _range_of(finite, preset)
    finite = finite.view()  # the caller's own array stays writable
    finite.setflags(write=False)
    return GrayResult(finite, preset, low, high, nonfinite_voxels)


def is_ct(values: NDArray[Any], modality: str | None = None) -> bool:
    """Whether a volume has Hounsfield units: by its tag, else by air, and in a crop without air by fat and tissue.

    Args:
        values: real and finite, as they were stored: means over several voxels have no air left where there was little.
            Bytes are gray levels already.
        modality: DICOM modality where it is known.
    """
    if values.dtype == np.uint8 or modality is not None:
        return values.dtype != np.uint8 and modality == "CT"
    low, high = values.min(), values.max()
    if high <= 100 or not _AIR_HU[0] <= low < _FAT_HU[1]:
        return False
    if low <= _AIR_HU[1]:
        return True
    return _is_body(_above(values, low))


def water_of(values: NDArray[Any], modality: str | None = None) -> float | None:
    """The value of water in CT; None for all else.

    It is 0 in Hounsfield units. Files that lost the header's intercept have values as the scanner stored them.

    Args:
        values, modality: as for `is_ct`.
    """
    if _is_raised(values, modality):
        return _RAISED_HU
    return 0.0 if is_ct(values, modality) else None


def _is_raised(values: NDArray[Any], modality: str | None) -> bool:
    if values.dtype == np.uint8 or modality not in (None, "CT"):
        return False
    if not _RAISED_AIR_HU[0] <= values.min() - _RAISED_HU <= _RAISED_AIR_HU[1]:
        return False
    hu = _above(values, _RAISED_HU + _RAISED_AIR_HU[1]) - _RAISED_HU
    return _is_body(hu, _LEAST_RAISED_TISSUE) and _share(hu, *_GAP_HU) <= _MOST_IN_GAP


def _above(values: NDArray[Any], low: float) -> NDArray[Any]:
    """Some of the values, evenly, without background: what is clipped to the lowest value, or is no more than air."""
    step = max(1, round((values.size / _SAMPLES) ** (1 / values.ndim)))
    some = values[(slice(None, None, step),) * values.ndim]
    return some[some > low]


def _is_body(hu: NDArray[Any], least_tissue: float = _LEAST_TISSUE) -> bool:
    """Whether there is fat and tissue among values."""
    return (
        _share(hu, *_FAT_HU) >= _LEAST_FAT
        and _share(hu, *_TISSUE_HU) >= least_tissue
        and _share(hu, 0, 0) <= _MOST_ZEROS
    )


def _share(values: NDArray[Any], low: float, high: float) -> float:
    return float(((values >= low) & (values <= high)).mean()) if values.size else 0.0


def replace_nonfinite(values: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """The values with NaN and infinities as `GrayResult` has them, the input itself without any; and how many.

    Raises:
        InputError: no voxel is finite.
    """
    if not np.issubdtype(values.dtype, np.floating):
        return values, 0
    finite = np.isfinite(values)
    count = values.size - np.count_nonzero(finite)
    if count == 0:
        return values, 0
    if count == values.size:
        raise InputError("The volume holds no finite value: every voxel is NaN or infinite.")
    inside = values[finite]
    low, high = inside.min(), inside.max()
    return np.nan_to_num(values, nan=low, posinf=high, neginf=low), int(count)


def _choose(values: NDArray[Any], modality: str | None) -> str:
    """CT by its window, bytes as they are, all else by percentiles."""
    if values.dtype == np.uint8:
        return "none"
    return "abdomen" if is_ct(values, modality) else "percentile"


def _range_of(values: NDArray[Any], preset: str) -> tuple[float, float]:
    window_hu = PRESET_OF[preset].window_hu
    if window_hu is not None:
        return window_hu
    if preset == "none":
        return 0.0, 255.0
    low = values.min()
    if preset == "minmax":
        return float(low), float(values.max())
    foreground = values[(values != 0) & (values != low)]  # a copy in the volume's own type, sorted in place
    if foreground.size == 0:
        return float(low), float(values.max())
    low_high = np.percentile(foreground, PERCENTILES, overwrite_input=True)
    return float(low_high[0]), float(low_high[1])
