"""Volumes and label files for tests of formats, and the sentence with which a call refuses one."""

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation
from test_geometry import STORAGE, directions_of, geometry_of

from SegmentPropagateLib.errors import InputError

SHAPE = (5, 6, 7)


def random_masks(seed=0, values=(1, 2, 7)):
    """Disjoint masks of which none is symmetric."""
    drawn = np.random.default_rng(seed).choice([0, *values], SHAPE)
    return {value: drawn == value for value in values}


def image_of(array, spacing=(0.7, 1.1, 4.0), is_vector=False):
    image = sitk.GetImageFromArray(array, isVector=is_vector)
    image.SetSpacing(spacing + (1.0,) * (image.GetDimension() - 3) if image.GetDimension() > 2 else spacing[:2])
    return image


def random_image(kind=np.int16, shape=SHAPE):
    return image_of(np.random.default_rng(1).integers(-1000, 1000, shape).astype(kind))


def oblique_geometries():
    rng = np.random.default_rng(4)
    tilts = Rotation.random(6, random_state=5).as_matrix()
    return [geometry_of(tilt @ directions_of(*STORAGE[rng.integers(48)])) for tilt in tilts]


def medsam_archive(path, **changes):
    content = {
        "imgs": np.random.default_rng(0).integers(0, 256, SHAPE).astype(np.uint8),
        "gts": random_masks()[2].astype(np.uint8) * 3,
        "spacing": np.array([0.5, 0.6, 5.0]),
        "direction": np.array([0, 1, 0, 1, 0, 0, 0, 0, -1.0]),
        "origin": np.array([1.0, 2.0, 3.0]),
    }
    content.update(changes)
    np.savez_compressed(path, **{name: array for name, array in content.items() if array is not None})
    return content


def sentence_of(call, *arguments, **named):
    """The message of the InputError, which must be one sentence on one line."""
    with pytest.raises(InputError) as caught:
        call(*arguments, **named)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    assert "Traceback" not in message
    assert "itk" not in message.lower()
    return message
