"""Model files that are fetched once and checked every time: the licence confirmed, the SHA-256 compared.

`networks.checkpoints` loads them, and trusts no byte of them.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from SegmentPropagateLib.errors import CheckpointError, InputError
from SegmentPropagateLib.files import drop_link, file_sha256, writing
from SegmentPropagateLib.locking import locked
from SegmentPropagateLib.models.registry import NamedModel, unusable_folder

if TYPE_CHECKING:
    from SegmentPropagateLib.models.transfer import Progress

Notify = Callable[[str], None]
"""Takes one sentence for the user."""


def _say_nothing(message: str) -> None:
    del message


def fetch(model: NamedModel, notify: Notify = _say_nothing, progress: Progress | None = None) -> Path:
    """Return the checked local file of a model that has one, downloading it when it is missing.

    A file that is there is compared with its digest every time, which takes 0.2 s for 300 MB: one that was changed or
    cut since is told.

    Args:
        model: an entry of the registry with a `file_name`.
        notify: is told, before a download, what is fetched from where under which licence.
        progress: see `Progress`.

    Raises:
        CheckpointError: the licence is not confirmed, or the file cannot be had or is not the published one; the
            message says what to do.
    """
    path = model.path
    if path is None:
        raise InputError(f"The model '{model.name}' has no file.")
    if model.url is None:
        if not path.is_file():
            raise CheckpointError(f"The file {path} of the model '{model.name}' is missing: install the package again.")
        return path
    try:
        if path.is_file():
            _check(model, path, path, notify)
        else:
            _bring(model, path, notify, progress)
    except OSError as error:
        raise unusable_folder(path.parent, error) from error
    return path


def _bring(model: NamedModel, path: Path, notify: Notify, progress: Progress | None) -> None:
    """Download and check, unless another process does so meanwhile."""
    # requests takes a tenth of a second to import, which most runs need not spend.
    from SegmentPropagateLib.models.transfer import receive, size_of

    if model.awaits_consent:
        raise CheckpointError(
            f"The weights of '{model.name}' are for {model.licence}, not for {model.forbids} ({model.licence_url}): "
            "confirm that once, on the command line by --accept-licence, in the panel by choosing the model again."
        )
    _check_place(model, path)
    part = path.with_name(path.name + ".part")

    def waiting() -> None:
        if progress:
            progress(size_of(part), model.size_bytes)

    with locked(path.with_name(f".{path.name}.lock"), waiting):
        if path.is_file():
            _check(model, path, path, notify)
            return
        size = f"{model.size_bytes / 1e6:.0f} MB" if model.size_bytes else "size not known"
        notify(f"Downloading {model.name} ({size}) from {model.url}; licence of the weights: {model.licence}.")
        receive(model, part, progress)
        _check(model, path, part, notify)
        part.replace(path)


def _check_place(model: NamedModel, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(errno.EACCES, "you may not write there")
    free = shutil.disk_usage(path.parent).free
    if model.size_bytes and free < model.size_bytes:
        raise CheckpointError(
            f"{path.parent} has {free / 1e6:.0f} MB left and '{model.name}' needs {model.size_bytes / 1e6:.0f} MB: "
            "make room, or set SEGMENTPROPAGATE_HOME to another folder."
        )
    if model.sha256 is None:
        _look_with(model)  # before a long download


def _check(model: NamedModel, path: Path, file: Path, notify: Notify) -> None:
    """Compare a complete file with the known or recorded digest and record it; a wrong download is deleted."""
    record = path.with_name(path.name + ".sha256")
    recorded = _recorded_in(record)
    expected = model.sha256 or recorded
    digest = file_sha256(file)
    if expected is None:
        _look(model, file, file is not path)
        notify(
            f"The publisher's SHA-256 of {path.name} is not known to us; this file's is {digest}, kept in {record} for "
            "next time."
        )
    elif digest != expected:
        if file is not path:
            file.unlink()
        source = "" if model.sha256 else f" by {record}, which may be removed where the publisher changed the file"
        raise CheckpointError(
            f"{file.name} is not the published file of '{model.name}' (SHA-256 {digest[:12]}..., expected "
            f"{expected[:12]}...{source}): {'remove it' if file is path else 'try again later'}, {model.by_hand}."
        )
    if digest != recorded:
        drop_link(record)
        with writing(record) as stream:
            stream.write(f"{digest}  {path.name}\n".encode())


def _recorded_in(record: Path) -> str | None:
    """The digest of an earlier download; a record that was cut holds none."""
    text = record.read_text(encoding="utf-8", errors="replace") if record.is_file() else ""
    found = re.match(r"[0-9a-f]{64}\b", text)
    return found[0] if found else None


def _look(model: NamedModel, file: Path, is_new: bool) -> None:
    """Refuse what is no model at all, such as a proxy's page, before its digest is held against the real file."""
    try:
        _look_with(model)(file)
    except CheckpointError as reason:
        if is_new:
            file.unlink()
        raise CheckpointError(
            f"What came for '{model.name}' is no use, as {str(reason).rstrip('.')}; try again later, {model.by_hand}."
        ) from reason


def _look_with(model: NamedModel) -> Callable[[Path], object]:
    try:
        from SegmentPropagateLib.networks.checkpoints import inspect_checkpoint
    except ImportError as error:
        raise InputError(
            f"The file of '{model.name}' can only be checked with PyTorch and sam2, which cannot be imported here "
            f"({error}): install torch and sam2."
        ) from error
    return inspect_checkpoint
