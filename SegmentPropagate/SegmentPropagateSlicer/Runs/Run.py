"""One run: what was asked for and what came back."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.worker.replies import SliceDone
from SegmentPropagateLib.worker.requests import Propagate
from SegmentPropagateLib.worker.setup import Setup
from SegmentPropagateSlicer.Scene.SliceGrid import SliceGrid, rangeEnds
from SegmentPropagateSlicer.Scene.Whereabouts import Whereabouts
from SegmentPropagateSlicer.Values.Proposal import Proposal, emptyProposal
from SegmentPropagateSlicer.Values.RunSettings import RunSettings
from SegmentPropagateSlicer.Values.Words import tr as _

LEARN_FROM = 3
"""Key slices of a segment from which on learning from them is offered."""
TOGETHER_S = 0.01
"""Slices that come within this time were computed together: they do not tell how long one takes."""


class Progress:
    """What has come back of a run so far; `RunController` alone writes it.

    Attributes:
        proposals: segmentId -> slice -> `Proposal`.
        kept: how often a proposal was kept.
        done: slices computed.
        total: slices to compute.
        began: when the run was asked for, on the monotonic clock.
        started: when its first slice could be computed; None before.
        loadedModel: whether the model had to be loaded for it.
    """

    def __init__(self) -> None:
        self.proposals: dict[str, dict[int, Proposal]] = {}
        self.kept, self.done, self.total = 0, 0, 0
        self.began = time.monotonic()
        self.started: float | None = None
        self.loadedModel = False
        self._firstDone: float | None = None  # when the first slice had come, which took longer than the others will

    @property
    def secondsPerSlice(self) -> float | None:
        """Measured, if possible without the first slice; None where nothing was computed."""
        if not self.done or self.started is None:
            return None
        return self._steadySeconds or (time.monotonic() - self.started) / self.done

    @property
    def secondsLeft(self) -> float | None:
        """From the slices done since the first one; None before there are any, or they came with it."""
        perSlice = self._steadySeconds
        return None if perSlice is None else perSlice * (self.total - self.done)

    @property
    def _steadySeconds(self) -> float | None:
        passed = 0.0 if self._firstDone is None else time.monotonic() - self._firstDone
        return passed / (self.done - 1) if self.done > 1 and passed > TOGETHER_S else None

    def noteLoading(self) -> None:
        """The model is being loaded."""
        self.loadedModel = True

    def start(self, total: int) -> None:
        """The worker begins to compute so many slices."""
        self.started, self.total = time.monotonic(), total

    def keep(self, segmentId: str, sliceIndex: int, proposal: Proposal, done: int | None = None) -> None:
        """A slice has come, the so-and-so-many-th that was computed; None where it was known from before."""
        self.proposals.setdefault(segmentId, {})[sliceIndex] = proposal
        self.kept += 1
        self.count(done)

    def count(self, done: int | None) -> None:
        """So many slices have been computed; None where one was known from before."""
        self.done = max(self.done, done or 0)
        if self.done and self._firstDone is None:
            self._firstDone = time.monotonic()


@dataclass(frozen=True, eq=False)
class Run:
    """From Propagate to Accept or Discard.

    Args:
        settings: `RunSettings`, plane included.
        grid: slices of the volume when the run began.
        segmentIds: what is propagated; the worker calls them 1, 2, ... in this order.
        given: first and last slice as the user gave them; None where not.
        keys: `(segmentId, slice)` -> `Proposal` of the outline that is propagated.
        resolveOverlaps: give contested pixels to one of the segments.
        absent: `(segmentId, slice)` that the user has locked as empty.
        whereabouts: of the image and the segments when the run began; None takes them to stay where they are.
        ends: segmentId -> its own first and last slice, within those of the run; missing for those that have the run's.
        progress: what has come back.
    """

    settings: RunSettings
    grid: SliceGrid
    segmentIds: tuple[str, ...]
    given: tuple[int | None, int | None]
    keys: Mapping[tuple[str, int], Proposal]
    resolveOverlaps: bool = True
    absent: frozenset[tuple[str, int]] = frozenset()
    whereabouts: Whereabouts | None = None
    ends: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    progress: Progress = field(default_factory=Progress, init=False)

    @property
    def first(self) -> int:
        """First slice."""
        return rangeEnds(self.given, self.grid.count)[0]

    @property
    def last(self) -> int:
        """Last slice, inclusive."""
        return rangeEnds(self.given, self.grid.count)[1]

    @property
    def proposals(self) -> Mapping[str, Mapping[int, Proposal]]:
        """segmentId -> slice -> `Proposal`, of every slice that has come."""
        return {segmentId: self.progress.proposals.get(segmentId, {}) for segmentId in self.segmentIds}

    def covers(self, segmentId: str, sliceIndex: int) -> bool:
        """Whether a slice lies in a segment's own range; on others it is neither proposed nor changed."""
        first, last = self.ends.get(segmentId, (self.first, self.last))
        return first <= sliceIndex <= last

    def checkWhereabouts(self) -> None:
        """InputError where image or segments are no longer where the run began."""
        if self.whereabouts is not None:
            self.whereabouts.check()

    def hasFrameOf(self, other: "Run | None") -> bool:
        """Whether the preview of another run can be continued."""
        return other is not None and self._frame == other._frame

    @property
    def _frame(self) -> tuple[tuple[str, ...], int, int, int]:
        return self.segmentIds, self.first, self.last, self.grid.axis

    def request(self, setup: Setup) -> Propagate:
        """What the worker is asked; MessageError where the settings are none it can have."""
        numbers = {segmentId: number for number, segmentId in enumerate(self.segmentIds, start=1)}
        return Propagate(
            setup=setup,
            keys=tuple((numbers[segmentId], index) for segmentId, index in self.keys),
            masks=np.stack([proposal.mask for proposal in self.keys.values()]),
            first=self.given[0],
            last=self.given[1],
            resolve_overlaps=self.resolveOverlaps,
            adapt=self.settings.adapt if canLearn(self.keys) else "off",
        )

    def take(self, reply: SliceDone) -> tuple[str, int, Proposal]:
        """Keep a slice that the worker sent; returns `(segmentId, slice, Proposal)`, an empty one outside its range."""
        segmentId, index = self.segmentIds[reply.object_id - 1], reply.slice_index
        proposal = Proposal.ofReply(reply)
        if not self.covers(segmentId, index):
            self.progress.count(reply.done)
            return segmentId, index, emptyProposal(proposal.shape)
        if (segmentId, index) in self.absent:
            proposal = emptyProposal(proposal.shape)
        proposal.area  # noqa: B018  kept by the proposal: now it is a moment, for all slices at the end it would be felt
        self.progress.keep(segmentId, index, proposal, reply.done)
        return segmentId, index, proposal


def canLearn(keys: Iterable[tuple[str, int]]) -> bool:
    """Whether one of the segments has enough key slices, `(segmentId, slice)`, to learn from."""
    return max(Counter(segmentId for segmentId, _index in keys).values(), default=0) >= LEARN_FROM


def checkedEnds(grid: SliceGrid, given: tuple[int | None, int | None]) -> tuple[int, int]:
    """First and last slice of a range, what was not given being the volume's.

    Raises:
        InputError: the range is reversed, or reaches beyond the volume.
    """
    first, last = rangeEnds(given, grid.count)
    for index in (first, last):
        grid.checkIndex(index)
    if first > last:
        text = _("The first slice ({first}) lies after the last slice ({last}).")
        raise InputError(text.format(first=first, last=last))
    return first, last
