"""From the volume's own unit to 8 bits, once per volume and always on a copy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.volumes.presets import PRESET_OF, PRESETS

PERCENTILES = (0.5, 99.5)


@dataclass(frozen=True)
class GrayResult:
    """A volume in 8 bits, and how it came about.

    Args:
        gray: uint8, same shape as the input; read only.
        values: the input itself where it is finite throughout, else a copy with NaN and infinities replaced; read only.
        preset: the preset that was applied; never `auto`.
        low: value that became 0.
        high: value that became 255.
        nonfinite_voxels: how many voxels were NaN or infinite.
    """

    gray: NDArray[np.uint8]
    values: NDArray[Any]
    preset: str
    low: float
    high: float
    nonfinite_voxels: int = 0

    @property
    def note(self) -> str:
        """One sentence about voxels that were no numbers; empty when there were none."""
        if not self.nonfinite_voxels:
            return ""
        return (
            f"{self.nonfinite_voxels} voxels were NaN or infinite and count as the volume's lowest finite value, "
            f"+inf as its highest."
        )


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
    finite, nonfinite_voxels = _replace_nonfinite(values)
    if preset == "auto":
        preset = _choose(finite, modality)
    low, high = _range_of(finite, preset)
    gray = _scale(finite, low, high)
    finite = finite.view()  # the caller's own array stays writable
    gray.setflags(write=False)
    finite.setflags(write=False)
    return GrayResult(gray, finite, preset, low, high, nonfinite_voxels)


def _replace_nonfinite(values: NDArray[Any]) -> tuple[NDArray[Any], int]:
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
    """CT by its tag or by air near -1000 HU; bytes are gray levels already; all else by percentiles."""
    if values.dtype == np.uint8:
        return "none"
    if modality == "CT":
        return "abdomen"
    low, high = values.min(), values.max()
    looks_like_ct = modality is None and -3100 <= low <= -500 and high > 100
    return "abdomen" if looks_like_ct else "percentile"


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


def _scale(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    if high <= low:  # one value in the foreground, or in the whole volume, which is then black
        return ((values >= high) & (values.min() < high)).astype(np.uint8) * 255
    gray = np.empty(values.shape, dtype=np.uint8)
    for plane, out in zip(values, gray, strict=True):  # slice by slice: float32 of one slice, not of the volume
        scaled = (plane.astype(np.float32) - np.float32(low)) * np.float32(255 / (high - low))
        out[...] = np.clip(np.rint(scaled), 0, 255)
    return gray
