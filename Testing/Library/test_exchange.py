"""Replies are taken in the order in which they may come, each slice once, and no end before all of them."""

import numpy as np
import pytest

from SegmentPropagateLib.worker.exchange import Exchange
from SegmentPropagateLib.worker.messages import MessageError
from SegmentPropagateLib.worker.replies import (
    Cancelled,
    Done,
    Downloading,
    Failed,
    Preparing,
    Remote,
    SliceDone,
    Started,
    Suggested,
    SuggestedKey,
    Suggesting,
    SuggestionsDone,
)
from SegmentPropagateLib.worker.requests import Propagate, Suggest
from SegmentPropagateLib.worker.setup import ModelChoice, SessionChoice, Setup

SETUP = Setup("v", (4, 6, 7), tuple(np.eye(4).ravel().tolist()), None, ModelChoice("m"), SessionChoice())
MASK = np.ones((6, 7), bool)
REQUEST = Propagate(SETUP, ((1, 1),), MASK[np.newaxis], None, None, True)  # fills slices 0, 2, 3


def slice_(index, done=None):
    return SliceDone.of_mask(1, index, MASK, presence=None, predicted_iou=None, done=done)


def done(computed):
    return Done(computed, 1.0, None, {})


START = Started(3, "none", "")
WHOLE = (slice_(0, 1), slice_(2, 2), slice_(3, 3), done(3))


def taken(replies, cancelled=False, request=REQUEST):
    """How many of the replies are taken, and the sentence about the first that is not."""
    exchange = Exchange(request)
    if cancelled:
        exchange.cancel()
    for count, reply in enumerate(replies):
        try:
            assert type(exchange.read(reply.to_message(1))) is type(reply)
        except MessageError as error:
            return count, str(error)
    return len(replies), ""


@pytest.mark.parametrize(
    "replies",
    [
        (START, *WHOLE),
        (Downloading(1, None), Downloading(0, 9), Preparing("model"), Preparing("session"), START, *WHOLE),
        (START, slice_(0), slice_(2, 1), slice_(3, 2), done(2)),  # one was known from before
        (START, slice_(2, 1), slice_(0), slice_(2), slice_(3), done(1)),  # a lane ended early, a slice was changed
        (Remote("queued", 1), START, slice_(0, 1), Remote("lost", 0), Remote("resumed", 0), *WHOLE[1:]),
        (Started(0, "none", ""), slice_(0), slice_(2), slice_(3), done(0)),
        (START, slice_(0, 1), Failed("memory", "Too large.")),
        (Failed("input", "No."),),
    ],
)
def test_a_course_that_a_run_can_take_is_taken(replies):
    assert taken(replies) == (len(replies), "")


@pytest.mark.parametrize(
    ("replies", "count", "sentence"),
    [
        ((Preparing("model"), Downloading(1, None)), 1, "'downloading' comes too late"),
        ((START, Preparing("model")), 1, "'preparing' comes too late"),
        ((START, START), 1, "'started' comes too late"),
        ((slice_(0, 1),), 0, "'slice_done' comes before 'started'"),
        ((done(0),), 0, "'done' comes before 'started'"),
        ((START, slice_(0, 2)), 1, "'slice_done.done' must be 1, of 3 slices, got 2"),
        ((START, slice_(0, 1), slice_(0, 1)), 2, "'slice_done.done' must be 2, of 3 slices, got 1"),
        ((Started(1, "none", ""), slice_(0, 1), slice_(2, 2)), 2, "'slice_done.done' must be 2, of 1 slices, got 2"),
        ((START, *WHOLE[:3], done(2)), 4, "'done.computed' must be 3, the slices that were sent, got 2"),
        ((START, *WHOLE[:2], done(2)), 3, "'done' comes before slice 3 of object 1"),
        ((START, Cancelled()), 1, "'propagate' was cancelled by nobody"),
    ],
)
def test_a_reply_out_of_its_turn_is_refused(replies, count, sentence):
    found, why = taken(replies)
    assert found == count
    assert sentence in why


def test_a_cancellation_is_taken_where_somebody_has_cancelled():
    assert taken((START, slice_(0, 1), Cancelled()), cancelled=True) == (3, "")
    assert taken((START, *WHOLE), cancelled=True) == (5, "")  # it came too late


SUGGEST = Suggest(SETUP, (), ("/finished",), ())


def draft(number):
    more = {"name": "a", "color_rgb": (0, 0, 0), "status": "found", "first": None, "last": None, "confidence": 1}
    return Suggested.of_mask(number, 1, MASK, **more, reason="")


KEY = SuggestedKey.of_mask(1, 2, MASK)


@pytest.mark.parametrize(
    ("replies", "count", "sentence"),
    [
        ((Preparing("support"), Suggesting(1, 2), draft(1), draft(2), SuggestionsDone(2, 1.0, None)), 5, ""),
        ((draft(1), draft(1)), 1, "'suggested' comes twice for label 1"),
        ((draft(1), SuggestionsDone(2, 1.0, None)), 1, "'suggestions_done.count' must be 1"),
        ((draft(1), Suggesting(1, 2)), 1, "'suggesting' comes too late"),
        ((START,), 0, "'started' is no answer"),
        ((draft(1), draft(2), KEY, SuggestionsDone(2, 1.0, None)), 4, ""),
        ((draft(2), KEY), 1, "'suggested_key' comes for label 1, which has no draft"),
        ((draft(1), KEY, KEY), 2, "'suggested_key' comes twice for slice 2"),
        ((draft(1), SuggestedKey.of_mask(1, 1, MASK)), 1, "'suggested_key' comes twice for slice 1"),
        ((draft(1), KEY, draft(2)), 2, "'suggested' comes too late"),
    ],
)
def test_drafts_come_once_each_and_are_counted(replies, count, sentence):
    found, said = taken(replies, request=SUGGEST)
    assert found == count
    assert sentence in said
