"""The server as a process: its address, its TLS, its end."""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Callable

import uvicorn

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.server.gateway import Gateway
from SegmentPropagateLib.server.settings import Settings
from SegmentPropagateLib.server.tokens import Tokens
from SegmentPropagateLib.worker.remote.address import PATH, is_loopback, reason_of
from SegmentPropagateLib.worker.remote.stream import PIECE_BYTES, PING_S, SILENCE_S

ENDING_S = 5
_BACKLOG = 128


def serve(
    settings: Settings,
    tokens: Tokens,
    place: tuple[str, int],
    certificate: tuple[str | None, str | None],
    say: Callable[[str], None],
) -> None:
    """Serve until interrupted.

    Args:
        settings: of the server.
        tokens: who may come in.
        place: address and port to listen on; port 0 takes a free one.
        certificate: files of certificate and key; Nones for none.
        say: is told where it listens.

    Raises:
        InputError: it cannot listen there, or should not.
    """
    _check_tls(place[0], certificate)
    with _listening(place) as listener:
        server = uvicorn.Server(config_of(Gateway(settings, tokens), certificate))
        scheme = "wss" if certificate[0] else "ws"
        host = f"[{place[0]}]" if ":" in place[0] else place[0]
        say(f"Serving {', '.join(settings.models)} on {scheme}://{host}:{listener.getsockname()[1]}{PATH}")
        logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
        server.run(sockets=[listener])


def config_of(gateway: Gateway, certificate: tuple[str | None, str | None] = (None, None)) -> uvicorn.Config:
    """How uvicorn serves a gateway."""
    return uvicorn.Config(
        gateway.app(),
        http="h11",
        loop="asyncio",
        ws="websockets-sansio",
        ws_max_size=4 * PIECE_BYTES,
        ws_ping_interval=PING_S,
        ws_ping_timeout=SILENCE_S,
        ws_per_message_deflate=False,  # what is worth it is packed already
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_level="warning",
        lifespan="on",
        timeout_graceful_shutdown=ENDING_S,
        ssl_certfile=certificate[0],
        ssl_keyfile=certificate[1],
    )


def _check_tls(host: str, certificate: tuple[str | None, str | None]) -> None:
    """Raise InputError where tokens and images would cross a network in the clear, or the files are none."""
    cert, key = certificate
    if bool(cert) != bool(key):
        raise InputError("TLS needs both, --cert and --key.")
    if not cert and not is_loopback(host):
        raise InputError(
            f"On '{host}' others could read the images: give --cert and --key, or listen on 127.0.0.1 behind a proxy "
            "that speaks TLS."
        )
    if cert:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password=_no_password)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"'{cert}' and '{key}' are no certificate and its key in PEM form: {reason}.") from None


def _no_password() -> str:
    raise ValueError("the key has a password, take it off")


def _listening(place: tuple[str, int]) -> socket.socket:
    try:
        family = socket.getaddrinfo(*place, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server(place, family=family, backlog=_BACKLOG)
    except OSError as error:
        raise InputError(
            f"Cannot listen on {place[0]}, port {place[1]} ({reason_of(error)}): choose another --port."
        ) from None
