"""Finished cases of a folder, with one numbering: names of labels agree between people, their numbers need not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.cases import Case, find_cases
from SegmentPropagateLib.formats.reading import read_labels
from SegmentPropagateLib.volumes.labels import SegmentInfo, default_segment


@dataclass(frozen=True)
class Finished:
    """A finished case.

    Args:
        case: its files.
        values: label of the folder -> label in the case's own file.
    """

    case: Case
    values: Mapping[int, int]


@dataclass(frozen=True)
class FinishedCases:
    """What a folder of finished cases has.

    Args:
        cases: ordered by name.
        segments: every label, ascending by value.
    """

    cases: tuple[Finished, ...] = ()
    segments: tuple[SegmentInfo, ...] = ()


def read_finished(folder: str | Path) -> FinishedCases:
    """The cases of a folder or list, in the layouts of `formats.cases`, with one numbering for all of them.

    Raises:
        InputError: there is none, a file is damaged, or no label is in any of them.
    """
    return finished_cases(find_cases(folder), f"'{folder}'")


def finished_cases(cases: Iterable[Case], where: str) -> FinishedCases:
    """The same for cases one by one, read as they come.

    Args:
        cases: images with their labels.
        where: what to call the place that they come from.

    Raises:
        InputError: a file is damaged, or no label is in any of them.
    """
    taken: list[Case] = []

    def segments_of() -> Iterator[tuple[SegmentInfo, ...]]:
        for case in cases:
            taken.append(case)
            yield read_labels(case.labels).segments

    segments, values = joined(segments_of())
    if not segments:
        raise InputError(f"The finished cases in {where} hold no label: every voxel of them is 0.")
    return FinishedCases(tuple(map(Finished, taken, values)), segments)


def joined(files: Iterable[Iterable[SegmentInfo]]) -> tuple[tuple[SegmentInfo, ...], list[dict[int, int]]]:
    """One numbering for the labels of several files, and for each file what its own numbers are.

    Labels of one name are one, whatever their numbers; upper and lower case make no difference. A label that has no
    name but its number is whatever has this number elsewhere. Two names under one number get two numbers.
    """
    known: dict[int, SegmentInfo] = {}
    values: list[dict[int, int]] = []
    for segments in files:
        own: dict[int, int] = {}
        for segment in segments:
            value = _known_as(segment, known)
            if value is None:
                value = segment.value if segment.value not in known else max(known) + 1
            if value not in known or not _is_named(known[value]):
                known[value] = replace(segment, value=value)
            own[value] = segment.value
        values.append(own)
    return tuple(known[value] for value in sorted(known)), values


def _known_as(segment: SegmentInfo, known: Mapping[int, SegmentInfo]) -> int | None:
    if _is_named(segment):
        same = [value for value, other in known.items() if other.name.casefold() == segment.name.casefold()]
        if same:
            return same[0]
    other = known.get(segment.value)
    if other is None or (_is_named(segment) and _is_named(other)):
        return None
    return segment.value


def _is_named(segment: SegmentInfo) -> bool:
    return segment.name.casefold() != default_segment(segment.value).name.casefold()
