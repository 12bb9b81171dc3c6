"""Requests from stdin to a gateway and replies back to stdout, over connections that may be lost and made again."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, BinaryIO

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from SegmentPropagateLib.worker.messages import Decoder, MessageError, write_message
from SegmentPropagateLib.worker.remote.address import Address, tls_of
from SegmentPropagateLib.worker.remote.desk import Desk
from SegmentPropagateLib.worker.remote.ending import STATUS, Ending, ending_of
from SegmentPropagateLib.worker.remote.http import refused, unreachable
from SegmentPropagateLib.worker.remote.packing import packings
from SegmentPropagateLib.worker.remote.stream import PING_S, SILENCE_S, VERSION

LARGEST_MESSAGE = 4 << 20  # bytes of one message of the WebSocket; pieces are far smaller
OPEN_S = 20.0
WAITS_S = (0.2, 0.5, 1.0, 2.0, 5.0)  # before connecting again; the last one over and over
_READ_BYTES = 1 << 18


async def stand_in(address: Address, token: str) -> Ending:
    """Serve stdin and stdout until stdin ends, or the server lets us in no more."""
    output = os.fdopen(os.dup(1), "wb")  # sys.stdout.buffer is raw under PYTHONUNBUFFERED, and may write a part only
    os.dup2(2, 1)  # whatever is printed goes to the log and not between the messages
    return await Proxy(address, token, os.dup(0), output).run()


class Proxy:
    """Keeps one session of a server, over as many connections as it takes.

    Args:
        address: of the server.
        token: that it knows.
        source: file number that requests are read from.
        sink: where replies go.
        note: is told what is for the log, without its last line's end.
    """

    def __init__(
        self, address: Address, token: str, source: int, sink: BinaryIO, note: Callable[[str], None] | None = None
    ) -> None:
        self._address, self._token, self._source = address, token, source
        self._note = note or _log
        self._desk = Desk(lambda message: write_message(sink, message), self._note)
        self._lease: str | None = None
        self._patience_s = 0.0  # how long the server keeps the session for us
        self._received = 0
        self._decoder = Decoder()
        self._ended: asyncio.Future[Ending]

    async def run(self) -> Ending:
        """Connect, and connect again, until there is an end; returns it."""
        loop = asyncio.get_running_loop()
        self._ended = loop.create_future()
        threading.Thread(target=self._read, args=(loop,), daemon=True).start()
        work = asyncio.create_task(self._stay_connected())
        try:
            await asyncio.wait([work, self._ended], return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not work.done():
                work.cancel()
            await asyncio.gather(work, return_exceptions=True)
        return self._ended.result() if self._ended.done() else work.result()

    # ---- the user's side ----------------------------------------------------------------------------------------

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take requests until they end; in a thread of its own, since a pipe's read waits."""
        decoder, ending = Decoder(), Ending(0)
        try:
            while data := os.read(self._source, _READ_BYTES):
                for message in decoder.feed(data):
                    asyncio.run_coroutine_threadsafe(self._desk.take_request(message), loop).result()
        except MessageError as error:
            ending = Ending(2, str(error))
        except (OSError, EOFError):
            pass
        with contextlib.suppress(RuntimeError):  # all is over
            loop.call_soon_threadsafe(self._end, ending)

    def _end(self, ending: Ending) -> None:
        if not self._ended.done():
            self._ended.set_result(ending)

    # ---- the server's side --------------------------------------------------------------------------------------

    async def _stay_connected(self) -> Ending:
        while True:
            ending = await self._connect_once(retry=self._lease is not None)
            if ending is not None:
                return ending
            self._note("The connection to the server was lost; connecting again.")
            await self._desk.lose()

    async def _connect_once(self, retry: bool) -> Ending | None:
        """Connect and exchange; None where the connection was lost, else how it ends."""
        give_up = time.monotonic() + self._patience_s
        for attempt in itertools.count():
            try:
                async with self._connected() as socket:
                    await self._greet(socket)
                    if retry:
                        self._note("The connection is back.")
                        await self._desk.resume()
                    return await self._exchange(socket)
            except (ConnectionClosed, InvalidHandshake, MessageError, OSError, asyncio.TimeoutError) as error:
                ending, may_pass = self._meaning_of(error)
            if not retry or not may_pass:
                return ending
            wait_s = WAITS_S[min(attempt, len(WAITS_S) - 1)]
            if time.monotonic() + wait_s > give_up:
                return Ending(4, f"The connection was lost and could not be made again. {ending.sentence}")
            await asyncio.sleep(wait_s)
        return None

    def _meaning_of(self, error: Exception) -> tuple[Ending, bool]:
        """How a connection ends that fails so, and whether another may do better."""
        if isinstance(error, ConnectionClosed) and error.rcvd and error.rcvd.code in STATUS:
            return ending_of(error.rcvd.code, error.rcvd.reason), False
        if isinstance(error, MessageError):
            return Ending(2, f"At {self._address.url()} is no server that can be used: {error}."), False
        if isinstance(error, InvalidStatus):
            ending = refused(error.response.status_code, self._address)
        else:
            ending = unreachable(self._address, error)
        return ending, ending.status != 2

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[ClientConnection]:
        options: dict[str, Any] = {} if not self._address.is_here else {"proxy": None}
        tls = tls_of(self._address)
        if tls is not None:
            options["ssl"] = tls
        async with connect(
            self._address.url(),
            additional_headers={"Authorization": f"Bearer {self._token}"},
            compression=None,  # what is worth it is packed already
            max_size=LARGEST_MESSAGE,
            open_timeout=OPEN_S,
            ping_interval=PING_S,
            ping_timeout=SILENCE_S,
            close_timeout=2.0,
            **options,
        ) as socket:
            yield socket

    async def _greet(self, socket: ClientConnection) -> None:
        """Open a session, or go on with the one there is: each side says how much it has."""
        greeting = {"version": VERSION, "lease": self._lease, "received": self._received, "packings": packings()}
        await socket.send(json.dumps(greeting))
        try:
            told = json.loads(await asyncio.wait_for(socket.recv(), OPEN_S))
            self._lease, self._patience_s = told["lease"], float(told["resume_s"])
            self._desk.packing = told["packing"]
            self._desk.outbox.rewind(told["received"])
        except (KeyError, TypeError, ValueError):
            raise MessageError("it does not greet as a server of SegmentPropagate does") from None

    async def _exchange(self, socket: ClientConnection) -> Ending | None:
        """Send and receive until the connection ends."""
        receiving, sending = (asyncio.create_task(work) for work in (self._receive(socket), self._send(socket)))
        try:
            await asyncio.wait([receiving, sending], return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
            await asyncio.wait([receiving])  # a server that has closed the line may have said more before
            closed = receiving.exception()
            if not isinstance(closed, ConnectionClosed):
                return receiving.result()
            received = closed.rcvd
            return ending_of(received.code, received.reason) if received and received.code in STATUS else None
        finally:
            for task in (receiving, sending):
                task.cancel()
            await asyncio.gather(receiving, sending, return_exceptions=True)

    async def _send(self, socket: ClientConnection) -> None:
        """Send until the line is closed, which `_receive` tells."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                self._desk.changed.clear()
                while (piece := self._desk.outbox.next()) is not None:
                    await socket.send(piece)
                await self._desk.changed.wait()

    async def _receive(self, socket: ClientConnection) -> Ending:
        while True:
            data = await socket.recv()
            if isinstance(data, str):
                self._desk.acknowledge(_count_in(data))
                continue
            try:
                for message in self._decoder.feed(data):
                    await self._desk.take_reply(message)
            except MessageError as error:
                return Ending(1, f"The server sent something unreadable ({error}).")
            except OSError:  # nobody reads any more
                return Ending(0)
            self._received += 1
            with contextlib.suppress(ConnectionClosed):  # what came before it was closed is still read
                await socket.send(json.dumps({"ack": self._received}))


def _count_in(text: str) -> object:
    """How many pieces a server says that it has."""
    try:
        return json.loads(text)["ack"]
    except (KeyError, TypeError, ValueError):
        raise MessageError("it does not count as a server of SegmentPropagate does") from None


def _log(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
