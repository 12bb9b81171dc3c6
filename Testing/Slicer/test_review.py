"""Which slices of a proposal are named as worth correcting."""

import numpy as np
import pytest
from SegmentPropagateSlicer.Review import Suspicion
from SegmentPropagateSlicer.Runs.Run import Run
from SegmentPropagateSlicer.Scene.SliceGrid import SliceGrid
from SegmentPropagateSlicer.Values.Proposal import proposalOfMask
from SegmentPropagateSlicer.Values.RunSettings import RunSettings

from SegmentPropagateLib.volumes.geometry import Geometry

SHAPE = (27, 96, 96)


def ball():
    k, j, i = np.indices(SHAPE)
    return ((k - 13) / 10) ** 2 + ((j - 48) / 26) ** 2 + ((i - 44) / 20) ** 2 <= 1


def runOver(mask, key=13):
    grid, keys = SliceGrid(Geometry(SHAPE, np.diag([1.0, 1, 3, 1])), "axial"), {("A", key): proposalOfMask(mask[key])}
    run = Run(RunSettings(), grid, ("A",), (0, 26), keys)
    for index, plane in enumerate(mask):
        if index != key:
            run.progress.keep("A", index, proposalOfMask(plane))
    return run


def nextSlice(found, after=None):
    place = Suspicion.nextSuspicious({"A": found}, ("A", after))
    return place and place[1]


def test_a_smooth_object_with_smooth_ends_is_not_suspicious():
    found = Suspicion.scores(runOver(ball()), "A")
    assert [score["sliceIndex"] for score in found] == list(range(27))
    assert not any(score["areaJump"] or score["centerJump"] for score in found)
    assert nextSlice(found) is None


@pytest.mark.parametrize(
    ("spoil", "flag"),
    [
        (lambda mask: mask.__setitem__(18, np.roll(mask[18], 30, 1)), "centerJump"),
        (lambda mask: mask.__setitem__((18, slice(20, 90), slice(5, 90)), True), "areaJump"),
        (lambda mask: mask.__setitem__(18, False), "areaJump"),
    ],
    ids=["moved", "spilled", "lost"],
)
def test_a_slice_that_jumps_is_named_next(spoil, flag):
    mask = ball()
    spoil(mask)
    found = Suspicion.scores(runOver(mask), "A")
    assert found[18][flag]
    assert nextSlice(found) in (18, 19)
    assert not any(score[flag] for score in found[:18])


def test_keys_and_confirmed_slices_are_trusted():
    mask = ball()
    mask[18] = np.roll(mask[18], 30, 1)
    found = Suspicion.scores(runOver(mask, key=18), "A")
    assert found[18]["suspicion"] == 0
    found = Suspicion.scores(runOver(mask), "A", confirmed=[18, 19])
    assert nextSlice(found) is None


def test_a_doubtful_presence_and_a_low_predicted_iou_are_suspicious():
    run = runOver(ball())
    good = run.proposals["A"][7]
    run.proposals["A"][7] = type(good)(good.shape, good.origin, good.box, presence=0.5, predictedIou=0.9)
    run.proposals["A"][9] = type(good)(good.shape, good.origin, good.box, presence=0.99, predictedIou=0.4)
    found = Suspicion.scores(run, "A")
    assert nextSlice(found) == 7
    assert nextSlice(found, after=7) == 9
    assert nextSlice(found, after=9) == 7


def test_the_worst_slices_of_all_segments_are_named_in_turn():
    lost, moved = ball(), ball()
    lost[18] = False
    moved[9] = np.roll(moved[9], 40, 1)
    found = {"A": Suspicion.scores(runOver(lost), "A"), "B": Suspicion.scores(runOver(moved), "A")}
    seen, place = [], None
    for _press in range(6):
        place = Suspicion.nextSuspicious(found, place)
        seen.append(place)
    assert {("A", 18), ("B", 9)} <= set(seen)
    assert len(set(seen)) == sum(
        score["suspicion"] >= Suspicion.SUSPICIOUS for scores in found.values() for score in scores
    )
