"""The working grid around an object beside scipy's two-dimensional filters."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from SegmentPropagateLib.propagators.classical.regions import Region

SHAPE = (70, 90)
REGIONS = {
    "coarse samples, blurred": Region((35.0, 44.5), (1.6, 1.4), 32),
    "fine samples": Region((35.0, 44.5), (0.4, 0.25), 32),
    "beyond the edge": Region((4.0, 86.0), (1.5, 0.9), 32),
    "wholly outside": Region((-90.0, 44.5), (1.0, 1.0), 32),
}


def image() -> np.ndarray:
    return np.random.default_rng(2).normal(100, 40, SHAPE).astype(np.float32)


@pytest.mark.parametrize("region", REGIONS.values(), ids=REGIONS)
def test_samples_are_those_of_a_blurred_slice(region: Region) -> None:
    blur = [0.5 * step if step > 1.3 else 0.0 for step in region.step_rc]
    blurred = ndimage.gaussian_filter(image().astype(np.float64), blur, mode="nearest", truncate=4)
    shape = (region.size, region.size)
    expected = ndimage.affine_transform(
        blurred, region.step_rc, region.origin_rc, shape, order=1, mode="nearest", output=np.float32
    )
    inner = slice(6, -6)  # a blur ends with the pixels that the square covers
    np.testing.assert_allclose(region.take(image())[inner, inner], expected[inner, inner], rtol=1e-4)


@pytest.mark.parametrize("region", REGIONS.values(), ids=REGIONS)
def test_what_is_put_back_is_linear_between_samples_and_nothing_outside(region: Region) -> None:
    soft = np.random.default_rng(3).random((region.size, region.size)).astype(np.float32)
    scale = [1 / step for step in region.step_rc]
    first = [-start * each for start, each in zip(region.origin_rc, scale, strict=True)]
    expected = ndimage.affine_transform(soft, scale, first, SHAPE, order=1, mode="constant", output=np.float32)
    np.testing.assert_allclose(region.put(soft, SHAPE), expected, atol=1e-5)
