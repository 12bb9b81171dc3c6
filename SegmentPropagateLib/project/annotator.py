"""A simulated annotator, who has a reference and spares herself work: what is good enough stays as it was proposed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from SegmentPropagateLib.reports.effort import Stack
from SegmentPropagateLib.reports.metrics import dice

GOOD = 0.9
"""DSC of a slice from which on she leaves it."""
WORTH_REPAIRING = 0.5
"""Share of an object's slices that are good from which on she repairs the others one by one; below it, and where one
slice could do for many, she mends a key slice and has it carried again."""


def repaired(proposal: Mapping[int, Stack], reference: Mapping[int, Stack]) -> dict[int, Stack]:
    """The proposal, in which every slice of an object with a DSC below `GOOD` is redrawn as the reference has it.

    Args:
        proposal: label -> bool `(slices, rows, columns)`; a label that is missing is empty.
        reference: the same.
    """
    result = {}
    for label in sorted({*proposal, *reference}):
        before, truth = _both(label, proposal, reference)
        good = _good_slices(before, truth)
        result[label] = np.where(good[:, None, None], before, truth)
    return result


def key_slices(
    proposal: Mapping[int, Stack], reference: Mapping[int, Stack], keys: Mapping[int, list[int]]
) -> dict[int, Stack]:
    """What she outlines or mends to have it carried through the volume: label -> a stack with that slice alone.

    A key slice that was proposed is mended where it shows the object; else the object is outlined on the slice where it
    is largest. Objects that are not there, and those of which enough is good, have none.

    Args:
        proposal: label -> bool `(slices, rows, columns)`; empty before anything was proposed.
        reference: the same.
        keys: label -> key slices of the proposal.
    """
    wanted = {}
    for label in sorted(reference):
        before, truth = _both(label, proposal, reference)
        shown = (before | truth).any((1, 2))
        if not truth.any() or (before.any() and _good_slices(before, truth)[shown].mean() >= WORTH_REPAIRING):
            continue
        areas = truth.sum((1, 2))
        proposed = [key for key in keys.get(label, ()) if areas[key] and before[key].any()]
        key = max(proposed, key=lambda index: int(areas[index])) if proposed else int(areas.argmax())
        stack = np.zeros_like(truth)
        stack[key] = before[key] if proposed and dice(before[key], truth[key]) >= GOOD else truth[key]
        wanted[label] = stack
    return wanted


def cost(entry: Mapping[str, Any]) -> float:
    """Of an accepted case: voxels changed, and mm of outline drawn."""
    return float(entry["voxels_changed"] + entry["added_path_mm"])


def _both(label: int, proposal: Mapping[int, Stack], reference: Mapping[int, Stack]) -> tuple[Stack, Stack]:
    found = [masks.get(label) for masks in (proposal, reference)]
    there = next(mask for mask in found if mask is not None)
    before, truth = (np.zeros_like(there) if mask is None else mask for mask in found)
    return before, truth


def _good_slices(before: Stack, truth: Stack) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.array([dice(*pair) >= GOOD for pair in zip(before, truth, strict=True)])
