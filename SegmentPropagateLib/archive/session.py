"""How an archive is asked: with whose name, over which connection, and how much it may answer."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth
from urllib3.util.retry import Retry

from SegmentPropagateLib.errors import InputError

USER, PASSWORD, TOKEN = "DICOMWEB_USER", "DICOMWEB_PASSWORD", "DICOMWEB_TOKEN"

LONGEST_LIST = 1 << 28  # bytes of an answer in JSON: half a million instances
LARGEST_OBJECT = 1 << 31  # bytes; it is held in memory, and no volume that can be opened has as many

_PORTS = range(1, 1 << 16)
_AGAIN = Retry(
    total=2,
    redirect=0,
    backoff_factor=0.2,
    status_forcelist=(429, 502, 503, 504),
    raise_on_status=False,
    respect_retry_after_header=False,  # an archive may say tomorrow
)
_Proxies = Any  # a mapping; the base class says it in a private type


def check_address(url: str) -> str:
    """The address of an archive without a slash at its end.

    Raises:
        InputError: it is none, or it holds a password; that is not repeated, as this sentence may be logged too.
    """
    if "@" in url or "?" in url:  # also of what cannot be taken apart
        raise InputError(
            f"The address names a user, a password or a query, and others can read the command line: give it without, "
            f"and set {USER} and {PASSWORD}, or {TOKEN}, or write ~/.netrc."
        )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    fits = parts.scheme in ("http", "https") and host and (port is None or port in _PORTS) and not parts.fragment
    if not fits or not re.fullmatch(r"[!-~]+", url):
        raise InputError(f"'{url}' is no address of an archive: give one such as https://HOST:8042/dicom-web.")
    return url.rstrip("/")


def is_readable_on_the_way(url: str) -> bool:
    """Whether others in the network can read what is sent: it is not encrypted, and leaves this computer."""
    parts = urlsplit(url)
    return parts.scheme == "http" and not _is_loopback(parts.hostname or "")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def new_session(environment: Mapping[str, str] = os.environ) -> requests.Session:
    """A session with the name and password, or the token, of the environment; with neither ~/.netrc is asked.

    Raises:
        InputError: the environment has half of it, or a token that can be none.
    """
    session = _Session()
    user, password, token = (environment.get(name, "") for name in (USER, PASSWORD, TOKEN))
    if bool(user) != bool(password) or (user and token):
        raise InputError(f"Set both {USER} and {PASSWORD}, or {TOKEN} alone.")
    if token and not re.fullmatch(r"[!-~]+", token):
        raise InputError(f"The environment's {TOKEN} is no token: it has blanks or letters that none has.")
    if user:
        session.auth = HTTPBasicAuth(user.encode(), password.encode())  # UTF-8; a text would be Latin-1
    if token:
        session.auth = _bearer_of(token)
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter(max_retries=_AGAIN))
    return session


def _bearer_of(token: str) -> Callable[[requests.PreparedRequest], requests.PreparedRequest]:
    """As a function: a header of the session would give way to ~/.netrc."""

    def sign(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {token}"
        return request

    return sign


class _Session(requests.Session):
    """Stays with the host that was named, and asks no proxy for what runs on this computer."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Where an answer leads.

        Raises:
            InputError: to another host, as to a page for logging in, or off an encrypted connection.
        """
        target = super().get_redirect_target(resp)
        if target is not None:
            here, there = urlsplit(resp.url), urlsplit(urljoin(resp.url, target))
            if here.hostname != there.hostname or (here.scheme, there.scheme) == ("https", "http"):
                raise InputError(
                    f"{here.netloc} leads on to {there.scheme}://{there.netloc}, which was not asked for (a page for "
                    f"logging in?): check the address, or ask for one that programs can use."
                )
        return target

    def merge_environment_settings(self, url: Any, proxies: _Proxies, stream: Any, verify: Any, cert: Any) -> Any:
        """Take proxies and certificates from the environment."""
        host = urlsplit(url).hostname or ""
        if _is_loopback(host):
            proxies = {**(proxies or {}), "no_proxy": host}
        return super().merge_environment_settings(url, proxies, stream, verify, cert)


class _Adapter(HTTPAdapter):
    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        """Send a request."""
        request.headers.pop("Host", None)  # dicomweb-client leaves out the port
        return super().send(request, *args, **options)

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """An answer that ends, with an error, where it gets too long."""
        response = super().build_response(req, resp)
        most = LONGEST_LIST if "json" in req.headers.get("Accept", "") else LARGEST_OBJECT
        response.raw = _Bounded(resp, most, urlsplit(req.url or "").netloc)
        return response


class _Bounded:
    """An answer of urllib3 that yields so many bytes and no more, however well they were compressed."""

    def __init__(self, raw: Any, most: int, host: str) -> None:
        self._raw, self._most, self._host = raw, most, host

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def stream(self, amount: int, decode_content: bool | None = None) -> Iterator[bytes]:
        left = self._most
        for block in self._raw.stream(amount, decode_content=decode_content):
            left -= len(block)
            if left < 0:
                raise InputError(
                    f"{self._host} answers with more than {self._most >> 20} MiB, which is not what was asked for: "
                    f"check the address."
                )
            yield block
