"""The panel: puts its sections together and follows the scene. Reads MRML, never writes segments."""

from __future__ import annotations

import sys
from pathlib import Path

import qt
import slicer
import vtk
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin

from SegmentPropagateSlicer.Logic import SegmentPropagateLogic
from SegmentPropagateSlicer.Panel.Ahead import Ahead
from SegmentPropagateSlicer.Panel.Context import EFFECT, VIEWS, Context, compositeOf
from SegmentPropagateSlicer.Panel.FiguresLine import FiguresLine
from SegmentPropagateSlicer.Panel.InputSection import InputSection
from SegmentPropagateSlicer.Panel.InstallBanner import InstallBanner
from SegmentPropagateSlicer.Panel.Installer import Installer
from SegmentPropagateSlicer.Panel.KeyActions import KeyActions
from SegmentPropagateSlicer.Panel.LearnSection import LearnSection
from SegmentPropagateSlicer.Panel.ModelSection import ModelSection
from SegmentPropagateSlicer.Panel.ObjectControls import ObjectControls
from SegmentPropagateSlicer.Panel.ProjectSection import ProjectSection
from SegmentPropagateSlicer.Panel.PromptSection import PromptSection
from SegmentPropagateSlicer.Panel.RangeControls import RangeControls
from SegmentPropagateSlicer.Panel.ReviewSection import ReviewSection
from SegmentPropagateSlicer.Panel.RunSection import RunSection
from SegmentPropagateSlicer.Panel.Shortcuts import Shortcuts
from SegmentPropagateSlicer.Panel.StatusLine import StatusLine
from SegmentPropagateSlicer.Panel.Steps import Steps
from SegmentPropagateSlicer.Panel.Strokes import Strokes
from SegmentPropagateSlicer.Panel.SuggestSection import SuggestSection
from SegmentPropagateSlicer.Panel.WorklistSection import WorklistSection
from SegmentPropagateSlicer.Panel.Writing import Writing
from SegmentPropagateSlicer.Runs.ProjectCommand import ProjectCommand
from SegmentPropagateSlicer.Runs.Training import Training
from SegmentPropagateSlicer.Scene.Parameters import Parameters
from SegmentPropagateSlicer.Values.State import State
from SegmentPropagateSlicer.Worklist.Preferences import Preferences

BEFORE_LOGIC = 1.0
"""Priority of an observer: a case is saved with its keys, which the logic forgets when the scene is closed."""


class SegmentPropagateWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Slicer makes one when the module is first opened.

    Args:
        parent: the module panel.
        logic: `SegmentPropagateLogic`; None makes one.
        installer: `Installer`; None makes one.
        training: `Training`; None makes one.
        collector: `ProjectCommand` that takes notes; None makes one.
    """

    def __init__(
        self,
        parent: qt.QWidget | None = None,
        logic: SegmentPropagateLogic | None = None,
        installer: Installer | None = None,
        training: Training | None = None,
        collector: ProjectCommand | None = None,
    ) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic, self.training = logic or SegmentPropagateLogic(), training or Training()
        self.collector = collector or ProjectCommand()
        self.resources = Path(self.resourcePath("UI/SegmentPropagate.ui")).parents[1]
        self.installer = installer or Installer(
            self.resources / "requirements.txt", self.resources / "requirements-sam2.txt"
        )

    def setup(self) -> None:
        """Slicer calls this once."""
        ScriptedLoadableModuleWidget.setup(self)
        panel = slicer.util.loadUI(self.resourcePath("UI/SegmentPropagate.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        self._makeSections()
        panel.setMRMLScene(slicer.mrmlScene)
        self._refreshTimer = qt.QTimer(panel)  # many events, one refresh
        self._refreshTimer.setSingleShot(True)
        self._refreshTimer.setInterval(0)
        self._refreshTimer.connect("timeout()", self.context.status.guarded(self._settle))
        self._followLogic()
        self._followScene()
        self._takeParameterNode()
        if getattr(self.parent, "isEntered", False):  # reloaded while open: Slicer does not call enter() again
            self.enter()

    def _makeSections(self) -> None:
        ui = self.ui
        status = StatusLine(ui.statusLabel, ui.detailsText, ui.detailsSection)
        ui.detailsSection.hide()  # until there is something in it
        self.context = context = Context(ui, self.logic, Parameters(), status, self.resources)
        self.banner = InstallBanner(context, self.installer)
        self.model = ModelSection(context, self.installer)
        self.inputs = InputSection(context)
        preferences = Preferences(slicer.app.userSettings())
        self.writing = Writing(ui.acceptButton, status, lambda: self.logic)
        self.suggest = SuggestSection(context, preferences, self.writing, lambda: self.cases.casework.finishedFiles())
        self.prompt = PromptSection(context, self.suggest)
        self.range = RangeControls(context)
        self.run = RunSection(context, self.range)
        self.review = ReviewSection(context, self.writing)
        self.objects = ObjectControls(context, self.prompt, self.run, self.review, preferences)
        self.cases = WorklistSection(context, self.inputs, self.prompt, self.objects)
        self.learn = LearnSection(context, self.cases.casework, self.model, self.installer, self.training)
        self.project = ProjectSection(context, self.cases, self.model, self.collector, self.training)
        self.strokes = Strokes(context, self.prompt, preferences, self.writing)
        self.figures = FiguresLine(context)
        self.ahead = Ahead(context, self.range)
        self.steps = Steps(
            {
                "cases": ui.casesSection,
                "model": ui.modelSection,
                "inputs": ui.inputsSection,
                "keys": ui.promptSection,
                "review": ui.reviewSection,
            }
        )
        self.sections = (self.model, self.inputs, self.prompt, self.range, self.run, self.review, self.objects,
                         self.cases, self.learn, self.project, self.strokes, self.figures)  # fmt: skip
        keys = KeyActions(context, self.prompt, self.range, self.run, self.writing, self.refresh)
        self.shortcuts = Shortcuts(keys.slots, self.parent)

    def _followLogic(self) -> None:
        logic = self.logic
        for signal in (logic.stateChanged, logic.keysChanged, logic.sliceUpdated, logic.previewChanged):
            signal.connect(self._refreshLater)
        logic.suggestions.changed.connect(self._refreshLater)
        logic.keysChanged.connect(self._keepKeys)
        logic.stateChanged.connect(self.steps.follow)
        for changed in (self.cases.casework.changed, self.model.computeOn.changed):
            changed.connect(self._refreshLater)

    def _followScene(self) -> None:
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self._onSceneClosing, priority=BEFORE_LOGIC)
        self.addObserver(scene, scene.StartImportEvent, self._onSceneImporting)
        self.addObserver(scene, scene.EndCloseEvent, self._onSceneClosed)
        self.addObserver(scene, scene.EndImportEvent, self._onSceneClosed)
        self.addObserver(scene, scene.NodeAddedEvent, self._refreshLater)
        self.addObserver(scene, scene.NodeRemovedEvent, self._refreshLater)
        for name in VIEWS:
            node = scene.GetSingletonNode(name, "vtkMRMLSliceNode")
            if node is not None:
                self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self._onViewMoved)
            composite = compositeOf(name)
            if composite is not None:
                self.addObserver(composite, vtk.vtkCommand.ModifiedEvent, self._refreshLater)
        interaction = self.prompt.placement.interactionNode()
        self.addObserver(interaction, vtk.vtkCommand.ModifiedEvent, self._refreshLater)

    # ---- life of the module -------------------------------------------------------------------------------------

    def enter(self) -> None:
        """Slicer calls this when the module is opened; a proposal that waits for review is still there."""
        if self.context.parameters.node is not self.logic.getParameterNode():
            self._takeParameterNode()
        self.context.isOpen = True
        self.refresh()
        self._hideOwnEffect()
        self.strokes.watchViews()
        self.ui.segmentEditor.setupViewObservations()
        self.ui.segmentEditor.installKeyboardShortcuts()
        self.shortcuts.install()

    def _hideOwnEffect(self) -> None:
        """In the panel's own editor it would be the panel within the panel; others may have come since it was open."""
        editor = self.ui.segmentEditor
        names = dict.fromkeys([*editor.effectNameOrder(), *editor.availableEffectNames()])
        editor.setEffectNameOrder([name for name in names if name != EFFECT])
        editor.unorderedEffectsVisible = False

    def exit(self) -> None:
        """Slicer calls this when another module is opened; a run goes on."""
        self.context.isOpen = False
        self.shortcuts.uninstall()
        self.strokes.leaveViews()
        self.ahead.stop()
        self.figures.stop()
        self.prompt.placement.stop()
        self.ui.segmentEditor.setActiveEffect(None)
        self.ui.segmentEditor.uninstallKeyboardShortcuts()
        self.ui.segmentEditor.removeViewObservations()

    def cleanup(self) -> None:
        """Slicer calls this at exit and before a reload."""
        self.exit()  # a reload hides this panel without closing it
        self.removeObservers()
        self.prompt.placement.removeObservers()
        self.context.status.guarded(self.writing.finish)()
        self.cases.saveBeforeItGoes()
        self.model.stop()
        self.training.stop()
        self.project.stop()
        self.logic.shutdown()
        # Last: what was done above may have started them.
        for part in (self._refreshTimer, self.prompt.keyTable, self.writing):
            part.stop()

    def onReload(self) -> None:
        """Developer mode: reload the parts of the module too, not only its first file."""
        for name in [name for name in sys.modules if name.split(".")[0] in ("SegmentPropagateSlicer",
                                                                           "SegmentPropagateLib")]:  # fmt: skip
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    # ---- the scene ----------------------------------------------------------------------------------------------

    def _onSceneImporting(self, _caller: vtk.vtkObject, _event: str) -> None:
        self.context.isSettling = True  # node selectors choose for themselves while nodes come and go

    def _onSceneClosing(self, _caller: vtk.vtkObject, _event: str) -> None:
        self.context.isSettling = True
        self.ahead.stop()
        self.context.status.clear()  # what it says is of the scene that goes; that something is lost is said below
        self.context.status.guarded(self.writing.finish)()
        self.cases.saveBeforeItGoes()
        self.removeObservers(self._onParametersModified)
        self.context.parameters.node = None

    def _onSceneClosed(self, _caller: vtk.vtkObject, _event: str) -> None:
        self._takeParameterNode()
        self._refreshLater()

    def _settle(self) -> None:
        self.context.isSettling = False
        self.refresh()

    def _takeParameterNode(self) -> None:
        parameters, node = self.context.parameters, self.logic.getParameterNode()
        if parameters.node is not node:
            self.removeObservers(self._onParametersModified)
            parameters.node = node
            self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self._onParametersModified)
            self.model.restoreRemembered(networksMissing=bool(self.installer.sentence()))
            self.context.viewAtPaint = parameters.view
        self._takeEditorNode()
        keys = parameters.keys
        self.logic.setInputs(parameters.volume, parameters.segmentation)
        self.logic.setKeys(keys)
        self.refresh()

    def _takeEditorNode(self) -> None:
        scene, tag = slicer.mrmlScene, "SegmentPropagate"
        node = scene.GetSingletonNode(tag, "vtkMRMLSegmentEditorNode")
        if node is None:
            node = scene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
            node.UnRegister(None)
            node.SetSingletonTag(tag)
            node = scene.AddNode(node)
        self.ui.segmentEditor.setMRMLSegmentEditorNode(node)
        self.logic.setSegmentEditor(node, self.ui.segmentEditor.saveStateForUndo)
        if not self.hasObserver(node, vtk.vtkCommand.ModifiedEvent, self._onEditorModified):
            self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self._onEditorModified)

    def _onParametersModified(self, _caller: vtk.vtkObject, _event: str) -> None:
        self.ahead.noteSettings()
        self._refreshLater()

    def _onEditorModified(self, _caller: vtk.vtkObject, _event: str) -> None:
        """The widget signals a selection only when the table is clicked; its node has it whoever selects."""
        self.inputs.followEditor()
        self._refreshLater()

    def _onPainted(self, _caller: vtk.vtkObject, _event: str) -> None:
        """The view that is painted in is the one that is meant; a proposal stays in its own plane."""
        view = viewUnderMouse()
        if view is not None and self.logic.state == State.IDLE and self.context.parameters.promptMode == "paint":
            self.context.parameters.view = view
        self.context.viewAtPaint = self.context.parameters.view
        self.strokes.noteDrawn()
        self.project.noteWork()
        self.ahead.noteDrawn()
        self.prompt.keyTable.follow()
        self._refreshLater()  # figures, and what is to be saved

    def _onSegmentModified(self, _caller: vtk.vtkObject, _event: str) -> None:
        """All that is heard of an Undo, among other things; also that a segment has another name."""
        self.strokes.noteDrawn()
        self.prompt.keyTable.follow()
        self._refreshLater()

    def _onSegmentsChanged(self, _caller: vtk.vtkObject, _event: str) -> None:
        """One has come or gone, which is no stroke."""
        self._refreshLater()

    def _onViewMoved(self, caller: slicer.vtkMRMLSliceNode, _event: str) -> None:
        if caller.GetLayoutName() == self.context.parameters.view:
            self._refreshLater()

    def _keepKeys(self) -> None:
        self.context.parameters.keys = self.logic.keys

    def _refreshLater(self, *_arguments: object) -> None:
        if not self._refreshTimer.active:
            self._refreshTimer.start()

    def refresh(self) -> None:
        """Show the parameters and the state of the logic everywhere."""
        if self.context.parameters.node is None:
            return  # the scene is closing
        self.inputs.follow()  # the one thing that is taken rather than shown
        self._followPainting()
        with self.context.still():
            for section in self.sections:
                section.refresh()
        self.context.status.refresh()

    def _followPainting(self) -> None:
        node, event = self.context.parameters.segmentation, slicer.vtkSegmentation.SourceRepresentationModified
        if node is None or not self.hasObserver(node, event, self._onPainted):
            for slot in (self._onPainted, self._onSegmentModified, self._onSegmentsChanged):
                self.removeObservers(slot)
            if node is not None:
                self.addObserver(node, event, self._onPainted)
                kinds = slicer.vtkSegmentation
                self.addObserver(node, kinds.SegmentModified, self._onSegmentModified)
                for other in (kinds.SegmentAdded, kinds.SegmentRemoved):
                    self.addObserver(node, other, self._onSegmentsChanged)


def viewUnderMouse() -> str | None:
    """The slice view that the mouse is in, as the crosshair has it; None elsewhere."""
    crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    node = crosshair.GetCursorPositionXYZ([0.0, 0.0, 0.0]) if crosshair is not None else None
    return node.GetLayoutName() if node is not None and node.GetLayoutName() in VIEWS else None
