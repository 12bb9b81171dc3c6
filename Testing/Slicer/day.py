"""An annotator's day: a folder of drawn images, the panel on the real logic, and what it costs in clicks and keys."""

import time
from contextlib import contextmanager

import numpy as np
from bench import DRAWN_WORKER, MATRIX, Store, ellipsoid
from panel_fixtures import openedPanel, pressKey
from SegmentPropagateSlicer.Logic import SegmentPropagateLogic
from SegmentPropagateSlicer.Runs.Estimates import Estimates
from SegmentPropagateSlicer.Runs.WorkerProcess import WorkerProcess

from SegmentPropagateLib.formats.writing import write_volume
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.volume import Volume

TRUTH = ellipsoid()
SLICE = 5


def placeOn(index):
    """World RAS of the object's middle on a slice."""
    return (MATRIX @ [11.5, 8.5, index, 1.0])[:3]


def drawFolder(folder, names="abc"):
    """Images of one bright object each."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        write_volume(folder / f"{name}.nrrd", Volume(TRUTH.astype(np.int16) * 100, Geometry(TRUTH.shape, MATRIX)))
    return folder


class Day:
    """What an annotator does; `clicks` and `keys` count what she presses.

    Args:
        panel: `OpenPanel` on the real logic.
    """

    def __init__(self, panel):
        self.panel, self.ui, self.logic, self.cases = panel, panel.ui, panel.logic, panel.widget.cases
        self.clicks = self.keys = 0

    def __getattr__(self, name):
        return getattr(self.panel, name)

    @property
    def casework(self):
        return self.cases.casework

    @property
    def node(self):
        """The segmentation that is worked on."""
        return self.panel.parameters.segmentation

    def open(self, source):
        """Choose a worklist from the menu, and look at the object."""
        self.cases.use(str(source))
        self.look()

    def look(self, index=SLICE):
        """Show a slice of the object."""
        node = self.panel.app.mrmlScene.GetSingletonNode("Red", "vtkMRMLSliceNode")
        node.JumpSliceByOffsetting(*placeOn(index))
        self.panel.settle()

    def click(self, name):
        """Click a button; each step that is folded around it costs a click as well."""
        widget = getattr(self.ui, name)
        while widget is not None:
            self.clicks += int(bool(getattr(widget, "collapsed", False)))
            widget = widget.parentWidget()
        self.clicks += 1
        self.panel.press(name)

    def key(self, letter):
        self.keys += 1
        pressKey(self.panel, letter)

    def clickBox(self, index=SLICE):
        """Two corners in the view around the object, on one slice."""
        assert self.panel.widget.prompt.placement.placing() == "box", "the box is not armed"
        self.clicks += 2
        box = self.panel.widget.prompt.placement.node("box")
        box.SetCenter(placeOn(index))
        box.SetSize([40.0, 40.0, 3.0])
        box.InvokeEvent(box.PointPositionDefinedEvent)
        self.until("review")

    def until(self, state):
        end = time.monotonic() + 30
        while self.logic.state != state:
            assert time.monotonic() < end, (self.logic.state, self.panel.sentence())
            self.panel.settle()
        self.panel.settle()

    def names(self):
        segmentation = self.node.GetSegmentation()
        return [segmentation.GetSegment(segmentId).GetName() for segmentId in segmentation.GetSegmentIDs()]

    def mask(self, number=0):
        segmentId = self.node.GetSegmentation().GetNthSegmentID(number)
        array = self.panel.app.util.arrayFromSegmentBinaryLabelmap(self.node, segmentId, self.panel.parameters.volume)
        return np.zeros(TRUTH.shape, bool) if array is None else array > 0

    def draw(self, mask=None, number=0):
        """A stroke: a square on one slice, unless a mask is given."""
        if mask is None:
            mask = self.mask(number)
            mask[SLICE, 6:12, 6:12] = True
        segmentId = self.node.GetSegmentation().GetNthSegmentID(number)
        volume = self.panel.parameters.volume
        self.panel.app.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), self.node, segmentId, volume)
        self.panel.settle()

    def states(self):
        """State by case."""
        return {case.name: case.state for case in self.casework.worklist.cases}


@contextmanager
def dayOf(slicer, process=None, training=None, collector=None):
    """The panel on an empty scene, with a worker, a new one unless given, whose drawn model finds the object.

    `training`: what fine-tunes in the background; `collector`: what tells the ledger of a project.
    """
    logic = SegmentPropagateLogic(process or WorkerProcess(DRAWN_WORKER), Estimates(Store()))
    with openedPanel(slicer, logic=logic, fill=False, training=training, collector=collector) as panel:
        panel.parameters.model, panel.parameters.intensity = "threshold", "none"
        panel.settle()
        yield Day(panel)
