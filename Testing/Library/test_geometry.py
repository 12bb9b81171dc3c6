"""Planes and grids, for every way in which a volume may be stored."""

from itertools import permutations, product

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.volumes.geometry import Geometry, Plane

STORAGE = [(order, signs) for order in permutations(range(3)) for signs in product((1, -1), repeat=3)]
NORMAL = {Plane.SAGITTAL: 0, Plane.CORONAL: 1, Plane.AXIAL: 2}


def directions_of(order, signs):
    """RAS directions of i, j, k as columns: column c points along RAS axis order[c], signs[c]."""
    matrix = np.zeros((3, 3))
    matrix[list(order), range(3)] = signs
    return matrix


def geometry_of(directions, spacing_ijk=(0.7, 1.1, 4.0), origin=(-13.0, 21.5, 40.25), shape_kji=(5, 6, 7)):
    affine = np.eye(4)
    affine[:3, :3] = directions * spacing_ijk
    affine[:3, 3] = origin
    return Geometry(shape_kji, affine)


@pytest.mark.parametrize("plane", list(Plane))
def test_a_plane_finds_its_array_axis_in_all_48_storage_orders(plane):
    assert len(STORAGE) == 48
    for order, signs in STORAGE:
        axis = geometry_of(directions_of(order, signs)).plane_axis(plane)
        assert order[2 - axis] == NORMAL[plane]


def test_a_plane_finds_its_array_axis_under_any_tilt_below_30_degrees():
    rng = np.random.default_rng(0)
    for order, signs in STORAGE:
        axis = rng.standard_normal(3)
        tilt = Rotation.from_rotvec(axis / np.linalg.norm(axis) * np.deg2rad(rng.uniform(5, 30)))
        geometry = geometry_of(tilt.as_matrix() @ directions_of(order, signs))
        for plane in Plane:
            assert order[2 - geometry.plane_axis(plane)] == NORMAL[plane]


def test_the_three_planes_get_three_axes_even_at_45_degrees():
    for angles in product((0, 30, 45, 60), repeat=3):
        geometry = geometry_of(Rotation.from_euler("xyz", angles, degrees=True).as_matrix())
        assert {geometry.plane_axis(plane) for plane in Plane} == {0, 1, 2}


def test_spacing_is_the_length_of_a_step_however_oblique():
    tilt = Rotation.from_euler("xyz", (20, -35, 50), degrees=True).as_matrix()
    np.testing.assert_allclose(geometry_of(tilt).spacing_kji_mm, (4.0, 1.1, 0.7))


def test_an_unknown_plane_is_refused_with_the_choices():
    with pytest.raises(InputError, match="Unknown plane 'diagonal': choose axial, coronal or sagittal"):
        geometry_of(np.eye(3)).plane_axis("diagonal")


def test_a_grid_without_volume_is_refused():
    flat = np.diag([1.0, 1.0, 0.0, 1.0])
    with pytest.raises(InputError, match="do not span a volume"):
        Geometry((2, 2, 2), flat)
    with pytest.raises(InputError, match="do not span a volume"):
        Geometry((2, 2, 2), np.full((4, 4), np.nan))


def test_grids_are_compared_at_their_far_corners():
    near = geometry_of(np.eye(3), shape_kji=(400, 400, 400))
    turned = geometry_of(Rotation.from_euler("z", 1e-5).as_matrix(), shape_kji=(400, 400, 400))
    assert near.is_close(near)
    assert not near.is_close(turned, tolerance_voxels=0.001)  # 1e-5 rad at 300 mm is 0.003 mm
    assert near.is_close(turned, tolerance_voxels=0.01)
    assert not near.is_close(geometry_of(np.eye(3), shape_kji=(400, 400, 401)))
