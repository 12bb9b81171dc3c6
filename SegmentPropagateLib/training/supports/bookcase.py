"""Finished cases to learn from: opened when they are needed, and asked for slices with what supports them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.cases import Case
from SegmentPropagateLib.formats.reading import read_labels, read_volume
from SegmentPropagateLib.prompting.atlas.grid import ALONG, shows_no_body
from SegmentPropagateLib.prompting.finished import joined
from SegmentPropagateLib.prompting.recall import Question
from SegmentPropagateLib.prompting.shelf import (
    Image3d,
    Shelf,
    candidates_of,
    chosen_for,
    looked_at,
    misfit_of,
    opened,
    outlines_of,
    question_of,
)
from SegmentPropagateLib.training.clips import Target
from SegmentPropagateLib.training.data import SMALLEST_AREA, Example
from SegmentPropagateLib.volumes.geometry import Plane
from SegmentPropagateLib.volumes.labels import Labels, SegmentInfo, Wanted, listed_segments
from SegmentPropagateLib.volumes.stack import slice_of, stack_of

KEPT_IMAGES, KEPT_SHELVES = 12, 40
"""How many cases are held in memory: with their voxels, and as what supports others, which is a tenth of that."""

Kept = TypeVar("Kept")


@dataclass(frozen=True, eq=False)
class Book:
    """A case whose slices are asked about.

    Args:
        image: its slices.
        labels: on the image's grid.
    """

    image: Image3d
    labels: Labels

    def truth(self, value: int, index: int) -> NDArray[np.bool_]:
        """A label on a slice, bool `(rows, columns)`."""
        return slice_of(self.labels.mask(value), self.image.axis, index)


@dataclass(frozen=True, eq=False)
class Asked:
    """A slice with its supports.

    Args:
        question: as the source `support-memory` asks it.
        truth: the object on the slice, bool `(rows, columns)`.
        pixel_mm: spacing of rows and columns.
    """

    question: Question
    truth: NDArray[np.bool_] = field(repr=False)
    pixel_mm: tuple[float, float]


class Bookcase:
    """Finished cases of a dataset.

    Args:
        plane: whose slices are learned from.
        labels: numbers or names of the labels to learn; None takes all.
        notify: takes a sentence about labels that were left out or lie at a doubtful place.
    """

    def __init__(self, plane: str, labels: Sequence[int | str] | None, notify: Callable[[str], None]) -> None:
        self._along = ALONG.index(Plane.parse(plane))
        self.wanted, self._notify = Wanted(labels), notify
        self._segments: dict[str, tuple[SegmentInfo, ...]] = {}
        self._books: OrderedDict[str, Book] = OrderedDict()
        self._shelves: OrderedDict[str, Shelf] = OrderedDict()
        self._fits: dict[tuple[str, str], bool] = {}

    def examples(self, case: Case) -> list[Example]:
        """The labels of a case, ascending, each with the slices that show it.

        Raises:
            InputError: the case cannot be read, shows no body, or holds none of the labels.
        """
        try:
            book = self._book(case)
        except InputError as error:
            raise InputError(f"Case '{case.name}': {error}") from error
        self._segments[case.name] = book.labels.segments
        examples = []
        for segment in self.wanted.of(book.labels, str(case.labels)):
            areas = stack_of(book.labels.mask(segment.value), book.image.axis).sum(axis=(1, 2))
            present = tuple(int(index) for index in np.flatnonzero(areas >= SMALLEST_AREA))
            if present:
                examples.append(Example(case, Target((segment.value,), present)))
        if not examples:
            raise InputError(
                f"Case '{case.name}': '{case.labels}' does not show {self.wanted} on {SMALLEST_AREA} pixels of a "
                f"slice; it has {listed_segments(book.labels.segments)}."
            )
        return examples

    def ask(self, example: Example, index: int, others: Iterable[Case]) -> Asked | None:
        """A slice of a case with its supports from other cases; None where none of them has any for it."""
        book, (value,) = self._book(example.case), example.target.values
        pages = book.image.pages([index])
        if not pages:
            return None
        numbers = self._numbers()
        label = next(label for label, own in numbers[example.case.name].items() if own == value)
        shelves = [self._shelf(case, numbers[case.name]) for case in others if self._fit(example.case, case)]
        candidates = candidates_of(label, shelves, self._along)
        question = question_of(pages[0], chosen_for(pages[0], candidates)) if candidates else None
        return None if question is None else Asked(question, book.truth(value, index), book.image.pixel_mm)

    def slices(self, case: Case) -> int:
        """How many slices a case has."""
        image = self._book(case).image
        return int(image.volume.geometry.shape_kji[image.axis])

    def _numbers(self) -> dict[str, dict[int, int]]:
        """Case -> label of all cases -> label in its own file: names of labels agree, numbers need not."""
        return dict(zip(self._segments, joined(self._segments.values())[1], strict=True))

    def _book(self, case: Case) -> Book:
        return _kept(self._books, case.name, KEPT_IMAGES, lambda: self._open(case))

    def _open(self, case: Case) -> Book:
        volume = read_volume(case.image)
        image = opened(volume, self._along)
        if image is None:
            raise InputError(shows_no_body(f"'{volume.name}'"))
        told = case.name in self._segments  # it may have been let go, and is opened again
        return Book(image, read_labels(case.labels, volume.geometry, _nothing if told else self._notify))

    def _shelf(self, case: Case, values: dict[int, int]) -> Shelf:
        def make() -> Shelf:
            book = self._book(case)
            body = replace(book.image.body, gray=book.image.body.wide)  # which is not looked at here
            outlines = outlines_of(book.labels, book.image.volume.geometry, body, values)
            return Shelf(body, book.image.sheets, outlines)

        return _kept(self._shelves, case.name, KEPT_SHELVES, make)

    def _fit(self, case: Case, other: Case) -> bool:
        """Whether another case shows the same part of the body."""
        pair = case.name, other.name
        if pair not in self._fits:
            numbers = self._numbers()
            shelf, image = self._shelf(other, numbers[other.name]), self._book(case).image
            sheets = [page.sheet for page in image.pages(looked_at(self.slices(case)))]
            self._fits[pair] = not misfit_of(other.name, shelf, image.body, sheets)
        return self._fits[pair]


def _nothing(_sentence: str) -> None:
    """Tells nobody."""


def _kept(store: OrderedDict[str, Kept], name: str, most: int, make: Callable[[], Kept]) -> Kept:
    """What is stored under a name, made where it is not; of too many the one that was used longest ago goes."""
    if name not in store:
        store[name] = make()
    store.move_to_end(name)
    while len(store) > most:
        store.popitem(last=False)
    return store[name]
