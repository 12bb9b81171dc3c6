"""What several starts and templates carry to a volume becomes one soft mask per label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SegmentPropagateLib.prompting.atlas.deformation import Deformed, shown
from SegmentPropagateLib.prompting.atlas.grid import Body, Lattice, resample
from SegmentPropagateLib.prompting.atlas.sampling import warped
from SegmentPropagateLib.propagators.classical.growcut import growcut
from SegmentPropagateLib.volumes.boxes import bounding_box
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.robust import spread

_WEIGHT_SCALE = 0.125  # a start that fits worse than the best by this share counts 1 / e
_TRUSTED = 0.02  # misfit at which the carried mask itself counts 1 / e, beside what it grows to
_EXACT = 1e-4  # misfit below which a template is the volume itself
_MARGIN = 5  # grid points around a carried mask in which it may grow
_TRACE = 0.05  # of a mask; less of it is nothing
_CORE_DEPTH = 3.0  # grid points under the surface that are sure, at most
_FAR = 3.0  # grid points outside the mask from which on nothing belongs to it
_STEP_PRICE = 0.1  # of growth, in spreads of the object's gray values

Image = NDArray[np.float32]
Box = tuple[slice, ...]


@dataclass(frozen=True, eq=False)
class Outline:
    """A label of a template.

    Args:
        mask: its voxels within a box around them, bool.
        geometry: the grid of that box.
        share: how much of a point's surroundings it fills, float32, on the part of the template's lattice where it is.
        start: first point of that part.
        cut: along S, A, R: whether it goes on beyond the template's low and high end.
    """

    mask: NDArray[np.bool_]
    geometry: Geometry
    share: Image
    start: tuple[int, ...]
    cut: tuple[tuple[bool, bool], ...]


@dataclass(frozen=True, eq=False)
class Start:
    """One way in which a template lies on the volume.

    Args:
        body: the template.
        deformed: where its points are, and how well they fit.
    """

    body: Body
    deformed: Deformed


@dataclass(frozen=True, eq=False)
class Carried:
    """A label as it comes to the volume, within a box of its lattice.

    Args:
        box: indices of the volume's lattice.
        each: what every start carries there, float32 0..1 `(starts, *box)`.
        known: where each start has a template, bool `(starts, *box)`.
        weights: how much each start counts, float32 `(starts, *box)`.
        soft: the mean, grown along gray values, float32 0..1.
        trust: how exactly the best start fits, float32 0..1; 1 where the template is the volume itself.
        starts: the starts, in the order of the first axis.
        outlines: of each start's template.
    """

    box: Box
    each: Image
    known: NDArray[np.bool_]
    weights: Image
    soft: Image
    trust: Image
    starts: tuple[Start, ...]
    outlines: tuple[Outline, ...]


def outline_of(mask: NDArray[np.bool_], geometry: Geometry, lattice: Lattice) -> Outline | None:
    """A label on its template's lattice; None where it has no voxel.

    Args:
        mask: bool `(k, j, i)`.
        geometry: its grid.
        lattice: of the template.
    """
    box = bounding_box(mask)
    if box is None:
        return None
    part = geometry.part([span.start for span in box], [span.stop - span.start for span in box])
    reach = lattice.over(part)
    share = resample(mask[box], part, lattice.part(reach), "grid-constant")
    touches = [(span.start == 0, span.stop == size) for span, size in zip(box, mask.shape, strict=True)]
    start = tuple(span.start for span in reach)
    return Outline(mask[box].copy(), part, share, start, _along_patient(touches, geometry))


def carry(outlines: Sequence[Outline], starts: Sequence[Start], gray: Image) -> Carried | None:
    """Lay a label's outlines over the volume; None where they lie beside it.

    Args:
        outlines: of the templates of `starts`, one each.
        starts: how the templates lie.
        gray: of the volume, on its lattice.
    """
    box = _reach(outlines, starts, gray.shape)
    if box is None:
        return None
    points = [start.deformed.points[(slice(None), *box)] for start in starts]
    each = np.stack([_shares(outline, there) for outline, there in zip(outlines, points, strict=True)])
    known = np.stack([shown(start.body, there) for start, there in zip(starts, points, strict=True)])
    misfit = np.stack([start.deformed.misfit[box] for start in starts])
    best = misfit.min(axis=0)
    weights = np.exp((best - misfit) / (_WEIGHT_SCALE * best + _EXACT))
    weights /= weights.sum(axis=0)
    soft = (weights * each).sum(axis=0)
    if soft.max() <= _TRACE:
        return None
    trust = np.exp(-best / _TRUSTED)
    soft = _grown(soft, gray[box], trust)
    return Carried(box, each, known, weights, soft, trust, tuple(starts), tuple(outlines))


def _shares(outline: Outline, points: Image) -> Image:
    """How much an outline fills around points `(3, ...)` of its template."""
    start = np.array(outline.start, np.float32).reshape(3, 1, 1, 1)
    return warped(outline.share, points - start, "grid-constant")


def _reach(outlines: Sequence[Outline], starts: Sequence[Start], shape: tuple[int, ...]) -> Box | None:
    """The box of the volume's lattice that the label can come to, with room to grow."""
    low, high = np.array(shape), np.zeros(3, int)
    for outline, start in zip(outlines, starts, strict=True):
        there = bounding_box(outline.share > 0)
        if there is None:
            continue
        within = [
            (axis > first + span.start - 1) & (axis < first + span.stop)
            for axis, first, span in zip(start.deformed.points, outline.start, there, strict=True)
        ]
        box = bounding_box(np.logical_and.reduce(within))
        if box is not None:
            low = np.minimum(low, [span.start for span in box])
            high = np.maximum(high, [span.stop for span in box])
    if (low >= high).any():
        return None
    low, high = np.maximum(low - _MARGIN, 0), np.minimum(high + _MARGIN, shape)
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


def _grown(soft: Image, gray: Image, trust: Image) -> Image:
    """Settle the unsure surface of a mask by the gray values around it, the more the worse the template fits."""
    mask = soft > 0.5
    if not mask.any():
        return soft
    depth = ndimage.distance_transform_edt(np.pad(mask, 1, mode="edge"))[1:-1, 1:-1, 1:-1]
    inside = mask & (depth >= max(1.0, min(_CORE_DEPTH, 0.5 * depth.max())))
    outside = (ndimage.distance_transform_edt(~mask) > _FAR) & ~inside
    smooth = ndimage.gaussian_filter(gray, 0.6)
    own = smooth[inside]
    share = growcut(smooth / max(spread(own), 0.02), inside, outside, (_STEP_PRICE,) * 3)
    prior = ndimage.gaussian_filter(soft, 1.0)
    return (trust * soft + (1 - trust) * (share + prior) / 2).astype(np.float32)


def _along_patient(touches: list[tuple[bool, bool]], geometry: Geometry) -> tuple[tuple[bool, bool], ...]:
    """Pairs of the array's axes k, j, i as pairs of S, A, R, low end first."""
    cut = []
    for ras, plane in ((2, "axial"), (1, "coronal"), (0, "sagittal")):
        axis = geometry.plane_axis(plane)
        low, high = touches[axis]
        cut.append((low, high) if geometry.ijk_to_ras[ras, 2 - axis] > 0 else (high, low))
    return tuple(cut)
