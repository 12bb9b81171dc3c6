"""What a script needs and the panel does not: keys as numbers, and waiting for the end of a run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import slicer

from SegmentPropagateLib.errors import SegmentPropagateError
from SegmentPropagateSlicer.Values.Key import Key
from SegmentPropagateSlicer.Values.RunSettings import RunSettings
from SegmentPropagateSlicer.Values.Signal import Signal
from SegmentPropagateSlicer.Values.State import State

POLL_S = 0.002


class ScriptedLogic(Protocol):
    """What is needed here of `SegmentPropagateLogic`, which lies above."""

    errorOccurred: Signal

    @property
    def segmentationNode(self) -> slicer.vtkMRMLSegmentationNode | None:
        """Holds the segments."""

    @property
    def state(self) -> str:
        """One of `State`."""

    @property
    def keys(self) -> tuple[Key, ...]:
        """All keys, of all segments."""

    @property
    def settings(self) -> RunSettings:
        """Of the next run."""

    def setSettings(self, settings: RunSettings) -> None:
        """Take the settings of the next run."""

    def setKeys(self, keys: Sequence[Key]) -> None:
        """Replace all keys."""

    def addKey(self, segmentId: str, sliceIndex: int) -> None:
        """Make what the segment holds on that slice a key."""

    def startSession(self, segmentIds: Sequence[str], first: int | None, last: int | None) -> None:
        """Compute a proposal for the range."""

    def accept(self) -> dict[str, int]:
        """Write the proposal into the segments."""


def propagate(
    logic: ScriptedLogic,
    segmentIds: Sequence[str] | None,
    keys: Sequence[int] | Mapping[str, Sequence[int]] | None,
    given: tuple[int | None, int | None],
    options: Mapping[str, Any],
) -> dict[str, int]:
    """Run, wait, accept; see `SegmentPropagateLogic.propagate`.

    Args:
        logic: `SegmentPropagateLogic` with its inputs set.
        segmentIds: which segments; None for all that have keys.
        keys: as `takeKeys` takes them; None keeps those there are.
        given: first and last slice; None leaves an end open.
        options: fields of `RunSettings`, "wait" and "accept".
    """
    fields = dict(options)
    wait, accept = fields.pop("wait", True), fields.pop("accept", True)
    logic.setSettings(replace(logic.settings, **fields))
    if keys is not None:
        takeKeys(logic, segmentIds, keys)
    keyed = dict.fromkeys(key.segmentId for key in logic.keys if key.plane == logic.settings.plane)
    run(logic, segmentIds or tuple(keyed), given, wait)
    return logic.accept() if wait and accept and logic.state == State.REVIEW else {}


def takeKeys(
    logic: ScriptedLogic,
    segmentIds: Sequence[str] | None,
    keys: Sequence[int] | Mapping[str, Sequence[int]],
) -> None:
    """Replace the keys; slices that are locked stay so.

    Args:
        logic: `SegmentPropagateLogic` with its inputs set.
        segmentIds: which segments; None for all.
        keys: slice numbers for each of them, or `{segmentId: [slice, ...]}`.
    """
    node = logic.segmentationNode
    everySegment = node.GetSegmentation().GetSegmentIDs() if node else ()
    wanted = keys if isinstance(keys, Mapping) else dict.fromkeys(segmentIds or everySegment, keys)
    logic.setKeys([key for key in logic.keys if key.confirmed])
    for segmentId, indices in wanted.items():
        for index in indices:
            logic.addKey(segmentId, index)


def run(logic: ScriptedLogic, segmentIds: Sequence[str], given: tuple[int | None, int | None], wait: bool) -> None:
    """Start a run and wait for its end; SegmentPropagateError with the first sentence where it went wrong."""
    sentences: list[str] = []
    logic.errorOccurred.connect(sentences.append)
    try:
        logic.startSession(segmentIds, *given)
        while wait and logic.state in State.BUSY:
            slicer.app.processEvents()
            time.sleep(POLL_S)
    finally:
        logic.errorOccurred.disconnect(sentences.append)
    if sentences:
        raise SegmentPropagateError(sentences[0])
