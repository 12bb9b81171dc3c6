"""A second opinion on a proposal: the same key slices carried by another method, or a box drawn around every slice."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.propagation.prompts import BoxPrompt, MaskPrompt
from SegmentPropagateLib.propagation.propagator import Propagator
from SegmentPropagateLib.propagation.session import Session
from SegmentPropagateLib.reports.effort import Stack
from SegmentPropagateLib.volumes.boxes import first_and_last
from SegmentPropagateLib.volumes.stack import stack_of
from SegmentPropagateLib.volumes.volume import Volume


def carried(
    propagator: Propagator,
    volume: Volume,
    plane: str,
    proposal: Mapping[int, Stack],
    keys: Mapping[int, Collection[int]],
) -> dict[int, Stack]:
    """What a propagator makes of the key slices of a proposal.

    Args:
        propagator: of another kind than the one that has proposed.
        volume: of the case.
        plane: whose slices are counted.
        proposal: label -> bool `(slices, rows, columns)`.
        keys: label -> key slices of the proposal.
    """
    session = Session(propagator, volume, plane=plane)
    for label, stack in proposal.items():
        for key in keys.get(label, ()):
            if stack[key].any():
                session.add_key(label, key, MaskPrompt(stack[key]))
    if not session.object_ids:
        return {}
    for _update in session.propagate():
        pass
    return {label: stack_of(mask, session.axis) for label, mask in session.masks().items()}


def boxed(propagator: Propagator, volume: Volume, plane: str, proposal: Mapping[int, Stack]) -> dict[int, Stack]:
    """What a propagator makes of a box around the object on every single slice of a proposal.

    Args:
        propagator: the one that has proposed, or another one.
        volume: of the case.
        plane: whose slices are counted.
        proposal: label -> bool `(slices, rows, columns)`.
    """
    session = Session(propagator, volume, plane=plane)
    found = {label: np.zeros_like(stack) for label, stack in proposal.items()}
    for label, stack in proposal.items():
        for index in np.flatnonzero(stack.any((1, 2))):
            (top, bottom), (left, right) = first_and_last(stack[index])
            try:
                found[label][index] = session.preview(int(index), BoxPrompt((left, top, right, bottom)))
            except InputError:  # no object in the box: an opinion, too
                continue
    return found
