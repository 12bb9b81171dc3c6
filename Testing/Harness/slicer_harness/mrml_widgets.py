"""Stand-ins for the qMRML widgets, on the real MRML scene. Names and signatures follow Slicer's headers."""

import slicer
import vtk
from PySide6 import QtWidgets

from slicer_harness.ctk_widgets import Property, Signal, setter, stored
from slicer_harness.designer import register

__all__ = [
    "qMRMLNodeComboBox",
    "qMRMLSegmentSelectorWidget",
    "qMRMLWidget",
]


class Observers:
    """VTK observations that end with the widget."""

    def __init__(self, owner):
        self._tags = []
        owner.destroyed.connect(self.clear)

    def add(self, obj, event, callback):
        if obj is not None:
            self._tags.append((obj, obj.AddObserver(event, callback)))

    def clear(self, *_):
        for obj, tag in self._tags:
            obj.RemoveObserver(tag)
        self._tags = []


@register
class qMRMLWidget(QtWidgets.QWidget):
    mrmlSceneChanged = Signal(object)
    SIGNALS = {"mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged"}

    def __init__(self, parent=None):
        super().__init__(parent)
        self._scene = None

    def mrmlScene(self):
        return self._scene

    def setMRMLScene(self, scene):
        if scene is not self._scene:
            self._scene = scene
            self._scene_set(scene)
            self.mrmlSceneChanged.emit(scene)

    def _scene_set(self, scene):
        pass


@register
class qMRMLNodeComboBox(QtWidgets.QWidget):
    """Node selector: follows the scene, filters by type and attribute, creates and removes nodes."""

    currentNodeChanged, _valid_changed, currentNodeIDChanged = Signal(object), Signal(bool), Signal(str)
    nodeActivated, nodeAdded, nodeAddedByUser = Signal(object), Signal(object), Signal(object)
    SIGNALS = {
        "currentNodeChanged(vtkMRMLNode*)": "currentNodeChanged",
        "currentNodeChanged(bool)": "_valid_changed",
        "currentNodeIDChanged(QString)": "currentNodeIDChanged",
        "nodeActivated(vtkMRMLNode*)": "nodeActivated",
        "nodeAdded(vtkMRMLNode*)": "nodeAdded",
        "nodeAddedByUser(vtkMRMLNode*)": "nodeAddedByUser",
    }
    CREATE, REMOVE, NONE = "<create>", "<remove>", ""

    def __init__(self, parent=None):
        super().__init__(parent)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self._combo = QtWidgets.QComboBox()
        row.addWidget(self._combo)
        self._combo.activated.connect(self._on_activated)
        self._scene, self._node_id, self._attributes = None, "", []
        self._scene_observers, self._node_observers = Observers(self), Observers(self)

    # -- properties
    nodeTypes = stored("QStringList", "nodeTypes", [], lambda self, _v: self._refill())
    noneEnabled = stored(bool, "noneEnabled", False, lambda self, _v: self._refill())
    addEnabled = stored(bool, "addEnabled", True, lambda self, _v: self._refill())
    removeEnabled = stored(bool, "removeEnabled", True, lambda self, _v: self._refill())
    renameEnabled = stored(bool, "renameEnabled", False)
    editEnabled = stored(bool, "editEnabled", False)
    showHidden = stored(bool, "showHidden", False, lambda self, _v: self._refill())
    showChildNodeTypes = stored(bool, "showChildNodeTypes", True, lambda self, _v: self._refill())
    hideChildNodeTypes = stored("QStringList", "hideChildNodeTypes", [], lambda self, _v: self._refill())
    selectNodeUponCreation = stored(bool, "selectNodeUponCreation", True)
    baseName = stored(str, "baseName", "")
    noneDisplay = stored(str, "noneDisplay", "None", lambda self, _v: self._refill())
    setNodeTypes, setNoneEnabled = setter("nodeTypes"), setter("noneEnabled")
    setAddEnabled, setRemoveEnabled = setter("addEnabled"), setter("removeEnabled")
    setShowChildNodeTypes, setNoneDisplay = setter("showChildNodeTypes"), setter("noneDisplay")
    setBaseName = setter("baseName")

    # -- scene
    def mrmlScene(self):
        return self._scene

    def setMRMLScene(self, scene):
        self._scene_observers.clear()
        self._scene = scene
        events = slicer.vtkMRMLScene
        for event in (
            events.NodeAddedEvent,
            events.NodeRemovedEvent,
            events.EndCloseEvent,
            events.EndBatchProcessEvent,
        ):
            self._scene_observers.add(scene, event, self._on_scene)
        self._refill()

    def addAttribute(self, nodeType, name, value=None):
        self._attributes.append((nodeType, name, value))
        self._refill()

    def _accepts(self, node):
        if node.GetHideFromEditors() and not self.showHidden:
            return False
        if any(node.IsA(t) for t in self.hideChildNodeTypes):
            return False
        exact = not self.showChildNodeTypes
        if not any(node.GetClassName() == t if exact else node.IsA(t) for t in self.nodeTypes):
            return False
        for node_type, name, value in self._attributes:
            if node.IsA(node_type):
                have = node.GetAttribute(name)
                if have is None or (value is not None and have != str(value)):
                    return False
        return True

    def _nodes(self):
        if self._scene is None:
            return []
        # The scene sorts out most of its nodes: to ask each one here took a third of the time of the panel's tests.
        found = set()
        for kind in self.nodeTypes:
            nodes = self._scene.GetNodesByClass(kind)
            nodes.UnRegister(None)
            found |= {nodes.GetItemAsObject(i) for i in range(nodes.GetNumberOfItems())}
        return sorted(filter(self._accepts, found), key=self._scene.GetNodes().IsItemPresent)

    def _on_scene(self, *_):
        if self._scene and self._scene.IsBatchProcessing():
            return
        self._refill()

    def _refill(self, *_):
        nodes = self._nodes()
        ids = [n.GetID() for n in nodes]
        self._node_observers.clear()
        self._combo.blockSignals(True)
        self._combo.clear()
        if self.noneEnabled:
            self._combo.addItem(self.noneDisplay, self.NONE)
        for node in nodes:
            self._combo.addItem(node.GetName() or "", node.GetID())
            self._node_observers.add(node, vtk.vtkCommand.ModifiedEvent, self._on_node_modified)
        if self.addEnabled and self.nodeTypes:
            self._combo.addItem("Create new " + self.nodeTypes[0][len("vtkMRML") :].replace("Node", ""), self.CREATE)
        if self.removeEnabled and self._node_id:
            self._combo.addItem("Delete current", self.REMOVE)
        self._combo.blockSignals(False)
        wanted = self._node_id if self._node_id in ids else ""
        if not wanted and not self.noneEnabled and ids:
            wanted = ids[0]  # like the real one: never "none" when none is not allowed
        self._select(wanted)

    def _on_node_modified(self, node, _event):
        row = self._combo.findData(node.GetID())
        if row >= 0 and self._combo.itemText(row) != node.GetName():
            self._combo.setItemText(row, node.GetName())

    def _select(self, node_id):
        row = self._combo.findData(node_id or self.NONE)
        self._combo.blockSignals(True)
        self._combo.setCurrentIndex(row)
        self._combo.blockSignals(False)
        if node_id != self._node_id:
            self._node_id = node_id
            self.currentNodeChanged.emit(self.currentNode())
            self._valid_changed.emit(bool(node_id))
            self.currentNodeIDChanged.emit(node_id)

    def _on_activated(self, row):
        data = self._combo.itemData(row)
        if data == self.CREATE:
            self._select(self._node_id)
            node = self.addNode()
            self.nodeAddedByUser.emit(node)
        elif data == self.REMOVE:
            self.removeCurrentNode()
        else:
            self._select(data)
            self.nodeActivated.emit(self.currentNode())

    # -- public
    def currentNode(self):
        return self._scene.GetNodeByID(self._node_id) if self._scene and self._node_id else None

    def setCurrentNode(self, node):
        node_id = node if isinstance(node, str) else (node.GetID() if node is not None else "")
        if node_id and self._combo.findData(node_id) < 0:
            node_id = ""
        self._select(node_id)

    currentNodeID = Property(str, lambda self: self._node_id, lambda self, v: self.setCurrentNode(v or ""))
    setCurrentNodeID = setter("currentNodeID")
    currentNodeId = Property(str, lambda self: self._node_id, lambda self, v: self.setCurrentNode(v or ""))

    def setCurrentNodeIndex(self, index):
        self.setCurrentNode(self.nodeFromIndex(index))

    def nodeCount(self):
        return len(self._nodes())

    def nodeFromIndex(self, index):
        nodes = self._nodes()
        return nodes[index] if 0 <= index < len(nodes) else None

    def addNode(self, nodeType=None):
        node_type = nodeType or self.nodeTypes[0]
        base = self.baseName or node_type[len("vtkMRML") :].replace("Node", "")
        node = self._scene.CreateNodeByClass(node_type)
        node.UnRegister(None)
        node.SetName(self._scene.GenerateUniqueName(base))
        for kind, name, value in self._attributes:
            if node.IsA(kind):
                node.SetAttribute(name, "" if value is None else str(value))
        node = self._scene.AddNode(node)
        if node.IsA("vtkMRMLDisplayableNode"):
            node.CreateDefaultDisplayNodes()
        self.nodeAdded.emit(node)
        if self.selectNodeUponCreation:
            self.setCurrentNode(node)
        return node

    def removeCurrentNode(self):
        node = self.currentNode()
        if node is not None:
            self._scene.RemoveNode(node)


@register
class qMRMLSegmentSelectorWidget(qMRMLWidget):
    """Segmentation node selector above a segment selector."""

    currentNodeChanged, _valid_changed, currentSegmentChanged = Signal(object), Signal(bool), Signal(str)
    SIGNALS = {
        **qMRMLWidget.SIGNALS,
        "currentNodeChanged(vtkMRMLNode*)": "currentNodeChanged",
        "currentNodeChanged(bool)": "_valid_changed",
        "currentSegmentChanged(QString)": "currentSegmentChanged",
    }

    def __init__(self, parent=None):
        super().__init__(parent)
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        self._nodes = qMRMLNodeComboBox()
        self._nodes.nodeTypes = ["vtkMRMLSegmentationNode"]
        self._nodes.addEnabled = self._nodes.removeEnabled = False
        self._segments = QtWidgets.QComboBox()
        column.addWidget(self._nodes)
        column.addWidget(self._segments)
        self._observers = Observers(self)
        self._nodes.connect("currentNodeChanged(vtkMRMLNode*)", self._on_node)
        self._segments.currentIndexChanged.connect(
            lambda _row: self.currentSegmentChanged.emit(self.currentSegmentID())
        )

    noneEnabled = Property(bool, lambda self: self._nodes.noneEnabled, lambda self, v: self._nodes.setNoneEnabled(v))
    setNoneEnabled = setter("noneEnabled")
    editEnabled = stored(bool, "editEnabled", False)
    multiSelection = stored(bool, "multiSelection", False)
    segmentationNodeSelectorVisible = stored(
        bool, "segmentationNodeSelectorVisible", True, lambda self, v: self._nodes.setVisible(v)
    )

    def _scene_set(self, scene):
        self._nodes.setMRMLScene(scene)

    def _on_node(self, node):
        self._observers.clear()
        if node is not None:
            for event in ("SegmentAdded", "SegmentRemoved", "SegmentModified"):
                self._observers.add(node, getattr(slicer.vtkSegmentation, event), self._refill)
        self._refill()
        self.currentNodeChanged.emit(node)
        self._valid_changed.emit(node is not None)

    def _refill(self, *_):
        node, before = self.currentNode(), self.currentSegmentID()
        self._segments.blockSignals(True)
        self._segments.clear()
        if node is not None:
            for segment_id in node.GetSegmentation().GetSegmentIDs():
                self._segments.addItem(node.GetSegmentation().GetSegment(segment_id).GetName(), segment_id)
        row = self._segments.findData(before)
        self._segments.setCurrentIndex(row if row >= 0 else min(0, self._segments.count - 1))
        self._segments.blockSignals(False)
        if self.currentSegmentID() != before:
            self.currentSegmentChanged.emit(self.currentSegmentID())

    def currentNode(self):
        return self._nodes.currentNode()

    def currentNodeID(self):
        return self._nodes.currentNodeID

    def setCurrentNode(self, node):
        self._nodes.setCurrentNode(node)

    def setCurrentNodeID(self, node_id):
        self._nodes.setCurrentNodeID(node_id)

    def currentSegmentID(self):
        return self._segments.currentData or ""

    def setCurrentSegmentID(self, segment_id):
        self._segments.setCurrentIndex(self._segments.findData(segment_id))

    def segmentIDs(self):
        return [self._segments.itemData(i) for i in range(self._segments.count)]
