"""Downloads of model files: https, SHA-256, resumed where they broke off, the licence told first.

Nothing here loads a file; `networks.checkpoints` does, and trusts no byte of it.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import requests

from SegmentPropagateLib.errors import CheckpointError, InputError
from SegmentPropagateLib.files import CHUNK_BYTES, file_sha256
from SegmentPropagateLib.models.registry import NamedModel

Progress = Callable[[int, int | None], None]
"""Called with the bytes on disk and the bytes in all (None where the server does not say)."""

Notify = Callable[[str], None]
"""Takes one sentence for the user."""

TIMEOUT_S = (10, 60)  # to connect, between two reads

PATIENCE = 4  # attempts in a row that bring no new byte

WAIT_S = 0.5  # before the second attempt; doubles


def _say_nothing(message: str) -> None:
    del message


def fetch(model: NamedModel, notify: Notify = _say_nothing, progress: Progress | None = None) -> Path:
    """Return the checked local file of a model that has one, downloading it when it is missing.

    Args:
        model: an entry of the registry with a `file_name`.
        notify: is told, before a download, what is fetched from where under which licence.
        progress: see `Progress`.

    Raises:
        CheckpointError: the file cannot be had or is not the published one; the message says what to put where.
    """
    path = model.path
    if path is None:
        raise InputError(f"The model '{model.name}' has no file.")
    if model.url is None:
        if not path.is_file():
            raise CheckpointError(f"The file {path} of the model '{model.name}' is missing: install the package again.")
        return path
    if not path.is_file():
        part = _download(model, path, notify, progress)
        _check_digest(model, path, part, notify)
        part.replace(path)
    elif not _record_of(path).is_file():  # put there by hand
        _check_digest(model, path, path, notify)
    return path


def _record_of(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _check_digest(model: NamedModel, path: Path, file: Path, notify: Notify) -> None:
    """Compare a complete file with the known or recorded digest and record it; a wrong download is deleted."""
    record = _record_of(path)
    digest = file_sha256(file)
    expected = model.sha256
    if expected is None and record.is_file():
        expected = record.read_text(encoding="utf-8").split()[0]
    if expected is None:
        notify(
            f"The publisher's SHA-256 of {path.name} is not known to us; this file's is {digest}, kept for next time."
        )
    elif digest != expected:
        if file != path:
            file.unlink()
        raise CheckpointError(
            f"{file.name} is not the published file of '{model.name}' (SHA-256 {digest[:12]}..., expected "
            f"{expected[:12]}...): {'remove it' if file == path else 'try again later'}, {_by_hand(model)}."
        )
    record.write_text(f"{digest}  {path.name}\n")


def _by_hand(model: NamedModel) -> str:
    return f"or fetch {model.url} with a browser and put it at {model.path}"


class _BrokenOffError(Exception):
    """The connection broke or the server was busy; worth another attempt."""


def _download(model: NamedModel, path: Path, notify: Notify, progress: Progress | None) -> Path:
    """Fetch the model's URL into `<path>.part`, going on where an earlier attempt or run stopped."""
    size = f"{model.size_bytes / 1e6:.0f} MB" if model.size_bytes else "size not known"
    notify(f"Downloading {model.name} ({size}) from {model.url}; licence of the weights: {model.licence}.")
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(path.parent).free
    except OSError as error:
        raise CheckpointError(
            f"The model folder {path.parent} cannot be used ({error.strerror}): set SEGMENTPROPAGATE_HOME to a folder "
            "you may write to."
        ) from error
    if model.size_bytes and free < model.size_bytes:
        raise CheckpointError(
            f"{path.parent} has {free / 1e6:.0f} MB left and '{model.name}' needs {model.size_bytes / 1e6:.0f} MB: "
            "make room, or set SEGMENTPROPAGATE_HOME to another folder."
        )
    failures = 0
    while True:
        before = _size(part)
        try:
            _continue(model, part, progress)
            return part
        except _BrokenOffError as reason:
            failures = 1 if _size(part) > before else failures + 1
            if failures >= PATIENCE:
                raise CheckpointError(
                    f"'{model.name}' could not be downloaded ({reason}): check the network and try again (what has "
                    f"arrived is kept), {_by_hand(model)}."
                ) from reason
            time.sleep(WAIT_S * 2 ** (failures - 1))


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _continue(model: NamedModel, part: Path, progress: Progress | None) -> None:
    """One attempt: ask for what is missing and append it; start over where the server cannot go on."""
    url = str(model.url)
    _require_secure(url)
    tag_file = part.with_name(part.name + ".etag")
    tag = tag_file.read_text(encoding="utf-8") if tag_file.is_file() else None
    have = _size(part)
    headers = {"Accept-Encoding": "identity"}
    if have and (tag or model.sha256):  # with neither, halves of two versions could be joined unnoticed
        headers["Range"] = f"bytes={have}-"
        if tag:
            headers["If-Range"] = tag
    try:
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as response:
            _require_secure(response.url)
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                if have == model.size_bytes:
                    return
                part.unlink(missing_ok=True)
                raise _BrokenOffError("the server refused to go on, so the download starts over")
            start = _start_of(response, have)
            _keep_tag(response, tag_file)
            with part.open("r+b" if start else "wb") as file:
                file.seek(start)
                _write_body(response, file, progress)
    except requests.exceptions.SSLError as error:
        raise CheckpointError(
            f"The secure connection to {urlsplit(url).hostname} failed, perhaps a proxy stands between: "
            f"ask your administrator, {_by_hand(model)}."
        ) from error
    except requests.RequestException as error:
        raise _BrokenOffError(f"no connection to {urlsplit(url).hostname}, or it broke off") from error
    tag_file.unlink(missing_ok=True)


def _keep_tag(response: requests.Response, tag_file: Path) -> None:
    """Remember the version of the file, so that only the same version is ever continued."""
    tag = response.headers.get("ETag", "")
    if tag and not tag.startswith("W/"):
        tag_file.write_text(tag)
    else:
        tag_file.unlink(missing_ok=True)


def _require_secure(url: str) -> None:
    address = urlsplit(url)
    if address.scheme != "https" and not (address.scheme == "http" and address.hostname in ("127.0.0.1", "localhost")):
        raise CheckpointError(f"Model files are fetched by https only, not from {url}.")


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


def _write_body(response: requests.Response, file: IO[bytes], progress: Progress | None) -> None:
    length = response.headers.get("Content-Length")
    total = file.tell() + int(length) if length else None
    for block in response.iter_content(CHUNK_BYTES):
        file.write(block)
        if progress:
            progress(file.tell(), total)
    file.truncate()
    if total is not None and file.tell() != total:
        raise _BrokenOffError(f"{urlsplit(response.url).hostname} broke off")
