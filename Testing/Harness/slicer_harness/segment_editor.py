"""The stand-in for the embedded Segment Editor."""

import slicer
import vtk
from PySide6 import QtCore, QtWidgets

from slicer_harness.ctk_widgets import Property, Signal, setter, stored
from slicer_harness.designer import register
from slicer_harness.effects import EffectHost
from slicer_harness.mrml_widgets import Observers, qMRMLNodeComboBox, qMRMLWidget

__all__ = ["qMRMLSegmentEditorWidget"]


@register
class qMRMLSegmentEditorWidget(qMRMLWidget):
    """Segment list with add/remove/undo/redo over the real vtkMRMLSegmentEditorNode and editor logic.

    No effects but scripted ones that are registered, see `effectByName`: ``setActiveEffectByName`` only stores the name
    in the editor node; ``activeEffect`` is None.
    """

    currentSegmentIDChanged, sourceVolumeNodeChanged, segmentationNodeChanged = (
        Signal(str),
        Signal(object),
        Signal(object),
    )
    SIGNALS = {
        **qMRMLWidget.SIGNALS,
        "currentSegmentIDChanged(QString)": "currentSegmentIDChanged",
        "sourceVolumeNodeChanged(vtkMRMLVolumeNode*)": "sourceVolumeNodeChanged",
        "segmentationNodeChanged(vtkMRMLSegmentationNode*)": "segmentationNodeChanged",
    }

    def __init__(self, parent=None):
        super().__init__(parent)
        self._node, self._logic = None, slicer.vtkSlicerSegmentEditorLogic()
        self._logic.SetSegmentationHistory(slicer.vtkSegmentationHistory())
        self._observers, self._node_observers, self._filling = Observers(self), Observers(self), False
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        self._segmentations, self._volumes = qMRMLNodeComboBox(), qMRMLNodeComboBox()
        self._segmentations.nodeTypes = ["vtkMRMLSegmentationNode"]
        self._volumes.nodeTypes = ["vtkMRMLScalarVolumeNode"]
        self._volumes.addEnabled = False
        for box in (self._segmentations, self._volumes):
            box.noneEnabled = True
            column.addWidget(box)
        row = QtWidgets.QHBoxLayout()
        self._buttons = {}
        for text, action in (
            ("Add", self._add),
            ("Remove", self._remove),
            ("Undo", self.undo),
            ("Redo", self.redo),
        ):
            button = self._buttons[text] = QtWidgets.QPushButton(text)
            button.clicked.connect(lambda _on=False, f=action: f())
            row.addWidget(button)
        column.addLayout(row)
        self._list = QtWidgets.QListWidget()
        self._list.setMaximumHeight(90)
        self._list.currentRowChanged.connect(self._on_row)
        column.addWidget(self._list)
        self._segmentations.connect("currentNodeChanged(vtkMRMLNode*)", self.setSegmentationNode)
        self._volumes.connect("currentNodeChanged(vtkMRMLNode*)", self.setSourceVolumeNode)

    readOnly = stored(bool, "readOnly", False)
    undoEnabled = stored(bool, "undoEnabled", True)
    maximumNumberOfUndoStates = Property(
        int,
        lambda self: self._logic.GetMaximumNumberOfUndoStates(),
        lambda self, n: self._logic.SetMaximumNumberOfUndoStates(n),
    )
    setMaximumNumberOfUndoStates = setter("maximumNumberOfUndoStates")
    segmentationNodeSelectorVisible = stored(
        bool, "segmentationNodeSelectorVisible", True, lambda self, v: self._segmentations.setVisible(v)
    )
    sourceVolumeNodeSelectorVisible = stored(
        bool, "sourceVolumeNodeSelectorVisible", True, lambda self, v: self._volumes.setVisible(v)
    )
    setSegmentationNodeSelectorVisible = setter("segmentationNodeSelectorVisible")
    setSourceVolumeNodeSelectorVisible = setter("sourceVolumeNodeSelectorVisible")
    switchToSegmentationsButtonVisible = stored(bool, "switchToSegmentationsButtonVisible", True)
    maskingSectionVisible = stored(bool, "maskingSectionVisible", True)
    unorderedEffectsVisible = stored(bool, "unorderedEffectsVisible", True)

    def _scene_set(self, scene):
        self._logic.SetMRMLScene(scene)
        self._segmentations.setMRMLScene(scene)
        self._volumes.setMRMLScene(scene)

    # -- editor node
    def mrmlSegmentEditorNode(self):
        return self._node

    def setMRMLSegmentEditorNode(self, node):
        self._node_observers.clear()
        self._node = node
        self._logic.SetSegmentEditorNode(node)
        self._node_observers.add(node, vtk.vtkCommand.ModifiedEvent, self.updateWidgetFromMRML)
        self.updateWidgetFromMRML()

    def updateWidgetFromMRML(self, *_):
        if self._node is None:
            return
        self._segmentations.setCurrentNode(self._node.GetSegmentationNode())
        self._volumes.setCurrentNode(self._node.GetSourceVolumeNode())
        self._refill()

    def segmentationNode(self):
        return self._node.GetSegmentationNode() if self._node else None

    def segmentationNodeID(self):
        node = self.segmentationNode()
        return node.GetID() if node else ""

    def sourceVolumeNode(self):
        return self._node.GetSourceVolumeNode() if self._node else None

    def sourceVolumeNodeID(self):
        node = self.sourceVolumeNode()
        return node.GetID() if node else ""

    def setSegmentationNode(self, node):
        if self._node is None or node is self._node.GetSegmentationNode():
            return
        self._observers.clear()
        self._logic.SetSegmentationNode(node)
        if node is not None:
            for event in ("SegmentAdded", "SegmentRemoved", "SegmentModified"):
                self._observers.add(node, getattr(slicer.vtkSegmentation, event), self._refill)
            if node.GetSegmentation().GetNumberOfSegments():  # as the real one does, so that effects can be used
                self._node.SetSelectedSegmentID(node.GetSegmentation().GetNthSegmentID(0))
        self.updateWidgetFromMRML()
        self.segmentationNodeChanged.emit(node)

    def setSegmentationNodeID(self, node_id):
        self.setSegmentationNode(self._scene.GetNodeByID(node_id))

    def setSourceVolumeNode(self, node):
        if self._node is None or node is self._node.GetSourceVolumeNode():
            return
        self._logic.SetSourceVolumeNode(node)
        for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode") if node is not None else ():
            if node.GetID() not in (composite.GetBackgroundVolumeID(), composite.GetForegroundVolumeID()):
                composite.SetBackgroundVolumeID(node.GetID())  # as the real one does unless told otherwise
                composite.SetForegroundVolumeID(None)
        self.updateWidgetFromMRML()
        self.sourceVolumeNodeChanged.emit(node)

    def setSourceVolumeNodeID(self, node_id):
        self.setSourceVolumeNode(self._scene.GetNodeByID(node_id))

    # -- segments
    def currentSegmentID(self):
        return (self._node.GetSelectedSegmentID() or "") if self._node else ""

    def setCurrentSegmentID(self, segment_id):
        """Only the node says that another segment is selected; the signal is for clicks in the table."""
        if self._node is not None:
            self._node.SetSelectedSegmentID(segment_id)

    def _refill(self, *_):
        node, self._filling = self.segmentationNode(), True
        self._list.clear()
        for segment_id in node.GetSegmentation().GetSegmentIDs() if node else ():
            item = QtWidgets.QListWidgetItem(node.GetSegmentation().GetSegment(segment_id).GetName())
            item.setData(QtCore.Qt.UserRole, segment_id)
            self._list.addItem(item)
            if segment_id == self.currentSegmentID():
                self._list.setCurrentItem(item)
        self._filling = False

    def _on_row(self, row):
        if not self._filling and row >= 0:
            segment_id = self._list.item(row).data(QtCore.Qt.UserRole)
            if segment_id != self.currentSegmentID():
                self.setCurrentSegmentID(segment_id)
                self.currentSegmentIDChanged.emit(segment_id)

    def _add(self):
        self.saveStateForUndo()
        self.setCurrentSegmentID(self._logic.AddEmptySegment() or "")
        self._refill()

    def _remove(self):
        self.saveStateForUndo()
        self._logic.RemoveSelectedSegment()

    # -- undo: the real history
    def saveStateForUndo(self):
        self._logic.SaveStateForUndo()

    def undo(self):
        self._logic.Undo()

    def redo(self):
        self._logic.Redo()

    # -- effects: names only, but for those that are registered
    _host = None

    def effectByName(self, name):
        """Slicer's widget has its effects from the start; here they are made when one is asked for."""
        self._host = self._host or EffectHost(self)
        self._host.update()
        return self._host.effect(name)

    def deleteLater(self):
        if self._host is not None:
            self._host.close()
        super().deleteLater()

    def setActiveEffectByName(self, name):
        if self._node is not None:
            self._node.SetActiveEffectName(name or "")

    def activeEffect(self):
        return None

    def setActiveEffect(self, effect):
        self.setActiveEffectByName("" if effect is None else effect.name)

    def setEffectNameOrder(self, names):
        self._effect_order = list(names)

    def effectNameOrder(self):
        return getattr(self, "_effect_order", [])

    # -- the views and the keyboard: only whether it listens, see `listens`
    _listens_to_keys = _listens_to_views = False

    def installKeyboardShortcuts(self, parent=None):
        self._listens_to_keys = True

    def uninstallKeyboardShortcuts(self):
        self._listens_to_keys = False

    def setupViewObservations(self):
        self._listens_to_views = True

    def removeViewObservations(self):
        self._listens_to_views = False

    def availableEffectNames(self):
        """Those of Slicer that the panel names, and what is registered."""
        factory = slicer.qSlicerSegmentEditorEffectFactory.instance()
        return ["Paint", "Erase", *factory.registeredNames()]

    def updateEffectList(self):
        pass


def shownEffects(editor):
    """Names of the effects that an editor has buttons for, as `updateEffectList` makes them."""
    order, names = editor.effectNameOrder(), editor.availableEffectNames()
    others = [name for name in names if name not in order] if editor.unorderedEffectsVisible else []
    return [name for name in order if name in names] + others


def listens(editor):
    """Whether a segment editor listens to the keys, and to the views; Slicer's has no method that tells."""
    return editor._listens_to_keys, editor._listens_to_views
