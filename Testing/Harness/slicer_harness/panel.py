"""Application stand-in and panel loader: ``slicer.app``, ``slicer.modules.<name>``, ``slicer.selfTests``."""

import importlib.util
import os
import sys
from pathlib import Path

from slicer_harness.mrml import CoreApp

SHIMS = Path(__file__).resolve().parent.parent / "shims"  # qt.py, ctk.py
SLICER_PYTHON = SHIMS.parent / "slicer_python"  # slicer/ScriptedLoadableModule.py, slicer/i18n.py


def bootstrap(real_slicer_python=None):
    """Start Qt (off-screen unless QT_QPA_PLATFORM says otherwise) and complete the ``slicer`` module.

    ``real_slicer_python``: a folder that holds ``slicer/ScriptedLoadableModule.py`` etc. from a Slicer checkout;
    without it this harness' own small versions are used.
    """
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    sys.path.insert(0, str(SHIMS))

    from PySide6 import QtWidgets

    from slicer_harness import mrml, pythonqt

    application = QtWidgets.QApplication.instance() or QtWidgets.QApplication(["slicer-harness"])
    slicer = mrml.bootstrap()
    pythonqt.install()
    if isinstance(slicer.app, App):
        return slicer
    slicer.harness.slotErrors = pythonqt.slot_errors
    slicer.app = App(slicer.app.temporaryPath, application)
    from slicer_harness import effects, mrml_widgets, segment_editor

    for module in (mrml_widgets, segment_editor):
        for name in module.__all__:
            setattr(slicer, name, getattr(module, name))
    slicer.__getattr__ = placeholder_for("slicer", ("qMRML", "qSlicer"))
    # slicer is a namespace package on purpose: these become slicer.ScriptedLoadableModule, slicer.i18n ...
    slicer.__path__.append(str(Path(real_slicer_python or SLICER_PYTHON) / "slicer"))
    effects.install(real_slicer_python, SLICER_PYTHON)
    return slicer


def placeholder_for(module, prefixes):
    """Module ``__getattr__``: a widget class without stand-in may be named, but not constructed."""

    def module_getattr(name):
        if name.startswith(prefixes):

            def refuse(self, *_arguments):
                raise NotImplementedError(f"{module}.{name} has no stand-in in the harness")

            return type(name, (), {"__init__": refuse})
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return module_getattr


class App(CoreApp):
    """``slicer.app`` with Qt."""

    def __init__(self, folder, application):
        from PySide6 import QtCore

        super().__init__(folder)
        self._qt, self._module_manager, self._slots = application, ModuleManager(), {}
        QtCore.QCoreApplication.setOrganizationName("slicer-harness")
        QtCore.QCoreApplication.setApplicationName("slicer-harness")
        QtCore.QSettings.setDefaultFormat(QtCore.QSettings.IniFormat)
        QtCore.QSettings.setPath(QtCore.QSettings.IniFormat, QtCore.QSettings.UserScope, folder)
        self._settings = QtCore.QSettings()  # the same that modules get from qt.QSettings()

    def connect(self, signal, slot):
        """qSlicerApplication's own signals never fire here by themselves; `fire` lets a test do it."""
        self._slots.setdefault(signal, []).append(slot)
        return True

    def disconnect(self, signal, slot=None):
        self._slots[signal] = [known for known in self._slots.get(signal, ()) if slot and known != slot]
        return True

    def fire(self, signal):
        for slot in tuple(self._slots.get(signal, ())):
            slot()

    def processEvents(self, *_):
        """As the running event loop of Slicer does it: objects to be deleted later are deleted now."""
        from PySide6 import QtCore

        self._qt.processEvents()
        self._qt.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete.value)

    def userSettings(self):
        return self._settings

    settings = revisionUserSettings = userSettings

    def moduleManager(self):
        return self._module_manager

    def restart(self):
        raise NotImplementedError("the harness cannot restart")

    def topLevelWidgets(self):
        return self._qt.topLevelWidgets()

    def setOverrideCursor(self, cursor):
        self._qt.setOverrideCursor(cursor)

    def restoreOverrideCursor(self):
        self._qt.restoreOverrideCursor()


def use_theme(dark):
    """Fusion in Slicer's light or dark colors."""
    from PySide6 import QtGui, QtWidgets

    roles, application = QtGui.QPalette.ColorRole, QtWidgets.QApplication.instance()
    application.setStyle("Fusion")
    palette = QtGui.QPalette(QtGui.QColor("#303030" if dark else "#efefef"))
    if dark:
        for role in (roles.WindowText, roles.Text, roles.ButtonText, roles.ToolTipText, roles.BrightText):
            palette.setColor(role, QtGui.QColor("#e6e6e6"))
            palette.setColor(QtGui.QPalette.ColorGroup.Disabled, role, QtGui.QColor("#808080"))
        palette.setColor(roles.Base, QtGui.QColor("#242424"))
        palette.setColor(roles.PlaceholderText, QtGui.QColor("#9a9a9a"))
    palette.setColor(roles.Highlight, QtGui.QColor("#3b82d6"))
    application.setPalette(palette)


class ModuleManager:
    """Who wants to know that a module is unloaded."""

    SIGNAL = "moduleAboutToBeUnloaded(QString)"

    def __init__(self):
        self._slots = []

    def connect(self, signal, slot):
        if signal == self.SIGNAL:
            self._slots.append(slot)
        return True

    def disconnect(self, signal, slot):
        self._slots = [known for known in self._slots if known != slot]
        return True

    def unload(self, name):
        """What Slicer does with every module when it exits."""
        for slot in tuple(self._slots):
            slot(name)


def module_panel(path, widget_arguments):
    """The `qSlicerScriptedLoadableModuleWidget` of a module: the parent of its Python widget, which it can replace."""
    import slicer
    from PySide6 import QtWidgets

    class ModulePanel(slicer.qMRMLWidget):
        """Knows whether the module is open, and makes the Python widget again on reload."""

        isEntered = False

        def __init__(self):
            super().__init__()
            self.setLayout(QtWidgets.QVBoxLayout())
            self.setMRMLScene(slicer.mrmlScene)

        def enter(self):
            self.isEntered = True
            self._widget.enter()

        def exit(self):
            self.isEntered = False
            self._widget.exit()

        def make(self, arguments):
            """Make the Python widget and let it set itself up."""
            self._widget = getattr(sys.modules[path.stem], path.stem + "Widget")(self, **arguments)
            setattr(slicer.modules, path.stem + "Widget", self._widget)
            self._widget.setup()
            return self._widget

        def reload(self):
            """As in Slicer: `setup` runs, `enter` does not, even while the module is open."""
            self.make({})

    panel = ModulePanel()
    return panel, panel.make(widget_arguments)


def unload_module(widget):
    """What Slicer does with a module when it exits. A script then ends with `mrml.clear_scene()`.

    Nodes that are still in the scene are deleted after Python and Qt, and call observers that are gone: a crash.
    """
    import slicer

    widget.parent.exit()
    slicer.app.moduleManager().unload(type(widget).__name__.removesuffix("Widget"))
    widget.parent.hide()
    widget.parent.deleteLater()
    slicer.app.processEvents()


def load_module(path, **widget_arguments):
    """Load ``<Name>.py`` as Slicer does; returns the ScriptedLoadableModuleWidget with ``setup()`` done.

    ``widget_arguments``: what a test hands to the widget's constructor instead of the real thing.
    """
    import slicer

    from slicer_harness.mrml import ModuleProxy

    path = Path(path).resolve()
    name = path.stem
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    python_module = importlib.util.module_from_spec(spec)
    sys.modules[name] = python_module
    spec.loader.exec_module(python_module)

    proxy = ModuleProxy(name, path=str(path))
    proxy.module = getattr(python_module, name)(proxy)
    setattr(slicer.modules, name.lower(), proxy)
    proxy.panel, widget = module_panel(path, widget_arguments)
    proxy.panel.show()
    slicer.app.processEvents()
    return widget
