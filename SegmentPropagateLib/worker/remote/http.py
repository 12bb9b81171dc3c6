"""Who a server is, asked without opening a session: for a button that tests the settings."""

from __future__ import annotations

import json
import ssl
import sys
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPSHandler, OpenerDirector, ProxyHandler, Request, build_opener

from SegmentPropagateLib.worker.messages import shown
from SegmentPropagateLib.worker.remote.address import Address, reason_of, tls_of
from SegmentPropagateLib.worker.remote.ending import Ending

PATIENCE_S = 15.0
LARGEST_ANSWER = 1 << 20  # bytes
WRONG_TOKEN = "The server does not know this token: ask its keeper for one, or look whether it is whole."


def ask_who(address: Address, token: str) -> Ending:
    """Print what `GET /capabilities` answers, as one line of JSON."""
    path = address.path.rsplit("/v1/", 1)[0] if "/v1/" in address.path else ""
    url = address.url("https" if address.scheme == "wss" else "http", f"{path}/capabilities")
    try:
        with _opener(address).open(
            Request(url, headers={"Authorization": f"Bearer {token}"}), timeout=PATIENCE_S
        ) as got:
            told = json.loads(got.read(LARGEST_ANSWER))
    except HTTPError as error:
        return refused(error.code, address)
    except (OSError, ValueError) as error:  # URLError is an OSError; no JSON is a ValueError
        return unreachable(address, error.reason if isinstance(error, URLError) else error)
    sys.stdout.write(f"{json.dumps(told)}\n")
    sys.stdout.flush()
    return Ending(0)


def refused(status: int, address: Address) -> Ending:
    """What an HTTP status means that lets nobody in."""
    if status in (401, 403):
        return Ending(2, WRONG_TOKEN)
    if status == 404:
        return Ending(
            2, f"There is no server of SegmentPropagate at {address.url()}: look whether the address is right."
        )
    return Ending(3, f"The server at {address.host} answers with status {status}: try again later.")


def unreachable(address: Address, error: Any) -> Ending:
    """What it means that a server cannot be reached."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Ending(
            2,
            f"The certificate of {address.host} cannot be trusted ({shown(error.verify_message)}): "
            "name its PEM file in SEGMENTPROPAGATE_CA, or have the server use another.",
        )
    if isinstance(error, ssl.SSLError):
        return Ending(2, f"The server at {address.host} does not speak TLS: look whether address and port are right.")
    return Ending(3, f"The server at {address.url()} does not answer ({shown(reason_of(error))}): is it running?")


def _opener(address: Address) -> OpenerDirector:
    handlers: list[Any] = [ProxyHandler({})] if address.is_here else []
    context = tls_of(address)
    return build_opener(*handlers, *([HTTPSHandler(context=context)] if context else []))
