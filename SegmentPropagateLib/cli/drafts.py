"""What `--support` asks for: drafts from finished cases, and how they are told."""

from __future__ import annotations

import argparse
from typing import Any, NamedTuple

from SegmentPropagateLib.cli.console import progress_bar
from SegmentPropagateLib.cli.named import find_segment
from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.prompting.finished import FinishedCases, read_finished
from SegmentPropagateLib.prompting.source import Proposal, Support, best_source, find_source
from SegmentPropagateLib.volumes.geometry import Plane
from SegmentPropagateLib.volumes.labels import SegmentInfo
from SegmentPropagateLib.volumes.volume import Volume

SURENESS = {"found": "sure", "unsure": "unsure"}


class Draft(NamedTuple):
    """A proposal, and what its label is called."""

    segment: SegmentInfo
    proposal: Proposal

    @property
    def sentence(self) -> str:
        """One line for people."""
        draft = self.proposal
        if draft.status == "not here":
            return f"{self.segment.name}: not here. {draft.reason}"
        first, last = ("open" if end is None else end for end in (draft.first, draft.last))
        doubt = f". {draft.reason}" if draft.reason else ""
        return f"{self.segment.name}: slice {draft.key_slice}, {first} to {last}, {SURENESS[draft.status]}{doubt}"

    @property
    def facts(self) -> dict[str, Any]:
        """Its entry in a report."""
        draft = self.proposal
        return {
            "label": draft.label,
            "name": self.segment.name,
            "status": draft.status,
            "key_slice": draft.key_slice,
            "first": draft.first,
            "last": draft.last,
            "confidence": draft.confidence,
            "source": draft.source,
            "reason": draft.reason,
            "box_mm": draft.box_mm,
        }


def read_drafts(arguments: argparse.Namespace, volume: Volume, source: str = "auto") -> list[Draft]:
    """Drafts for the labels that were asked for, ascending by label.

    Raises:
        InputError: the finished cases cannot be used, or none has a label that was asked for.
    """
    finished = read_finished(arguments.support)
    segments = _wanted(finished, arguments)
    plane = Plane.parse(arguments.plane)
    with progress_bar(arguments.quiet, unit="step") as bar:

        def tick(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        values = [segment.value for segment in segments]
        support = Support(cases=finished.cases)
        proposals = find_source(best_source() if source == "auto" else source).propose(
            volume, values, support, plane, tick
        )
    return [Draft(segment, proposal) for segment, proposal in zip(segments, proposals, strict=True)]


def check_any(drafts: list[Draft], usable: list[Draft]) -> None:
    """Raise InputError with the reasons of all where there is nothing to go on with."""
    if not usable:
        told = " ".join(draft.sentence if draft.sentence.endswith(".") else f"{draft.sentence}." for draft in drafts)
        raise InputError(f"Nothing was found. {told}")


def _wanted(finished: FinishedCases, arguments: argparse.Namespace) -> list[SegmentInfo]:
    if arguments.label is None or "all" in arguments.label:
        return list(finished.segments)
    return sorted(
        {find_segment(finished, word, arguments.support) for word in arguments.label}, key=lambda it: it.value
    )
