"""Notes of what somebody does in the panel, for `collecting` to tell the ledger.

To measure a case and to hold the project takes longer than a panel may stand still. So the panel leaves a note, a file
that is there whole or not at all, and another process takes all of them, in their order: `project collect`. A note that
nobody has taken when the computer loses its power is taken when the project is opened the next time.
"""

from __future__ import annotations

import base64
import binascii
import json
import time
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import writing
from SegmentPropagateLib.formats.cases import text_of
from SegmentPropagateLib.project.folder import WORK
from SegmentPropagateLib.project.holding import now, person

NOTES = ".notes"
_REFUSED = ".refused"
OUTSIDE, INSIDE = 1, 2
"""Of a mask, on the slices that a note tells of."""
_PERHAPS = (str, type(None))
_SECONDS = (int, float, type(None))
_LONGEST_S = 1e9  # of work on a case; a panel counts less

KINDS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "opened": {"case": str, "work": str, "over": _PERHAPS, "session": str},
        "proposed": {"case": str, "model": str, "prompts": dict, "plane": str, "grid": dict, "labels": dict},
        "accepted": {"case": str, "work": str, "over": _PERHAPS, "session": str, "seconds": _SECONDS},
        "using": {"model": str},
    }
)
"""What a note may tell -> its parts; all have `at` and `by` as well.

`work` is the file with the labels, from the project's folder; `over` the digest of what was accepted before, as far as
the panel knew, and `session` which panel that was.
"""

Piece = tuple[tuple[int, int], NDArray[np.bool_]]
"""A mask on a slice: first row and column of its bounding box, and the mask within it."""


@dataclass(frozen=True)
class Note:
    """A note that was left.

    Args:
        path: of its file.
        event: one of `KINDS`.
        parts: what it tells.
    """

    path: Path
    event: str
    parts: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What tells it from all others of the project."""
        return self.path.stem

    def remove(self) -> None:
        """The ledger knows."""
        self.path.unlink(missing_ok=True)

    def put_aside(self) -> None:
        """It cannot be taken: keep it where nobody takes it again."""
        self.path.replace(self.path.with_suffix(_REFUSED))


def leave_note(folder: Path, event: str, **parts: Any) -> None:
    """Leave a note; when this returns it is on the disk.

    Args:
        folder: of the project.
        event: one of `KINDS`.
        **parts: what the kind wants.

    Raises:
        InputError: it cannot be written.
    """
    notes = folder / WORK / NOTES
    try:
        notes.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"Cannot write into '{notes}': {error.strerror or error}.") from error
    present = [int(path.stem.partition("-")[0]) for path in note_files(folder)]
    number = max(time.time_ns(), *(before + 1 for before in present[-1:]), 0)  # clocks are coarse, and are set back
    with writing(notes / f"{number:020d}-{event}.json") as file:
        file.write(json.dumps({"event": event, "at": now(), "by": person(), **parts}).encode())


def note_files(folder: Path, events: Collection[str] = tuple(KINDS)) -> list[Path]:
    """The files of a project's notes, oldest first; those of proposals are large, and only read where they are wanted.

    Args:
        folder: of the project.
        events: of `KINDS`.
    """
    found = sorted((folder / WORK / NOTES).glob("*.json"))
    names = [path.stem.partition("-") for path in found]
    return [path for path, name in zip(found, names, strict=True) if name[0].isdecimal() and name[2] in events]


def notes_in(folder: Path, events: Collection[str] = tuple(KINDS)) -> tuple[list[Note], list[Path]]:
    """The same, read: the notes, and the files that are none."""
    found, odd = [], []
    for path in note_files(folder, events):
        note = _read(path)
        if note is None:
            odd.append(path)
        else:
            found.append(note)
    return found, odd


def packed(pieces: Mapping[int, Piece]) -> dict[str, Any]:
    """Masks on slices as a note has them."""
    places = [[index, *origin, *box.shape] for index, (origin, box) in pieces.items()]
    bits = [np.zeros(0, bool), *(box.ravel() for _origin, box in pieces.values())]
    content = zlib.compress(np.packbits(np.concatenate(bits)).tobytes(), 1)
    return {"places": places, "bits": base64.b64encode(content).decode()}


def paint(target: NDArray[np.uint8], told: Mapping[str, Any]) -> None:
    """Put masks of a note on their slices: `INSIDE`, and `OUTSIDE` for the rest of such a slice.

    Args:
        target: uint8 `(slices, rows, columns)`; changed in its place.
        told: what `packed` gave.

    Raises:
        InputError: it is damaged, or does not fit.
    """
    try:
        places = [tuple(map(int, place)) for place in told["places"]]
        wanted = sum(rows * columns for _index, _row, _column, rows, columns in places)
        limited = zlib.decompressobj().decompress(base64.b64decode(told["bits"]), max(1, -(-wanted // 8)))
        bits = np.unpackbits(np.frombuffer(limited, np.uint8))[:wanted].astype(bool)
        start = 0
        for index, row, column, rows, columns in places:
            piece = bits[start : start + rows * columns].reshape(rows, columns)
            if min(index, row, column) < 0 or index >= len(target):
                raise ValueError("beside the image")
            target[index] = OUTSIDE
            target[index, row : row + rows, column : column + columns] = np.where(piece, INSIDE, OUTSIDE)
            start += rows * columns
    except (LookupError, TypeError, ValueError, zlib.error, binascii.Error) as error:
        raise InputError("What was proposed in the panel does not fit its image: it is not measured.") from error


def _read(path: Path) -> Note | None:
    try:
        told = json.loads(text_of(path))
    except (InputError, ValueError, RecursionError):
        return None
    if not isinstance(told, dict) or not _is_whole(told):
        return None
    return Note(path, told.pop("event"), told)


def _is_whole(told: Mapping[str, Any]) -> bool:
    """Whether a note has what its kind wants, and nothing in it that the ledger would stumble over."""
    kind = KINDS.get(str(told.get("event")))
    parts = {**(kind or {}), "at": str, "by": str}
    if kind is None or not all(part in told and isinstance(told[part], of) for part, of in parts.items()):
        return False
    prompts, seconds = told.get("prompts", {}), told.get("seconds")
    slices = [prompts.get(part, {}) for part in ("keys", "drawn")]
    return (
        "\0" not in told.get("work", "")
        and (seconds is None or 0 <= seconds <= _LONGEST_S)
        and all(isinstance(of, dict) and all(map(_are_slices, of.values())) for of in slices)
    )


def _are_slices(numbers: Any) -> bool:
    return isinstance(numbers, list) and all(type(number) is int and number >= 0 for number in numbers)
