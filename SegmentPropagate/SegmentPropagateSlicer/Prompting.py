"""The part of the logic that has the key slices, and asks for them: boxes, points, other masks, finished cases."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
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
from SegmentPropagateSlicer.Review.Underway import Underway
from SegmentPropagateSlicer.Runs.Estimates import Estimates
from SegmentPropagateSlicer.Runs.RunController import RunController
from SegmentPropagateSlicer.Scene.Finished import finishedOn
from SegmentPropagateSlicer.Scene.Inputs import Inputs
from SegmentPropagateSlicer.Scene.SliceGrid import Ends
from SegmentPropagateSlicer.Scene.VolumeReader import VolumeReader
from SegmentPropagateSlicer.Values.Key import Key
from SegmentPropagateSlicer.Values.Pieces import doneWithin
from SegmentPropagateSlicer.Values.RunSettings import RunSettings
from SegmentPropagateSlicer.Values.State import State
from SegmentPropagateSlicer.Values.Suggestion import Suggestion, Support


class Prompting(Inputs):
    """The half of the logic before a run: keys, and what they are made of; `SegmentPropagateLogic` makes its parts."""

    drafts: Drafts
    suggestions: Suggestions
    _ahead: Ahead
    _control: RunController
    _estimates: Estimates
    _keys: Keys
    _prompt: PromptPreview
    _reviewer: Reviewer
    _underway: Underway
    _writer: ReviewWriter

    @property
    def state(self) -> str:
        """One of `State`."""
        return self._control.state

    # ---- keys ---------------------------------------------------------------------------------------------------

    @property
    def keys(self) -> tuple[Key, ...]:
        """Tuple of `Key`, by segment, plane and slice."""
        return tuple(self._keys)

    def addKey(self, segmentId: str, sliceIndex: int, plane: str | None = None, confirmed: bool = False) -> None:
        """Make what the segment holds on that slice a key; InputError when it is empty there."""
        self._keys.add(self._grid(plane), segmentId, sliceIndex, confirmed)

    def keyPicture(self, key: Key, size: int) -> NDArray[np.uint8]:
        """The outline of a key on its slice, uint8 `(size, size, 3)`; InputError where image or segment have gone."""
        grid = self._grid(key.plane)
        return self._keys.picture(grid, VolumeReader(self.volumeNode).voxels, key, size)

    def removeKey(self, key: Key) -> None:
        """Forget a key; the segment keeps its voxels."""
        self._keys.remove(key.place)

    def setKeys(self, keys: Iterable[Key]) -> None:
        """Replace all keys, e.g. from a saved scene; keys of vanished segments are dropped."""
        self._keys.replaceAll(keys)

    def followKeys(self, seconds: float | None = None) -> bool:
        """Have the keys go, come back and measure with their outlines, as Undo, Redo and the eraser change these.

        Returns:
            bool: whether all is done; else the seconds have passed, so call it again.
        """
        if self.state != State.IDLE:
            return True  # a proposal is drawn upon: see `takeStrokes`
        try:
            following = self._keys.following(self._grid().geometry)
            with self._keys.together():
                return doneWithin(following, seconds)[1] is not None
        except InputError:  # no image, or a segmentation that is stored as surfaces
            return True

    def confirmSlices(
        self, segmentId: str, sliceIndices: Iterable[int], confirmed: bool = True, plane: str | None = None
    ) -> None:
        """Lock slices (never changed again by a run or Accept), or unlock them.

        Outside a review a slice is locked as it is drawn, empty or not. In review, the proposal of a slice that is
        locked is kept as it is and written with the next Accept, unless the user has drawn there.
        """
        grid = self._grid(plane or self._reviewer.plane)
        self._reviewer.confirm(self._nodes(), grid, segmentId, sliceIndices, confirmed)

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

    @property
    def isOutlining(self) -> bool:
        """Whether the outline that `previewPrompt` asked for is waited for."""
        return self._prompt.isAsking

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
        """Write the previewed mask into the segment on that slice (one undo step) and make the slice a key.

        Raises:
            InputError: there is none, or nothing of it may be written.
        """
        grid, segmentId, index, proposal = self._prompt.take()
        if self._control.review is None:
            self._writer.put(self._nodes(), grid, (segmentId, index), proposal)
        else:
            self._writer.edit(self._nodes(), grid, (segmentId, index), proposal)
            self._writer.noteKey((segmentId, grid.plane, index))
        if not self._writer.outline(self._nodes(), grid, (segmentId, index)).area:
            text = _(
                "Nothing of the outline on slice {index} could be written: other segments keep it on their key slices, "
                "are completed, or masking in the Segment Editor does not allow it."
            )
            raise InputError(text.format(index=index))
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
        self, find: Callable[[str], str | None], make: Callable[[Suggestion], str], seconds: float | None = None
    ) -> dict[str, Suggestion] | None:
        """Write what is ticked and make it keys, in one undo step; see `Suggestions.using`.

        Returns:
            segment ID -> what was used for it; None, in state `WRITING`, where the seconds have passed with more to
            write: call it again. Before the end nothing is changed.
        """
        if not self._underway.isGoingOn or self._control.review is not None:
            self._checkNotBusy()
            if self.state == State.REVIEW:
                raise InputError(_("A proposal waits for review: accept or discard it first."))
            self._prompt.drop()
            self._underway.begin(self.suggestions.using(find, make), self.suggestions.checkWhereabouts)
        used: dict[str, Suggestion] | None = self._underway.goOn(seconds)
        return used

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
            raise InputError(_("Outlines are being written: wait a moment, or cancel."))
        if self.state in State.BUSY:
            raise InputError(_("A run is going on: cancel it first."))
        if self.suggestions.isAsking:
            raise InputError(_("Suggestions are being made: wait for them, or cancel."))

    def _showSuggestions(self, *_arguments: object) -> None:
        """While nothing else is in the preview."""
        if self.state == State.IDLE and self._prompt.place is None:
            self.suggestions.show()
