"""A second opinion on a proposal, and how well the two agree.

It is the same key slices carried by another method, or a box drawn around every slice.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.propagation.prompts import BoxPrompt, MaskPrompt
from SegmentPropagateLib.propagation.propagator import Propagator
from SegmentPropagateLib.propagation.session import Session
from SegmentPropagateLib.reports.effort import Stack
from SegmentPropagateLib.reports.metrics import dice
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


def agreement(one: Mapping[int, Stack], other: Mapping[int, Stack]) -> float:
    """Mean DSC of two results over the labels that one of them has; 1 where neither has any.

    Args:
        one: label -> bool `(slices, rows, columns)`; a missing label is empty.
        other: the same, of the same shape.
    """
    scores = []
    for label in sorted({*one, *other}):
        masks = [result.get(label) for result in (one, other)]
        there = next(mask for mask in masks if mask is not None)
        first, second = (np.zeros_like(there) if mask is None else mask for mask in masks)
        if first.any() or second.any():
            scores.append(dice(first, second))
    return float(np.mean(scores)) if scores else 1.0
