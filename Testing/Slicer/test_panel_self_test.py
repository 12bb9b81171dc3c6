"""The module's own self test, the one that real Slicer runs too: real logic, real worker process."""

from panel_fixtures import openedPanel
from SegmentPropagateSlicer.Effect.Registration import registerEffect
from SegmentPropagateSlicer.Logic import SegmentPropagateLogic


def test_the_self_test_of_the_module_passes(slicer):
    registerEffect()
    with openedPanel(slicer, logic=SegmentPropagateLogic(), fill=False):
        slicer.selfTests["SegmentPropagate"]()
