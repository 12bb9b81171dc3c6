"""Where a remote worker is, and the token that lets one in."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.worker.messages import shown

PATH = "/v1/worker"
TOKEN, TOKEN_FILE, CA = "SEGMENTPROPAGATE_TOKEN", "SEGMENTPROPAGATE_TOKEN_FILE", "SEGMENTPROPAGATE_CA"
LONGEST_TOKEN = 1000  # characters
_FORMS = "wss://HOST, ws://localhost or ssh://USER@HOST"


@dataclass(frozen=True)
class Address:
    """A server's address.

    Args:
        scheme: `ws`, `wss` or `ssh`.
        host: name or number; never begins with a minus sign.
        port: None for the scheme's own.
        user: for `ssh`; empty where it is not told.
        path: for the others.
    """

    scheme: str
    host: str
    port: int | None
    user: str = ""
    path: str = PATH

    @property
    def is_here(self) -> bool:
        """Whether it is this computer."""
        return is_loopback(self.host)

    def url(self, scheme: str = "", path: str = "") -> str:
        """The address as a text, with another scheme or path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        return f"{scheme or self.scheme}://{host}{port}{path or self.path}"


def is_loopback(host: str) -> bool:
    """Whether a host is this computer itself, so that nothing goes over a network."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def reason_of(error: BaseException) -> str:
    """Why a socket cannot be had, in the system's words alone: asyncio and socket repeat the address in theirs.

    Names that nobody knows, and Windows, have numbers of their own, which stand for something else in `os.strerror`.
    """
    number = getattr(error, "errno", None)
    if os.name == "posix" and number and not isinstance(error, socket.gaierror):
        return os.strerror(number)
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def read_address(text: str) -> Address:
    """The address that a user has given.

    Raises:
        InputError: it is none, or one to which the token would go in the clear.
    """
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise InputError(f"The address {shown(text)} cannot be read: give {_FORMS}.") from None
    user = parts.username or ""
    is_plain = all(re.fullmatch(r"[\w.:%-]*", word) and not word.startswith("-") for word in (host, user))
    if parts.scheme not in ("ws", "wss", "ssh") or not host or not is_plain:
        raise InputError(f"The address {shown(text)} is none of a server: give {_FORMS}.")
    if parts.password or parts.query or parts.fragment or (user and parts.scheme != "ssh"):
        raise InputError("An address holds neither a password, a token nor a query: the token is given apart from it.")
    if parts.scheme == "ws" and not is_loopback(host):
        raise InputError(f"Without TLS anybody on the way could read the images: give wss://{host} in place of ws://.")
    return Address(parts.scheme, host, port, user, parts.path.rstrip("/") or PATH)


def read_token(environment: Mapping[str, str]) -> str:
    """The user's token, from the environment or a file that it names.

    Raises:
        InputError: there is none.
    """
    token = environment.get(TOKEN, "")
    name = environment.get(TOKEN_FILE, "")
    if not token and name:
        try:
            with Path(name).open(encoding="ascii") as file:
                token = file.read(LONGEST_TOKEN + 1)
        except (OSError, ValueError):
            raise InputError(f"The file with the token, {shown(name)}, cannot be read.") from None
    token = token.strip()
    if not token:
        raise InputError(f"There is no token: put the one that the server's keeper gave you into {TOKEN}.")
    if not re.fullmatch(r"[!-~]+", token) or len(token) > LONGEST_TOKEN:
        raise InputError("The token is none: it has no spaces, and letters of the English alphabet only.")
    return token


def tls_of(address: Address) -> ssl.SSLContext | None:
    """How to check who the server is; None where no TLS is used.

    Raises:
        InputError: the file of `SEGMENTPROPAGATE_CA` holds no certificate.
    """
    if address.scheme != "wss":
        return None
    name = os.environ.get(CA) or None
    try:
        return ssl.create_default_context(cafile=name)
    except (OSError, ValueError):  # SSLError is an OSError
        raise InputError(f"The file {shown(name)} of {CA} holds no certificate in PEM form.") from None
