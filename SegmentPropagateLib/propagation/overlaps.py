"""What happens to finished masks before they leave the session."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

PER_SLICE = 0.5
"""Logits by which a claim weakens with every slice from the key: errors add up on the way."""


def resolve_overlaps(
    masks: Mapping[int, NDArray[np.bool_]], strength_of: Callable[[int], NDArray[np.floating]]
) -> dict[int, NDArray[np.bool_]]:
    """Give every contested pixel of one slice to a single object.

    Args:
        masks: object id -> bool `(rows, columns)`.
        strength_of: object id -> float of the same shape, larger = surer; +inf where the user drew the object. Only
            asked for where masks overlap.

    Returns:
        Masks that do not overlap. The strongest claim wins; equal claims go to the lower object id, as in MedSAM2.
    """
    if len(masks) < 2:
        return dict(masks)
    contested = _contested(list(masks.values()))
    ids = sorted(object_id for object_id, mask in masks.items() if mask[contested].any())
    if not ids:
        return dict(masks)
    # Contested pixels alone: comparing whole planes of 512 x 512 took 24 ms a slice with twelve objects, this takes 6.
    claims = [np.where(masks[object_id][contested], strength_of(object_id)[contested], -np.inf) for object_id in ids]
    winner = np.argmax(claims, axis=0)  # the first of equals: the lower id
    settled = {object_id: mask.copy() for object_id, mask in masks.items()}
    for position, object_id in enumerate(ids):
        settled[object_id][contested] &= winner == position
    return settled


def _contested(masks: Sequence[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Pixels of more than one mask."""
    taken, contested = np.zeros_like(masks[0]), np.zeros_like(masks[0])
    for mask in masks:
        contested |= taken & mask
        taken |= mask
    return contested


def claim_strength(logits: NDArray[np.floating], area: int, slices_from_key: int) -> NDArray[np.floating]:
    """How strong the claim of a mask is to each of its pixels.

    Logits alone let large objects win, which are sure of themselves where they leak, too; thin ones are all edge.

    Args:
        logits: of the object, `(rows, columns)`.
        area: pixels of its mask.
        slices_from_key: to the nearest slice that the user drew.
    """
    return logits - np.log(area) - PER_SLICE * slices_from_key
