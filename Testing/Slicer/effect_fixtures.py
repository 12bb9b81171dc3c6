"""The effect in a Segment Editor, over the drawn object of a `Bench`; `conftest.py` takes the fixtures in."""

import numpy as np
import pytest
from SegmentPropagateSlicer.Effect.Registration import registerEffect
from SegmentPropagateSlicer.Scene.Parameters import Parameters
from SegmentPropagateSlicer.Values.State import State
from slicer_harness.effects import EffectHost
from slicer_harness.pythonqt import stray_attributes

VIEW_OF = {"axial": "Red", "coronal": "Green", "sagittal": "Yellow"}


class OpenEffect:
    """*Propagate*, chosen in a Segment Editor.

    Args:
        bench: `Bench`, whose logic it works with.
    """

    def __init__(self, bench):
        registerEffect()
        self.bench, self.slicer = bench, bench.slicer
        self.editor = self.slicer.qMRMLSegmentEditorWidget()
        self.editor.setMRMLScene(self.slicer.mrmlScene)
        self.node = self.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
        self.editor.setMRMLSegmentEditorNode(self.node)
        self.editor.setSegmentationNode(bench.segmentation)
        self.editor.setSourceVolumeNode(bench.volume)
        self.node.SetOverwriteMode(self.node.OverwriteNone)
        self.host = EffectHost(self.editor)
        self.scripted = self.host.effect("Propagate")
        self.effect = self.scripted.self()
        self.effect.useLogic(bench.logic)
        self.usePanel(model="threshold", intensity="none")
        self.choose("Propagate")

    def usePanel(self, **settings):
        """Choose settings as in the module's panel."""
        parameters = Parameters(self.bench.logic.getParameterNode())
        for name, value in settings.items():
            setattr(parameters, name, value)

    def choose(self, name):
        self.editor.setActiveEffectByName(name)

    def show(self, index, plane="axial"):
        """Scroll the view of a plane to a slice."""
        node = self.slicer.mrmlScene.GetSingletonNode(VIEW_OF[plane], "vtkMRMLSliceNode")
        node.JumpSliceByOffsetting(*self.bench.logic.slicePositionRas(index, plane))

    def draw(self, *indices, plane="axial", segmentId=None):
        """Outline the object on slices, as with *Paint*: no key is made of them."""
        segmentId = segmentId or self.bench.segment
        mask, axis = self.bench.get(segmentId), self.bench.grid(plane).axis
        for index in indices:
            np.moveaxis(mask, axis, 0)[index] = np.moveaxis(self.bench.truth, axis, 0)[index]
        self.bench.set(segmentId, mask)

    def press(self, name):
        """Click a button as a user would, and wait while something is written: a disabled one does nothing."""
        button = getattr(self.effect, name + "Button")
        assert button.enabled, f"{name} is disabled"
        button.click()
        self.slicer.app.processEvents()
        self.bench.until(lambda: self.bench.logic.state != State.WRITING)

    def run(self):
        """Press *Propagate* and wait for the proposal, or for what became of it."""
        self.press("propagate")
        self.bench.until(lambda: self.bench.logic.state not in State.BUSY)

    def sentence(self):
        return self.effect.status.label.text

    def enabled(self):
        """Names of the buttons that can be pressed."""
        names = ("first", "last", "open", "propagate", "cancel", "apply")
        return [name for name in names if getattr(self.effect, name + "Button").enabled]

    def keys(self):
        return [(key.plane, key.sliceIndex) for key in self.bench.logic.keys]

    def close(self):
        assert stray_attributes(self.host.options) == []
        self.host.close()
        self.editor.deleteLater()


@pytest.fixture
def makeEffect(makeBench):
    """Makes an `OpenEffect` over a drawn object of which nothing is outlined yet."""
    opened = []

    def make(**options):
        opened.append(OpenEffect(makeBench(**{"key": None, **options})))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


@pytest.fixture
def effect(makeEffect):
    """The effect, and one axial slice outlined."""
    opened = makeEffect()
    opened.draw(5)
    return opened
