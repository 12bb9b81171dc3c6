"""A segment of another tool as draft: its trusted slices become keys, and nothing is changed before Accept."""

import numpy as np
import pytest

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.worker.replies import Trusted
from SegmentPropagateLib.worker.requests import Trust


@pytest.fixture
def draft(makeBench):
    """A segment that is right but on slices 4 and 5, where it has slipped aside, and what is told of it."""
    bench = makeBench(key=None)
    mask = bench.truth.copy()
    mask[[4, 5]] = np.roll(mask[[4, 5]], 3, axis=2)
    bench.set(bench.segment, mask)
    bench.taken = []
    bench.logic.drafts.taken.connect(lambda *what: bench.taken.append(what))
    return bench


def answer(bench, trusted, doubtful):
    """What the worker would say, without the seconds."""

    def request(content, onReply):
        if not isinstance(content, Trust):
            return ask(content, onReply)
        asked.append(content)
        onReplies.append(onReply)
        return 99

    asked, onReplies, ask = [], [], bench.process.request
    bench.process.request = request
    bench.logic.useAsDraft(bench.segment)
    return asked, lambda: onReplies[0](Trusted(trusted, doubtful))


def test_trusted_slices_become_keys_and_the_segment_stays_as_it_is(draft):
    before = draft.fingerprint()
    asked, reply = answer(draft, (2, 3, 6, 7), (4, 5))
    assert draft.logic.drafts.isAsking
    assert np.array_equal(asked[0].whole, draft.get())
    reply()
    assert draft.taken == [(draft.segment, [2, 3, 6, 7], [4, 5])]
    assert [key.sliceIndex for key in draft.logic.keys] == [2, 3, 6, 7]
    assert not draft.logic.drafts.isAsking
    assert draft.fingerprint() == before
    draft.logic.removeKey(draft.logic.keys[0])
    assert [key.sliceIndex for key in draft.logic.keys] == [3, 6, 7]


def test_the_rest_is_propagated_and_accepted_in_one_undo_step(draft):
    before = draft.fingerprint()
    _asked, reply = answer(draft, (2, 3, 6, 7), (4, 5))
    reply()
    draft.logic.startSession([draft.segment], 2, 7)
    draft.until(lambda: draft.logic.state == "review")
    assert draft.fingerprint() == before
    draft.logic.accept()
    assert np.array_equal(draft.get(), draft.truth)
    draft.logic.undo()
    assert draft.fingerprint() == before


def test_what_comes_after_a_cancel_is_not_taken(draft):
    _asked, reply = answer(draft, (2, 3), (4,))
    draft.logic.cancel()
    reply()
    assert draft.logic.keys == ()
    assert draft.taken == []


def test_slices_that_were_erased_meanwhile_are_told(draft):
    _asked, reply = answer(draft, (2, 3), (4,))
    draft.set(draft.segment, np.zeros_like(draft.truth))
    reply()
    assert draft.taken == []
    assert len(draft.errors) == 1


def test_an_empty_segment_is_refused(makeBench):
    bench = makeBench(key=None)
    with pytest.raises(InputError, match="empty within the image"):
        bench.logic.useAsDraft(bench.segment)
