"""The effect: key slices, range, Propagate, Apply. What it does is `SegmentPropagateLogic`'s.

Slicer loads this file by its path and names the module after the folder, so that it has no neighbors to import from
but by their full names, and its class a name that no other effect has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import qt
import slicer
import vtk
from SegmentEditorEffects import AbstractScriptedSegmentEditorEffect
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from SegmentPropagateLib.errors import InputError
from SegmentPropagateSlicer.Effect.Places import (
    Range,
    drawnSlices,
    giveRange,
    rangeOf,
    sliceAlong,
)
from SegmentPropagateSlicer.Logic import SegmentPropagateLogic
from SegmentPropagateSlicer.Panel.Context import EFFECT, VIEWS, placeInView, planeTitle
from SegmentPropagateSlicer.Panel.Progress import Progress
from SegmentPropagateSlicer.Panel.StatusLine import StatusLine
from SegmentPropagateSlicer.Panel.Writing import Writing
from SegmentPropagateSlicer.Scene.Parameters import Parameters
from SegmentPropagateSlicer.Scene.VolumeReader import VolumeReader
from SegmentPropagateSlicer.Values.Server import chosenServer
from SegmentPropagateSlicer.Values.Signal import Signal
from SegmentPropagateSlicer.Values.State import State

DRAWN = "drawn"
ICON = Path(__file__).resolve().parents[2] / "Resources" / "Icons" / "propagate.png"


class SegmentEditorPropagateEffect(AbstractScriptedSegmentEditorEffect, VTKObservationMixin):
    """Propagates what is drawn of the selected segment.

    A run goes on and a proposal stays while another effect is used: *Paint* can draw a further key, or mend the
    proposal, as what is drawn meanwhile is kept at *Apply*. Both belong to the image and the segmentation they began
    with, whatever is chosen in the Segment Editor meanwhile.

    Args:
        scriptedEffect: `qSlicerSegmentEditorScriptedEffect`, the half of the effect that is Slicer's.
    """

    def __init__(self, scriptedEffect: slicer.qSlicerSegmentEditorScriptedEffect) -> None:
        scriptedEffect.name = EFFECT
        scriptedEffect.title = _("Propagate")
        scriptedEffect.perSegment = True
        scriptedEffect.requireSegments = True
        scriptedEffect.showEffectCursorInSliceView = False
        AbstractScriptedSegmentEditorEffect.__init__(self, scriptedEffect)
        VTKObservationMixin.__init__(self)
        self._logic: SegmentPropagateLogic | None = None
        self._state = State.IDLE
        self._connections: list[tuple[qt.QWidget, str, Callable[..., None]]] = []

    @property
    def logic(self) -> SegmentPropagateLogic:
        """Made when it is first needed: every Segment Editor has an effect, and few are used."""
        return self._logic or self.useLogic(SegmentPropagateLogic())

    def useLogic(self, logic: SegmentPropagateLogic) -> SegmentPropagateLogic:
        """Work with this `SegmentPropagateLogic` from now on, and end it with the effect."""
        self._logic = logic
        for signal, slot in self._heard(logic):
            signal.connect(slot)
        return logic

    def _heard(self, logic: SegmentPropagateLogic) -> tuple[tuple[Signal, Callable[..., None]], ...]:
        return (
            (logic.stateChanged, self._onState),
            (logic.progressChanged, self.progress.showSlices),
            (logic.writingProgressed, self.progress.showWriting),
            (logic.statusChanged, self.status.say),
            (logic.noticeGiven, self.status.say),
            (logic.errorOccurred, self.status.complain),
            (logic.logReceived, self.status.log),
        )

    # ---- what Slicer calls --------------------------------------------------------------------------------------

    def clone(self) -> slicer.qSlicerSegmentEditorScriptedEffect:
        """One for each Segment Editor."""
        import qSlicerSegmentationsEditorEffectsPythonQt as effects

        cloned = effects.qSlicerSegmentEditorScriptedEffect(None)
        cloned.setPythonSource(Path(__file__).as_posix())
        return cloned

    def icon(self) -> qt.QIcon:
        """In the list of effects."""
        return qt.QIcon(str(ICON))

    def helpText(self) -> str:
        """Below the options."""
        return _(
            "<html>Carry a segment that is outlined on one or a few slices through the image.<br>"
            "<p>Outline the object on one slice with any effect, scroll to where it begins and ends and say so, and "
            "press <b>Propagate</b>. Look through the proposal: <b>Apply</b> writes it, <b>Cancel</b> drops it. What "
            "you draw while it waits is kept, and is another key when you propagate again.</p>"
            "<p>Model and device are chosen in the module Segment Propagate.</p></html>"
        )

    def setupOptionsFrame(self) -> None:
        """Make the widgets."""
        self.keysSelector = qt.QComboBox()
        self.keysSelector.addItem(_("All slices that are drawn"), DRAWN)
        for view in VIEWS:
            self.keysSelector.addItem(_("The slice in the {view} view").format(view=view), view)
        self.scriptedEffect.addLabeledOptionsWidget(_("Key slices:"), self.keysSelector)
        self.rangeLabel = qt.QLabel()
        self.scriptedEffect.addLabeledOptionsWidget(_("Range:"), self.rangeLabel)
        self.firstButton = qt.QPushButton(_("This is the first slice"))
        self.lastButton = qt.QPushButton(_("This is the last slice"))
        self.openButton = qt.QPushButton(_("Leave open"))
        self.openButton.toolTip = _("Let the model find where the object begins and ends.")
        self._addRow(self.firstButton, self.lastButton, self.openButton)
        self.propagateButton = qt.QPushButton(_("Propagate"))
        self.cancelButton = qt.QPushButton(_("Cancel"))
        self.applyButton = qt.QPushButton(_("Apply"))
        self._addRow(self.propagateButton, self.cancelButton, self.applyButton)
        self.progressBar, label, details = qt.QProgressBar(), qt.QLabel(), qt.QPlainTextEdit()
        label.wordWrap = details.readOnly = True
        for widget in (self.progressBar, label, details):
            self.scriptedEffect.addOptionsWidget(widget)
        details.hide()
        self.status, self.progress = StatusLine(label, details, details), Progress(self.progressBar)
        self.writing = Writing(self.applyButton, self.status, lambda: self.logic)
        self._connect()

    def _addRow(self, *buttons: qt.QPushButton) -> None:
        row = qt.QHBoxLayout()
        for button in buttons:
            row.addWidget(button)
        self.scriptedEffect.addOptionsWidget(row)

    def _connect(self) -> None:
        slots = (
            (self.keysSelector, "activated(int)", self.updateMRMLFromGUI),
            (self.firstButton, "clicked()", lambda: self._giveEnd("first")),
            (self.lastButton, "clicked()", lambda: self._giveEnd("last")),
            (self.openButton, "clicked()", self._openRange),
            (self.propagateButton, "clicked()", self.propagate),
            (self.cancelButton, "clicked()", self.cancel),
            (self.applyButton, "clicked()", self.apply),
        )
        self._connections = [(widget, signal, self.status.guarded(slot)) for widget, signal, slot in slots]
        for widget, signal, slot in self._connections:
            widget.connect(signal, slot)

    def setMRMLDefaults(self) -> None:
        """What the Segment Editor's node keeps for this effect."""
        self.scriptedEffect.setParameterDefault("Keys", DRAWN)

    def activate(self) -> None:
        """The effect was chosen. Slicer does not tell effects that another segment is selected: its node does."""
        node = self.scriptedEffect.parameterSetNode()
        if node is not None:
            self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self._onEditorModified)
        self._follow()

    def deactivate(self) -> None:
        """Another effect was chosen, or another segmentation."""
        self.removeObservers()

    def updateGUIFromMRML(self) -> None:
        """A parameter was changed, or the effect is about to be activated."""
        self._refresh()

    def updateMRMLFromGUI(self) -> None:
        """Keep the choice of keys."""
        self.scriptedEffect.setParameter("Keys", self.keysSelector.currentData)

    def cleanup(self) -> None:
        """The Segment Editor is about to be deleted: end the worker, and let go of the widgets."""
        self.removeObservers()
        for widget, name, onWidget in self._connections:
            widget.disconnect(name, onWidget)
        logic, self._logic, self._connections = self._logic, None, []
        self.writing.stop()
        if logic is not None:
            for signal, slot in self._heard(logic):
                signal.disconnect(slot)
            logic.shutdown()

    # ---- what the buttons do ------------------------------------------------------------------------------------

    def propagate(self) -> None:
        """Compute a proposal for the selected segment.

        Raises:
            SegmentPropagateError: before anything is started.
        """
        if not self.scriptedEffect.confirmCurrentSegmentVisible():
            return
        self._checkInputs()
        segmentId, logic = self._segmentId(), self.logic
        plane, slices = self._keySlices(segmentId)
        given = self._range()
        if given.plane not in ("", plane):
            text = _("The range is given in {given} slices and the key is {plane}: give the range in {plane} slices.")
            raise InputError(text.format(given=planeTitle(given.plane), plane=planeTitle(plane)))
        self.status.clear()
        logic.computeOn(chosenServer(slicer.app.userSettings()))  # as the module's panel has it now
        parameters = Parameters(logic.getParameterNode())
        logic.setSettings(parameters.runSettings(plane))
        isPanels = (parameters.volume, parameters.segmentation) == self._nodes()
        logic.setKeys([key for key in parameters.keys if key.confirmed and isPanels])  # what is locked stays
        for index in slices:
            logic.addKey(segmentId, index)
        logic.startSession([segmentId], *given.ends)

    def apply(self) -> None:
        """Write the proposal: one undo step, the Segment Editor's masking obeyed."""
        self._checkInputs()
        self.writing.start(self.logic.acceptWithin, self._onApplied)

    def _onApplied(self, changed: Mapping[str, int]) -> None:
        text, segmentId = _("{count} voxels were changed.").format(count=sum(changed.values())), self._selected()
        self.status.follow(lambda: text if self._selected() == segmentId else "")

    def cancel(self) -> None:
        """Stop the run, or drop the proposal; everything is as it was."""
        if self.logic.state in State.BUSY:
            self.logic.cancel()
        elif self.logic.state == State.REVIEW:
            self.logic.discard()
            self.status.clear()

    def _giveEnd(self, which: str) -> None:
        self._checkInputs()
        plane, index = self._placeOfEnd(self._segmentId())
        self._giveRange(self._range().given(plane, **{which: index}))

    def _openRange(self) -> None:
        self._giveRange(Range())

    def _giveRange(self, given: Range) -> None:
        volume, segmentation = self._nodes()
        giveRange(segmentation, volume, self._segmentId(), given)
        self._refresh()

    def _range(self) -> Range:
        """Of the selected segment."""
        volume, segmentation = self._nodes()
        return rangeOf(segmentation, volume, self._segmentId())

    def _keySlices(self, segmentId: str) -> tuple[str, list[int]]:
        """Plane and slices of the keys."""
        if self.keysSelector.currentData != DRAWN:
            plane, index = placeInView(self.logic, self.keysSelector.currentData)
            return plane, [index]
        volume, segmentation = self._nodes()
        return drawnSlices(VolumeReader(volume).geometry, segmentation, segmentId)

    def _placeOfEnd(self, segmentId: str) -> tuple[str, int]:
        """Plane of the keys, and the slice of it that is looked at."""
        plane, _slices = self._keySlices(segmentId)
        if self.keysSelector.currentData != DRAWN:
            return placeInView(self.logic, self.keysSelector.currentData)
        return plane, sliceAlong(self.logic, plane)

    # ---- what is worked on --------------------------------------------------------------------------------------

    def _chosen(
        self,
    ) -> tuple[slicer.vtkMRMLScalarVolumeNode | None, slicer.vtkMRMLSegmentationNode | None]:
        """Image and segmentation of the Segment Editor."""
        node = self.scriptedEffect.parameterSetNode()
        return (node.GetSourceVolumeNode(), node.GetSegmentationNode()) if node else (None, None)

    def _nodes(self) -> tuple[slicer.vtkMRMLScalarVolumeNode, slicer.vtkMRMLSegmentationNode]:
        volume, segmentation = self._chosen()
        if volume is None or segmentation is None:
            raise InputError(_("Choose a segmentation and its source volume first."))
        return volume, segmentation

    def _selected(self) -> str:
        node = self.scriptedEffect.parameterSetNode()
        return (node.GetSelectedSegmentID() if node else None) or ""

    def _segmentId(self) -> str:
        selected = self._selected()
        if not selected:
            raise InputError(_("Choose a segment first."))
        return selected

    def _checkInputs(self) -> None:
        """InputError where a proposal belongs to another image or segmentation than those that are chosen now."""
        self._follow()
        logic = self.logic
        if self._nodes() != (logic.volumeNode, logic.segmentationNode):
            text = _("The proposal is for '{segmentation}' on '{volume}': choose these again, or cancel it.")
            names = [node.GetName() if node else "" for node in (logic.segmentationNode, logic.volumeNode)]
            raise InputError(text.format(segmentation=names[0], volume=names[1]))

    def _onEditorModified(self, _caller: vtk.vtkObject, _event: str) -> None:
        self._follow()

    def _follow(self) -> None:
        """Work on what is chosen, unless a run or a proposal would be lost by that."""
        logic, node = self.logic, self.scriptedEffect.parameterSetNode()
        if logic.state == State.IDLE:
            logic.setInputs(*self._chosen())
        logic.setSegmentEditor(node, self.scriptedEffect.saveStateForUndo)
        self._refresh()

    # ---- showing ------------------------------------------------------------------------------------------------

    def _refresh(self) -> None:
        state, node = self.logic.state, self.scriptedEffect.parameterSetNode()
        if node is None:
            return
        busy = state in State.BUSY
        self.keysSelector.setCurrentIndex(max(0, self.keysSelector.findData(self.scriptedEffect.parameter("Keys"))))
        hasSegment = None not in self._chosen() and bool(node.GetSelectedSegmentID())
        for button in (self.propagateButton, self.firstButton, self.lastButton, self.openButton):
            button.enabled = hasSegment and not busy
        self.cancelButton.enabled = state not in (State.IDLE, State.CANCELLING)
        self.applyButton.enabled = state == State.REVIEW
        self.progressBar.setVisible(busy)
        self.rangeLabel.text = rangeText(self._range()) if hasSegment else ""
        self.status.refresh()

    def _onState(self, state: str) -> None:
        before, self._state = self._state, state
        if state == State.STARTING:
            self.progress.showSlices(0, 0)
        elif state == State.REVIEW and before == State.RUNNING:
            self.status.say(_("The proposal is ready: look through it, then apply or cancel it."))
        self._follow()


def rangeText(given: Range) -> str:
    """A range in words."""
    if given.ends == (None, None):
        return _("Open: the model finds where the object begins and ends.")
    first, last = (_("open") if end is None else str(end) for end in given.ends)
    return _("{plane} slices, first {first}, last {last}").format(plane=planeTitle(given.plane), first=first, last=last)
