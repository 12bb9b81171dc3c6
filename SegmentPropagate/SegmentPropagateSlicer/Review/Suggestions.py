"""Drafts from finished cases: asked for, looked at, ticked, and written as keys when the user says so."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.worker.replies import (
    Cancelled,
    Failed,
    Preparing,
    Reply,
    Suggested,
    SuggestedKey,
    Suggesting,
    SuggestionsDone,
)
from SegmentPropagateLib.worker.requests import Suggest
from SegmentPropagateSlicer.Review.Keys import Keys
from SegmentPropagateSlicer.Review.ReviewWriter import Draft, ReviewWriter
from SegmentPropagateSlicer.Runs.Runner import Runner
from SegmentPropagateSlicer.Scene.Held import undisturbed
from SegmentPropagateSlicer.Scene.Preview import Preview
from SegmentPropagateSlicer.Scene.SliceGrid import SliceGrid
from SegmentPropagateSlicer.Scene.Whereabouts import Whereabouts
from SegmentPropagateSlicer.Values.Proposal import Proposal
from SegmentPropagateSlicer.Values.RunSettings import RunSettings
from SegmentPropagateSlicer.Values.Signal import Signal
from SegmentPropagateSlicer.Values.Suggestion import Suggestion, Support
from SegmentPropagateSlicer.Values.Words import tr as _

if TYPE_CHECKING:
    import slicer

    from SegmentPropagateSlicer.Runs.RunController import Nodes


@dataclass(frozen=True, eq=False)
class _Asked:
    """What the drafts are for.

    Args:
        nodes: `(volumeNode, segmentationNode)`.
        grid: slices of the volume.
        whereabouts: of the image when the worker was asked.
    """

    nodes: Nodes
    grid: SliceGrid
    whereabouts: Whereabouts


class Suggestions:
    """Those of one image at a time; new ones replace them when all have come.

    Signals: `changed()` when the list, a tick, or whether one is asked for is another; `progressed(done, total)`, both
    0 as long as the steps are not known; `ended(count)`; `failed(sentence)`.

    Args:
        runner: asks the worker.
        preview: shows the outlines while nothing else is shown.
        keys: the key slices.
        writer: writes into the segments.
    """

    def __init__(self, runner: Runner, preview: Preview, keys: Keys, writer: ReviewWriter) -> None:
        self.changed, self.progressed = Signal(), Signal("done", "total")
        self.ended, self.failed = Signal("count"), Signal("sentence")
        self.all: tuple[Suggestion, ...] = ()
        self._runner, self._preview, self._keys, self._writer = runner, preview, keys, writer
        self._asked: _Asked | None = None  # what the worker is busy with
        self._shown: _Asked | None = None  # what `all` is for
        self._coming: list[Suggestion] = []
        self._requestId = 0
        self._displayed: list[int] = []  # numbers of those whose outlines were shown last
        self._node: slicer.vtkMRMLSegmentationNode | None = None  # which showed them
        self._handlers: Mapping[type[Reply], Callable[[_Asked, Any], None]] = {
            Preparing: lambda _asked, _reply: self._tell(_("Looking through the finished cases...")),
            Suggesting: self._onStep,
            Suggested: lambda _asked, reply: self._coming.append(_suggestionOf(reply)),
            SuggestedKey: lambda _asked, reply: self._takeKey(reply),
            SuggestionsDone: self._onDone,
            Cancelled: lambda _asked, _reply: self._end(),
            Failed: self._onFailed,
        }

    @property
    def isAsking(self) -> bool:
        """Whether the worker is busy with it."""
        return self._asked is not None

    @property
    def ticked(self) -> tuple[Suggestion, ...]:
        """What *Use* takes."""
        return tuple(one for one in self.all if one.isTicked)

    @property
    def plane(self) -> str:
        """Along which the slices of `all` are numbered; empty without any."""
        return self._shown.grid.plane if self._shown else ""

    # ---- asking -------------------------------------------------------------------------------------------------

    def ask(
        self, nodes: Nodes, settings: RunSettings, grid: SliceGrid, support: Support, names: tuple[str, ...]
    ) -> None:
        """Ask for drafts; `ended` or `failed` follows, and nothing after `cancel`.

        Args:
            nodes: `(volumeNode, segmentationNode)`.
            settings: `RunSettings`.
            grid: slices of the volume.
            support: where the finished cases are.
            names: of the labels to find; none of them stands for all that the finished cases have.

        Raises:
            SegmentPropagateError: the worker cannot be asked that; everything is as before.
        """
        setup = self._runner.setup(nodes[0], grid, settings)
        request = Suggest(setup, names, support.folders, support.cases)
        asked, self._coming = _Asked(nodes, grid, Whereabouts(*nodes, ())), []
        self._requestId = self._runner.ask(nodes[0], request, lambda reply: self._onReply(asked, reply))
        self._asked = asked
        self.changed.emit()
        self.progressed.emit(0, 0)

    def cancel(self) -> bool:
        """Stop asking; what there was before is still there. Returns whether there was something to stop."""
        wasAsking = self._asked is not None
        if wasAsking:
            self._end()
            self._runner.process.cancel(self._requestId)
        return wasAsking

    def drop(self) -> bool:
        """Forget everything; returns whether there was something that had not been used."""
        self.cancel()
        lost = any(one.isHere and not one.isUsed for one in self.all)
        self._hide()
        if self.all:
            self._take(None, ())
        return lost

    def _onReply(self, asked: _Asked, reply: Reply) -> None:
        if asked is self._asked:  # else of one that was cancelled
            self._handlers[type(reply)](asked, reply)

    def _tell(self, text: str) -> None:
        self._runner.statusChanged.emit(text)

    def _onStep(self, _asked: _Asked, reply: Suggesting) -> None:
        self._tell(_("Laying the finished cases over the image..."))
        self.progressed.emit(reply.done, reply.total)

    def _takeKey(self, reply: SuggestedKey) -> None:
        place = next(place for place, one in enumerate(self._coming) if one.number == reply.object_id)
        outlines = {**self._coming[place].outlines, reply.slice_index: Proposal.ofReply(reply)}
        self._coming[place] = replace(self._coming[place], outlines=dict(sorted(outlines.items())))

    def _onDone(self, asked: _Asked, _reply: SuggestionsDone) -> None:
        self._asked = None
        self._take(asked, tuple(self._coming))
        self.ended.emit(len(self.all))

    def _onFailed(self, _asked: _Asked, reply: Failed) -> None:
        self._end()
        self.failed.emit(reply.sentence)

    def _end(self) -> None:
        self._asked, self._coming = None, []
        self.changed.emit()

    def _take(self, asked: _Asked | None, suggestions: tuple[Suggestion, ...]) -> None:
        self._shown, self.all, self._coming = asked, suggestions, []
        self.changed.emit()

    # ---- looking ------------------------------------------------------------------------------------------------

    def tick(self, number: int, isTicked: bool) -> None:
        """Have one taken by *Use*, or not; what is not here never is."""
        ticked = tuple(
            replace(one, isTicked=isTicked and one.isHere) if one.number == number else one for one in self.all
        )
        self._take(self._shown, ticked)

    def show(self) -> None:
        """Show the outlines that are in no segment yet; the caller sees to it that nothing else is shown."""
        waiting = [one for one in self.all if one.isHere and not one.isUsed]
        if self._shown is None or not waiting:
            self._hide()
            return
        numbers = [one.number for one in waiting]
        if numbers == self._displayed and self._isDisplayed:
            return
        outlines = [(one.name, one.color, one.outlines) for one in waiting]
        self._preview.showOutlines(self._shown.nodes[0], self._shown.grid, outlines)
        self._displayed, self._node = numbers, self._preview.node

    @property
    def _isDisplayed(self) -> bool:
        """Whether the preview is still the one that was begun here."""
        return self._node is not None and self._preview.node is self._node

    def _hide(self) -> None:
        if self._isDisplayed:
            self._preview.end()
        self._node = None

    # ---- using --------------------------------------------------------------------------------------------------

    def checkWhereabouts(self) -> None:
        """InputError where the image is no longer where it was when the drafts were made."""
        if self._shown is not None:
            self._shown.whereabouts.check()

    def using(
        self, find: Callable[[str], str | None], make: Callable[[Suggestion], str]
    ) -> Generator[float, None, dict[str, Suggestion]]:
        """Write the ticked outlines and make their slices keys, in steps; nothing is changed before the last one.

        What is drawn already stays: voxels of other segments, slices on which the segment itself holds something, and
        locked slices. What is sure gets the voxels where two outlines overlap. All is one undo step.

        Args:
            find: gives the ID of the segment of a name; None where there is none.
            make: makes a segment for a suggestion, and gives its ID.

        Returns:
            dict: segment ID -> what was used for it.

        Raises:
            InputError: there is nothing that could be used; nothing changes.
        """
        asked, ticked = self._shown, self.ticked
        if asked is None or not ticked:
            raise InputError(_("Tick what is to be used first."))
        node = asked.nodes[1]
        draft, used = yield from undisturbed(node, lambda: self._drafting(asked, ticked, find))
        with self._writer.inOneStep(node):
            missing = {place: one for place, one in used.items() if node.GetSegmentation().GetSegment(place) is None}
            made = {place: make(one) for place, one in missing.items()}
            outlines = self._writer.putDraft(asked.nodes, draft, made)
        self._keys.takeAll(asked.grid, outlines)
        numbers = {one.number for one in used.values()}
        told = (replace(one, isTicked=False, isUsed=True) if one.number in numbers else one for one in self.all)
        self._take(asked, tuple(told))
        return {made.get(place, place): one for place, one in used.items()}

    def _drafting(
        self, asked: _Asked, ticked: Sequence[Suggestion], find: Callable[[str], str | None]
    ) -> Generator[float, None, tuple[Draft, dict[str, Suggestion]]]:
        """Find out what is written, and for which segments; a name stands for those that are yet to be made."""
        wanted: dict[str, Suggestion] = {}
        for one in sorted(ticked, key=lambda one: one.status != "found"):  # the first one gets what two of them claim
            wanted.setdefault(find(one.name) or f"new: {one.name.casefold()}", one)
        outlines = {place: one.outlines for place, one in wanted.items()}
        draft = yield from self._writer.drafting(asked.nodes, asked.grid, outlines)
        used = {place: one for place, one in wanted.items() if place in draft.prepared.changes}
        if not used:
            text = _("Nothing was used: on every ticked slice something is drawn already, or the slice is locked.")
            raise InputError(text)
        return draft, used


def _suggestionOf(reply: Suggested) -> Suggestion:
    return Suggestion(
        number=reply.object_id,
        name=reply.name,
        color=reply.color_rgb,
        status=reply.status,
        sliceIndex=reply.slice_index,
        outlines={reply.slice_index: Proposal.ofReply(reply)} if reply.status != "not here" else {},
        first=reply.first,
        last=reply.last,
        reason=reply.reason,
        isTicked=reply.status == "found",
    )
