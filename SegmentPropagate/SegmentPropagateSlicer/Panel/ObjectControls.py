"""The template of segments, and going on to the next object in one step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.templates import read_template, template_as_json
from SegmentPropagateSlicer.Panel.Context import Context
from SegmentPropagateSlicer.Panel.PromptSection import PromptSection
from SegmentPropagateSlicer.Panel.ReviewSection import ReviewSection
from SegmentPropagateSlicer.Panel.RunSection import RunSection
from SegmentPropagateSlicer.Values.State import State
from SegmentPropagateSlicer.Worklist.Preferences import Preferences
from SegmentPropagateSlicer.Worklist.Segments import GIVEN_BY_SLICER, complete, nextSegment

RECENT = "recentTemplates"


class ObjectControls:
    """*Next object*: accept what waits, take the next segment of the template, arm the prompt.

    Args:
        context: `Context`.
        prompt: where the prompt is armed.
        run: starts the propagation of a box.
        review: accepts what waits.
        preferences: what the user has set.
    """

    def __init__(
        self,
        context: Context,
        prompt: PromptSection,
        run: RunSection,
        review: ReviewSection,
        preferences: Preferences,
    ) -> None:
        self.context, self.preferences = context, preferences
        self._prompt, self._run, self._review = prompt, run, review
        ui, guarded = context.ui, context.status.guarded
        ui.templateSelector.connect("activated(int)", guarded(lambda: self.choose(ui.templateSelector.currentData)))
        ui.openTemplateButton.connect("clicked()", guarded(self.openFile))
        ui.nextObjectButton.connect("clicked()", guarded(self.next))
        for name, box in self._boxes().items():
            box.setChecked(bool(preferences[name]))
            box.connect("toggled(bool)", lambda on, name=name: preferences.__setitem__(name, int(on)))
        context.logic.accepted.connect(self._onAccepted)
        context.logic.previewReady.connect(guarded(self._propagateBox))

    def _boxes(self) -> Mapping[str, qt.QCheckBox]:
        ui = self.context.ui
        return {
            "acceptOnNext": ui.acceptOnNextCheckBox,
            "completeAtAccept": ui.completeAtAcceptCheckBox,
            "boxAtOnce": ui.boxAtOnceCheckBox,
            "correctOnStroke": ui.strokesCheckBox,
        }

    # ---- the template -------------------------------------------------------------------------------------------

    def openFile(self) -> None:
        """Let the user pick a template."""
        recent = self.preferences.recent(RECENT)
        start = str(Path(recent[0]).parent) if recent else ""
        kinds = _("Templates of segments") + " (*.json *.seg.nrrd)"
        path = qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), _("Open template"), start, kinds)
        if path:
            self.choose(path)

    def choose(self, path: str) -> None:
        """Take a template file; without a path, none. A nameless empty segment becomes its first one."""
        try:
            segments = read_template(path) if path else ()
        finally:
            self.refresh()
        parameters = self.context.parameters
        parameters.templateName, parameters.template = path, template_as_json(segments)
        if path:
            self.preferences.remember(RECENT, path)
            self._nameSelected()
            text = _("{count} segments, from {first} to {last}: Next object takes one after the other.")
            self.context.status.say(text.format(count=len(segments), first=segments[0].name, last=segments[-1].name))
        self.refresh()

    def _nameSelected(self) -> None:
        """Where she has a nameless segment before her, it is the one to be named."""
        selected = self.context.selectedSegmentId()
        name = self.context.segmentName(selected)
        if self.context.isThere(selected) and GIVEN_BY_SLICER.fullmatch(name) and self._isUntouched(selected):
            self._review.choose(self._nextSegment())

    def _isUntouched(self, segmentId: str) -> bool:
        return segmentId not in self._taken()

    # ---- the next object ----------------------------------------------------------------------------------------

    def next(self) -> None:
        """Keep or accept what waits for this object, and go on with the next one."""
        if self._hasToAccept():
            self._review.accept(then=self._goOn)
        else:
            self._goOn()

    def _goOn(self) -> None:
        before = self.context.selectedSegmentId()
        following = self._nextSegment()
        self._review.choose(following)
        self._prompt.chooseMode(self.context.parameters.promptMode)
        name = self.context.segmentName(following)
        text = _("'{name}' is still empty: outline it first.") if following == before else _("Next: {name}.")
        self.context.sayOfSegment(text.format(name=name))

    def settle(self) -> None:
        """See that nothing of the case is lost: a previewed outline becomes a key, a proposal is accepted.

        Raises:
            InputError: a run is going on, or a proposal needs a decision.
        """
        if self._hasToAccept():
            self._review.acceptNow()
        elif self.context.logic.state == State.REVIEW:
            raise InputError(_("A proposal waits for review: accept or discard it before you go on to another case."))

    def _hasToAccept(self) -> bool:
        """Make a previewed outline a key; whether a proposal is to be accepted before she goes on."""
        logic = self.context.logic
        if logic.state in State.BUSY:
            raise InputError(_("A run is going on: wait for its end, or cancel it."))
        if logic.previewed is not None:
            logic.usePreview()
        return logic.state == State.REVIEW and bool(self.preferences["acceptOnNext"])

    def _taken(self) -> set[str]:
        proposed = self.context.logic.proposed
        return {key.segmentId for key in self.context.logic.keys} | set(proposed[0] if proposed else ())

    def _nextSegment(self) -> str:
        node = self.context.parameters.segmentation
        if node is None:
            raise InputError(_("Load an image first."))
        return nextSegment(node, self.context.selectedSegmentId(), self.context.parameters.segments, self._taken())

    def _onAccepted(self, changed: Mapping[str, int]) -> None:
        node = self.context.parameters.segmentation
        if node is not None and self.preferences["completeAtAccept"]:
            complete(node, changed)

    def _propagateBox(self) -> None:
        """One box gives the object on all slices, where that is set."""
        logic = self.context.logic
        if self.preferences["boxAtOnce"] and self.context.parameters.promptMode == "box" and logic.state == State.IDLE:
            self._prompt.addKey()
            self._run.toggle()

    # ---- showing ------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Show the template that is chosen."""
        ui, parameters = self.context.ui, self.context.parameters
        box, chosen = ui.templateSelector, parameters.templateName
        recent = self.preferences.recent(RECENT)
        wanted = ["", *recent, *([chosen] if chosen and chosen not in recent else [])]
        if [box.itemData(row) for row in range(box.count)] != wanted:
            box.clear()
            for path in wanted:
                box.addItem(Path(path).name if path else _("none: Segment 1, 2, ..."), path)
        box.setCurrentIndex(wanted.index(chosen))
        busy = self.context.logic.state in State.BUSY
        ui.nextObjectButton.enabled = not busy and parameters.segmentation is not None
        ui.boxAtOnceCheckBox.setVisible(parameters.promptMode == "box")
