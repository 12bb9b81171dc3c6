"""Proposals from a few outlined slices of the very volume: those are the keys, and other slices have drafts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.prompting.drawn import drawn_labels
from SegmentPropagateLib.prompting.source import Proposal, Support, Tick, in_silence
from SegmentPropagateLib.propagation.results import SliceResult
from SegmentPropagateLib.volumes.geometry import Plane
from SegmentPropagateLib.volumes.stack import ImageStack, make_stack, stack_of
from SegmentPropagateLib.volumes.volume import Volume

Mask = NDArray[np.bool_]


class FromSlices(ABC):
    """A source that takes the labels of this very volume one by one; see `PromptSource`.

    Attributes:
        name: of the source.
    """

    name: ClassVar[str]

    def propose(
        self, volume: Volume, labels: Collection[int], support: Support, plane: Plane, tick: Tick = in_silence
    ) -> list[Proposal]:
        """See `source.PromptSource.propose`.

        Raises:
            InputError: there are no labels, they lie on another grid, or the slices of one are not enough.
        """
        drawn = drawn_labels(volume, support, self.name)
        stack, _ = make_stack(volume, plane)
        axis = volume.geometry.plane_axis(plane)
        proposals: list[Proposal] = []
        for label in labels:
            masks = np.ascontiguousarray(stack_of(drawn.mask(label), axis))
            proposals.append(self._proposal(label, stack, masks))
            tick(len(proposals), len(labels))
        return proposals

    @abstractmethod
    def _proposal(self, label: int, stack: ImageStack, masks: Mask) -> Proposal:
        """The draft for a label, whose slices are bool `(slices, rows, columns)`."""


def proposal_of(label: int, source: str, masks: Mask, drafts: Mapping[int, tuple[Mask, float]]) -> Proposal:
    """The proposal for a label.

    Args:
        label: its value.
        source: who says so.
        masks: bool `(slices, rows, columns)`, empty but for the outlined slices.
        drafts: slice -> its mask, and how far that is believed, 0..1, of the others.
    """
    areas = np.count_nonzero(masks, axis=(1, 2))
    if not areas.any():
        return Proposal(label, "not here", source=source, reason=f"Label {label} is outlined on no slice.")
    key = int(areas.argmax())  # the first of equals
    keys = np.flatnonzero(areas)
    slices = {int(index): SliceResult.of_draft(masks[index], 1.0, is_key=True) for index in keys}
    for index, (mask, believed) in drafts.items():
        if mask.any() and index not in slices:
            slices[index] = SliceResult.of_draft(mask, believed)
    first, last = min(slices), max(slices)
    return Proposal(
        label,
        "found",
        key,
        masks[key],
        first,
        last,
        confidence=1.0,
        source=source,
        slices=dict(sorted(slices.items())),
    )
