"""The models that have a name: what they are, where their files lie, and how a missing one is downloaded.

Nothing here loads a file; `checkpoints` does, and trusts no byte of it.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO
from urllib.parse import urlsplit

import requests

from SegmentPropagateLib.errors import CheckpointError, InputError

Progress = Callable[[int, int | None], None]
"""Called with the bytes on disk and the bytes in all (None where the server does not say)."""

Notify = Callable[[str], None]
"""Takes one sentence for the user."""

CHUNK_BYTES = 1 << 18
TIMEOUT_S = (10, 60)  # to connect, between two reads
PATIENCE = 4  # attempts in a row that bring no new byte
WAIT_S = 0.5  # before the second attempt; doubles

META = "https://dl.fbaipublicfiles.com/segment_anything_2/092824/"
MEDSAM2 = "https://huggingface.co/wanglab/MedSAM2/resolve/main/"
MEDSAM2_LICENCE = "research and education only, see https://huggingface.co/wanglab/MedSAM2"


@dataclass(frozen=True)
class NamedModel:
    """A model that can be asked for by name.

    Args:
        name: what the user types.
        about: one line for lists.
        family: as in `network.NetworkConfig`; "classical" is no network.
        image_size: side of the square that the network sees, in pixels; None where there is no network.
        licence: of the weights.
        file_name: name of the file in the package (`url` is None) or in the cache; None where no file is needed.
        url: where the file is published.
        size_bytes: of the file, None where not known to us.
        sha256: of the file, None where not known to us: then the first download's digest is kept and later ones must
            equal it.
    """

    name: str
    about: str
    family: str
    image_size: int | None
    licence: str
    file_name: str | None = None
    url: str | None = None
    size_bytes: int | None = None
    sha256: str | None = None

    @property
    def path(self) -> Path | None:
        """Where the file is, or would be put; None for a model without a file."""
        if self.file_name is None:
            return None
        return (cache_folder() if self.url else bundled_folder()) / self.file_name

    @property
    def is_ready(self) -> bool:
        """Whether the model can be used without a download."""
        return self.path is None or self.path.is_file()


def _meta(size: str, file_name: str, size_bytes: int, sha256: str) -> NamedModel:
    # Digests and sizes: published alike by Meta's own server and by huggingface.co/facebook/sam2.1-hiera-*.
    about = f"SAM 2.1 {size} by Meta, trained on photographs and videos"
    return NamedModel(
        f"sam2.1-{size}", about, "sam2.1", 1024, "Apache-2.0", file_name, META + file_name, size_bytes, sha256
    )


def _medsam2(name: str, file_name: str, about: str) -> NamedModel:
    return NamedModel(name, about, "sam2.1", 512, MEDSAM2_LICENCE, file_name, MEDSAM2 + file_name)


REGISTRY: Mapping[str, NamedModel] = MappingProxyType(
    {
        model.name: model
        for model in (
            NamedModel(
                "starter",
                "small SLM-SAM 2 of this project, trained on drawn volumes; works at once",
                "starter",
                160,
                "Apache-2.0",
                "starter.pt",
            ),
            NamedModel(
                "classical",
                "registration and region growing, no network; needs no torch",
                "classical",
                None,
                "Apache-2.0",
            ),
            _meta(
                "tiny",
                "sam2.1_hiera_tiny.pt",
                156_008_466,
                "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69",
            ),
            _meta(
                "small",
                "sam2.1_hiera_small.pt",
                184_416_285,
                "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38",
            ),
            _meta(
                "base+",
                "sam2.1_hiera_base_plus.pt",
                323_606_802,
                "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5",
            ),
            _meta(
                "large",
                "sam2.1_hiera_large.pt",
                898_083_611,
                "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318",
            ),
            _medsam2("medsam2-latest", "MedSAM2_latest.pt", "MedSAM2, the authors' recommended file"),
            _medsam2("medsam2-2411", "MedSAM2_2411.pt", "MedSAM2 of November 2024"),
            _medsam2("medsam2-ct-lesion", "MedSAM2_CTLesion.pt", "MedSAM2 tuned for CT lesions"),
            _medsam2(
                "medsam2-mri-liver-lesion",
                "MedSAM2_MRI_LiverLesion.pt",
                "MedSAM2 tuned for liver lesions in MR",
            ),
            _medsam2("medsam2-us-heart", "MedSAM2_US_Heart.pt", "MedSAM2 tuned for heart ultrasound"),
        )
    }
)


def cache_folder() -> Path:
    """Folder of downloaded model files: `SEGMENTPROPAGATE_HOME`, else the platform's cache folder."""
    home = os.environ.get("SEGMENTPROPAGATE_HOME")
    if home:
        return Path(home).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "segment-propagate"


def bundled_folder() -> Path:
    """Folder of the model files that come with the package."""
    return Path(__file__).resolve().parent.parent / "bundled"


def find(name: str) -> NamedModel:
    """Return the model of that name.

    Raises:
        InputError: no model has the name; the message lists the closest, else all there are.
    """
    if name not in REGISTRY:
        names = difflib.get_close_matches(name, REGISTRY) or list(REGISTRY)
        raise InputError(f"There is no model or model file '{name}': give a file, or one of {', '.join(names)}.")
    return REGISTRY[name]


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


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(CHUNK_BYTES):
            digest.update(block)
    return digest.hexdigest()


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
