"""Drafts from slices of this very volume that somebody has outlined: the one on which a label is largest."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.prompting.source import Proposal, Support, Tick, in_silence
from SegmentPropagateLib.volumes.geometry import Plane
from SegmentPropagateLib.volumes.labels import Labels
from SegmentPropagateLib.volumes.stack import stack_of
from SegmentPropagateLib.volumes.volume import Volume


class DrawnSlices:
    """Takes outlines as they are; where they begin and end says nothing about the object, so the range is open."""

    def propose(
        self, volume: Volume, labels: Collection[int], support: Support, plane: Plane, tick: Tick = in_silence
    ) -> list[Proposal]:
        """See `source.PromptSource.propose`.

        Raises:
            InputError: there are no labels, or they lie on another grid than the volume.
        """
        drawn = drawn_labels(volume, support, "drawn")
        axis = volume.geometry.plane_axis(plane)
        tick(len(labels), len(labels))  # at once
        return [_proposal(drawn, label, axis) for label in labels]


def drawn_labels(volume: Volume, support: Support, source: str) -> Labels:
    """The labels of this very volume, for the source of that name.

    Raises:
        InputError: there are none, or they lie on another grid than the volume.
    """
    drawn = support.drawn
    if drawn is None:
        raise InputError(f"The source '{source}' needs labels of this very volume: give a label file.")
    if not drawn.geometry.is_close(volume.geometry):
        raise InputError(f"The labels lie on another grid than '{volume.name}': read them onto its grid.")
    return drawn


def _proposal(drawn: Labels, label: int, axis: int) -> Proposal:
    slices = stack_of(drawn.mask(label), axis)
    areas = np.count_nonzero(slices, axis=(1, 2))
    if not areas.any():
        return Proposal(label, "not here", source="drawn", reason=f"Label {label} is outlined on no slice.")
    key = int(areas.argmax())  # the first of equals
    return Proposal(label, "found", key, slices[key], confidence=1.0, source="drawn")
