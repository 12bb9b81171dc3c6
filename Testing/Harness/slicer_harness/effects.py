"""Stand-ins for what hosts an effect of the Segment Editor, and Slicer's base class of scripted effects.

What is called when follows `qMRMLSegmentEditorWidget` and `qSlicerSegmentEditorScriptedEffect` of Slicer.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import slicer
import vtk
from PySide6 import QtGui, QtWidgets

from slicer_harness.mrml_widgets import Observers

BASE = "AbstractScriptedSegmentEditorEffect"


def install(slicer_python, own):
    """Make `SegmentEditorEffects` importable: from a folder of a Slicer checkout where it has it, else our own."""
    folders = [Path(folder) / "SegmentEditorEffects" for folder in (slicer_python, own) if folder]
    base = _load(f"SegmentEditorEffects.{BASE}", next(f for f in folders if f.is_dir()) / f"{BASE}.py")
    package = sys.modules["SegmentEditorEffects"] = ModuleType("SegmentEditorEffects")
    setattr(package, BASE, getattr(base, BASE))
    slicer.qSlicerSegmentEditorEffectFactory = qSlicerSegmentEditorEffectFactory


def _load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class qSlicerSegmentEditorScriptedEffect:
    """Slicer's half of a scripted effect, over a Python object that it makes."""

    ModificationModeSet, ModificationModeAdd, ModificationModeRemove, ModificationModeRemoveAll = range(4)
    __slots__ = (  # as PythonQt, refuse attributes that the real one does not have
        "_frame", "_isActive", "_node", "_python", "_slots", "_source",
        "name", "perSegment", "requireSegments", "showEffectCursorInSliceView", "showEffectCursorInThreeDView", "title",
    )  # fmt: skip

    def __init__(self, parent=None):
        self.name, self.title, self.perSegment, self.requireSegments = "UnnamedScriptedEffect", "", True, True
        self.showEffectCursorInSliceView, self.showEffectCursorInThreeDView = True, False
        self._node = self._python = self._source = None
        self._isActive, self._slots = False, {}
        self._frame = QtWidgets.QFrame()
        layout = QtWidgets.QFormLayout(self._frame)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.setSpacing(4)

    # -- the Python half
    def setPythonSource(self, newPythonSource):
        """Slicer names the module after the folder and the class after the file, and loads each class once."""
        path = Path(newPythonSource)
        if path.suffix != ".py":
            return False
        module = sys.modules.get(path.parent.name)
        if not hasattr(module, path.stem):
            module = _load(path.parent.name, path)
        self._python, self._source = getattr(module, path.stem)(self), str(newPythonSource)
        return True

    def pythonSource(self):
        return self._source

    def self(self):
        return self._python

    def _call(self, name, default=None):
        method = getattr(self._python, name, None)
        return method() if method else default

    def clone(self):
        return self._call("clone")

    def icon(self):
        return self._call("icon", QtGui.QIcon())

    def helpText(self):
        return self._call("helpText", "")

    def setupOptionsFrame(self):
        self._call("setupOptionsFrame")

    def setMRMLDefaults(self):
        self._call("setMRMLDefaults")

    def activate(self):
        self._frame.setVisible(True)
        self._isActive = True
        self.updateGUIFromMRML()
        self._call("activate")

    def deactivate(self):
        self._frame.setVisible(False)
        self._isActive = False
        self._call("deactivate")

    def active(self):
        return self._isActive

    def updateGUIFromMRML(self):
        if self._isActive:
            self._call("updateGUIFromMRML")

    def updateMRMLFromGUI(self):
        self._call("updateMRMLFromGUI")

    def sourceVolumeNodeChanged(self):
        self._call("sourceVolumeNodeChanged")

    def cleanup(self):
        self._call("cleanup")

    # -- options
    def optionsFrame(self):
        return self._frame

    def optionsLayout(self):
        return self._frame.layout()

    def addOptionsWidget(self, newOptionsWidget):
        self.optionsLayout().addRow(newOptionsWidget)

    def addLabeledOptionsWidget(self, label, newOptionsWidget):
        title = QtWidgets.QLabel(label)
        self.optionsLayout().addRow(title, newOptionsWidget)
        return title

    # -- parameters: attributes of the node
    def parameterSetNode(self):
        return self._node

    def setParameterSetNode(self, node):
        self._node = node

    def parameterDefined(self, name):
        return bool(self._node and self._node.GetAttribute(f"{self.name}.{name}"))

    def parameter(self, name):
        value = self._node.GetAttribute(f"{self.name}.{name}") if self._node else None
        assert value is not None, f"Slicer complains: the effect {self.name} has no parameter {name}"
        return value

    def setParameter(self, name, value):
        before = self._node.GetDisableModifiedEvent()
        self._node.SetDisableModifiedEvent(True)
        self._node.SetAttribute(f"{self.name}.{name}", str(value))
        self._node.SetDisableModifiedEvent(before)
        self._node.InvokeCustomModifiedEvent(self._node.EffectParameterModified)

    def setParameterDefault(self, name, value):
        if not self.parameterDefined(name):
            self.setParameter(name, value)

    # -- the editor
    def setCallbackSlots(self, receiver, selectEffectSlot, updateVolumeSlot, saveStateForUndoSlot):
        self._slots = {"select": getattr(receiver, selectEffectSlot), "save": getattr(receiver, saveStateForUndoSlot)}

    def selectEffect(self, effectName):
        self._slots["select"](effectName)

    def saveStateForUndo(self):
        self._slots["save"]()

    def confirmCurrentSegmentVisible(self):
        """ConfirmedWithoutDialog: as with a visible segment."""
        return 1


class qSlicerSegmentEditorEffectFactory:
    """One of each effect; editors have copies."""

    _instance = None

    def __init__(self):
        self._registered = []

    @classmethod
    def instance(cls):
        cls._instance = cls._instance or cls()
        return cls._instance

    def registerEffect(self, effectToRegister):
        if effectToRegister.name in [effect.name for effect in self._registered]:
            return False
        self._registered.append(effectToRegister)
        return True

    def registeredNames(self):
        return [effect.name for effect in self._registered]

    def copyEffects(self, effects):
        known = [effect.name for effect in effects]
        copies = [effect.clone() for effect in self._registered if effect.name not in known]
        effects.extend(copies)
        return copies


class EffectHost:
    """What qMRMLSegmentEditorWidget does with its effects, over its stand-in.

    Args:
        editor: the stand-in, with its node.

    Attributes:
        options: what the widget shows of the active effect.
    """

    def __init__(self, editor):
        self.editor, self.effects, self.active = editor, [], None
        self._observers, self._volume = Observers(editor), None
        self.options = QtWidgets.QGroupBox()
        column = QtWidgets.QVBoxLayout(self.options)
        node = editor.mrmlSegmentEditorNode()
        for effect in qSlicerSegmentEditorEffectFactory.instance().copyEffects(self.effects):
            effect.setCallbackSlots(editor, "setActiveEffectByName", "updateEffectList", "saveStateForUndo")
            effect.setupOptionsFrame()
            effect.optionsFrame().setVisible(False)
            column.addWidget(effect.optionsFrame())
            effect.setParameterSetNode(node)
            effect.setMRMLDefaults()
            self._observers.add(node, node.EffectParameterModified, lambda *_, one=effect: one.updateGUIFromMRML())
        self._observers.add(node, vtk.vtkCommand.ModifiedEvent, self.update)

    def effect(self, name):
        """The effect of that name, or None."""
        return next((effect for effect in self.effects if effect.name == name), None)

    def update(self, *_):
        """The node was changed: another effect, or another image."""
        node = self.editor.mrmlSegmentEditorNode()
        wanted = self.effect(node.GetActiveEffectName())
        if wanted is not self.active:
            before, self.active = self.active, wanted
            if before is not None:
                before.deactivate()
            if wanted is not None:
                wanted.activate()
                self.options.setTitle(wanted.title)
        volume = node.GetSourceVolumeNode()
        if node.GetSegmentationNode() is not None and volume is not self._volume:
            self._volume = volume
            for effect in self.effects:
                effect.sourceVolumeNodeChanged()

    def close(self):
        """The editor is deleted."""
        self._observers.clear()
        for effect in self.effects:
            effect.cleanup()
        self.options.deleteLater()
