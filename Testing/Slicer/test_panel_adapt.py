"""*Learn from my slices*: when it can be chosen, what it asks of the worker, and that its verdict is said."""

from dataclasses import replace

import numpy as np
import pytest
from SegmentPropagateSlicer.Runs.Run import LEARN_FROM, Run
from SegmentPropagateSlicer.Values.Proposal import proposalOfMask
from SegmentPropagateSlicer.Values.RunSettings import RunSettings
from SegmentPropagateSlicer.Values.State import State

from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.worker.replies import Done
from SegmentPropagateLib.worker.setup import ModelChoice, SessionChoice, Setup

MASK = np.ones((5, 6), bool)
SETUP = Setup("v", (9, 5, 6), tuple(np.eye(4).ravel().tolist()), None, ModelChoice("starter"), SessionChoice())


def addKeys(panel, count, segmentId=None):
    for index in range(count):
        panel.logic.addKey(segmentId or panel.segmentId, 3 * index, "axial")
    panel.settle()


def test_learning_can_be_chosen_from_three_key_slices_of_a_segment_on(panel):
    box, other = panel.ui.adaptCheckBox, panel.segmentation.GetSegmentation().GetNthSegmentID(1)
    addKeys(panel, LEARN_FROM, other)
    addKeys(panel, LEARN_FROM - 1)
    assert box.isHidden()
    panel.logic.addKey(panel.segmentId, 20, "axial")
    panel.settle()
    assert not box.isHidden()
    assert box.enabled
    panel.logic.go(State.RUNNING)
    panel.settle()
    assert not box.enabled


def test_the_choice_reaches_the_run_and_is_remembered(panel):
    addKeys(panel, LEARN_FROM)
    panel.ui.adaptCheckBox.click()
    panel.settle()
    panel.press("propagateButton")
    assert panel.logic.settings.adapt == "stack"
    assert panel.app.app.userSettings().value("SegmentPropagate/adapt") == "stack"
    panel.logic.go(State.IDLE)
    panel.settle()
    panel.ui.adaptCheckBox.click()
    panel.settle()
    assert (panel.parameters.adapt, panel.ui.adaptCheckBox.checked) == ("off", False)


@pytest.mark.parametrize(
    ("adapt", "keys", "asked"),
    [
        ("stack", "AAA", "stack"),
        ("stack", "AAB", "off"),
        ("stack", "ABBB", "stack"),
        ("off", "AAA", "off"),
    ],
)
def test_the_worker_is_asked_to_learn_where_a_segment_has_enough_key_slices(adapt, keys, asked):
    outlines = {(segmentId, index): proposalOfMask(MASK) for index, segmentId in enumerate(keys)}
    run = Run(
        RunSettings(adapt=adapt), Geometry((9, 5, 6), np.eye(4)), tuple(sorted(set(keys))), (None, None), outlines
    )
    assert run.request(SETUP).adapt == asked


def test_the_verdict_on_each_segment_is_said_with_the_finished_proposal(bench, monkeypatch):
    ask, told = bench.process.request, []

    def request(request, onReply):
        def passOn(reply):
            onReply(replace(reply, lessons=tuple(told)) if isinstance(reply, Done) else reply)

        return ask(request, passOn)

    monkeypatch.setattr(bench.process, "request", request)
    other = bench.addSegment("Other")
    bench.draw(other, 6)
    said = []
    bench.logic.noticeGiven.connect(said.append)
    told[:] = [(1, "Learned.")]
    bench.run()
    told[:] = [(1, "Learned."), (2, "Not learned.")]
    bench.run(segmentIds=[bench.segment, other])
    assert [it for it in said if "earned" in it] == ["Learned.", "Organ: Learned.", "Other: Not learned."]
