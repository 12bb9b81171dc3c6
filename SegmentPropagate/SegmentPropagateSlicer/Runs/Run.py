"""One run: what was asked for and what came back."""

import time
from dataclasses import dataclass, field

import numpy as np

from SegmentPropagateSlicer.Scene.SliceGrid import SliceGrid, rangeEnds
from SegmentPropagateSlicer.Values.Proposal import Proposal, emptyProposal
from SegmentPropagateSlicer.Values.RunSettings import RunSettings


@dataclass(eq=False)
class Run:
    """From Propagate to Accept or Discard.

    Args:
        settings: `RunSettings`, plane included.
        grid: slices of the volume when the run began.
        segmentIds: what is propagated; the worker calls them 1, 2, ... in this order.
        given: first and last slice as the user gave them; None where not.
        keys: `(segmentId, slice)` -> `Proposal` of the outline that is propagated.
        previous: the proposal in review that this run continues, or None.
        resolveOverlaps: give contested pixels to one of the segments.
    """

    settings: RunSettings
    grid: SliceGrid
    segmentIds: list
    given: tuple
    keys: dict
    previous: "Run | None" = None
    resolveOverlaps: bool = True
    absent: set = field(default_factory=set)  # (segmentId, slice) that the user has locked as empty
    proposals: dict = field(default_factory=dict)  # segmentId -> slice -> Proposal
    requestId: int = 0
    done: int = 0
    total: int = 0
    began: float = field(default_factory=time.monotonic)
    started: float | None = None
    loadedModel: bool = False

    def __post_init__(self):
        self.proposals = {segmentId: {} for segmentId in self.segmentIds}

    @property
    def first(self):
        """First slice."""
        return rangeEnds(self.given, self.grid.count)[0]

    @property
    def last(self):
        """Last slice, inclusive."""
        return rangeEnds(self.given, self.grid.count)[1]

    @property
    def sameFrame(self):
        """Whether the preview of the previous run can be continued."""
        old = self.previous
        return old is not None and (old.segmentIds, old.first, old.last, old.grid.axis) == (
            self.segmentIds,
            self.first,
            self.last,
            self.grid.axis,
        )

    @property
    def secondsLeft(self):
        """From the slices done so far; None before the first."""
        if not self.done or self.started is None:
            return None
        return (time.monotonic() - self.started) / self.done * (self.total - self.done)

    @property
    def secondsPerSlice(self):
        """Measured; None where nothing was computed."""
        if not self.done or self.started is None:
            return None
        return (time.monotonic() - self.started) / self.done

    def start(self, total):
        """The worker begins to compute so many slices."""
        self.started, self.total = time.monotonic(), total

    def header(self, volumeIdentity, modality):
        """The request of the worker; `masks` goes with it."""
        objects = {segmentId: number for number, segmentId in enumerate(self.segmentIds, start=1)}
        return {
            "type": "propagate",
            "volume": volumeIdentity,
            "model": self.settings.modelHeader(),
            "session": self.settings.sessionHeader(),
            "ijk_to_ras": self.grid.geometry.ijk_to_ras.ravel().tolist(),
            "modality": modality,
            "keys": [[objects[segmentId], index] for segmentId, index in self.keys],
            "first": self.given[0],
            "last": self.given[1],
            "resolve_overlaps": self.resolveOverlaps,
        }

    @property
    def masks(self):
        """Outlines of the keys, bool `(keys, rows, columns)`."""
        return np.stack([proposal.mask for proposal in self.keys.values()])

    def take(self, message):
        """Keep a slice that the worker sent; returns `(segmentId, slice, Proposal)`."""
        segmentId = self.segmentIds[int(message.header["object"]) - 1]
        index, proposal = int(message.header["slice"]), Proposal.ofMessage(message)
        if (segmentId, index) in self.absent:
            proposal = emptyProposal(proposal.shape)
        self.proposals[segmentId][index] = proposal
        _ = proposal.center  # kept by the proposal: now it is a moment, for all slices at the end it would be felt
        self.done = max(self.done, int(message.header.get("done", 0)))
        return segmentId, index, proposal
