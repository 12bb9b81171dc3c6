"""What the machine has said of the segments of a case, for the ledger of a project to measure the work against."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from SegmentPropagateLib.project.notes import packed
from SegmentPropagateSlicer.Runs.Run import Run
from SegmentPropagateSlicer.Values.Proposal import Proposal

KINDS = {"paint": "mask", "line": "mask", "box": "box", "points": "points", "suggest": "support"}
"""How she outlines key slices -> what the ledger calls it."""


class Said:
    """The proposals of a run and of the corrections that followed, until Accept or Discard.

    A slice that she has outlined has what was proposed there before, if anything was. Where she has only given a box or
    points, the outline is the machine's.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._slices: dict[str, dict[int, Proposal]] = {}
        self._run: Run | None = None
        self._kind = ""

    def take(self, run: Run, mode: str) -> None:
        """A run has ended.

        Args:
            run: with its proposals.
            mode: how she outlines, see `Parameters.promptMode`.
        """
        if self._run is not None and self._run.grid.plane != run.grid.plane:
            self.forget()
        self._kind = self._kind or KINDS.get(mode, mode)
        for segmentId, proposals in run.proposals.items():
            slices = self._slices.setdefault(segmentId, {})
            for index, proposal in proposals.items():
                if (segmentId, index) not in run.keys and (segmentId, index) not in run.absent:
                    slices[index] = proposal
        if self._run is None and self._kind != "mask":
            for (segmentId, index), outline in run.keys.items():
                self._slices[segmentId].setdefault(index, outline)
        self._run = run

    def note(self, names: Mapping[str, str], accepted: Collection[str]) -> dict[str, Any] | None:
        """What a note tells of it, see `notes.KINDS`; None where nothing is known.

        Args:
            names: segmentId -> name of the segment.
            accepted: IDs of the segments that were accepted.
        """
        run, ids = self._run, [i for i in self._slices if i in accepted and i in names]
        if run is None or not ids:
            return None
        keys = {names[i]: sorted(index for segmentId, index in run.keys if segmentId == i) for i in ids}
        geometry = run.grid.geometry
        pieces = {i: {index: (found.origin, found.box) for index, found in self._slices[i].items()} for i in ids}
        return {
            "model": run.settings.model,
            "plane": run.grid.plane,
            "grid": {"shape": list(geometry.shape_kji), "ijk_to_ras": geometry.ijk_to_ras.tolist()},
            "labels": {names[i]: packed(pieces[i]) for i in ids},
            "prompts": {"kind": self._kind, "keys": keys},
        }
