"""The source `support-memory`: slices of finished cases in the network's memory, no registration (SAM2-SGP, Xu 2025).

The most similar slices of the finished cases, in the patient's orientation and stretched from body to body, support a
slice; what the network draws there is the pseudo-mask, and the slice it is surest of becomes the key slice, from which
the object is followed both ways. The paper walks from the first slice to the last instead, with what it has drawn as
further supports in place of the least similar ones: `WalkedMemory`. Of six organs of two volumes the mean DSC was .51
with fresh supports for every slice, and .34 so.

The paper's mask attention needs training on finished cases, which the bundled network has not had; and no training can
help where the organ lies elsewhere in the body: small organs are for the source `atlas-memory`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.reading import read_labels, read_volume
from SegmentPropagateLib.prompting.atlas.deformation import warped
from SegmentPropagateLib.prompting.atlas.fusion import Outline, outline_of
from SegmentPropagateLib.prompting.atlas.grid import ALONG, Body, body_of
from SegmentPropagateLib.prompting.finished import Finished
from SegmentPropagateLib.prompting.recall import Aligned, Answer, Memory, Question
from SegmentPropagateLib.prompting.source import Proposal, Support, Tick, in_silence
from SegmentPropagateLib.prompting.supports import (
    SUPPORTS,
    aligned,
    cosine,
    gray_of,
    least_similar,
    most_similar,
    points_on,
)
from SegmentPropagateLib.propagation.results import SliceResult, Source
from SegmentPropagateLib.volumes.boxes import bounding_box
from SegmentPropagateLib.volumes.geometry import Plane
from SegmentPropagateLib.volumes.stack import slice_of
from SegmentPropagateLib.volumes.volume import Volume

READ = 12
"""Slices of the volume that are looked at, evenly from end to end."""
FOUND = 0.4
"""Least worth of the key slice of a label that is found."""
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


class SupportMemory:
    """Reads slices of the volume with the most similar slices of finished cases in memory; see `PromptSource`."""

    def __init__(self) -> None:
        self._memory: Memory | None = None

    def propose(
        self, volume: Volume, labels: Collection[int], support: Support, plane: Plane, tick: Tick = in_silence
    ) -> list[Proposal]:
        """See `source.PromptSource.propose`.

        Raises:
            InputError: there are no finished cases, one of them cannot be read, or PyTorch is missing.
        """
        if not support.cases:
            raise InputError("The source 'support-memory' needs finished cases: give a folder of them.")
        body = body_of(volume)
        if body is None:
            return [_absent(label, f"'{volume.name}' shows no body: it is empty, or all air.") for label in labels]
        along = ALONG.index(Plane.parse(plane))
        pages = _pages(volume, body, along)
        total, shelves, reasons = len(support.cases) + len(labels), [], ["No finished case has it."]
        for finished in support.cases:
            shelf = _shelved(finished, labels, body, pages, along)
            if isinstance(shelf, Shelf):
                shelves.append(shelf)
            else:
                reasons.insert(0, shelf)
            tick(len(shelves) + len(reasons) - 1, total)
        proposals = []
        for label in labels:
            candidates = _candidates(label, shelves, along)
            if candidates:
                answers = self._read(pages, candidates, _pixel_mm(volume, plane))
                proposals.append(_proposal(label, answers))
            else:
                proposals.append(_absent(label, reasons[0]))
            tick(len(support.cases) + len(proposals), total)
        return proposals

    def _read(
        self, pages: Sequence[Page], candidates: Sequence[Candidate], pixel_mm: tuple[float, float]
    ) -> dict[int, Answer]:
        """Every slice with fresh supports, whatever was drawn on the others."""
        questions = {}
        for page in pages:
            chosen = most_similar(page.sheet.looks, [it.looks for it in candidates], SUPPORTS)
            question = _question(page, [candidates[number] for number in chosen])
            if question is not None:
                questions[page.index] = question
        answers = self._ask(list(questions.values()), pixel_mm) if questions else []
        return dict(zip(questions, answers, strict=True))

    def _ask(self, questions: Sequence[Question], pixel_mm: tuple[float, float]) -> list[Answer]:
        self._memory = self._memory or Memory()
        return self._memory.ask(questions, pixel_mm)


class WalkedMemory(SupportMemory):
    """The paper's own way: first to last, what was drawn joins the supports, and the least similar leaves."""

    def _read(
        self, pages: Sequence[Page], candidates: Sequence[Candidate], pixel_mm: tuple[float, float]
    ) -> dict[int, Answer]:
        first = most_similar(pages[0].sheet.looks, [it.looks for it in candidates], SUPPORTS)
        bank = [candidates[number] for number in first]
        answers = {}
        for page, after in zip(pages, [*pages[1:], pages[-1]], strict=True):
            order = most_similar(page.sheet.looks, [it.looks for it in bank], SUPPORTS)
            question = _question(page, [bank[number] for number in order])
            if question is None:
                continue
            (answer,) = self._ask([question], pixel_mm)
            answers[page.index] = answer
            if answer.mask.any():
                bank = admitted(bank, Candidate(page.sheet.looks, drawn=Aligned(page.gray, answer.mask)), after)
        return answers


def admitted(bank: Sequence[Candidate], new: Candidate, after: Page) -> list[Candidate]:
    """The bank with one more entry; while there are too many, the one least similar to the slice after it leaves."""
    bank = [*bank, new]
    while len(bank) > SUPPORTS:
        bank.pop(least_similar(after.sheet.looks, [it.looks for it in bank]))
    return bank


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


def _pages(volume: Volume, body: Body, along: int) -> list[Page]:
    axis = volume.geometry.plane_axis(ALONG[along])
    sheets = {sheet.number: sheet for sheet in sheets_of(body, along)}
    count = volume.geometry.shape_kji[axis]
    rows, columns = (size for other, size in enumerate(volume.geometry.shape_kji) if other != axis)
    gray = gray_of(volume, body)
    pages = []
    for place in np.unique(np.rint(np.linspace(0, count - 1, READ + 2)[1:-1]).astype(int)):
        index = int(place)
        points = points_on(body.lattice, volume.geometry, axis, index, (slice(0, rows), slice(0, columns)))
        sheet = sheets.get(round(float(points[along, rows // 2, columns // 2])))
        if sheet is not None:
            pages.append(Page(index, sheet, gray(slice_of(volume.array_kji, axis, index)), points))
    return pages


def _shelved(
    finished: Finished, labels: Collection[int], volume: Body, pages: Sequence[Page], along: int
) -> Shelf | str:
    """A case that can support, or why it cannot."""
    name = finished.case.name
    image = read_volume(finished.case.image)
    body = body_of(image)
    if body is None:
        return f"The finished case '{name}' shows no body: it is empty, or all air."
    if body.is_ct != volume.is_ct:
        kinds = ("CT", "none") if volume.is_ct else ("no CT", "one")
        return f"The image is {kinds[0]} and the finished case '{name}' is {kinds[1]}: give cases of its modality."
    sheets = sheets_of(body, along)
    best = [max((cosine(page.sheet.looks, sheet.looks) for sheet in sheets), default=0.0) for page in pages]
    if not best or float(np.mean(best)) < LEAST_LIKENESS:
        return f"The image and the finished case '{name}' show different parts of the body."
    drawn = read_labels(finished.case.labels, image.geometry)
    masks = {label: drawn.mask(finished.values[label]) for label in labels if label in finished.values}
    outlines = {label: outline_of(mask, image.geometry, body.lattice) for label, mask in masks.items()}
    return Shelf(body, sheets, {label: outline for label, outline in outlines.items() if outline is not None})


def _candidates(label: int, shelves: Sequence[Shelf], along: int) -> list[Candidate]:
    candidates = []
    for shelf in shelves:
        outline = shelf.outlines.get(label)
        if outline is not None:
            shown = (np.moveaxis(outline.share, along, 0) > 0.5).sum(axis=(1, 2)) >= _LEAST_POINTS
            candidates += [Candidate(it.looks, along, it, shelf, outline) for it in shelf.sheets if shown[it.number]]
    return candidates


def _question(page: Page, supports: Sequence[Candidate]) -> Question | None:
    """Supports, the most similar first, as a question; what the first one shows is expected, and has no vote."""
    lying = [support for support in (candidate.on(page) for candidate in supports) if support is not None]
    return Question(page.gray, lying[0].mask, lying[::-1], weight=0.0) if lying else None


def _proposal(label: int, answers: dict[int, Answer]) -> Proposal:
    drawn = {index: answer for index, answer in answers.items() if answer.mask.any()}
    if not drawn:
        return _absent(label, "The network sees it on no slice.")
    key = max(drawn, key=lambda index: drawn[index].worth)
    worth = round(float(drawn[key].worth), 4)
    slices = {}
    for index, answer in drawn.items():
        share = float(np.clip(answer.worth, 0.001, 0.999))
        source: Source = "key" if index == key else "propagated"
        slices[index] = SliceResult.of_mask(answer.mask, source, float(np.log(share / (1 - share))), share)
    reason = "" if worth >= FOUND else f"The network agrees with the finished cases on little of it ({worth:.2f})."
    return Proposal(
        label,
        "unsure" if reason else "found",
        key,
        drawn[key].mask,
        confidence=worth,
        source="support-memory",
        reason=reason,
        slices=slices,
    )


def _pixel_mm(volume: Volume, plane: Plane) -> tuple[float, float]:
    axis = volume.geometry.plane_axis(plane)
    rows, columns = (step for other, step in enumerate(volume.geometry.spacing_kji_mm) if other != axis)
    return rows, columns


def _absent(label: int, reason: str) -> Proposal:
    return Proposal(label, "not here", source="support-memory", reason=reason)
