"""A volume as a stack along each plane, whatever its storage order."""

import numpy as np
import pytest
from test_geometry import STORAGE, directions_of, geometry_of

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.volumes.geometry import Plane
from SegmentPropagateLib.volumes.stack import array_of, make_stack, slice_of, stack_of
from SegmentPropagateLib.volumes.volume import Volume

SHAPE = (5, 6, 7)
ARRAY = np.arange(210, dtype=np.int16).reshape(SHAPE)


@pytest.mark.parametrize("plane", list(Plane))
def test_slices_follow_the_plane_in_all_48_storage_orders(plane):
    for order, signs in STORAGE:
        volume = Volume(ARRAY, geometry_of(directions_of(order, signs)))
        stack, gray = make_stack(volume, plane, "minmax")
        axis = volume.geometry.plane_axis(plane)
        axes = [axis, *(other for other in range(3) if other != axis)]
        np.testing.assert_array_equal([stack.gray[index] for index in range(len(stack))], gray.gray)
        assert gray.gray.shape == tuple(SHAPE[a] for a in axes)
        assert stack.spacing_mm == pytest.approx([volume.geometry.spacing_kji_mm[a] for a in axes])
        assert gray.preset == "minmax"
        for index in range(SHAPE[axis]):
            np.testing.assert_array_equal(stack.values[index], np.take(ARRAY, index, axis))


def test_rows_and_columns_are_the_other_axes_in_stored_order():
    volume = Volume(ARRAY, geometry_of(np.eye(3)))
    for plane, entry in (("axial", ARRAY[2, 3, 4]), ("coronal", ARRAY[3, 2, 4]), ("sagittal", ARRAY[3, 4, 2])):
        stack, _gray = make_stack(volume, plane)
        assert stack.values[2, 3, 4] == entry


def test_values_are_a_read_only_view_of_the_volume():
    array = ARRAY.copy()
    stack, _gray = make_stack(Volume(array, geometry_of(np.eye(3))), "sagittal")
    assert np.shares_memory(stack.values, array)
    assert array.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        stack.values[0, 0, 0] = 1


@pytest.mark.parametrize("axis", range(3))
def test_a_stack_goes_back_into_the_volume(axis):
    np.testing.assert_array_equal(array_of(stack_of(ARRAY, axis), axis), ARRAY)
    np.testing.assert_array_equal(slice_of(ARRAY, axis, 3), np.take(ARRAY, 3, axis))


def test_an_unknown_plane_or_preset_is_refused():
    volume = Volume(ARRAY, geometry_of(np.eye(3)))
    with pytest.raises(InputError, match="Unknown plane"):
        make_stack(volume, "oblique")
    with pytest.raises(InputError, match="Unknown intensity preset"):
        make_stack(volume, "axial", "nice")
