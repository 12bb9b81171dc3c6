"""Drawing straight on a proposal: lent to the segment at the press of the mouse, a correction when she is done."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from SegmentPropagateLib.errors import InputError
from SegmentPropagateSlicer.Panel.Context import VIEWS, Context
from SegmentPropagateSlicer.Panel.PromptSection import PromptSection
from SegmentPropagateSlicer.Panel.Writing import PIECE_S, Writing
from SegmentPropagateSlicer.Values.State import State
from SegmentPropagateSlicer.Worklist.Preferences import Preferences

PAUSE_MS = 400
"""After the last change: the end of a stroke, which brushes that paint at once write in pieces."""
ADDING = ("", "Draw", "LevelTracing", "Paint")
"""Effects, or none, that take nothing away: what is under them need not be in the segment."""
BEFORE_EFFECTS = 2.0
"""Priority of an observer; the Segment Editor's effects have 1."""


class Strokes(VTKObservationMixin):
    """Each stroke of the Segment Editor on a proposal is a correction, and so is a click of the mode *Points*.

    A stroke during a run is kept, and is taken when the run has ended.

    Args:
        context: `Context`.
        prompt: where clicks are placed.
        preferences: whether strokes are corrections at once.
        writing: is to end before anything is drawn on what it writes.
    """

    def __init__(self, context: Context, prompt: PromptSection, preferences: Preferences, writing: Writing) -> None:
        VTKObservationMixin.__init__(self)
        self._writing = writing
        self.context, self._prompt, self._preferences = context, prompt, preferences
        self._isDrawn, self._state = False, context.logic.state
        self._timer = qt.QTimer(context.ui.acceptButton)
        self._timer.setSingleShot(True)
        self._timer.connect("timeout()", context.status.guarded(lambda: self.take(PIECE_S)))
        ui, guarded = context.ui, context.status.guarded
        ui.strokesCheckBox.connect("toggled(bool)", guarded(lambda *_on: self.refresh()))
        context.logic.stateChanged.connect(self._onState)
        context.logic.previewReady.connect(guarded(self._useClick))

    # ---- the views ----------------------------------------------------------------------------------------------

    def watchViews(self) -> None:
        """Hear of presses of the mouse in the slice views; the panel is open."""
        layout = slicer.app.layoutManager()
        if layout is None:
            return
        for view in layout.sliceViewNames():
            interactor = layout.sliceWidget(view).interactorStyle().GetInteractor()
            for event in (vtk.vtkCommand.LeftButtonPressEvent, vtk.vtkCommand.LeftButtonDoubleClickEvent):
                slot = self.context.status.guarded(partial(self.press, view))
                self.addObserver(interactor, event, slot, priority=BEFORE_EFFECTS)

    def leaveViews(self) -> None:
        """The panel is closed."""
        self.removeObservers()
        self._timer.stop()

    def press(self, view: str, *_event: object) -> None:
        """She is about to draw in a view: let there be what she sees, for the eraser and its like."""
        self._writing.finish()
        logic, editor = self.context.logic, self.context.ui.segmentEditor.mrmlSegmentEditorNode()
        if view not in VIEWS or editor is None or (editor.GetActiveEffectName() or "") in ADDING:
            return
        if logic.proposed is not None and self._preferences["correctOnStroke"]:
            with suppress(InputError):  # an oblique view, or one beside the image: what she paints counts all the same
                plane, index = self.context.planeAndSlice(view)
                logic.lend(self.context.selectedSegmentId(), index, plane)

    # ---- strokes ------------------------------------------------------------------------------------------------

    def noteDrawn(self) -> None:
        """Segments have changed: a piece of a stroke, its undo, or anything else."""
        if self.context.logic.proposed is not None:
            self._isDrawn = True
            if self.context.logic.state == State.REVIEW:
                self._wait(PAUSE_MS)

    @property
    def isWaiting(self) -> bool:
        """Whether the end of a stroke is waited for."""
        return bool(self._timer.active)

    def _wait(self, milliseconds: int) -> None:
        self._timer.setInterval(milliseconds)
        self._timer.start()

    def take(self, seconds: float | None = None) -> None:
        """Make corrections of what was drawn, where that is set; while a run goes on, at its end.

        With a number of seconds, what takes longer goes on at the next turn of the event loop.
        """
        if self.context.logic.state != State.REVIEW or not self._preferences["correctOnStroke"]:
            return
        self._isDrawn, logic = False, self.context.logic
        self._timer.stop()
        logic.setSettings(self.context.parameters.runSettings(self.context.plane()))
        isStale = logic.takeStrokes(seconds)
        if isStale is None:
            self._wait(0)
        elif isStale:
            self.context.status.say(_("Corrected: what this changes is computed again. Cancel stops that."))

    def _onState(self, state: str) -> None:
        before, self._state = self._state, state
        if state == State.REVIEW and before in State.BUSY and before != State.CANCELLING and self._isDrawn:
            self._wait(PAUSE_MS)
        elif state == State.IDLE or before == State.CANCELLING:
            self._isDrawn = False

    def _useClick(self) -> None:
        """A click on a slice of the proposal has given another outline."""
        logic, isClick = self.context.logic, self.context.parameters.promptMode == "points"
        if isClick and logic.state == State.REVIEW and self._preferences["correctOnStroke"]:
            logic.usePreview()
            self._prompt.placement.clear()
            self.noteDrawn()

    # ---- showing ------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Strokes that are corrections by themselves need no buttons."""
        ui = self.context.ui
        for button in (ui.editButton, ui.correctButton):
            button.setVisible(not ui.strokesCheckBox.checked)
