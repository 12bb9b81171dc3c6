"""What an annotator draws is there in the end: each state that she can draw in, each way that a review can end."""

import numpy as np
import pytest
from SegmentPropagateSlicer.Logic import State

LENT, LOCKED, OUTSIDE = 6, 9, 11
CORNER, OTHER_CORNER = np.s_[0:2, 0:2], np.s_[-2:, -2:]
HOLE = np.s_[8:10, 10:14]


def reach(bench, state):
    """Bring the logic into a state; a slice is locked as empty from the start."""
    bench.logic.confirmSlices(bench.segment, [LOCKED])
    bench.use("slow" if state != "review" else "threshold")
    bench.logic.startSession([bench.segment], 1, 10)
    if state == "running":
        bench.until(lambda: bench.logic.state == State.RUNNING)
        return
    bench.until(lambda: bench.logic.state == State.REVIEW)
    if state == "correcting":
        paint(bench, 2)
        assert bench.logic.takeStrokes()
        bench.until(lambda: bench.logic.state == State.RUNNING)


def paint(bench, index, where=CORNER, segmentId=None, value=True):
    mask = bench.get(segmentId)
    mask[(index, *where)] = value
    bench.set(segmentId or bench.segment, mask)


def leave(bench, end):
    """End the review, which waits or is yet to come."""
    if end == "cancel and accept":
        bench.logic.cancel()
    if end != "other image":
        bench.until(lambda: bench.logic.state not in State.BUSY)
    if end == "correct and accept":
        bench.logic.takeStrokes()
        bench.until(lambda: bench.logic.state not in State.BUSY)
    if end == "other image":
        bench.logic.setInputs(None, None)
    elif bench.logic.state == State.REVIEW:
        {"discard": bench.logic.discard}.get(end, bench.logic.accept)()


@pytest.mark.parametrize("end", ["accept", "correct and accept", "cancel and accept", "discard", "other image"])
@pytest.mark.parametrize("state", ["running", "review", "correcting"])
def test_nothing_drawn_is_lost(bench, state, end):
    other = bench.addSegment("Other")
    reach(bench, state)
    bench.logic.lend(bench.segment, LENT, "axial")
    hadHole = bench.get()[(LENT, *HOLE)].any()
    paint(bench, LENT, HOLE, value=False)
    for index in (3, 5, 8, LOCKED, OUTSIDE):  # in the range, on the key, locked, outside
        paint(bench, index)
    paint(bench, 7, OTHER_CORNER, other)
    leave(bench, end)
    mask = bench.get()
    assert all(mask[(index, *CORNER)].all() for index in (3, 5, 8, LOCKED, OUTSIDE))
    assert bench.get(other)[(7, *OTHER_CORNER)].all()
    assert bench.logic.state == State.IDLE
    if hadHole:
        assert not mask[(LENT, *HOLE)].any()
    if end == "discard" or end == "other image":
        drawn = np.zeros_like(mask)
        drawn[[2] if state == "correcting" else [], 0:2, 0:2] = True
        drawn[[3, 5, 8, LOCKED, OUTSIDE], 0:2, 0:2] = True
        drawn[5] |= bench.truth[5]
        if end == "discard":
            assert np.array_equal(mask, drawn)  # and nothing of the proposal stays
