"""Carried points: Algorithm 1 of SAM^Med against a loop that anybody can check, and the drafts that come of it."""

import numpy as np
import pytest

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.prompting.carried_points import Rule, carried, drafts, sigma_of, survivors
from SegmentPropagateLib.prompting.source import Support, find_source
from SegmentPropagateLib.reports.metrics import dice
from SegmentPropagateLib.volumes.geometry import Geometry, Plane
from SegmentPropagateLib.volumes.labels import Labels
from SegmentPropagateLib.volumes.stack import make_stack
from SegmentPropagateLib.volumes.volume import Volume

SHAPE = (6, 40, 44)
DISK = (np.mgrid[:40, :44][0] - 20) ** 2 + (np.mgrid[:40, :44][1] - 22) ** 2 <= 81


def by_hand(values, key, points, slices, most):
    """Algorithm 1, a point at a time."""
    alive, before, found = [tuple(map(int, point)) for point in points], key, {}
    for index in slices:
        kept = []
        for row, column in alive:
            if abs(float(values[index][row][column]) - float(values[before][row][column])) < most:
                kept.append((row, column))
        if not kept:
            break
        alive, found[index], before = kept, kept, index
    return found


def test_the_points_that_go_on_are_those_of_a_plain_loop():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        values = rng.normal(0, 50, (5, 12, 15))
        points = np.stack([rng.integers(0, 12, 9), rng.integers(0, 15, 9)], axis=1)
        mine = {index: [tuple(p) for p in left.tolist()] for index, left in carried(values, 1, points, range(2, 5), 60)}
        assert mine == by_hand(values.tolist(), 1, points, range(2, 5), 60)


def test_on_an_even_image_all_points_go_on_and_at_a_step_none_does():
    points = np.argwhere(DISK)
    even, step = np.zeros((3, 40, 44)), np.zeros((3, 40, 44))
    step[1:] = 500
    most = 0.5 * sigma_of(step[0] + np.arange(44), DISK, 0.02)
    assert len(survivors(even[0], even[1], points, sigma_of(even[0], DISK, 0.02))) == len(points)
    assert len(survivors(step[0], step[1], points, most)) == 0
    assert list(carried(step, 0, points, [1, 2], most)) == []


def test_an_even_object_has_a_sigma_of_its_slice():
    image = np.where(DISK, 100.0, 0.0)
    assert sigma_of(image, DISK, 0.02) == pytest.approx(2.0)
    assert sigma_of(image + np.arange(44), DISK, 0.0) == pytest.approx((image + np.arange(44))[DISK].std())


def volume_of(masks, seed=0):
    noise = np.random.default_rng(seed).normal(0, 3, SHAPE)
    return Volume((100 * masks + noise).astype(np.int16), Geometry(SHAPE, np.eye(4)))


THERE = np.zeros(SHAPE, bool)
THERE[:5] = DISK
FEW = np.zeros(SHAPE, np.uint8)
FEW[2] = DISK


def test_an_object_that_goes_on_is_found_and_where_it_ends_the_points_end():
    found = drafts(make_stack(volume_of(THERE), Plane.AXIAL)[0], FEW > 0, Rule(factor=3.0))
    assert set(found) == {0, 1, 3, 4}
    assert all(dice(mask, DISK) > 0.8 for mask, _ in found.values())
    assert all(0 < alive <= 1 for _, alive in found.values())


def test_outlined_slices_are_keys_and_the_others_drafts():
    few = FEW.copy()
    few[4] = DISK
    labels = Labels((few,), Geometry(SHAPE, np.eye(4)))
    volume = volume_of(THERE)
    proposal, missing = find_source("carried-points").propose(volume, [1, 2], Support(labels), Plane.AXIAL)
    assert list(proposal.prompts) == [2, 4]
    assert (proposal.first, proposal.last) == (min(proposal.slices), max(proposal.slices))
    assert missing.status == "not here"
    with pytest.raises(InputError, match="needs labels"):
        find_source("carried-points").propose(volume, [1], Support(), Plane.AXIAL)
