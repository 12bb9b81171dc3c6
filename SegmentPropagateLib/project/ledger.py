"""The ledger of a project: a line of JSON for everything that happened, only ever added to.

A line ends in the sum of itself and all before it, so that a line that was changed, moved or taken out is found. What a
loss of power leaves of the line that was being written has no end of line; it is cut off, and nothing else is lost.
Whoever appends holds the project, see `holding`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.wording import counted

_LARGEST = 1 << 28  # bytes; a line has some hundred
_SUM = b', "sum": "'
_DIGITS = 16

Entry = Mapping[str, Any]


class _Found(NamedTuple):
    """What a ledger holds.

    Args:
        entries: in their order.
        end: bytes up to the end of the last whole line.
        sum: of that line.
        torn: bytes of a line without an end.
    """

    entries: tuple[dict[str, Any], ...]
    end: int
    sum: str
    torn: int


class Ledger:
    """A file of entries.

    Args:
        path: of the file.
        notify: takes a sentence about what a loss of power has left.
    """

    def __init__(self, path: Path, notify: Callable[[str], None] = lambda _sentence: None) -> None:
        self.path = path
        self._notify = notify

    @classmethod
    def begin(cls, path: Path, entry: Entry) -> Ledger:
        """Make the file with its first entry.

        Raises:
            InputError: it is there already or cannot be made.
        """
        try:
            path.touch(exist_ok=False)
        except OSError as error:
            raise InputError(f"Cannot write '{path}': {error.strerror or error}.") from error
        ledger = cls(path)
        ledger.append(entry)
        return ledger

    def read(self) -> tuple[dict[str, Any], ...]:
        """All entries.

        Raises:
            InputError: the file is missing, or damaged elsewhere than in an end that a loss of power has left; the
                sentence names the line.
        """
        found = self._found()
        if found.torn:
            self._notify(
                f"The last entry of '{self.path}' was not written to its end ({counted(found.torn, 'byte')}): it does "
                "not count."
            )
        return found.entries

    def append(self, entry: Entry) -> None:
        """Add an entry; when this returns it is on the disk.

        Raises:
            InputError: as `read`; or it cannot be written, and the file is as it was.
        """
        found = self._found()
        body = json.dumps(entry, ensure_ascii=True, allow_nan=False).encode()
        line = body[:-1] + _SUM + _sum_of(found.sum, body).encode() + b'"}\n'
        try:
            with self.path.open("r+b", buffering=0) as file:
                file.truncate(found.end)
                file.seek(found.end)
                try:
                    _write_all(file.fileno(), line)
                    os.fsync(file.fileno())
                except OSError:
                    with suppress(OSError):  # a full disk lets go of what it has
                        file.truncate(found.end)
                    raise
        except OSError as error:
            raise InputError(f"Cannot write '{self.path}': {error.strerror or error}.") from error

    def _found(self) -> _Found:
        try:
            if not self.path.is_file() or self.path.stat().st_size > _LARGEST:
                raise InputError(f"'{self.path}' is missing or no ledger: bring it back from a copy of the project.")
            content = self.path.read_bytes()
        except OSError as error:
            raise InputError(f"'{self.path}' cannot be read: {error.strerror or error}.") from error
        *lines, rest = content.split(b"\n")
        entries, before = [], ""
        for number, line in enumerate(lines, start=1):
            entry, told = _entry_of(line, before)
            if entry is None:
                raise InputError(
                    f"Line {number} of '{self.path}' is damaged, or lines before it were changed: bring the file back "
                    "from a copy of the project."
                )
            entries.append(entry)
            before = told
        return _Found(tuple(entries), len(content) - len(rest), before, len(rest))


def _entry_of(line: bytes, before: str) -> tuple[dict[str, Any] | None, str]:
    """The entry of a line and the line's sum; None for a line that is not as it was written."""
    start, _, told = line.rpartition(_SUM)
    body = start + b"}"
    try:
        entry = json.loads(body)
    except (ValueError, RecursionError):
        return None, ""
    right = _sum_of(before, body)
    if not isinstance(entry, dict) or told != right.encode() + b'"}':
        return None, ""
    return entry, right


def _sum_of(before: str, body: bytes) -> str:
    return hashlib.sha256(before.encode() + body).hexdigest()[:_DIGITS]


def _write_all(number: int, content: bytes) -> None:
    while content:
        content = content[os.write(number, content) :]
