"""The part of the logic that asks for key slices: boxes, lines, points, other tools' masks, finished cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from slicer.i18n import tr as _

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.propagation.prompts import Known
from SegmentPropagateSlicer.Review.Ahead import Ahead
from SegmentPropagateSlicer.Review.Drafts import Drafts
from SegmentPropagateSlicer.Review.Keys import Keys
from SegmentPropagateSlicer.Review.PromptPreview import Prompt, PromptPreview
from SegmentPropagateSlicer.Review.Reviewer import Reviewer
from SegmentPropagateSlicer.Review.ReviewWriter import ReviewWriter
from SegmentPropagateSlicer.Review.Suggestions import Suggestions
from SegmentPropagateSlicer.Runs.Estimates import Estimates
from SegmentPropagateSlicer.Runs.RunController import RunController
from SegmentPropagateSlicer.Scene.Finished import finishedOn
from SegmentPropagateSlicer.Scene.Inputs import Inputs
from SegmentPropagateSlicer.Scene.SliceGrid import Ends
from SegmentPropagateSlicer.Values.RunSettings import RunSettings
from SegmentPropagateSlicer.Values.State import State
from SegmentPropagateSlicer.Values.Suggestion import Suggestion, Support


class Prompting(Inputs):
    """The half of the logic that asks for outlines; `SegmentPropagateLogic` makes its parts."""

    drafts: Drafts
    suggestions: Suggestions
    _ahead: Ahead
    _control: RunController
    _estimates: Estimates
    _keys: Keys
    _prompt: PromptPreview
    _reviewer: Reviewer
    _writer: ReviewWriter

    @property
    def state(self) -> str:
        """One of `State`."""
        return self._control.state

    # ---- before a run -------------------------------------------------------------------------------------------

    def getAhead(self, segmentId: str, sliceIndex: int, ends: Ends, settings: RunSettings) -> None:
        """Let the worker of this computer do what a run from this outline would begin with; nothing of it shows.

        It is left alone during a run, where it would forget what corrections of the proposal start from, and where
        memory may not suffice. A server is told nothing: an image goes there when the user says so.

        Args:
            segmentId: what is outlined.
            sliceIndex: on which slice.
            ends: first and last slice of its range; None where they are not given.
            settings: `RunSettings` of the run that may follow.
        """
        review = self._control.review
        others = review is not None and (settings != review.settings or segmentId not in review.segmentIds)
        if self.state in State.BUSY or self.suggestions.isAsking or self._estimates.server or others:
            return
        volumeNode, _segmentationNode = self._nodes()
        if self._estimates.of(settings, volumeNode, objects=1, slices=1, warm=True)["warning"]:
            return
        self._ahead.tell(volumeNode, self._grid(settings.plane), settings, (segmentId, sliceIndex), (ends, review))

    # ---- a segment of another tool ------------------------------------------------------------------------------

    def useAsDraft(self, segmentId: str) -> None:
        """Make those slices keys on which image and neighbors bear the segment out; `drafts.taken` follows."""
        self._checkNotBusy()
        self.drafts.ask(self._nodes(), self.settings, self._grid(), segmentId)

    # ---- box and points -----------------------------------------------------------------------------------------

    @property
    def previewed(self) -> tuple[str, str, int] | None:
        """`(segmentId, plane, sliceIndex)` of the mask that `usePreview` would take; None while there is none."""
        return self._prompt.place

    def previewPrompt(
        self,
        segmentId: str,
        sliceIndex: int,
        boxRas: Any = None,
        pointsRas: Any = None,
        positive: Any = None,
        *,
        lineRas: Any = None,
    ) -> None:
        """Ask the model for a mask on one slice; `previewReady` follows, and `previewChanged` when it comes or goes.

        The segment's key slices and *Completed* segments beside it tell the model more; see `prompts.Known`.
        Points on a slice of a proposal correct what is proposed there: one is enough, on the object or beside it.

        Args:
            segmentId: which segment.
            sliceIndex: which slice.
            boxRas: two or more corners in world RAS, `(N, 3)`; or a vtkMRMLMarkupsROINode.
            pointsRas: points in world RAS, `(N, 3)`; or a vtkMRMLMarkupsFiducialNode.
            positive: one bool per point, all True when None.
            lineRas: both ends of the longest diameter in world RAS, `(2, 3)`; or a vtkMRMLMarkupsLineNode.
        """
        self._checkNotBusy()
        self._writer.checkUnlocked(segmentId, self.settings.plane, sliceIndex)
        place = segmentId, sliceIndex
        mends = boxRas is None and lineRas is None
        corrects = self._reviewer.outline(self._nodes(), self._grid(), place) if mends else None
        prompt = Prompt(boxRas, pointsRas, positive, lineRas, corrects, self._known(*place))
        self._prompt.request(self._nodes(), self.settings, self._grid(), place, prompt, self._control.review)

    def usePreview(self) -> None:
        """Write the previewed mask into the segment on that slice (one undo step) and make the slice a key."""
        grid, segmentId, index, proposal = self._prompt.take()
        if self._control.review is None:
            self._writer.put(self._nodes(), grid, (segmentId, index), proposal)
        else:
            self._writer.edit(self._nodes(), grid, (segmentId, index), proposal)
            self._writer.noteKey((segmentId, grid.plane, index))
        self._keys.add(grid, segmentId, index)

    def dropPreview(self) -> None:
        """Forget the previewed mask."""
        self._prompt.drop()

    # ---- suggestions --------------------------------------------------------------------------------------------

    def suggest(self, support: Support, names: Sequence[str] = ()) -> None:
        """Ask for drafts of key slices from finished cases; `suggestions` has them, and says when they have come.

        Args:
            support: where the finished cases are.
            names: of what is to be found; none of them stands for all that the finished cases have.
        """
        self._checkNotBusy()
        self.suggestions.ask(self._nodes(), self.settings, self._grid(), support, tuple(names))

    def useSuggestions(
        self, find: Callable[[str], str | None], make: Callable[[Suggestion], str]
    ) -> dict[str, Suggestion]:
        """Write what is ticked and make it keys, in one undo step; see `Suggestions.use`."""
        self._checkNotBusy()
        if self.state == State.REVIEW:
            raise InputError(_("A proposal waits for review: accept or discard it first."))
        self._prompt.drop()
        return self.suggestions.use(find, make)

    # ---- inside -------------------------------------------------------------------------------------------------

    def _known(self, segmentId: str, sliceIndex: int) -> Known:
        """What the scene tells of a segment beside a prompt on a slice."""
        grid, node = self._grid(), self._nodes()[1]
        outlines = self._keys.drawn(grid, segmentId, sliceIndex)
        others = [] if self._writer.allowsOverlap else finishedOn(node, segmentId, grid, sliceIndex)
        own = {index: outline.mask for index, outline in outlines.items() if index != sliceIndex and outline.area}
        return Known(own, tuple(others))

    def _checkNotBusy(self) -> None:
        if self.state == State.WRITING:
            raise InputError(_("The proposal is being written: wait a moment, or cancel."))
        if self.state in State.BUSY:
            raise InputError(_("A run is going on: cancel it first."))
        if self.suggestions.isAsking:
            raise InputError(_("Suggestions are being made: wait for them, or cancel."))

    def _showSuggestions(self, *_arguments: object) -> None:
        """While nothing else is in the preview."""
        if self.state == State.IDLE and self._prompt.place is None:
            self.suggestions.show()
