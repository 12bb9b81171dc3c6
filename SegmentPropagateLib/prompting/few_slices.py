"""Proposals from a few outlined slices of the very volume: those are the keys, and other slices have drafts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.prompting.source import Proposal, Tick
from SegmentPropagateLib.propagation.results import SliceResult
from SegmentPropagateLib.volumes.geometry import Plane
from SegmentPropagateLib.volumes.labels import Labels
from SegmentPropagateLib.volumes.stack import ImageStack, make_stack, stack_of
from SegmentPropagateLib.volumes.volume import Volume

Mask = NDArray[np.bool_]


def each_label(
    volume: Volume, labels: Collection[int], drawn: Labels, plane: Plane, tick: Tick
) -> Iterator[tuple[int, ImageStack, Mask]]:
    """Each label with the image's slices and its own, bool `(slices, rows, columns)`; ticks when one is done with."""
    stack, _ = make_stack(volume, plane)
    axis = volume.geometry.plane_axis(plane)
    for done, label in enumerate(labels, 1):
        yield label, stack, np.ascontiguousarray(stack_of(drawn.mask(label), axis))
        tick(done, len(labels))


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
