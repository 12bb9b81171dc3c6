"""Reference masks with slices spoiled by chance, in the ways in which masks of other tools are wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

LONGEST = 4
"""Most slices in a row that are spoiled in one and the same way."""

Mask = NDArray[np.bool_]
Spoil = Callable[[Mask, Mask, np.random.Generator], Callable[[Mask, Mask], Mask]]
"""From a mask and a neighbor's on one slice, what is done to the masks of a whole run of slices."""


def damaged(truth: Mask, neighbor: Mask, share: float, rng: np.random.Generator) -> tuple[Mask, Mapping[int, str]]:
    """Spoil a share of the slices of a mask, in runs of up to `LONGEST`.

    Args:
        truth: bool `(slices, rows, columns)`.
        neighbor: another organ, of the same shape; an empty one stands for none.
        share: of the slices with the object.
        rng: what is spoiled, and how.

    Returns:
        The spoiled mask, and slice -> kind of damage.
    """
    present = np.flatnonzero(truth.any(axis=(1, 2)))
    wanted = round(share * len(present))
    masks, kinds = truth.copy(), dict[int, str]()
    while len(kinds) < wanted:
        start = int(rng.integers(len(present)))
        run = [int(index) for index in present[start : start + int(rng.integers(1, LONGEST + 1))] if index not in kinds]
        run = run[: wanted - len(kinds)]
        if not run:
            continue
        kind = str(rng.choice(sorted(KINDS)))
        spoil = KINDS[kind](truth[run[0]], neighbor[run[0]], rng)
        for index in run:
            masks[index] = spoil(truth[index], neighbor[index])
            kinds[index] = kind
    return masks, kinds


def _dropped(mask: Mask, neighbor: Mask, rng: np.random.Generator) -> Callable[[Mask, Mask], Mask]:
    return lambda mask, neighbor: np.zeros_like(mask)


def _shifted(mask: Mask, neighbor: Mask, rng: np.random.Generator) -> Callable[[Mask, Mask], Mask]:
    """Some voxels aside: by a quarter to one diameter."""
    far = max(3.0, rng.uniform(0.25, 1.0) * _diameter(mask))
    angle = rng.uniform(0, 2 * np.pi)
    step = (round(far * np.sin(angle)), round(far * np.cos(angle)))
    return lambda mask, neighbor: _moved(mask, step)


def _leaked(mask: Mask, neighbor: Mask, rng: np.random.Generator) -> Callable[[Mask, Mask], Mask]:
    """Over a disk about a point of the edge."""
    edge = np.argwhere(mask & ~ndimage.binary_erosion(mask))
    row, column = edge[rng.integers(len(edge))]
    radius = max(3.0, rng.uniform(0.5, 1.0) * _diameter(mask))
    rows, columns = np.ogrid[: mask.shape[0], : mask.shape[1]]
    disk = (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
    return lambda mask, neighbor: mask | disk


def _eroded(mask: Mask, neighbor: Mask, rng: np.random.Generator) -> Callable[[Mask, Mask], Mask]:
    """To the innermost part, a fifth to three fifths of the area."""
    left = rng.uniform(0.2, 0.6)

    def shrink(mask: Mask, neighbor: Mask) -> Mask:
        depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        return mask & (depth >= np.quantile(depth[mask], 1 - left))

    return shrink


def _foreign(mask: Mask, neighbor: Mask, rng: np.random.Generator) -> Callable[[Mask, Mask], Mask]:
    """The neighbor's outline, or where there is none the own one two diameters aside."""
    step = (0, round(2 * _diameter(mask)) * int(rng.choice((-1, 1))))
    return lambda mask, neighbor: neighbor if neighbor.any() else _moved(mask, step)


KINDS: Mapping[str, Spoil] = {
    "dropped": _dropped,
    "eroded": _eroded,
    "foreign": _foreign,
    "leaked": _leaked,
    "shifted": _shifted,
}


def _diameter(mask: Mask) -> float:
    """Of the disk of the same area."""
    return 2 * float(np.sqrt(mask.sum() / np.pi))


def _moved(mask: Mask, step: tuple[int, int]) -> Mask:
    moved = np.zeros_like(mask)
    places = np.argwhere(mask) + step
    places = places[((places >= 0) & (places < mask.shape)).all(axis=1)]
    moved[tuple(places.T)] = True
    return moved
