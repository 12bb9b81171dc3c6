"""What of a carried label is a draft: found, unsure or not here; its key slice, its range, its masks."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SegmentPropagateLib.prompting.atlas.drawing import Box, draw
from SegmentPropagateLib.prompting.atlas.fusion import Carried
from SegmentPropagateLib.prompting.atlas.grid import ALONG, Lattice
from SegmentPropagateLib.prompting.source import Proposal, Status
from SegmentPropagateLib.propagation.results import SliceResult
from SegmentPropagateLib.volumes.boxes import bounding_box
from SegmentPropagateLib.volumes.geometry import Geometry, Plane
from SegmentPropagateLib.volumes.stack import stack_of
from SegmentPropagateLib.volumes.volume import Volume

FOUND = 0.7
"""Least agreement of the starts on a label that is found; see Testing/Benchmarks/evaluate_suggest.py."""
UNSURE = 0.35
"""Least agreement on one that is shown at all."""

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]


class Agreement(NamedTuple):
    """How far a label can be believed: how well its templates fit, and how far the starts carry one and the same.

    Args:
        overall: 0..1.
        along: the same on every grid slice along an axis, float32, of the carried box.
        key: point of the lattice in the middle of the slice on which they share most.
    """

    overall: float
    along: Image
    key: NDArray[np.float64]


def agreement_of(carried: Carried, axis: int) -> Agreement:
    """Compare what the starts carry, slice by slice along an axis of the lattice.

    The overlap of two soft masks is `2 sum(a b) / sum(a^2 + b^2)`, over the points that both have a template for; sums
    over all pairs follow from sums over starts. A template that fits exactly needs no second opinion.
    """
    each = carried.each * carried.known
    count = carried.known.sum(axis=0).astype(np.float32)
    squares = (each**2).sum(axis=0)
    shared = each.sum(axis=0) ** 2 - squares  # twice the sum of a b over pairs
    possible = np.maximum(count - 1, 0) * squares
    others = tuple(other for other in range(3) if other != axis)
    along = shared.sum(axis=others) / np.maximum(possible.sum(axis=others), 1e-6)
    common = shared / np.maximum(count * (count - 1), 1)
    best = int(np.argmax(common.sum(axis=others) * along))
    middle = ndimage.center_of_mass(np.take(common, best, axis) + 1e-12)
    key = np.insert(np.array(middle), axis, best) + [span.start for span in carried.box]
    overlap = shared.sum() / max(float(possible.sum()), 1e-6)
    exact = (carried.soft * carried.trust).sum() / max(float(carried.soft.sum()), 1e-6)
    return Agreement(float(1 - (1 - overlap) * (1 - exact)), along, key)


def judged(
    label: int,
    carried: Carried | None,
    lattice: Lattice,
    volume: Volume,
    plane: Plane,
    agreement: Agreement | None = None,
) -> Proposal:
    """The draft for a label.

    Args:
        label: its value.
        carried: what came of it, None for nothing.
        lattice: of the volume.
        volume: the image.
        plane: of the slices.
        agreement: how far it can be believed; None compares what the starts carry.
    """
    beyond = Proposal(label, "not here", source="atlas", reason="It lies beyond the field of view of the image.")
    if carried is None:
        return beyond
    along = ALONG.index(Plane.parse(plane))
    agreement = agreement or agreement_of(carried, along)
    confidence = round(float(np.clip(agreement.overall, 0, 1)), 4)
    disagreeing = f"The ways to lay the finished cases over the image agree on little of it ({confidence:.2f})."
    if confidence < UNSURE:
        return Proposal(label, "not here", confidence=confidence, source="atlas", reason=disagreeing)
    mask, box = draw(carried, lattice, volume.geometry)
    axis = volume.geometry.plane_axis(plane)
    present = np.flatnonzero(stack_of(mask, axis).any(axis=(1, 2))) + box[axis].start
    if not len(present):
        return beyond
    places = lattice.to_voxels(volume.geometry)
    key, believed = _along_slices(agreement, carried.box[along].start, box[axis], present, places, (along, axis))
    slices = _slices(mask, box, axis, believed, volume.geometry.shape_kji)
    slices[key] = replace(slices[key], source="key")
    status: Status = "found" if confidence >= FOUND else "unsure"
    ends = _ends(carried, volume.geometry, axis, along, present)
    return Proposal(
        label,
        status,
        key,
        slices[key].mask,
        *ends,
        confidence=confidence,
        source="atlas",
        reason="" if status == "found" else disagreeing,
        slices=slices,
        box_mm=_box_mm(mask, box, volume.geometry),
    )


def _along_slices(
    agreement: Agreement,
    start: int,
    span: slice,
    present: NDArray[np.intp],
    places: tuple[NDArray[np.float64], NDArray[np.float64]],
    axes: tuple[int, int],
) -> tuple[int, Image]:
    """The key slice, of those that are present, and how far the label is believed on every slice.

    Args:
        agreement: on the label.
        start: of the carried box, along the axis of the lattice.
        span: the slices.
        present: those with the label.
        places: from the lattice to voxels, see `Lattice.to_voxels`.
        axes: of the lattice and of the array, across the slices.
    """
    (along, axis), (matrix, offset) = axes, places
    key = int(present[np.argmin(np.abs(present - (matrix @ agreement.key + offset)[axis]))])
    # Grid slices of the volume's slices; the two are parallel but for an oblique volume's tilt.
    ratio = float(np.linalg.inv(matrix)[along, axis])
    nearest = agreement.key[along] - start + ratio * (np.arange(span.start, span.stop) - key)
    return key, agreement.along[np.clip(np.rint(nearest).astype(int), 0, len(agreement.along) - 1)]


def _ends(
    carried: Carried, geometry: Geometry, axis: int, along: int, present: NDArray[np.intp]
) -> tuple[int | None, int | None]:
    """First and last slice; open where all templates are cut there, or the volume is."""
    low, high = (all(outline.cut[along][side] for outline in carried.outlines) for side in (0, 1))
    if geometry.ijk_to_ras[2 - along, 2 - axis] < 0:  # slices count downward
        low, high = high, low
    first, last = int(present[0]), int(present[-1])
    return None if low or first == 0 else first, None if high or last == geometry.shape_kji[axis] - 1 else last


def _slices(mask: Mask, box: Box, axis: int, believed: Image, shape_kji: tuple[int, ...]) -> dict[int, SliceResult]:
    """Slice -> the mask on it, with how far it is believed, for every slice that has one.

    `believed` is 0..1 for each slice of the box.
    """
    across = tuple(span for other, span in enumerate(box) if other != axis)
    size = [count for other, count in enumerate(shape_kji) if other != axis]
    slices = {}
    for index, (part, share) in enumerate(zip(stack_of(mask, axis), believed, strict=True), start=box[axis].start):
        if part.any():
            whole = np.zeros(size, dtype=bool)
            whole[across] = part
            share = float(np.clip(share, 0.001, 0.999))
            slices[index] = SliceResult.of_mask(whole, "propagated", float(np.log(share / (1 - share))), share)
    return slices


def _box_mm(mask: Mask, box: Box, geometry: Geometry) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Low and high corner of the mask's voxels in RAS."""
    inner = bounding_box(mask) or box
    faces = [
        (outer.start + span.start - 0.5, outer.start + span.stop - 0.5)
        for outer, span in zip(box[::-1], inner[::-1], strict=True)
    ]
    corners = np.stack([axis.ravel() for axis in np.meshgrid(*faces)])
    world = geometry.ijk_to_ras[:3, :3] @ corners + geometry.ijk_to_ras[:3, 3:]
    low, high = ([round(float(value), 3) for value in edge] for edge in (world.min(axis=1), world.max(axis=1)))
    return (low[0], low[1], low[2]), (high[0], high[1], high[2])
