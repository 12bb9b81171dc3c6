"""Values between the points of a lattice: the quick ways give what looking up every point gives."""

from itertools import permutations

import numpy as np
import pytest

from SegmentPropagateLib.prompting.atlas.sampling import Corners, on_lines, on_slice, warped

SHAPE = (7, 9, 11)


@pytest.fixture
def images():
    return np.random.default_rng(0).random((2, *SHAPE), dtype=np.float32)


def meshed(lines):
    return np.stack(np.meshgrid(*lines, indexing="ij")).astype(np.float32)


def test_values_at_the_crossings_of_lines_are_those_of_the_points_there(images):
    lines = np.linspace(-2, 8, 5), np.array([3.0]), np.linspace(10.5, 1, 30)
    expected = np.stack([warped(image, meshed(lines)) for image in images])
    assert np.abs(on_lines(images, lines) - expected).max() < 1e-6


def slice_of_lattice(order, tilt):
    """Points of a slice: which axis of the lattice is across it, along its rows, along its columns."""
    lines = np.array([2.3]), np.linspace(-1, 8, 13), np.linspace(9.5, 0.5, 17)
    points = meshed(lines)[:, 0]
    points[0] += tilt * np.arange(17)
    found = np.empty_like(points)
    found[list(order)] = points
    return found


@pytest.mark.parametrize("tilt", [0.0, 0.05], ids=["upright", "oblique"])
@pytest.mark.parametrize("order", [*permutations(range(3))], ids=str)
def test_values_on_a_slice_are_those_of_its_points_however_it_lies(images, order, tilt):
    points = slice_of_lattice(order, tilt)
    expected = np.stack([warped(image, points) for image in images])
    assert np.abs(on_slice(images, points) - expected).max() < 1e-5


@pytest.mark.parametrize("shape", [(1, 17), (13, 1), (1, 1)], ids=str)
def test_a_slice_of_one_row_or_column_is_one_as_well(images, shape):
    points = slice_of_lattice((0, 1, 2), 0.0)[:, : shape[0], : shape[1]]
    assert on_slice(images, points).shape == (2, *shape)
    assert np.abs(on_slice(images, points)[1] - warped(images[1], points)).max() < 1e-5


@pytest.mark.parametrize("shape", [SHAPE, (1, 9, 11)], ids=str)
def test_images_that_share_corners_have_the_values_that_each_has_alone(images, shape):
    images = images[:, : shape[0]]
    points = np.random.default_rng(1).uniform(-2, 12, (3, 200)).astype(np.float32)
    expected = np.stack([warped(image, points) for image in images], axis=-1)
    found = Corners.around(points, shape).of(np.ascontiguousarray(np.moveaxis(images, 0, -1)))
    assert np.abs(found - expected).max() < 1e-5
