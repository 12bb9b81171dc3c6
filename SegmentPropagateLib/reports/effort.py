"""What it took to turn a proposal into what was accepted: slices, voxels, and the length of the outlines drawn anew.

The added path length is that of Vaassen et al. 2020 (https://doi.org/10.1016/j.phro.2019.12.001): on every slice the
border pixels of what was accepted that are no border pixels of the proposal, each as long as a pixel is wide (the mean
of both sides where they differ). A border pixel has one of its 4 neighbors outside, as in `metrics`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SegmentPropagateLib.errors import InputError

Stack = NDArray[np.bool_]
_IN_SLICE = ndimage.generate_binary_structure(2, 1)[None]  # 4 neighbors, none on other slices


class Effort(NamedTuple):
    """Work on a case; figures of all objects together.

    Args:
        slices: that show an object before or after.
        slices_edited: those of them on which any object has changed.
        voxels_changed: in or out of an object, summed over the objects.
        added_path_mm: length of the outlines that were drawn.
    """

    slices: int
    slices_edited: int
    voxels_changed: int
    added_path_mm: float

    @property
    def untouched(self) -> bool:
        """Whether everything was accepted as it was proposed."""
        return self.slices_edited == 0


def measure_effort(
    proposal: Mapping[int, Stack],
    accepted: Mapping[int, Stack],
    spacing_mm: tuple[float, float, float],
) -> Effort:
    """Compare a proposal with what was accepted.

    Args:
        proposal: label -> bool `(slices, rows, columns)`.
        accepted: the same; a label that only one of them has is empty in the other.
        spacing_mm: between slices, rows and columns.

    Raises:
        InputError: the masks differ in shape.
    """
    shapes = {mask.shape for mask in (*proposal.values(), *accepted.values())}
    if len(shapes) > 1:
        raise InputError(f"Proposal and accepted masks must have one shape, got {' and '.join(map(str, shapes))}.")
    if not shapes:
        return Effort(0, 0, 0, 0.0)
    (shape,) = shapes
    shown, edited = np.zeros(shape[0], bool), np.zeros(shape[0], bool)
    voxels, path_mm = 0, 0.0
    for label in sorted({*proposal, *accepted}):
        before, after = (masks.get(label, np.zeros(shape, bool)) for masks in (proposal, accepted))
        changed = np.count_nonzero(before != after, axis=(1, 2))
        shown |= (before | after).any((1, 2))
        edited |= changed > 0
        voxels += int(changed.sum())
        path_mm += added_path_mm(before, after, spacing_mm[1:])
    return Effort(int(shown.sum()), int(edited.sum()), voxels, round(path_mm, 3))


def added_path_mm(prediction: Stack, reference: Stack, pixel_mm: tuple[float, float]) -> float:
    """Added path length of one object, see above.

    Args:
        prediction: bool `(slices, rows, columns)`.
        reference: of the same shape.
        pixel_mm: between rows and columns.
    """
    added = np.count_nonzero(_borders(reference) & ~_borders(prediction))
    return float(added * (pixel_mm[0] + pixel_mm[1]) / 2)


def _borders(mask: Stack) -> Stack:
    return mask & ~ndimage.binary_erosion(mask, _IN_SLICE)
