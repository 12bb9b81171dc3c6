"""Keys, runs, review and Accept, without a panel."""

import numpy as np
from SegmentPropagateSlicer.Logic import State


def test_a_key_slice_becomes_the_object(bench):
    bench.run()
    assert bench.states == [State.STARTING, State.RUNNING, State.REVIEW]
    changed = bench.logic.accept()
    assert np.array_equal(bench.get(), bench.truth)
    assert changed == {bench.segment: int(bench.truth.sum() - bench.truth[5].sum())}
    assert bench.logic.state == State.IDLE
    assert not bench.errors
