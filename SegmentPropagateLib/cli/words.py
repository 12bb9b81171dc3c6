"""What typed words mean: numbers, slices, boxes, labels. argparse tells of those that mean nothing."""

from __future__ import annotations

import argparse
import re

_MOST = 2**31 - 1  # no slice, voxel, label or step has a larger number; torch's seeds end at 2^63
_SHOWN = 60  # characters of a mistake that are repeated
_LARGEST_SIDE = 4096  # pixels; the largest published model takes 1024, and memory grows with the fourth power


def validation(text: str) -> float | tuple[str, ...]:
    """A share of the cases, or their names."""
    try:
        share = float(text)
    except ValueError:
        return tuple(text.split(","))
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no share between 0 and 1")
    return share


def address(text: str) -> str:
    """Where a Ray cluster is."""
    if re.fullmatch(r"auto|(ray://)?(\[[0-9A-Fa-f:]+\]|[^\s:/\[\]]+):\d{1,5}", text):
        return text
    raise argparse.ArgumentTypeError(f"'{short(text)}' is not HOST:PORT, ray://HOST:PORT or auto")


def label(text: str) -> int | str:
    """A number where it looks like one, else a name or `all`."""
    if not re.fullmatch(r"[-+]?[\d_.]+", text):
        return text
    return whole(text, 1, _MOST, "a label: give numbers from 1, names, or all")


def count(text: str) -> int:
    """A whole number from 1."""
    return whole(text, 1, _MOST, "a whole number from 1")


def seconds(text: str) -> float:
    """A number of seconds, 0 or more."""
    if not re.fullmatch(r"[0-9]{1,7}(\.[0-9]{0,6})?", text.strip()):
        raise argparse.ArgumentTypeError(f"'{short(text)}' is not a number of seconds, such as 140")
    return float(text)


def side(text: str) -> int:
    """A side of an image in pixels."""
    return whole(text, 1, _LARGEST_SIDE, f"a side in pixels from 1 to {_LARGEST_SIDE}")


def integers(text: str, separator: str, wanted: str) -> list[int]:
    """Whole numbers between separators."""
    return [whole(part, -_MOST, _MOST, wanted, said=text) for part in text.split(separator)]


def whole(text: str, low: int, high: int, wanted: str, said: str | None = None) -> int:
    """The number that a text is; `said` is what was typed where the text is part of it."""
    number = int(text) if re.fullmatch("-?[0-9]{1,10}", text.strip()) else high + 1
    if low <= number <= high:
        return number
    raise argparse.ArgumentTypeError(f"'{short(text if said is None else said)}' is not {wanted}")


def short(text: str) -> str:
    """A mistake as it is repeated."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def first_and_last(text: str) -> tuple[int, int]:
    """Two slice numbers."""
    numbers = integers(text, ":", "FIRST:LAST, two slice numbers such as 3:29")
    if len(numbers) != 2:
        raise argparse.ArgumentTypeError(f"'{text}' is not FIRST:LAST, two slice numbers such as 3:29")
    return numbers[0], numbers[1]


def key_slices(text: str) -> str | list[int]:
    """Slice numbers, or `auto`."""
    if text == "auto":
        return text
    return integers(text, ",", "a slice number, several with commas, or auto")


def point(text: str) -> tuple[int, int, bool]:
    """Column, row, and whether the point is on the object."""
    place, _, sign = text.rpartition(",")
    wanted = "I,J,+ or I,J,-, a column, a row and whether it is on the object, such as 30,40,+"
    numbers = integers(place, ",", wanted) if sign in ("+", "-") else []
    if len(numbers) != 2:
        raise argparse.ArgumentTypeError(f"'{short(text)}' is not {wanted}")
    return numbers[0], numbers[1], sign == "+"


def ends(text: str) -> tuple[int, int, int, int]:
    """Two corners: columns and rows."""
    wanted = "I0,J0,I1,J1, four voxel indices such as 30,40,60,80"
    numbers = integers(text, ",", wanted)
    if len(numbers) != 4:
        raise argparse.ArgumentTypeError(f"'{short(text)}' is not {wanted}")
    return numbers[0], numbers[1], numbers[2], numbers[3]
