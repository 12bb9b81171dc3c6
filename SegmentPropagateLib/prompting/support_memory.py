"""The source `support-memory`: slices of finished cases in the network's memory, no registration (SAM2-SGP, Xing 2025).

The most similar slices of the finished cases, in the patient's orientation and stretched from body to body, support a
slice; what the network draws there is the pseudo-mask, and the slice it is surest of becomes the key slice, from which
the object is followed both ways. The paper walks from the first slice to the last instead, with what it has drawn as
further supports in place of the least similar ones: `WalkedMemory`. Of six organs of two volumes the mean DSC was .51
with fresh supports for every slice, and .34 so.

The paper's mask attention, which looks again where the pseudo-mask is, needs training on finished cases, which the
bundled network has not had: `finetune --recipe sgp` does it, and `Support.model` names what came of it. No training can
help where the organ lies elsewhere in the body: small organs are for the source `atlas-memory`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.prompting.atlas.grid import ALONG, shows_no_body
from SegmentPropagateLib.prompting.recall import Aligned, Answer, Memory, remembering
from SegmentPropagateLib.prompting.shelf import (
    Candidate,
    Page,
    Shelf,
    candidates_of,
    chosen_for,
    looked_at,
    opened,
    question_of,
    shelved,
)
from SegmentPropagateLib.prompting.source import Proposal, Support, Tick, in_silence
from SegmentPropagateLib.prompting.supports import SUPPORTS, least_similar
from SegmentPropagateLib.propagation.results import SliceResult, Source
from SegmentPropagateLib.volumes.geometry import Plane
from SegmentPropagateLib.volumes.volume import Volume

FOUND = 0.4
"""Least worth of the key slice of a label that is found."""


class SupportMemory:
    """Reads slices of the volume with the most similar slices of finished cases in memory; see `PromptSource`."""

    def __init__(self) -> None:
        self._memories: dict[str | Path | None, Memory] = {}

    def propose(
        self, volume: Volume, labels: Collection[int], support: Support, plane: Plane, tick: Tick = in_silence
    ) -> list[Proposal]:
        """See `source.PromptSource.propose`.

        Raises:
            InputError: there are no finished cases, one of them or the model cannot be read, or PyTorch is missing.
        """
        if not support.cases:
            raise InputError("The source 'support-memory' needs finished cases: give a folder of them.")
        image = opened(volume, ALONG.index(Plane.parse(plane)))
        if image is None:
            return [_absent(label, shows_no_body(f"'{volume.name}'")) for label in labels]
        pages = image.pages(looked_at(volume.geometry.shape_kji[image.axis]))
        total, shelves, reasons = len(support.cases) + len(labels), [], ["No finished case has it."]
        for finished in support.cases:
            shelf = shelved(finished, labels, image, pages)
            if isinstance(shelf, Shelf):
                shelves.append(shelf)
            else:
                reasons.insert(0, shelf)
            tick(len(shelves) + len(reasons) - 1, total)
        proposals = []
        for label in labels:
            candidates = candidates_of(label, shelves, image.along)
            if candidates:
                answers = self._read(self._memory(support.model), pages, candidates, image.pixel_mm)
                proposals.append(_proposal(label, answers))
            else:
                proposals.append(_absent(label, reasons[0]))
            tick(len(support.cases) + len(proposals), total)
        return proposals

    def _read(
        self,
        memory: Memory,
        pages: Sequence[Page],
        candidates: Sequence[Candidate],
        pixel_mm: tuple[float, float],
    ) -> dict[int, Answer]:
        """Every slice with fresh supports, whatever was drawn on the others."""
        questions = {}
        for page in pages:
            question = question_of(page, chosen_for(page, candidates))
            if question is not None:
                questions[page.index] = question
        answers = memory.ask(list(questions.values()), pixel_mm) if questions else []
        return dict(zip(questions, answers, strict=True))

    def _memory(self, model: str | Path | None) -> Memory:
        if model not in self._memories:
            self._memories[model] = remembering(model)
        return self._memories[model]


class WalkedMemory(SupportMemory):
    """The paper's own way: first to last, what was drawn joins the supports, and the least similar leaves."""

    def _read(
        self,
        memory: Memory,
        pages: Sequence[Page],
        candidates: Sequence[Candidate],
        pixel_mm: tuple[float, float],
    ) -> dict[int, Answer]:
        bank = chosen_for(pages[0], candidates)
        answers = {}
        for page, after in zip(pages, [*pages[1:], pages[-1]], strict=True):
            question = question_of(page, chosen_for(page, bank))
            if question is None:
                continue
            (answer,) = memory.ask([question], pixel_mm)
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


def _absent(label: int, reason: str) -> Proposal:
    return Proposal(label, "not here", source="support-memory", reason=reason)
