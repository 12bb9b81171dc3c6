"""What the worker says of a mask that somebody else made."""

import numpy as np
import pytest
from doubles import drawn_volume

from SegmentPropagateLib.errors import CancelledError, InputError
from SegmentPropagateLib.worker.replies import Trusted
from SegmentPropagateLib.worker.requests import TakeVolume, Trust
from SegmentPropagateLib.worker.service import Service
from SegmentPropagateLib.worker.setup import ModelChoice, SessionChoice, Setup

VOLUME, MASK = drawn_volume()
SETUP = Setup(
    "v",
    VOLUME.geometry.shape_kji,
    tuple(VOLUME.geometry.ijk_to_ras.ravel().tolist()),
    None,
    ModelChoice("no such model"),
    SessionChoice(),
)


@pytest.fixture
def service(monkeypatch):
    """A worker without any model, which takes slices for good that have a bright voxel in the middle."""

    def trust(stack, masks, tick):
        tick()
        found = np.flatnonzero(masks.any(axis=(1, 2)))
        return {int(index): 0.9 if masks[index, 9, 11] else 0.1 for index in found}

    monkeypatch.setattr("SegmentPropagateLib.prompting.trust.trust_of", trust)
    service = Service(load_model=None)
    service.answer(TakeVolume("v", VOLUME.array_kji), lambda reply: None, lambda: False)
    return service


def request():
    """The drawn object, on slice 7 aside."""
    masks = MASK[2:10].copy()
    masks[5] = np.roll(masks[5], 9, axis=1)
    masks[5, 9, 11] = False
    return Trust(SETUP, (2, 0, 0), masks)


def test_it_tells_trusted_slices_from_doubtful_ones_without_a_model(service):
    replies = []
    service.answer(request(), replies.append, lambda: False)
    present = [index for index in range(2, 10) if MASK[index].any()]
    assert replies == [Trusted(tuple(index for index in present if index != 7), (7,))]


def test_a_cancelled_check_says_nothing(service):
    replies = []
    with pytest.raises(CancelledError):
        service.answer(request(), replies.append, lambda: True)
    assert replies == []


def test_a_volume_that_it_does_not_have_is_asked_for():
    with pytest.raises(InputError, match="send it first"):
        Service(load_model=None).answer(request(), lambda reply: None, lambda: False)
