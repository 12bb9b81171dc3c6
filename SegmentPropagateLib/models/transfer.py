"""A file over https into `<file>.part`, going on where an earlier attempt or run stopped."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO
from urllib.parse import urljoin, urlsplit

import requests

from SegmentPropagateLib.errors import CheckpointError
from SegmentPropagateLib.files import CHUNK_BYTES
from SegmentPropagateLib.models.registry import NamedModel

Progress = Callable[[int, int | None], None]
"""Called with the bytes on disk and the bytes in all (None where the server does not say)."""

TIMEOUT_S = (10, 60)  # to connect, between two reads

PATIENCE = 4  # attempts in a row that bring no new byte

WAIT_S = 0.5  # before the second attempt; doubles

REDIRECTIONS = 10

LARGEST_BYTES = 4 * 2**30
"""Of a file whose size is not known to us; the largest that is has 0.9 GB."""


class _BrokenOffError(Exception):
    """The connection broke or the server was busy; worth another attempt."""


def receive(model: NamedModel, part: Path, progress: Progress | None) -> None:
    """Fetch what is missing of the model's file.

    Raises:
        CheckpointError: it cannot be had; the message says what to put where.
        OSError: the disk is full or the folder is not writable.
    """
    failures = 0
    while True:
        before = size_of(part)
        try:
            _continue(model, part, progress)
            return
        except _BrokenOffError as reason:
            failures = 1 if size_of(part) > before else failures + 1
            if failures >= PATIENCE:
                raise CheckpointError(
                    f"'{model.name}' could not be downloaded ({reason}): check the network and try again (what has "
                    f"arrived is kept), {model.by_hand}."
                ) from reason
            time.sleep(WAIT_S * 2 ** (failures - 1))


def size_of(part: Path) -> int:
    """Bytes that have arrived; a link that somebody put in their place is removed."""
    if part.is_symlink():
        part.unlink()
    return part.stat().st_size if part.is_file() else 0


def _continue(model: NamedModel, part: Path, progress: Progress | None) -> None:
    """One attempt: ask for what is missing and append it; start over where the server cannot go on."""
    url = str(model.url)
    tag_file = part.with_name(part.name + ".etag")
    tag = tag_file.read_text(encoding="utf-8") if size_of(tag_file) else None
    have = size_of(part)
    headers = {"Accept-Encoding": "identity"}
    if have and (tag or model.sha256):  # with neither, halves of two versions could be joined unnoticed
        headers["Range"] = f"bytes={have}-"
        if tag:
            headers["If-Range"] = tag
    try:
        with _answer(url, headers) as response:
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                if have == model.size_bytes:
                    return
                part.unlink(missing_ok=True)
                raise _BrokenOffError("the server refused to go on, so the download starts over")
            start = _start_of(response, have)
            total = _total_of(response, start, model)
            _keep_tag(response, tag_file)
            with _open_part(part, start) as file:
                _write_body(response, file, total, _limit_of(model), progress)
    except requests.exceptions.SSLError as error:
        raise CheckpointError(
            f"The secure connection to {urlsplit(url).hostname} failed, perhaps a proxy stands between: "
            f"ask your administrator, {model.by_hand}."
        ) from error
    except requests.RequestException as error:
        raise _BrokenOffError(f"no connection to {urlsplit(url).hostname}, or it broke off") from error
    except ValueError as error:  # of an address that is none
        raise _BrokenOffError(f"{urlsplit(url).hostname} redirects to no address") from error
    tag_file.unlink(missing_ok=True)


def _answer(url: str, headers: dict[str, str]) -> requests.Response:
    """The server's answer, after redirections that are looked at one by one: none may lead off https."""
    local = _is_local(url)
    for _hop in range(REDIRECTIONS):
        if urlsplit(url).scheme != "https" and not (local and _is_local(url)):
            raise CheckpointError(f"Model files are fetched by https only, not from {url}.")
        response = requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S, allow_redirects=False)
        if not response.is_redirect:
            return response
        response.close()
        url = urljoin(url, response.headers["Location"])
    raise _BrokenOffError(f"{urlsplit(url).hostname} redirects without end")


def _is_local(url: str) -> bool:
    """Whether it is a server on this computer, as tests have."""
    return urlsplit(url).scheme == "http" and urlsplit(url).hostname in ("127.0.0.1", "localhost")


def _start_of(response: requests.Response, have: int) -> int:
    """Byte of the file at which the body of the answer starts."""
    if response.status_code == requests.codes.partial_content:
        start = response.headers.get("Content-Range", "").removeprefix("bytes ").split("-")[0]
        if start != str(have):
            raise _BrokenOffError("the server sent another part than asked for")
        return have
    if response.status_code == requests.codes.ok:
        return 0
    if response.status_code in (408, 429) or response.status_code >= 500:
        raise _BrokenOffError(f"{urlsplit(response.url).hostname} answered {response.status_code} {response.reason}")
    raise CheckpointError(
        f"{response.url} answered {response.status_code} {response.reason}: the file may have moved; give the path of "
        "a file you have instead of a model name."
    )


def _total_of(response: requests.Response, start: int, model: NamedModel) -> int | None:
    """Size of the whole file as the server tells it."""
    text = response.headers.get("Content-Length")
    if text is None:
        return None
    if not text.isdecimal() or len(text) > 18:
        raise _BrokenOffError(f"{urlsplit(response.url).hostname} told the length {text[:20]!r}")
    total = start + int(text)
    if total > _limit_of(model):
        raise _too_large(response, total, _limit_of(model))
    return total


def _limit_of(model: NamedModel) -> int:
    return model.size_bytes or LARGEST_BYTES


def _too_large(response: requests.Response, size: int, limit: int) -> CheckpointError:
    return CheckpointError(
        f"{urlsplit(response.url).hostname} sends {size} bytes or more where {limit} are the limit, so it is another "
        "file: try again later, or give the path of a file you have instead of a model name."
    )


def _keep_tag(response: requests.Response, tag_file: Path) -> None:
    """Remember the version of the file, so that only the same version is ever continued."""
    tag = response.headers.get("ETag", "")
    tag_file.unlink(missing_ok=True)
    if tag and not tag.startswith("W/"):
        with _open_part(tag_file, 0) as file:
            file.write(tag.encode())


def _open_part(path: Path, start: int) -> IO[bytes]:
    """Open for writing at a place, from the beginning as a new file; never through a link."""
    flags = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    if not start:
        path.unlink(missing_ok=True)
        flags |= os.O_CREAT | os.O_EXCL
    file = os.fdopen(os.open(path, flags, 0o644), "r+b")
    file.seek(start)
    return file


def _write_body(
    response: requests.Response, file: IO[bytes], total: int | None, limit: int, progress: Progress | None
) -> None:
    for block in response.iter_content(CHUNK_BYTES):
        if file.tell() + len(block) > limit:
            raise _too_large(response, file.tell() + len(block), limit)
        file.write(block)
        if progress:
            progress(file.tell(), total)
    file.truncate()
    if total is not None and file.tell() != total:
        raise _BrokenOffError(f"{urlsplit(response.url).hostname} broke off")
