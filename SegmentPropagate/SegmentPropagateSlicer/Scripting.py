"""What a script needs and the panel does not: keys as numbers, and waiting for the end of a run."""

import time

import slicer

from SegmentPropagateLib.errors import SegmentPropagateError
from SegmentPropagateSlicer.Values.State import State

POLL_S = 0.002


def takeKeys(logic, segmentIds, keys):
    """Replace the keys; slices that are locked stay so.

    Args:
        logic: `SegmentPropagateLogic` with its inputs set.
        segmentIds: which segments; None for all.
        keys: slice numbers for each of them, or `{segmentId: [slice, ...]}`.
    """
    everySegment = logic.segmentationNode.GetSegmentation().GetSegmentIDs()
    wanted = keys if isinstance(keys, dict) else dict.fromkeys(segmentIds or everySegment, keys)
    logic.setKeys([key for key in logic.keys if key.confirmed])
    for segmentId, indices in wanted.items():
        for index in indices:
            logic.addKey(segmentId, index)


def run(logic, segmentIds, first, last, wait):
    """Start a run and wait for its end; SegmentPropagateError with the first sentence where it went wrong."""
    sentences = []
    logic.errorOccurred.connect(sentences.append)
    try:
        logic.startSession(segmentIds, first, last)
        while wait and logic.state in State.BUSY:
            slicer.app.processEvents()
            time.sleep(POLL_S)
    finally:
        logic.errorOccurred.disconnect(sentences.append)
    if sentences:
        raise SegmentPropagateError(sentences[0])
