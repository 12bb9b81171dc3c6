"""A request and what has come back of it so far, so that every reply is held against both."""

from __future__ import annotations

from SegmentPropagateLib.worker.fields import reject
from SegmentPropagateLib.worker.messages import Message, MessageError
from SegmentPropagateLib.worker.replies import (
    Cancelled,
    Done,
    Failed,
    Remote,
    Reply,
    SliceDone,
    Started,
    Suggested,
    SuggestedKey,
    SuggestionsDone,
)
from SegmentPropagateLib.worker.requests import GetAhead, Hello, Propagate, Request, TakeVolume


class Exchange:
    """The side that asks keeps one for every request until its final reply.

    Args:
        request: what was asked.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self._is_cancelled = False
        self._stage = 0  # place of the last reply among the request's answers
        self._total: int | None = None
        self._computed = 0
        self._suggested: dict[int, set[int]] = {}  # label -> key slices
        self._missing = set(request.places) if isinstance(request, Propagate) else set()

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits for the answer by itself."""
        return not isinstance(self._request, GetAhead | Hello | TakeVolume)

    def cancel(self) -> None:
        """The request was cancelled, and may be answered so from now on."""
        self._is_cancelled = True

    def read(self, message: Message) -> Reply:
        """What the worker answers.

        Raises:
            MessageError: it is no reply, wrong by itself, no answer to the request, or none that may come now.
        """
        reply = self._request.read_reply(message)
        if isinstance(reply, Cancelled) and not self._is_cancelled:
            raise MessageError(f"The request '{self._request.word}' was cancelled by nobody.")
        if not isinstance(reply, Cancelled | Failed | Remote):
            self._take_turn(reply)
        if isinstance(reply, SliceDone):
            self._take_slice(reply)
        if isinstance(reply, Suggested):
            self._take_suggestion(reply)
        if isinstance(reply, SuggestedKey):
            self._take_key(reply)
        if isinstance(reply, Done):
            self._end(reply)
        if isinstance(reply, SuggestionsDone) and reply.count != len(self._suggested):
            reject(f"{reply.word}.count", f"{len(self._suggested)}, the drafts that were sent", reply.count)
        return reply

    def _take_turn(self, reply: Reply) -> None:
        """Answers come in the order in which the request lists them; slices need their start, which comes once."""
        stage = self._request.answers.index(type(reply))
        if stage < self._stage or (isinstance(reply, Started) and self._total is not None):
            raise MessageError(f"The message '{reply.word}' comes too late.")
        if isinstance(reply, SliceDone | Done) and self._total is None:
            raise MessageError(f"The message '{reply.word}' comes before '{Started.word}'.")
        self._stage = stage
        if isinstance(reply, Started):
            self._total = reply.total

    def _take_slice(self, reply: SliceDone) -> None:
        self._missing.discard((reply.object_id, reply.slice_index))
        if reply.done is not None:
            if reply.done != self._computed + 1 or reply.done > (self._total or 0):
                reject(f"{reply.word}.done", f"{self._computed + 1}, of {self._total} slices", reply.done)
            self._computed = reply.done

    def _take_suggestion(self, reply: Suggested) -> None:
        if reply.object_id in self._suggested:
            raise MessageError(f"The message '{reply.word}' comes twice for label {reply.object_id}.")
        self._suggested[reply.object_id] = {reply.slice_index} if reply.status != "not here" else set()

    def _take_key(self, reply: SuggestedKey) -> None:
        known = self._suggested.get(reply.object_id)
        if not known:
            raise MessageError(f"The message '{reply.word}' comes for label {reply.object_id}, which has no draft.")
        if reply.slice_index in known:
            raise MessageError(f"The message '{reply.word}' comes twice for slice {reply.slice_index}.")
        known.add(reply.slice_index)

    def _end(self, reply: Done) -> None:
        if reply.computed != self._computed:
            reject(f"{reply.word}.computed", f"{self._computed}, the slices that were sent", reply.computed)
        if self._missing:
            object_id, index = min(self._missing)
            raise MessageError(f"The message '{reply.word}' comes before slice {index} of object {object_id}.")
