"""Suggestions whose worker is a test: what it is asked is kept, and it answers when it is told to."""

import numpy as np
from SegmentPropagateSlicer.Review.Suggestions import Suggestions
from SegmentPropagateSlicer.Runs.Runner import Runner
from SegmentPropagateSlicer.Scene.Preview import Preview
from SegmentPropagateSlicer.Values.Signal import Signal

from SegmentPropagateLib.worker.replies import Suggested, SuggestedKey, SuggestionsDone
from SegmentPropagateLib.worker.requests import Suggest


class DrivenRunner:
    """Keeps requests; `answer` hands a reply to whoever asked last."""

    setup = staticmethod(Runner.setup)

    def __init__(self):
        self.statusChanged, self.process = Signal("text"), self
        self.requests, self.cancelled = [], []

    def ask(self, _volumeNode, request, onReply):
        self.requests.append(request)
        self.answer = onReply
        return len(self.requests)

    def cancel(self, requestId):
        self.cancelled.append(requestId)


class SuggestingProcess:
    """A worker process that leaves to the test what is answered to `Suggest`; all else goes on to the real one.

    Args:
        process: the real one.
    """

    def __init__(self, process):
        self.process, self.cancelled, self.asked = process, [], []

    def __getattr__(self, name):
        return getattr(self.process, name)

    def request(self, request, onReply):
        if not isinstance(request, Suggest):
            return self.process.request(request, onReply)
        self.asked.append(request)
        self.answer = onReply
        return -len(self.asked)

    def cancel(self, requestId):
        if requestId < 0:
            self.cancelled.append(requestId)
        else:
            self.process.cancel(requestId)


class DrivenSuggestions(Suggestions):
    """The real ones, over a `DrivenRunner`; nothing of them is written.

    Args:
        runner: `DrivenRunner`.
    """

    def __init__(self, runner):
        Suggestions.__init__(self, runner, Preview(), keys=None, writer=None)

    def use(self, find, make):
        return {find(one.name) or make(one): one for one in self.ticked}


def draft(number, name, status="found", index=18, box=None, ends=(7, 29), reason="", shape=(64, 64)):
    """What the worker sends for a label; `box` are rows and columns of its outline."""
    mask = np.zeros(shape, bool)
    if status != "not here":
        mask[box or (slice(24, 37), slice(28, 45))] = True
    first, last = ends if status != "not here" else (None, None)
    more = {"name": name, "color_rgb": (0.5, 0.7, 0.3), "status": status, "first": first, "last": last}
    key = index if status != "not here" else 0
    return Suggested.of_mask(number, key, mask, **more, confidence=0.8, reason=reason)


def further(number, index, box, shape=(64, 64)):
    """What it sends for a further key slice of a draft."""
    mask = np.zeros(shape, bool)
    mask[box] = True
    return SuggestedKey.of_mask(number, index, mask)


DOUBT = "The ways to lay the finished cases over the image agree on little of it (0.52)."
DRAFTS = (
    draft(1, "Left kidney"),
    draft(2, "Spleen", index=15, box=(slice(31, 45), slice(13, 23)), ends=(6, None)),
    draft(3, "Pancreas", "unsure", index=20, box=(slice(28, 32), slice(20, 40)), ends=(16, 24), reason=DOUBT),
    draft(4, "Stomach", "not here", reason="It lies beyond the field of view of the image."),
)


def answer(runner, drafts=DRAFTS, keys=()):
    """All drafts come, their further key slices, and the end."""
    for one in (*drafts, *keys):
        runner.answer(one)
    runner.answer(SuggestionsDone(len(drafts), 2.0, 300.0))
