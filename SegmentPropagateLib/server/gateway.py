"""The gateway: who comes in by `/v1/worker`, and what `/healthz` and `/capabilities` answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from SegmentPropagateLib import __version__
from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.models.registry import REGISTRY
from SegmentPropagateLib.server.house import House
from SegmentPropagateLib.server.lease import LOST, Lease
from SegmentPropagateLib.server.settings import RefusedError, Settings
from SegmentPropagateLib.server.tokens import Tokens
from SegmentPropagateLib.worker.messages import MessageError
from SegmentPropagateLib.worker.protocol import PROTOCOL
from SegmentPropagateLib.worker.remote.address import PATH
from SegmentPropagateLib.worker.remote.packing import packings
from SegmentPropagateLib.worker.remote.stream import VERSION, Close

log = logging.getLogger(__name__)

GREETING_S = 10.0
CLOSING_S = 5.0
LONGEST_REASON = 120  # bytes that a close frame holds, nearly
LARGEST_TEXT = 4096  # characters
NO_TOKEN = "This server lets nobody in without a token of its own: ask its keeper."


class Gateway:
    """Sessions by the key of their lease.

    Args:
        settings: of the server.
        tokens: who may come in.
    """

    def __init__(self, settings: Settings, tokens: Tokens) -> None:
        self._settings, self._tokens, self._house = settings, tokens, House(settings)
        self._leases: dict[str, Lease] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def app(self) -> Starlette:
        """What uvicorn serves."""
        routes = [
            WebSocketRoute(PATH, self.connect),
            Route("/healthz", self.health),
            Route("/capabilities", self.tell_capabilities),
        ]
        return Starlette(routes=routes, lifespan=self._lifespan)

    async def health(self, _request: Request) -> JSONResponse:
        """For whoever watches the server; tells nothing of anybody."""
        slots = self._house.slots
        busy = self._settings.slots - slots.free
        return JSONResponse({"ok": True, "sessions": len(self._leases), "computing": busy, "waiting": slots.waiting})

    async def tell_capabilities(self, request: Request) -> JSONResponse:
        """Models, versions and limits, for users."""
        user = self._user_of(request)
        if user is None:
            return JSONResponse({"sentence": NO_TOKEN}, 401)
        return JSONResponse({"user": user, **capabilities(self._settings)})

    async def connect(self, websocket: WebSocket) -> None:
        """One connection, from its token to its close frame."""
        user = self._user_of(websocket)
        if user is None:
            await websocket.send_denial_response(JSONResponse({"sentence": NO_TOKEN}, 401))
            return
        await websocket.accept()
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # the latter where a close frame crosses ours
            try:
                await self._serve(websocket, user)
            except RefusedError as reason:
                sentence = str(reason).encode()[:LONGEST_REASON].decode(errors="ignore")
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(websocket.close(reason.code, sentence), CLOSING_S)

    async def _serve(self, websocket: WebSocket, user: str) -> None:
        greeting = await _greeting_of(websocket)
        lease = self._lease_of(user, greeting)
        try:
            line = lease.connect(greeting.get("received"))
        except MessageError as error:
            raise RefusedError(Close.REFUSED, str(error)) from None
        try:
            packing = next((one for one in packings() if one in greeting.get("packings", ())), "zlib")
            told = {"lease": lease.key, "received": lease.received, "resume_s": self._settings.resume_s}
            await websocket.send_text(json.dumps({**told, "packing": packing}))
            await _exchange(websocket, lease, line)
        finally:
            lease.disconnect(line)

    def _lease_of(self, user: str, greeting: Mapping[str, Any]) -> Lease:
        """The session to go on with, or a new one.

        Raises:
            RefusedError: there is none of that key, the user has one already, or there is no room.
        """
        key = greeting.get("lease")
        if key is not None:
            lease = self._leases.get(str(key))
            if lease is None or lease.user != user:
                raise RefusedError(Close.GONE, LOST)
            return lease
        mine = [lease for lease in self._leases.values() if lease.user == user]
        if any(lease.is_connected for lease in mine):
            raise RefusedError(
                Close.CONNECTED, f"{user} is connected already: close the other Slicer, or use another token."
            )
        others = [lease for lease in self._leases.values() if not lease.is_connected and lease not in mine]
        if len(self._leases) - len(mine) >= self._settings.most_users and others:
            mine.append(others[0])  # whoever is there goes before whoever has gone
        elif len(self._leases) - len(mine) >= self._settings.most_users:
            raise RefusedError(
                Close.FULL, f"The server is full, it takes {self._settings.most_users} users: try again later."
            )
        for lease in mine:
            self._forget(lease, LOST)
        return self._open(user)

    def _open(self, user: str) -> Lease:
        lease = Lease(user, self._house)
        self._leases[lease.key] = lease
        task = asyncio.create_task(lease.run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _task: self._leases.pop(lease.key, None))
        return lease

    def _forget(self, lease: Lease, sentence: str) -> None:
        lease.end(RefusedError(Close.GONE, sentence))
        self._leases.pop(lease.key, None)

    def _user_of(self, connection: HTTPConnection) -> str | None:
        """Who comes; nobody comes in while the file of tokens is damaged, which its keeper is told."""
        try:
            return self._tokens.user_of(connection.headers.get("authorization", ""))
        except InputError as error:
            log.warning("%s", error)
            return None

    @contextlib.asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """No worker stays behind when the server ends."""
        yield
        for lease in list(self._leases.values()):
            self._forget(lease, "The server was ended.")
        await asyncio.gather(*self._tasks, return_exceptions=True)


def capabilities(settings: Settings) -> dict[str, Any]:
    """What users may know of a server, JSON-able."""
    known = [(name, REGISTRY.get(name)) for name in settings.models]
    limits = ("slots", "most_users", "queued", "volume_bytes", "mask_bytes", "idle_s", "resume_s", "unread_s")
    return {
        "version": __version__,
        "protocol": PROTOCOL,
        "models": [
            {"name": name, "about": model.about if model else "", "licence": model.licence if model else ""}
            for name, model in known
        ],
        "limits": {name: getattr(settings, name) for name in limits},
    }


async def _greeting_of(websocket: WebSocket) -> Mapping[str, Any]:
    """The first message of a connection, which says what session it is for.

    Raises:
        RefusedError: it is another one, or does not come.
    """
    try:
        text = await asyncio.wait_for(websocket.receive_text(), GREETING_S)
        greeting = json.loads(text) if len(text) <= LARGEST_TEXT else None
    except (asyncio.TimeoutError, KeyError, ValueError):
        greeting = None
    if not isinstance(greeting, dict) or greeting.get("version") != VERSION:
        raise RefusedError(
            Close.REFUSED, f"The server speaks version {VERSION} of the connection: update the older side."
        )
    return greeting


async def _exchange(websocket: WebSocket, lease: Lease, line: asyncio.Future[None]) -> None:
    """Send and receive until the connection ends.

    Raises:
        RefusedError: it was ended from here.
        WebSocketDisconnect: it was ended from there, or lost.
    """
    tasks = [asyncio.create_task(work) for work in (_receive(websocket, lease), _send(websocket, lease))]
    try:
        ends: list[asyncio.Future[Any]] = [*tasks, lease.closed, line]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()
        if line.done():
            raise RefusedError(Close.GONE, "Another connection has taken over the session.")
    except WebSocketDisconnect as error:
        if error.code == Close.NORMAL:
            lease.end(RefusedError(Close.NORMAL))
        raise
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(_send_rest(websocket, lease), CLOSING_S)
    raise lease.closed.result()


async def _receive(websocket: WebSocket, lease: Lease) -> None:
    while True:
        event = await websocket.receive()
        if event["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(event.get("code", 1006))
        if event.get("bytes") is not None:
            lease.feed(event["bytes"])
            continue
        try:
            lease.acknowledge(json.loads(event["text"][:LARGEST_TEXT])["ack"])
        except (MessageError, KeyError, TypeError, ValueError):
            raise RefusedError(Close.REFUSED, "The client counts otherwise than the server.") from None


async def _send(websocket: WebSocket, lease: Lease) -> None:
    told = lease.received
    while True:
        lease.changed.clear()
        if told != lease.received:
            told = lease.received
            await websocket.send_text(json.dumps({"ack": told}))
        await _send_rest(websocket, lease)
        if told == lease.received:
            await lease.changed.wait()


async def _send_rest(websocket: WebSocket, lease: Lease) -> None:
    while (piece := lease.outbox.next()) is not None:
        await websocket.send_bytes(piece.tobytes())
