"""The time that is left, as it is told from the slices that have come."""

import pytest
from SegmentPropagateSlicer.Runs import Run
from SegmentPropagateSlicer.Values.Proposal import emptyProposal


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test turns on."""
    times = [100.0]
    monkeypatch.setattr(Run.time, "monotonic", lambda: times[0])
    return times


def test_the_first_slice_which_warms_everything_up_is_not_taken_for_the_rule(clock):
    progress, proposal = Run.Progress(), emptyProposal((4, 4))
    progress.start(21)
    clock[0] += 8  # warming up
    progress.keep("a", 1, proposal, 1)
    assert progress.secondsLeft is None
    for number in (2, 3, 4):
        clock[0] += 0.5
        progress.keep("a", number, proposal, number)
    assert progress.secondsLeft == pytest.approx(17 * 0.5)
    assert progress.secondsPerSlice == pytest.approx(0.5)


def test_slices_that_come_together_do_not_tell_how_long_one_takes(clock):
    progress, proposal = Run.Progress(), emptyProposal((4, 4))
    progress.start(8)
    clock[0] += 4
    for number in (1, 2):
        progress.keep("a", number, proposal, number)
    assert progress.secondsLeft is None
    assert progress.secondsPerSlice == pytest.approx(2)
