"""A box, points or a line, and the outline that the model makes of them, before it becomes a key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.propagation.prompts import NOTHING_KNOWN, Known
from SegmentPropagateLib.worker.replies import Downloading, Failed, Outlined, Preparing, Remote, Reply
from SegmentPropagateLib.worker.requests import Segment
from SegmentPropagateLib.worker.setup import Setup
from SegmentPropagateSlicer.Runs.Run import Run
from SegmentPropagateSlicer.Runs.Runner import Runner
from SegmentPropagateSlicer.Scene.Preview import Preview
from SegmentPropagateSlicer.Scene.PromptReader import PromptReader
from SegmentPropagateSlicer.Scene.SliceGrid import SliceGrid
from SegmentPropagateSlicer.Scene.Whereabouts import Whereabouts
from SegmentPropagateSlicer.Values.Proposal import Proposal, emptyProposal, proposalOfMask
from SegmentPropagateSlicer.Values.RunSettings import RunSettings
from SegmentPropagateSlicer.Values.Signal import Signal
from SegmentPropagateSlicer.Values.Words import tr as _

if TYPE_CHECKING:
    from SegmentPropagateSlicer.Runs.RunController import Nodes

MARGIN, MARGIN_PX = 0.15, 3
"""How far a mended outline may grow beyond the one before: a part of its size, and pixels."""


@dataclass(frozen=True)
class Prompt:
    """A box, points, or both, or a line, in the world.

    Args:
        boxRas: two or more corners in world RAS, `(N, 3)`; or a vtkMRMLMarkupsROINode.
        pointsRas: points in world RAS, `(N, 3)`; or a vtkMRMLMarkupsFiducialNode.
        positive: one bool per point, all True when None.
        lineRas: both ends of the longest diameter in world RAS, `(2, 3)`; or a vtkMRMLMarkupsLineNode.
        corrects: the outline that points mend: it gains what is found at those on the object, and loses what is found
            not to be it; None for an outline of the points alone.
        known: what is known of the object beside that.
    """

    boxRas: Any = None
    pointsRas: Any = None
    positive: Any = None
    lineRas: Any = None
    corrects: Proposal | None = None
    known: Known = NOTHING_KNOWN

    def request(self, setup: Setup, grid: SliceGrid, sliceIndex: int) -> Segment:
        """What the worker is asked.

        Raises:
            SegmentPropagateError: the box lies beside the volume, no point on the slice, or there is neither.
        """
        reader, points, positive = PromptReader(grid), [], []
        masks = [*self.known.outlines.values(), *self.known.others]
        known = tuple(self.known.outlines), np.array(masks, dtype=bool).reshape(-1, *grid.shape)
        if self.lineRas is not None:
            seen = reader.line(self.lineRas, sliceIndex).as_points(grid.pixelSizeMm, grid.shape)
            box = seen.box.box_ij if seen.box is not None else None
            points, positive = seen.points_ij.tolist(), seen.positive.tolist()
            return Segment(setup, 1, sliceIndex, box, tuple(points), tuple(positive), *known)
        if self.pointsRas is not None:
            found, flags = reader.points(self.pointsRas, sliceIndex, self.positive)
            points, positive = found.tolist(), flags.tolist()
        box = reader.box(self.boxRas) if self.boxRas is not None else None
        if self.corrects is not None and points:
            box = _around(self.corrects, [point for point, isOn in zip(points, positive, strict=True) if isOn])
            if not any(positive):
                points, positive = [*points, _inside(self.corrects, points)], [*positive, True]
        if box is None and not points:
            raise InputError(_("A box or at least one point is needed."))
        return Segment(setup, 1, sliceIndex, box, tuple(points), tuple(positive), *known)

    def finish(self, outline: Proposal) -> Proposal:
        """What the worker's outline is taken for."""
        if self.corrects is None:
            return outline
        before, found = self.corrects.mask, outline.mask
        positive = (True,) if self.positive is None else self.positive
        gained = before | found if any(positive) else before
        return proposalOfMask(gained if all(positive) else gained & found)


def _around(outline: Proposal, points: Sequence[Sequence[float]]) -> tuple[float, float, float, float]:
    """Box `(i0, j0, i1, j1)` around an outline and points on the object, with some room for what it lacks."""
    rows, columns = outline.place
    i = [columns.start, columns.stop - 1, *(point[0] for point in points)]
    j = [rows.start, rows.stop - 1, *(point[1] for point in points)]
    room = MARGIN_PX + MARGIN * max(max(i) - min(i), max(j) - min(j))
    (height, width) = outline.shape
    return max(min(i) - room, 0), max(min(j) - room, 0), min(max(i) + room, width - 1), min(max(j) + room, height - 1)


def _inside(outline: Proposal, points: Sequence[Sequence[float]]) -> list[float]:
    """The pixel `(i, j)` of an outline that is farthest from points beside the object."""
    j, i = np.nonzero(outline.mask)
    away = np.min([(i - x) ** 2 + (j - y) ** 2 for x, y in points], axis=0)
    best = int(np.argmax(away - (i - i.mean()) ** 2 - (j - j.mean()) ** 2))
    return [float(i[best]), float(j[best])]


@dataclass(frozen=True, eq=False)
class _Asked:
    """What the model outlines or has outlined.

    Args:
        nodes: `(volumeNode, segmentationNode)`.
        grid: slices of the volume.
        place: `(segmentId, sliceIndex)`.
        prompt: what is to be outlined.
        settings: `RunSettings`.
        review: the proposal that is shown before, and again afterwards; None without one.
        whereabouts: of the image and the segment when the model was asked.
    """

    nodes: Nodes
    grid: SliceGrid
    place: tuple[str, int]
    prompt: Prompt
    settings: RunSettings
    review: Run | None
    whereabouts: Whereabouts


class PromptPreview:
    """One prompt at a time; a new one replaces it.

    Args:
        runner: `Runner`.
        preview: `Preview` that shows the outline.
    """

    def __init__(self, runner: Runner, preview: Preview) -> None:
        self.ready = Signal("segmentId", "sliceIndex", "areaMm2")
        self.changed = Signal()  # `place` is another one
        self.failed = Signal("sentence")
        self._runner, self._preview = runner, preview
        self._asked: _Asked | None = None
        self._requestId = 0
        self._outline: Proposal | None = None  # what came back
        self._downloads = False  # the model that is to answer is on its way

    @property
    def isAsking(self) -> bool:
        """Whether an outline is waited for."""
        return self._asked is not None and self._outline is None

    @property
    def place(self) -> tuple[str, str, int] | None:
        """`(segmentId, plane, sliceIndex)` of the outline that is shown; None while there is none."""
        if self._asked is None or self._outline is None:
            return None
        segmentId, index = self._asked.place
        return segmentId, self._asked.grid.plane, index

    def request(
        self,
        nodes: Nodes,
        settings: RunSettings,
        grid: SliceGrid,
        place: tuple[str, int],
        prompt: Prompt,
        review: Run | None,
    ) -> None:
        """Ask for an outline; `ready` or `failed` follows.

        Args:
            nodes: `(volumeNode, segmentationNode)`.
            settings: `RunSettings`.
            grid: `SliceGrid`.
            place: `(segmentId, sliceIndex)`.
            prompt: what to make it of.
            review: the `Run` in review, or None.
        """
        grid.checkIndex(place[1])
        request = prompt.request(self._runner.setup(nodes[0], grid, settings), grid, place[1])
        where = Whereabouts(*nodes, place[:1])
        self.drop()
        self._asked = asked = _Asked(nodes, grid, place, prompt, settings, review, where)
        self._requestId = self._runner.ask(nodes[0], request, lambda reply: self._onReply(asked, reply))

    def take(self) -> tuple[SliceGrid, str, int, Proposal]:
        """End the preview and return `(grid, segmentId, slice, Proposal)`; InputError when there is no outline yet."""
        asked, outline = self._asked, self._outline
        if asked is None or outline is None:
            raise InputError(_("There is no previewed outline to use."))
        asked.whereabouts.check()
        self.drop()
        return asked.grid, *asked.place, outline

    def cancelDownload(self) -> None:
        """Stop the download that the outline waits for, if there is one; what has arrived is kept for another time."""
        if self._downloads:
            self._endDownload()
            self._runner.process.cancel(self._requestId)
            self._asked = None

    def drop(self) -> None:
        """Forget the outline, and show what was shown before."""
        self.cancelDownload()
        asked, outline = self._asked, self._outline
        self._asked = self._outline = None
        if asked is None or outline is None:
            return
        if asked.review is None:
            self._preview.end()
        else:
            segmentId, index = asked.place
            before = asked.review.proposals.get(segmentId, {}).get(index) or emptyProposal(asked.grid.shape)
            self._preview.show(segmentId, index, before)
        self.changed.emit()

    def _onReply(self, asked: _Asked, reply: Reply) -> None:
        if asked is not self._asked:
            return
        if isinstance(reply, Downloading | Preparing | Remote):
            self._downloads = isinstance(reply, Downloading)
            self._runner.tellStage(reply, asked.settings)
            return
        self._endDownload()
        if isinstance(reply, Outlined):
            self._show(asked, asked.prompt.finish(Proposal.ofReply(reply)))
            return
        self._asked = None
        if isinstance(reply, Failed):
            self.failed.emit(reply.sentence)

    def _show(self, asked: _Asked, outline: Proposal) -> None:
        (segmentId, index), self._outline = asked.place, outline
        if asked.review is None:
            volumeNode, segmentationNode = asked.nodes
            self._preview.begin(volumeNode, asked.grid, segmentationNode, (segmentId,), index, index)
        self._preview.show(segmentId, index, outline)
        self.ready.emit(segmentId, index, outline.area * asked.grid.pixelAreaMm2)
        self.changed.emit()

    def _endDownload(self) -> None:
        if self._downloads:
            self._downloads = False
            self._runner.downloadProgressed.emit(0, 0)
