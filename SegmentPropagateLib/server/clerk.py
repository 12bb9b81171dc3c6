"""One user's requests, one after the other: what may pass, when, and what comes back."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import numpy as np

from SegmentPropagateLib.errors import SegmentPropagateError
from SegmentPropagateLib.server.child import Child
from SegmentPropagateLib.server.house import House
from SegmentPropagateLib.server.rules import admit, admit_offer
from SegmentPropagateLib.server.settings import RefusedError
from SegmentPropagateLib.wording import counted
from SegmentPropagateLib.worker.fields import identity_of
from SegmentPropagateLib.worker.messages import Message, MessageError
from SegmentPropagateLib.worker.remote.desk import LOG, OFFER, VOXELS, WANTED
from SegmentPropagateLib.worker.remote.packing import digest, pack_mask, unpack
from SegmentPropagateLib.worker.remote.stream import Close, Outbox
from SegmentPropagateLib.worker.replies import REPLIES, Cancelled, Failed, Noted, Remote, Reply
from SegmentPropagateLib.worker.requests import Cancel, GetAhead, Propagate, Quit, Segment, TakeVolume
from SegmentPropagateLib.worker.worker import failure_of

DIED = "The worker on the server ended unexpectedly: try again."
DISOBEYED = "The worker on the server did not stop when asked to and was ended; the next run starts a new one."
LAST_WORDS_S = 1.0
MOST_LOG_BYTES = 1 << 20  # that are on their way to a user; beyond it what a worker logs is dropped
_NEED_SLOTS = (Segment, Propagate)


@dataclass(eq=False)
class _Job:
    """A request on its way.

    Args:
        identity: of the request.
        message: as it came.
        voxels: of a volume that was offered, when they have come.
        is_asked: whether the worker has it.
        holds_slot: whether others wait for it.
        stop_asked: when it was cancelled at the worker.
        excuse: said in place of all that the worker still answers.
    """

    identity: int
    message: Message
    voxels: asyncio.Future[Message] | None = None
    is_asked: bool = False
    holds_slot: bool = False
    stop_asked: float | None = None
    excuse: str = ""
    final: asyncio.Event = field(default_factory=asyncio.Event)


class Clerk:
    """Takes the requests of one session and gives them to its worker in turn.

    Args:
        user: whose session it is.
        house: what the users share.
        emit: hands a reply to the user; does not wait.
        outbox: what the user has not taken yet.

    Attributes:
        active_since: when the last request ended, on the monotonic clock.
        room: set while the user takes the replies; without it the worker waits.
    """

    def __init__(self, user: str, house: House, emit: Callable[[Message], None], outbox: Outbox) -> None:
        self.active_since = time.monotonic()  # or idle, where there is no request
        self.room = asyncio.Event()
        self.room.set()
        self._user, self._house, self._emit, self._outbox = user, house, emit, outbox
        self._queue: deque[_Job] = deque()
        self._arrived = asyncio.Event()
        self._job: _Job | None = None
        self._task: asyncio.Task[None] | None = None
        self._child: Child | None = None
        self._listening: asyncio.Task[None] | None = None
        self._logging: asyncio.Task[None] | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is asked."""
        return self._job is None and not self._queue

    @property
    def holds_slot(self) -> bool:
        """Whether it computes."""
        return self._job is not None and self._job.holds_slot

    def take(self, message: Message) -> None:
        """Take a message of the user.

        Raises:
            RefusedError: it ends the session.
            MessageError: it has no id.
        """
        if message.type == Quit.word:
            raise RefusedError(Close.NORMAL)
        identity = identity_of(message)
        if message.type == Cancel.word:
            self._cancel(identity)
        elif message.type == VOXELS:
            self._deliver(identity, message)
        elif len(self._queue) >= self._house.settings.queued:
            sentence = f"{counted(len(self._queue), 'request')} of yours wait already: wait for them, or cancel some."
            self._answer(identity, Failed("input", sentence))
        else:
            self._queue.append(_Job(identity, message))
            self._arrived.set()

    async def run(self) -> None:
        """Fulfil what comes, for ever.

        Raises:
            RefusedError: the worker has died.
        """
        while True:
            while not self._queue:
                self._arrived.clear()
                await self._arrived.wait()
            self._job = job = self._queue.popleft()
            self._task = asyncio.create_task(self._fulfil(job))
            try:
                await asyncio.wait([self._task])
                if self._task.cancelled():
                    self._answer(job.identity, Cancelled())
                else:
                    self._task.result()
            finally:
                self._task.cancel()
                self._job, self.active_since = None, time.monotonic()

    def give_up(self, sentence: str) -> None:
        """End what is computed, and say so in place of its result."""
        if self._job is not None and self._job.is_asked:
            self._job.excuse = self._job.excuse or sentence
            self._stop(self._job)
            self.room.set()

    def check_worker(self) -> None:
        """Raise RefusedError where the worker was asked to stop and has not for too long, or died while idle."""
        if self._job is None and self._listening is not None and self._listening.done():
            raise RefusedError(Close.DIED, DIED)
        asked = self._job.stop_asked if self._job else None
        if asked is not None and time.monotonic() - asked > self._house.settings.obey_s:
            raise RefusedError(Close.DIED, DISOBEYED)

    async def close(self) -> None:
        """End the worker."""
        for task in (self._task, self._listening, self._logging):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        if self._child is not None:
            await self._child.kill()

    # ---- one request --------------------------------------------------------------------------------------------

    async def _fulfil(self, job: _Job) -> None:
        try:
            if job.message.type == OFFER:
                await self._ask(job, await self._volume_of(job))
                return
            request = admit(job.message, self._house.settings)
        except (SegmentPropagateError, MemoryError) as error:
            if isinstance(error, RefusedError):
                raise
            self._emit(failure_of(error).to_message(job.identity))
            return
        if isinstance(request, GetAhead):  # and leave it: others compute on the same device
            self._answer(job.identity, Noted())
            return
        async with AsyncExitStack() as stack:
            if isinstance(request, _NEED_SLOTS):
                await stack.enter_async_context(
                    self._house.slots.held(lambda ahead: self._answer(job.identity, Remote("queued", ahead)))
                )
                job.holds_slot = True
            await self._ask(job, request.to_message(job.identity))

    async def _volume_of(self, job: _Job) -> Message:
        """The request with the voxels that were offered, from before or from the user.

        Raises:
            SegmentPropagateError: it cannot be taken, or other voxels have come.
        """
        offer = admit_offer(job.message, self._house.settings)
        known = self._house.volumes.find(self._user, offer.sha256)
        packed = known
        if packed is None:
            job.voxels = asyncio.get_running_loop().create_future()
            self._emit(Message({"type": WANTED, "id": job.identity}))
            packed = await job.voxels
        plain = await asyncio.to_thread(unpack, packed, self._house.settings.volume_bytes)
        if plain.array is None or (known is None and await asyncio.to_thread(digest, plain.array) != offer.sha256):
            raise MessageError("The voxels that came are not those that were offered.")
        self._house.volumes.keep(self._user, offer.sha256, packed)
        return TakeVolume(offer.volume, plain.array).to_message(job.identity)

    async def _ask(self, job: _Job, message: Message) -> None:
        """Have the worker answer a request."""
        if self._child is None:
            self._child = await Child.start(self._house.settings.command)
            self._listening = asyncio.create_task(self._listen(self._child))
            self._logging = asyncio.create_task(self._log(self._child))
        job.is_asked = True
        self._child.write(message)
        await self._child.drain()
        final = asyncio.ensure_future(job.final.wait())
        listening = self._listening
        try:
            await asyncio.wait([final, *([listening] if listening else [])], return_when=asyncio.FIRST_COMPLETED)
        finally:
            final.cancel()
        if not job.final.is_set():
            if self._logging is not None:  # its last words say why
                await asyncio.wait([self._logging], timeout=LAST_WORDS_S)
            raise RefusedError(Close.DIED, DIED)

    async def _listen(self, child: Child) -> None:
        """Pass on what the worker answers, no faster than the user takes it."""
        async for message in child.replies():
            job, kind = self._job, REPLIES.get(message.type)
            if job is None or kind is None or message.header.get("id") != job.identity:
                continue
            if not job.excuse:
                self._emit(pack_mask(message))
            elif kind.final:
                self._answer(job.identity, Failed("internal", job.excuse))
            if kind.final:
                job.final.set()
            await self.room.wait()

    async def _log(self, child: Child) -> None:
        """Show the user what his worker says beside its answers; not all of it, where that is very much."""
        async for data in child.log():
            if self._outbox.held_bytes < MOST_LOG_BYTES:
                self._emit(Message({"type": LOG, "id": 0}, np.frombuffer(data, np.uint8)))

    # ---- what does not wait its turn ----------------------------------------------------------------------------

    def _cancel(self, identity: int) -> None:
        waiting = [job for job in self._queue if job.identity == identity]
        for job in waiting:
            self._queue.remove(job)
            self._answer(identity, Cancelled())
        if self._job is not None and self._job.identity == identity:
            if self._job.is_asked:
                self._stop(self._job)
            elif self._task is not None:
                self._task.cancel()

    def _stop(self, job: _Job) -> None:
        if self._child is not None and job.stop_asked is None:
            job.stop_asked = time.monotonic()
            self._child.write(Cancel().to_message(job.identity))

    def _deliver(self, identity: int, message: Message) -> None:
        job = self._job
        if job is not None and job.identity == identity and job.voxels is not None and not job.voxels.done():
            job.voxels.set_result(message)
        # else the request was cancelled while they were on their way

    def _answer(self, identity: int, reply: Reply) -> None:
        self._emit(reply.to_message(identity))
