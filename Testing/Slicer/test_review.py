"""Which slices of a proposal are named as worth correcting."""

from dataclasses import replace

import numpy as np
from panel_double import seenIn
from SegmentPropagateSlicer.Review import Suspicion
from SegmentPropagateSlicer.Runs.Run import Run
from SegmentPropagateSlicer.Scene.SliceGrid import SliceGrid
from SegmentPropagateSlicer.Values.Proposal import proposalOfMask
from SegmentPropagateSlicer.Values.RunSettings import RunSettings

from SegmentPropagateLib.propagation.review import LOST
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
    place = Suspicion.nextSuspicious({"A": seenIn(found)}, ("A", after))
    return place and place[1]


def doubted(run, **slices):
    """Give slices of a run another predicted IoU: `s18=0.5`."""
    for name, predictedIou in slices.items():
        index = int(name[1:])
        run.proposals["A"][index] = replace(run.proposals["A"][index], predictedIou=predictedIou)
    return run


def test_slices_of_which_a_good_overlap_is_expected_are_not_named():
    found = Suspicion.scores(runOver(ball()), "A")
    assert [score["sliceIndex"] for score in found] == list(range(27))
    assert not any(score["doubt"] for score in found)
    assert nextSlice(found) is None


def test_a_slice_of_which_little_overlap_is_expected_is_named_next():
    found = Suspicion.scores(doubted(runOver(ball()), s18=0.5), "A")
    assert (found[18]["doubt"], found[18]["suspicion"]) == ("unsure", 0.5)
    assert nextSlice(found) == 18


def test_a_slice_on_which_the_object_is_gone_at_once_is_named_next():
    mask = ball()
    mask[18] = False
    found = Suspicion.scores(runOver(mask), "A")
    assert (found[18]["doubt"], found[18]["suspicion"]) == ("lost", LOST)
    assert nextSlice(found) == 18


def test_keys_and_confirmed_slices_are_trusted():
    found = Suspicion.scores(doubted(runOver(ball()), s18=0.5, s19=0.5), "A", confirmed=[18, 19])
    assert found[13]["suspicion"] == found[18]["suspicion"] == 0
    assert nextSlice(found) is None


def test_a_stretch_is_named_once_in_its_middle_and_the_one_with_most_to_mend_comes_first():
    run = doubted(runOver(ball()), **{f"s{index}": 0.6 for index in range(15, 20)}, s5=0.6)
    found = Suspicion.scores(run, "A")
    assert nextSlice(found) in (16, 17)  # the object is larger towards the key
    assert nextSlice(found, after=nextSlice(found)) == 5
    assert nextSlice(found, after=5) == nextSlice(found)


def test_the_places_of_all_segments_are_named_in_turn():
    found = {
        "A": Suspicion.seenOf(doubted(runOver(ball()), s9=0.3), "A"),
        "B": Suspicion.seenOf(doubted(runOver(ball()), s10=0.6, s20=0.1), "A"),
    }
    seen, place = [], None
    for _press in range(4):
        place = Suspicion.nextSuspicious(found, place)
        seen.append(place)
    assert seen == [("A", 9), ("B", 20), ("B", 10), ("A", 9)]
