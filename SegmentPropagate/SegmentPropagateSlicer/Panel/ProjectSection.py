"""A worklist that is a project: what is done is noted for its ledger, and what the ledger says is shown."""

from __future__ import annotations

from collections.abc import Mapping

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from SegmentPropagateLib.models.registry import REGISTRY
from SegmentPropagateSlicer.Panel.Context import VIEWS, Context, sliceNodeOf
from SegmentPropagateSlicer.Panel.ModelSection import ModelSection, title
from SegmentPropagateSlicer.Panel.WorklistSection import WorklistSection
from SegmentPropagateSlicer.Runs.ProjectCommand import ProjectCommand
from SegmentPropagateSlicer.Runs.Training import Training
from SegmentPropagateSlicer.Values.State import State
from SegmentPropagateSlicer.Worklist.Said import Said

AGAIN_MS = 10_000
"""Until the ledger is tried again, where somebody else holds the project."""


class ProjectSection(VTKObservationMixin):
    """Measures the work, notes proposals, has notes taken, and follows the model in use.

    Args:
        context: `Context`.
        cases: has the worklist.
        model: takes the project's model.
        collector: `ProjectCommand` that takes notes.
        training: whose end the ledger tells.
    """

    def __init__(
        self,
        context: Context,
        cases: WorklistSection,
        model: ModelSection,
        collector: ProjectCommand,
        training: Training,
    ) -> None:
        VTKObservationMixin.__init__(self)
        self.context, self.collector = context, collector
        self._cases, self._casework, self._model = cases, cases.casework, model
        self._said, self._state = Said(), context.logic.state
        self._ranker = collector.other("rank", "--background")
        self._ranked: tuple[object, ...] = ()  # what was ranked for: a case that cannot be ranked is not tried for ever
        self._project = self._casework.project
        self._used = ""  # the project's model, as it was last heard of
        self._told, self._complaint = "", ""
        self._timer = qt.QTimer(context.ui.projectLabel)
        self._timer.setSingleShot(True)
        self._timer.setInterval(AGAIN_MS)
        self._timer.connect("timeout()", context.status.guarded(self.tryAgain))
        guarded = context.status.guarded
        self._casework.changed.connect(guarded(self._onCases))
        collector.ended.connect(self._onCollected)
        self._ranker.ended.connect(lambda _sentence, _isWell: context.status.guarded(self._hear)())
        context.logic.stateChanged.connect(self._onState)
        context.logic.accepted.connect(self._onAccepted)
        context.logic.keysChanged.connect(self.noteWork)
        model.chosen.connect(self._onModel)
        training.changed.connect(guarded(lambda: None if training.isRunning else self._hear()))
        self._watch()

    def stop(self) -> None:
        """The panel is closed."""
        self.removeObservers()
        self._timer.stop()
        self._ranker.stop(waits=False)
        self.collector.stop()

    # ---- her work -----------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """The mouse in a view, and what is scrolled; all else that she does is told by whoever hears of it."""
        scene, note = slicer.mrmlScene, self.noteWork
        crosshair = scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
        if crosshair is not None:
            self.addObserver(crosshair, slicer.vtkMRMLCrosshairNode.CursorPositionModifiedEvent, note)
        for name in VIEWS:
            node = sliceNodeOf(name)
            if node is not None:
                self.addObserver(node, vtk.vtkCommand.ModifiedEvent, note)

    def noteWork(self, *_event: object) -> None:
        """She has done something."""
        self._cases.workTime.note()

    # ---- the machine's ------------------------------------------------------------------------------------------

    def _onState(self, state: str) -> None:
        before, self._state = self._state, state
        if state == State.STARTING:
            self.noteWork()
            if before == State.IDLE:
                self._said.forget()
        elif before in State.BUSY and before != State.WRITING and state not in State.BUSY:
            self._cases.workTime.skip()
            if before != State.CANCELLING and self._casework.project is not None:
                self._take()

    def _take(self) -> None:
        review = self.context.logic.review
        if review is not None:
            self._said.take(review, self.context.parameters.promptMode)

    def _onAccepted(self, changed: Mapping[str, int]) -> None:
        self.noteWork()
        project, name = self._casework.project, self._casework.name
        if project is not None and name is not None:
            names = {segmentId: self.context.segmentName(segmentId) for segmentId in changed}
            parts = self._said.note(names, changed)
            if parts is not None:
                self.context.status.guarded(lambda: project.note_proposal(name, **parts))()
                self._collect()
        self._said.forget()

    # ---- the ledger ---------------------------------------------------------------------------------------------

    def _onCases(self) -> None:
        if self._casework.project is not self._project:
            self._project, self._used, self._told = self._casework.project, "", ""
        self._follow()
        self._collect()

    def tryAgain(self) -> None:
        """Somebody held the project, and may have let it go."""
        self._timer.stop()
        self._collect()

    def _collect(self) -> None:
        """Have notes taken, unless it is to be tried later."""
        project = self._casework.project
        if project is not None and project.has_notes and not self._timer.active:
            self.collector.start(project.project.folder)
        elif project is not None and project.can_rank and not self._ranker.isRunning:
            wanted = project.project.folder, project.state.model, len(project.state.done)
            if wanted != self._ranked:
                self._ranked = wanted
                self._ranker.start(project.project.folder)

    def _onCollected(self, sentence: str, isWell: bool) -> None:
        if not isWell:
            self._timer.start()
            if sentence != self._complaint:
                self.context.status.complain(sentence)
        self._complaint = "" if isWell else sentence
        self._told = sentence or self._told
        self.context.status.guarded(self._hear)()

    def _hear(self) -> None:
        """The ledger may tell something else now."""
        project = self._casework.project
        if project is not None:
            project.refresh()
            self._casework.changed.emit()

    def _follow(self) -> None:
        """Choose the project's model where that is another than before; she may choose a third one."""
        project = self._casework.project
        if project is not None and project.state.model != self._used:
            self._used = project.state.model
            model = project.project.model_path(self._used)
            if model != self.context.parameters.model:
                self._model.choose(model) if model in REGISTRY else self._model.useFile(model)

    def _onModel(self, model: str) -> None:
        project = self._casework.project
        if project is not None:
            self.context.status.guarded(lambda: project.note_model(model))()
            self._collect()

    # ---- showing ------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Show how far the project is."""
        label, project = self.context.ui.projectLabel, self._casework.project
        label.setVisible(project is not None)
        self.context.ui.resultsSelector.setVisible(project is None)  # a project has a place of its own for them
        if project is None:
            return
        state, settings = project.state, project.project.settings
        text = _("Round {round}: {done} of {count} cases accepted, model {model}.").format(
            round=state.round, done=len(state.done), count=len(project.cases), model=title(state.model)
        )
        if state.since_learning >= settings.learn_after and project.can_learn:
            text += " " + _("{count} are new to the model: let it learn from them.").format(count=state.since_learning)
        label.text = " ".join(filter(None, [text, self._told]))
