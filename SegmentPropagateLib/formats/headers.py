"""Text headers of volumes, looked at before SimpleITK is: it takes whatever they claim, files elsewhere included."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.wording import are, counted

LONGEST_HEADER = 4 << 20
MOST_LINES = 12_000  # a thousand segments take ten lines each; ITK's time grows with the square
_DEFLATED = 1032  # no stream of gzip or zlib holds more bytes for one of its own
_FARTHEST = 1e9  # of numbers that say where voxels lie, mm: ITK never ends with products that are infinite
_OTHER_LENGTHS = frozenset(  # as they are read from bytes, one character each
    {"m", "dm", "cm", "um", "nm", "\xb5m", "\xc2\xb5m", "\xce\xbcm", "micron", "microns", "inch", "in"}
    | {f"{part}{unit}" for part in ("", "centi", "micro", "nano") for unit in ("meter", "meters", "metre", "metres")}
)
_WHOLE = re.compile(r"([+-]?\d{1,20})(?:\.0*)?", re.ASCII)
_UNBOUND = frozenset(f"{sign}{word}" for sign in ("", "+", "-") for word in ("nan", "inf"))
_DECIMAL = re.compile(r"([+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|nan|inf))", re.ASCII | re.IGNORECASE)
_SMALL_FILE, _MOST_OF_SMALL = 10 << 20, 768 << 20  # labels of a whole body at 16 bits are below

Choice = TypeVar("Choice")


@dataclass(frozen=True)
class Header:
    """Fields of a header, which are checked as they are asked for.

    Args:
        path: the file.
        fields: as they stand there.
        end: bytes before the voxels.
    """

    path: Path
    fields: Mapping[str, str]
    end: int

    def fault(self, reason: str) -> InputError:
        """The refusal of this file."""
        return InputError(f"'{self.path}' cannot be read: {reason}.")

    def text(self, name: str, default: str | None = None) -> str:
        """A field as it stands there; InputError where it lacks and has no default."""
        value = self.fields.get(name, default)
        if value is None:
            raise self.fault(f"it is damaged or no such file, its header has no '{name}'")
        return value

    def choice(self, name: str, choices: Mapping[str, Choice], default: str | None = None) -> Choice:
        """What stands for the word of a field, as it is or in lower case; InputError for a word that is not known."""
        value = self.text(name, default)
        for word in (value, value.lower()):
            if word in choices:
                return choices[word]
        raise self._wrong(name, value, "a word that is known")

    def whole(self, name: str, count: int = 1, span: tuple[int, int] = (1, 2**31), default: str = "") -> list[int]:
        """As many whole numbers within the span, ends included, as are asked for."""
        value = self.text(name, default or None)
        parts = value.split()
        if len(parts) == count and all(re.fullmatch(r"-?\d{1,18}", part) for part in parts):
            numbers = [int(part) for part in parts]
            if all(span[0] <= number <= span[1] for number in numbers):
                return numbers
        what = "a whole number" if count == 1 else f"{count} whole numbers"
        raise self._wrong(name, value, f"{what} from {span[0]} to {span[1]}")

    def numbers(self, name: str, count: int) -> list[float]:
        """As many finite numbers as are asked for."""
        value = self.text(name)
        found = finite(value.split())
        if found is None or len(found) != count:
            raise self._wrong(name, value, f"{count} numbers up to {_FARTHEST:g}")
        return found

    def check_lengths(self, name: str) -> None:
        """Raise InputError where a field says that lengths are in another unit than mm, which ITK passes over."""
        for unit in re.findall(r'[^\s"]+', self.fields.get(name, "")):
            if unit.lower() in _OTHER_LENGTHS:
                raise self.fault(f"its '{name}' says that lengths are in {shown(unit)}, save it in mm")

    def data_file(self, name: str) -> Path:
        """The file of the voxels, which lies in the folder of the header or below.

        Headers may name any file of the machine, or many by a pattern, and SimpleITK would take it for voxels.
        """
        if "%" in name or name.startswith("LIST"):  # so written: ITK opens `liste.raw`
            raise self.fault("its voxels are spread over several files, give a file that holds them all")
        try:
            file = (self.path.parent / name).resolve()
            if not file.is_relative_to(self.path.parent.resolve()):
                raise self.fault(f"it takes its voxels from {shown(name)}, outside its folder, put that file beside it")
            if not file.is_file():
                raise self.fault(f"it takes its voxels from {shown(name)}, which is no file")
        except (OSError, ValueError, RuntimeError) as error:  # too long, a null byte, a link to itself
            raise self.fault(f"it takes its voxels from {shown(name)}, which is no file") from error
        return file

    def check_text(self, text: bytes, count: int, kind: str) -> None:
        """Raise InputError unless a text begins with numbers that voxels can hold: ITK takes 44 for 300 in a byte.

        Args:
            text: the numbers, between them spaces.
            count: how many are needed.
            kind: numpy's type of the voxels, such as `u1`.
        """
        words = [word.rstrip(",") for word in text.decode("latin-1").split(maxsplit=count)[:count]]
        if missing := count - len(words):
            raise self.fault(f"it is cut off, {missing} of its {counted(count, 'voxel')} {are(missing)} missing")
        whole = kind[0] in "iu"
        limits = np.iinfo(kind) if whole else np.finfo(kind)
        pattern, number = (_WHOLE, int) if whole else (_DECIMAL, float)
        low, high = number(limits.min), number(limits.max)
        for word in words:
            found = pattern.fullmatch(word)
            if found is None or not (word.lower() in _UNBOUND or low <= number(found[1]) <= high):
                right = f"whole numbers from {low} to {high}" if whole else f"numbers from {low:g} to {high:g}"
                raise self.fault(
                    f"its voxels are {right} by its type, and one is {shown(word)}: save it with a type that holds it"
                )

    def _wrong(self, name: str, value: str, right: str) -> InputError:
        return self.fault(f"its header is damaged or of another kind, '{name}' is {shown(value)} and not {right}")


def finite(parts: list[str]) -> list[float] | None:
    """The numbers that the parts stand for; None where one is no number, NaN, infinite or nearly so."""
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        return None
    return numbers if all(abs(number) <= _FARTHEST for number in numbers) else None


def exact(values: Iterable[float]) -> list[str]:
    """Numbers as headers have them: read again they are the same, but for -0.0, which becomes 0.0."""
    return [repr(float(value) + 0.0) for value in values]


def shown(text: str) -> str:
    """A piece of a file in quotes: short, and without control characters."""
    return ascii(text if len(text) <= 60 else f"{text[:57]}...")


def check_room(path: Path, needed: int, present: int, *, packed: bool) -> None:
    """Raise InputError where so few bytes cannot hold what a header announces, or blow up beyond reason.

    Args:
        path: the file, for the sentence.
        needed: bytes of voxels that are announced.
        present: bytes that are there for them.
        packed: whether they are deflated (gzip, zlib).
    """
    missing = needed - present
    if not packed and missing > 0:
        lost = f"{counted(missing, 'byte')} of voxels {are(missing)} missing"
        raise InputError(f"'{path}' is cut off: {lost}, copy or export it again.")
    if needed > present * _DEFLATED:
        raise InputError(
            f"'{path}' is damaged or cut off: it announces {needed} bytes of voxels, more than its {present} packed "
            f"bytes can hold, copy or export it again."
        )
    if present < _SMALL_FILE and needed > _MOST_OF_SMALL:
        raise InputError(
            f"'{path}' unpacks to {needed >> 20} MB from {present / 2**20:.1f} MB, too much for a small file: crop it, "
            f"or save it with a smaller type of voxels."
        )
