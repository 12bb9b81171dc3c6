import numpy as np

from SegmentPropagateLib.propagators.classical.patches import fuse

ROWS, COLUMNS = np.mgrid[:48, :48]


def disk(row, column, radius=10):
    return ((ROWS - row) ** 2 + (COLUMNS - column) ** 2 < radius**2).astype(np.float32)


def noisy(image, seed):
    return (image + np.random.default_rng(seed).normal(0, 0.05, image.shape)).astype(np.float32)


def test_labels_that_are_off_by_two_pixels_snap_to_the_object():
    image, brought = noisy(disk(24, 24), 1), noisy(disk(24, 26), 2)
    before, after = (np.abs(soft - disk(24, 24)).mean() for soft in (disk(24, 26), fuse(image, brought, disk(24, 26))))
    assert after < 0.3 * before


def test_labels_stay_where_the_images_agree():
    image = noisy(disk(24, 24), 1)
    soft = fuse(image, image, disk(24, 24))
    assert np.array_equal(soft > 0.5, disk(24, 24) > 0.5)


def test_a_pixel_unlike_all_around_it_keeps_its_label():
    image = np.zeros((48, 48), np.float32)
    brought = image.copy()
    image[20:28, 20:28] = 50.0  # nothing like it on the other slice
    soft = fuse(image, brought, disk(24, 24))
    assert np.array_equal(soft[22:26, 22:26], disk(24, 24)[22:26, 22:26])
    assert np.isfinite(soft).all()
