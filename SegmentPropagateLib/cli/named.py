"""Labels by number or by name, as they are typed and told."""

from __future__ import annotations

from typing import Protocol

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.volumes.labels import SegmentInfo


class Described(Protocol):
    """A label file, or several that are numbered as one."""

    @property
    def segments(self) -> tuple[SegmentInfo, ...]:
        """Ascending by value."""


def find_segment(labels: Described, wanted: int | str, path: str) -> SegmentInfo:
    """The segment of that number or name; upper and lower case are one.

    Raises:
        InputError: there is none, or two have the name.
    """
    found = [
        segment
        for segment in labels.segments
        if (segment.name.casefold() == wanted.casefold() if isinstance(wanted, str) else segment.value == wanted)
    ]
    if len(found) == 1:
        return found[0]
    there = ", ".join(called(segment) for segment in labels.segments)
    if found:
        raise InputError(f"'{path}' has two labels of the name '{wanted}': give the number; it has {there}.")
    quoted = f"'{wanted}'" if isinstance(wanted, str) else wanted
    raise InputError(f"'{path}' has no label {quoted}; it has {there}.")


def called(segment: SegmentInfo) -> str:
    """Number and name, in sentences."""
    plain = f"label {segment.value}"
    return plain if segment.name.lower() == plain else f"{plain} ({segment.name})"
