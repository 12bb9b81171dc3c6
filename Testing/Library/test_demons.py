"""The quick demons beside SimpleITK's filter, which does the same step for step."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from SegmentPropagateLib.propagators.classical.demons import demons, finer, warp
from SegmentPropagateLib.propagators.classical.registration import LEVELS, register, scales_of

SIDE = 32


def pair(shift: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """An image, and the same moved and bent."""
    rng = np.random.default_rng(4)
    image = ndimage.gaussian_filter(rng.normal(size=(SIDE, SIDE)), 2)
    image = ((image - image.min()) / np.ptp(image)).astype(np.float32)
    return image, ndimage.shift(image**1.2, shift, order=1, mode="nearest").astype(np.float32)


def as_image(array: np.ndarray, spacing: float = 1.0) -> sitk.Image:
    """Pixels on a grid of that spacing, whose corner stays where it is."""
    image = sitk.GetImageFromArray(array, isVector=array.ndim == 3)
    image.SetSpacing((spacing, spacing))
    image.SetOrigin(((spacing - 1) / 2,) * 2)
    return image


def as_field(image: sitk.Image, spacing: float = 1.0) -> np.ndarray:
    """The field of an image of vectors, in rows and columns of its grid."""
    return np.moveaxis(sitk.GetArrayFromImage(image), -1, 0)[::-1] / spacing


def itk_demons(fixed: sitk.Image, moving: sitk.Image, iterations: int, start: sitk.Image | None = None) -> sitk.Image:
    """What SimpleITK's filter gives."""
    filter_ = sitk.FastSymmetricForcesDemonsRegistrationFilter()
    filter_.SetNumberOfThreads(1)
    filter_.SetNumberOfIterations(iterations)
    filter_.SetStandardDeviations(1.5)
    filter_.SetSmoothUpdateField(True)
    filter_.SetUpdateFieldStandardDeviations(1.0)
    return filter_.Execute(fixed, moving) if start is None else filter_.Execute(fixed, moving, start)


@pytest.mark.parametrize("shift", [(0.4, 0.2), (5.0, -4.0)], ids=["within the image", "beyond its edge"])
@pytest.mark.parametrize("spacing", [1, 4])
def test_the_field_is_that_of_simpleitk(shift: tuple[float, float], spacing: int) -> None:
    fixed, moving = pair(shift)
    expected = itk_demons(as_image(fixed, spacing), as_image(moving, spacing), 12)
    found = demons(fixed, moving, np.zeros((2, SIDE, SIDE), np.float32), 12, spacing)
    np.testing.assert_allclose(found, as_field(expected, spacing), atol=1e-3)
    assert np.abs(found).max() > 0.3


def test_large_images_are_blurred_as_small_ones_are(monkeypatch: pytest.MonkeyPatch) -> None:
    fixed, moving = pair((1.0, -0.6))
    start = np.zeros((2, SIDE, SIDE), np.float32)
    small = demons(fixed, moving, start, 6, 1)
    monkeypatch.setattr("SegmentPropagateLib.propagators.classical.demons.BY_MATRIX", 0)
    np.testing.assert_allclose(demons(fixed, moving, start, 6, 1), small, atol=1e-4)


def test_a_field_at_rest_ends_the_iterations_as_in_simpleitk() -> None:
    fixed, moving = pair((0, 0))
    start = np.zeros((2, SIDE, SIDE), np.float32)
    expected = itk_demons(as_image(fixed, 0.01), as_image(moving, 0.01), 50)  # updates of .02 spacings are 2 here
    found = demons(fixed, moving, start, 50, 0.01)
    np.testing.assert_allclose(found, as_field(expected, 0.01), atol=1e-3)
    np.testing.assert_array_equal(found, demons(fixed, moving, start, 1, 0.01))


def test_images_that_are_alike_move_nothing() -> None:
    fixed, _ = pair((0, 0))
    assert not demons(fixed, fixed, np.zeros((2, SIDE, SIDE), np.float32), 5, 1).any()


def test_a_finer_field_is_interpolated_as_simpleitk_does() -> None:
    field = np.random.default_rng(1).normal(size=(2, 8, 12)).astype(np.float32)
    vectors = np.moveaxis(field[::-1], 0, -1).astype(np.float64)
    expected = sitk.Resample(as_image(4 * vectors, 4), as_image(np.zeros((16, 24), np.float32), 2))
    np.testing.assert_allclose(finer(field), as_field(expected, 2), atol=1e-5)


def test_beyond_the_edge_the_nearest_pixel_counts() -> None:
    image = np.arange(12, dtype=np.float32).reshape(3, 4)
    field = np.zeros((2, 3, 4), np.float32)
    field[:, 0, 0] = -5.0, 1.4
    field[:, 2, 3] = 0.3, -0.5
    seen, beyond = warp(image, field)
    assert seen[0, 0] == 1
    assert seen[2, 3] == pytest.approx(10.5)
    assert beyond is not None
    np.testing.assert_array_equal(np.argwhere(beyond), [[0, 0]])
    assert warp(image, np.zeros_like(field))[1] is None


def test_registration_brings_labels_to_where_simpleitk_brings_them() -> None:
    fixed, moving = pair((3.0, -2.0))
    field = None
    for shrink, iterations in LEVELS:
        images = [
            sitk.Shrink(sitk.SmoothingRecursiveGaussian(as_image(image), max(0.5 * shrink, 0.6)), [shrink] * 2)
            for image in (fixed, moving)
        ]
        start = None if field is None else sitk.Resample(field, images[0])
        field = itk_demons(*images, iterations, start)
    resample = sitk.ResampleImageFilter()
    resample.SetReferenceImage(as_image(fixed))
    resample.SetTransform(sitk.DisplacementFieldTransform(sitk.Cast(field, sitk.sitkVectorFloat64)))
    resample.SetUseNearestNeighborExtrapolator(True)
    labels = (moving > 0.5).astype(np.float32)
    expected = sitk.GetArrayFromImage(resample.Execute(as_image(labels)))
    found = register(scales_of(fixed), scales_of(moving))(labels)
    np.testing.assert_allclose(found, expected, atol=5e-3)
    assert np.abs(found - labels).max() > 0.9
