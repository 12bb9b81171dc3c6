"""Finished cases opened for what reads them slice by slice: which slices there are, and how one lies on another.

Slices are compared, and laid on each other, from the box of the body in one to that in the other. What suggests and
what trains takes supports from here, so that both see the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.formats.reading import read_labels, read_volume
from SegmentPropagateLib.prompting.atlas.fusion import Outline, outline_of
from SegmentPropagateLib.prompting.atlas.grid import ALONG, Body, body_of, shows_no_body
from SegmentPropagateLib.prompting.atlas.sampling import warped
from SegmentPropagateLib.prompting.finished import Finished
from SegmentPropagateLib.prompting.recall import Aligned, Question
from SegmentPropagateLib.prompting.supports import SUPPORTS, aligned, cosine, gray_of, most_similar, points_on
from SegmentPropagateLib.volumes.boxes import bounding_box
from SegmentPropagateLib.volumes.choice import evenly
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.labels import Labels
from SegmentPropagateLib.volumes.stack import slice_of
from SegmentPropagateLib.volumes.volume import Volume

READ = 12
"""Slices of the volume that are looked at, evenly from end to end."""
LEAST_LIKENESS = 0.45
"""Cosine of slices, averaged over the volume, below which a finished case shows another part of the body: .6 of two
abdomens, .2 to .4 of an abdomen and a thigh or a crop around vertebrae."""

_SIDE = 24  # points along either side of the body's box that slices are compared by
_LEAST_POINTS = 20  # of the grid: 2 square cm of an organ support a slice

Image = NDArray[np.float32]
Corners = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sheet:
    """A slice of a lattice that shows the body.

    Args:
        number: of the slice along the plane's normal.
        box: low and high corner of the body there, `(2, 2)`, grid points.
        looks: what it is compared by, float32, without its mean.
    """

    number: int
    box: Corners
    looks: Image


@dataclass(frozen=True, eq=False)
class Shelf:
    """A finished case that can support."""

    body: Body
    sheets: Sequence[Sheet]
    outlines: dict[int, Outline]


@dataclass(frozen=True, eq=False)
class Page:
    """A slice of the volume; `points` are the volume's lattice under its pixels."""

    index: int
    sheet: Sheet
    gray: Image
    points: Image = field(repr=False)


@dataclass(frozen=True, eq=False)
class Candidate:
    """A slice that may support others: of a finished case, or of the volume itself, once `drawn`."""

    looks: Image
    along: int = 0
    sheet: Sheet | None = None
    shelf: Shelf | None = None
    outline: Outline | None = None
    drawn: Aligned | None = None

    def on(self, page: Page) -> Aligned | None:
        """As it lies on a slice of the volume."""
        if self.sheet is None or self.shelf is None or self.outline is None:
            return self.drawn
        (low, high), (own, end) = page.sheet.box, self.sheet.box
        there = np.empty_like(page.points)
        there[self.along] = self.sheet.number
        across = [axis for axis in range(3) if axis != self.along]
        for axis, a, b, c, d in zip(across, low, high, own, end, strict=True):
            there[axis] = (page.points[axis] - a) * ((d - c) / (b - a)) + c
        return aligned(there, self.outline, self.shelf.body.wide, self.shelf.body.lattice)


def sheets_of(body: Body, along: int) -> list[Sheet]:
    """The slices of a lattice along an axis on which the body is."""
    sheets = []
    for number in range(body.wide.shape[along]):
        box = bounding_box(np.take(body.body, number, along))
        if box is not None and all(span.stop - span.start > 1 for span in box):
            corners = np.array([[span.start for span in box], [span.stop - 1 for span in box]], np.float64)
            sides = [np.linspace(low, high, _SIDE, dtype=np.float32) for low, high in corners.T]
            values = warped(np.take(body.wide, number, along), np.stack(np.meshgrid(*sides, indexing="ij")))
            sheets.append(Sheet(number, corners, (values - values.mean()).ravel()))
    return sheets


def looked_at(count: int) -> list[int]:
    """The slices of so many that are looked at."""
    return evenly(range(count), READ, ends=False)


@dataclass(frozen=True, eq=False)
class Image3d:
    """A volume whose slices are read.

    Args:
        volume: itself.
        body: the same on a lattice.
        along: axis of the lattice, across the slices.
        sheets: its slices that show the body.
        gray: turns the volume's values into the gray that networks are shown.
    """

    volume: Volume
    body: Body
    along: int
    sheets: Sequence[Sheet]
    gray: Callable[[NDArray[Any]], Image] = field(repr=False)

    @property
    def axis(self) -> int:
        """Of the array, across the slices."""
        return self.volume.geometry.plane_axis(ALONG[self.along])

    @property
    def pixel_mm(self) -> tuple[float, float]:
        """Spacing of rows and columns."""
        steps = self.volume.geometry.spacing_kji_mm
        rows, columns = (step for other, step in enumerate(steps) if other != self.axis)
        return rows, columns

    def pages(self, indices: Iterable[int]) -> list[Page]:
        """Slices, without those that do not show the body."""
        sheets = {sheet.number: sheet for sheet in self.sheets}
        rows, columns = (size for other, size in enumerate(self.volume.geometry.shape_kji) if other != self.axis)
        whole = slice(0, rows), slice(0, columns)
        pages = []
        for index in indices:
            points = points_on(self.body.lattice, self.volume.geometry, self.axis, index, whole)
            sheet = sheets.get(round(float(points[self.along, rows // 2, columns // 2])))
            if sheet is not None:
                values = slice_of(self.volume.array_kji, self.axis, index)
                pages.append(Page(index, sheet, self.gray(values), points))
        return pages


def opened(volume: Volume, along: int) -> Image3d | None:
    """A volume as one whose slices are read; None where it shows no body."""
    body = body_of(volume)
    if body is None:
        return None
    return Image3d(volume, body, along, sheets_of(body, along), gray_of(volume, body))


def shelved(finished: Finished, labels: Collection[int], image: Image3d, pages: Sequence[Page]) -> Shelf | str:
    """A case that can support slices of a volume, or why it cannot."""
    name = finished.case.name
    volume = read_volume(finished.case.image)
    body = body_of(volume)
    if body is None:
        return shows_no_body(f"The finished case '{name}'")
    sheets = sheets_of(body, image.along)
    misfit = misfit_of(name, Shelf(body, sheets, {}), image.body, [page.sheet for page in pages])
    if misfit:
        return misfit
    drawn = read_labels(finished.case.labels, volume.geometry)
    values = {label: finished.values[label] for label in labels if label in finished.values}
    return Shelf(body, sheets, outlines_of(drawn, volume.geometry, body, values))


def misfit_of(name: str, shelf: Shelf, body: Body, sheets: Sequence[Sheet]) -> str:
    """Why a case cannot support slices of a volume; empty where it can.

    Args:
        name: of the case.
        shelf: the case.
        body: of the volume.
        sheets: its slices.
    """
    if shelf.body.is_ct != body.is_ct:
        kinds = ("CT", "none") if body.is_ct else ("no CT", "one")
        return f"The image is {kinds[0]} and the finished case '{name}' is {kinds[1]}: give cases of its modality."
    best = [max((cosine(mine.looks, its.looks) for its in shelf.sheets), default=0.0) for mine in sheets]
    if not best or float(np.mean(best)) < LEAST_LIKENESS:
        return f"The image and the finished case '{name}' show different parts of the body."
    return ""


def outlines_of(drawn: Labels, geometry: Geometry, body: Body, values: Mapping[int, int]) -> dict[int, Outline]:
    """Label -> outline of the value that it has in a case's own file; none where it is not drawn."""
    outlines = {label: outline_of(drawn.mask(value), geometry, body.lattice) for label, value in values.items()}
    return {label: outline for label, outline in outlines.items() if outline is not None}


def candidates_of(label: int, shelves: Sequence[Shelf], along: int) -> list[Candidate]:
    """The slices of finished cases that show enough of an object to support another."""
    candidates = []
    for shelf in shelves:
        outline = shelf.outlines.get(label)
        if outline is not None:
            points = (np.moveaxis(outline.share, along, 0) > 0.5).sum(axis=(1, 2))
            shown = {int(number) + outline.start[along] for number in np.flatnonzero(points >= _LEAST_POINTS)}
            candidates += [Candidate(it.looks, along, it, shelf, outline) for it in shelf.sheets if it.number in shown]
    return candidates


def chosen_for(page: Page, candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates most similar to a slice, the best first."""
    numbers = most_similar(page.sheet.looks, [candidate.looks for candidate in candidates], SUPPORTS)
    return [candidates[number] for number in numbers]


def question_of(page: Page, supports: Sequence[Candidate]) -> Question | None:
    """Supports, the most similar first, as a question; what the first one shows is expected."""
    lying = [support for support in (candidate.on(page) for candidate in supports) if support is not None]
    return Question(page.gray, lying[0].mask, lying[::-1]) if lying else None
