"""Labels of a voxel grid, and the segments that they stand for."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.volumes.geometry import Geometry

TISSUE_TAGS = (
    "TerminologyEntry:Segmentation category and type - 3D Slicer General Anatomy list"
    "~SCT^85756007^Tissue~SCT^85756007^Tissue~^^~Anatomic codes - DICOM master list~^^~^^|"
)
"""What Slicer writes for a segment whose terminology was never chosen."""


@dataclass(frozen=True)
class SegmentInfo:
    """What is known of a segment apart from its voxels.

    Args:
        value: label value, >= 1, unique within a file.
        name: for people.
        color_rgb: red, green, blue in 0..1.
        tags: Slicer's tags (terminology, status), kept as they came.
    """

    value: int
    name: str
    color_rgb: tuple[float, float, float]
    tags: str = TISSUE_TAGS


def default_segment(value: int) -> SegmentInfo:
    """Name and color of a label of which nothing but the value is known; neighbors get distant hues."""
    hue = (value - 1) * 0.618033988749895 % 1.0  # golden ratio: any run of values is spread evenly
    return SegmentInfo(value, f"Label {value}", colorsys.hsv_to_rgb(hue, 0.65, 0.95))


class Described(Protocol):
    """A label file, or several that are numbered as one."""

    @property
    def segments(self) -> tuple[SegmentInfo, ...]:
        """Ascending by value."""


def find_segment(labels: Described, wanted: int | str, path: str) -> SegmentInfo:
    """The segment of that number or name.

    Raises:
        InputError: there is none, or two have the name.
    """
    found = [segment for segment in labels.segments if is_called(segment.value, segment.name, wanted)]
    if len(found) == 1:
        return found[0]
    there = listed_segments(labels.segments)
    if found:
        raise InputError(f"'{path}' has two labels of the name '{wanted}': give the number; it has {there}.")
    raise InputError(f"'{path}' has no label {quoted(wanted)}; it has {there}.")


def is_called(value: int, name: str, word: int | str) -> bool:
    """Whether a word means a label: its number, or its name, in which upper and lower case are one."""
    return name.casefold() == word.casefold() if isinstance(word, str) else value == word


def called(segment: SegmentInfo) -> str:
    """Number and name, in sentences."""
    plain = f"label {segment.value}"
    return plain if segment.name.lower() == plain else f"{plain} ({segment.name})"


def listed_segments(segments: Iterable[SegmentInfo]) -> str:
    """What there is, in sentences."""
    return ", ".join(called(segment) for segment in segments) or "none"


def quoted(word: int | str) -> str:
    """What was typed, in sentences."""
    return f"'{word}'" if isinstance(word, str) else str(word)


class Wanted:
    """The labels that were asked for, of any number of files.

    Args:
        words: numbers and names; None takes all.
    """

    def __init__(self, words: Sequence[int | str] | None) -> None:
        self._words = words
        self._there: dict[tuple[int, str], SegmentInfo] = {}

    def of(self, labels: Described, path: str) -> list[SegmentInfo]:
        """The segments of a file that are wanted, ascending; a file need not have all of them.

        Raises:
            InputError: two of its labels have the name of one.
        """
        self._there |= {(segment.value, segment.name): segment for segment in labels.segments}
        if self._words is None:
            return list(labels.segments)
        met = [word for word in self._words if any(is_called(it.value, it.name, word) for it in labels.segments)]
        return sorted({find_segment(labels, word, path) for word in met}, key=lambda it: it.value)

    def check(self) -> None:
        """Raise InputError for a word that means nothing in any of the files."""
        for word in self._words or ():
            if not any(is_called(value, name, word) for value, name in self._there):
                there = listed_segments(self._there[key] for key in sorted(self._there))
                raise InputError(f"No case has label {quoted(word)}; they have {there}.")

    def __str__(self) -> str:
        return "any label" if self._words is None else f"label {', '.join(map(quoted, self._words))}"


def values_in(layer: NDArray[np.integer]) -> list[int]:
    """Values other than 0 of `(k, j, i)`, ascending; slice by slice, so that no copy of the volume's size is made."""
    return sorted({int(value) for plane in layer for value in np.unique(plane[plane != 0])})


@dataclass(frozen=True, eq=False)
class Labels:
    """A label file.

    Args:
        layers: unsigned arrays `(k, j, i)`; more than one only where segments may overlap (`.seg.nrrd`). A value
            lies in one layer only.
        geometry: the voxel grid.
        segments: ascending by value; also those that the file names but that have no voxel.
    """

    layers: tuple[NDArray[np.unsignedinteger], ...]
    geometry: Geometry
    segments: tuple[SegmentInfo, ...] = ()

    @property
    def values(self) -> tuple[int, ...]:
        """Label values, ascending."""
        return tuple(segment.value for segment in self.segments)

    def mask(self, value: int) -> NDArray[np.bool_]:
        """Voxels of one label, bool `(k, j, i)`; all False for a value that does not exist."""
        mask = self.layers[0] == value
        for layer in self.layers[1:]:
            mask |= layer == value
        return mask
