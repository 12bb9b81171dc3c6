"""What the stand-in of a remote worker does with each request and reply; knows no sockets."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from SegmentPropagateLib.worker.fields import identity_of
from SegmentPropagateLib.worker.messages import MAX_PAYLOAD_BYTES, Message, MessageError, encode
from SegmentPropagateLib.worker.remote.packing import describe, digest, pack_mask, pack_voxels, unpack
from SegmentPropagateLib.worker.remote.stream import Outbox
from SegmentPropagateLib.worker.replies import REPLIES, Cancelled, Remote
from SegmentPropagateLib.worker.requests import Cancel, Propagate, Quit, Segment, TakeVolume

OFFER, WANTED, VOXELS, LOG = "offer", "wanted", "voxels", "log"
"""Words that only client and gateway know: is this volume known, no, here it is; what the worker says on stderr."""
_TELLABLE = (Segment.word, Propagate.word)  # whose answers may hold a `Remote`


@dataclass
class _Open:
    """A request without a final reply.

    Args:
        word: which one.
        end: pieces of the outbox up to its last one.
        voxels: of a volume that was offered.
    """

    word: str
    end: int
    voxels: NDArray[Any] | None = None


class Desk:
    """Requests go into the outbox, smaller than they came; replies go to the user as a worker would send them.

    Args:
        answer: hands one reply to the user, and may wait for him.
        note: is told what is for the log.

    Attributes:
        outbox: what goes to the gateway.
        changed: set when there is something to send.
        packing: how the gateway wants voxels.
    """

    def __init__(self, answer: Callable[[Message], None], note: Callable[[str], None]) -> None:
        self.outbox, self.changed, self.packing = Outbox(), asyncio.Event(), "zlib"
        self._answer, self._note = answer, note
        self._turn = asyncio.Lock()  # replies are written one after the other
        self._open: dict[int, _Open] = {}
        self._settled: set[int] = set()  # answered here: what the server still says of them is dropped
        self._is_lost = False

    async def take_request(self, message: Message) -> None:
        """Send a request on, or answer it here."""
        identity = int(message.header["id"]) if type(message.header.get("id")) is int else 0
        if message.type == Cancel.word and self._may_settle(identity):
            self._put(message)
            self._settle(identity)
            await self._hand(Cancelled().to_message(identity))
            return
        voxels = message.array if message.type == TakeVolume.word else None
        if voxels is not None:
            told = {**message.header, "type": OFFER, "sha256": await asyncio.to_thread(digest, voxels)}
            message = Message({**told, "unpacked": describe(voxels)})
        self._put(message)
        if message.type not in (Cancel.word, Quit.word):
            self._open[identity] = _Open(message.type, self.outbox.count, voxels)

    async def take_reply(self, message: Message) -> None:
        """Hand a reply to the user, unless it is for us."""
        identity = identity_of(message)
        if message.type == WANTED:
            await self._send_voxels(identity)
            return
        if message.type == LOG and message.array is not None:
            self._note(message.array.tobytes().decode("utf-8", "replace").rstrip("\n"))
            return
        kind = REPLIES.get(message.type)
        is_final = kind is None or kind.final
        if is_final:
            self._open.pop(identity, None)
        if identity in self._settled:
            if is_final:
                self._settled.discard(identity)
            return
        if message.type == "welcome":
            message = Message({**message.header, "pid": os.getpid()})
        await self._hand(unpack(message, MAX_PAYLOAD_BYTES))

    def acknowledge(self, count: object) -> None:
        """The gateway has so many pieces."""
        self.outbox.acknowledge(count)
        self.changed.set()

    async def lose(self) -> None:
        """The connection is lost."""
        self._is_lost = True
        await self._tell("lost")

    async def resume(self) -> None:
        """It is back."""
        self._is_lost = False
        self.changed.set()
        await self._tell("resumed")

    async def _tell(self, state: str) -> None:
        for identity, request in list(self._open.items()):
            if request.word in _TELLABLE:
                await self._hand(Remote(state, 0).to_message(identity))  # type: ignore[arg-type] # is checked there

    def _may_settle(self, identity: int) -> bool:
        """Whether a request can be cancelled only here: the gateway does not know of it, or cannot say so."""
        request = self._open.get(identity)
        return request is not None and (self._is_lost or self.outbox.acknowledged < request.end)

    def _settle(self, identity: int) -> None:
        self._settled.add(identity)
        del self._open[identity]

    async def _send_voxels(self, identity: int) -> None:
        request = self._open.get(identity)
        if identity in self._settled:
            return
        if request is None or request.voxels is None:
            raise MessageError("The server asks for voxels that it was not offered.")
        packed = await asyncio.to_thread(pack_voxels, request.voxels, self.packing)
        told = {"type": VOXELS, "id": identity, "packed": self.packing, "unpacked": describe(request.voxels)}
        self._put(Message(told, packed))
        request.end = self.outbox.count

    def _put(self, message: Message) -> None:
        self.outbox.put(encode(pack_mask(message)))
        self.changed.set()

    async def _hand(self, message: Message) -> None:
        async with self._turn:
            await asyncio.to_thread(self._answer, message)
