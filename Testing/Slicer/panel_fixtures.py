"""Opening and closing the panel in tests."""

from contextlib import contextmanager
from pathlib import Path

import pytest
from panel_double import DrivenLogic, NothingMissing, drawnScores, fillScene
from slicer_harness import panel as harness_panel
from slicer_harness import pythonqt

MODULE = Path(__file__).resolve().parents[2] / "SegmentPropagate" / "SegmentPropagate.py"


def shortcutsOf(widget):
    """The key sequences that are on in a panel, as Qt has them."""
    from PySide6 import QtGui

    return [shortcut.key.toString() for shortcut in widget.parent.findChildren(QtGui.QShortcut) if shortcut.enabled]


def pressKey(panel, letter):
    """Press a key with the mouse over the panel."""
    from PySide6 import QtCore, QtGui, QtTest

    panel.widget.parent.activateWindow()
    QtGui.QCursor.setPos(panel.widget.parent.mapToGlobal(QtCore.QPoint(20, 20)))
    panel.settle()
    QtTest.QTest.keyClick(panel.widget.parent, getattr(QtCore.Qt, f"Key_{letter}"))
    panel.settle()


class OpenPanel:
    """A panel over a filled scene.

    Args:
        app: the `slicer` module.
        widget: `SegmentPropagateWidget`.
        scene: volume, segmentation and segment ID of `fillScene`, or Nones.
    """

    def __init__(self, app, widget, scene):
        self.app, self.widget = app, widget
        self.ui, self.logic, self.parameters = widget.ui, widget.logic, widget.context.parameters
        self.volume, self.segmentation, self.segmentId = scene

    def settle(self):
        """Let timers and events run."""
        for _pass in range(3):
            self.app.app.processEvents()

    def press(self, name):
        """Click a button as a user would: in a step that is folded, after opening it; one that is off does nothing."""
        button = getattr(self.ui, name)
        self.unfold(button)
        assert button.isVisible(), f"{name} is hidden"
        button.click()
        self.settle()

    def unfold(self, widget):
        """Open the steps that a widget is in."""
        while widget is not None:
            if getattr(widget, "collapsed", False):
                widget.collapsed = False
            widget = widget.parentWidget()

    def showSlice(self, index, view="Red"):
        """Move a view to a slice of the drawn volume."""
        node = self.app.mrmlScene.GetSingletonNode(view, "vtkMRMLSliceNode")
        node.JumpSliceByOffsetting(1.5 * 32, 1.5 * 32, 3.0 * index)
        self.settle()

    def sentence(self):
        """What the status line says."""
        return self.ui.statusLabel.text

    def said(self, name):
        """The calls of that name that reached the logic."""
        return [call for call in self.logic.calls if call[0] == name]


@contextmanager
def openedPanel(app, logic=None, installer=None, fill=True, training=None, collector=None):
    """The module's panel, opened and closed as Slicer does."""
    widget = harness_panel.load_module(
        MODULE,
        logic=logic or DrivenLogic(),
        installer=installer or NothingMissing(),
        training=training,
        collector=collector,
    )
    scene = fillScene(app) if fill else (None, None, None)
    widget.parent.resize(430, 1000)
    widget.parent.enter()
    opened = OpenPanel(app, widget, scene)
    opened.settle()
    yield opened
    assert pythonqt.stray_attributes(widget.parent) == []
    harness_panel.unload_module(widget)
    opened.settle()


@pytest.fixture
def panel(slicer):
    with openedPanel(slicer) as opened:
        yield opened


@pytest.fixture
def prompted(panel):
    """One key slice on axial slice 18."""
    panel.press("addKeyButton")
    return panel


@pytest.fixture
def reviewed(prompted):
    """A proposal for slices 7 to 29 with a jump at 24."""
    prompted.widget.range.give(7, 29)
    prompted.settle()
    prompted.press("propagateButton")
    prompted.logic.scores = drawnScores(7, 29, 18, jump=(24,))
    prompted.logic.go("review")
    prompted.settle()
    return prompted
