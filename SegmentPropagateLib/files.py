"""Files: outputs that are complete or absent, and digests."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from SegmentPropagateLib.errors import InputError

PathLike = str | os.PathLike[str]


def check_writable(path: PathLike) -> None:
    """Raise InputError unless a file of that name can be made; asked before anything is computed."""
    path = Path(path)
    if path.is_dir():
        raise InputError(f"Cannot write '{path}': it is a folder, give the name of a file.")
    if not path.parent.is_dir():
        raise InputError(f"Cannot write '{path}': the folder '{path.parent}' does not exist, create it first.")
    try:
        tempfile.TemporaryFile(dir=path.parent).close()  # os.access tells root nothing about read-only disks
    except OSError as error:
        raise InputError(f"Cannot write '{path}': {error.strerror or error} (choose another folder).") from error


@contextmanager
def replacing(path: PathLike) -> Iterator[Path]:
    """Give a temporary name in the same folder, with the same ending; it becomes `path` when the block succeeds.

    Raises:
        InputError: the disk is full or the folder is not writable.
    """
    path = Path(path)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"Cannot write '{path}': {error.strerror or error}.") from error
    finally:
        temporary.unlink(missing_ok=True)


CHUNK_BYTES = 1 << 18


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(CHUNK_BYTES):
            digest.update(block)
    return digest.hexdigest()
