"""What happens to finished masks before they leave the session."""

from __future__ import annotations

from collections.abc import Callable, Mapping

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
    if len(masks) < 2 or not (np.count_nonzero(list(masks.values()), axis=0) > 1).any():
        return dict(masks)
    ids = sorted(masks)
    claims = np.stack([np.where(masks[object_id], strength_of(object_id), -np.inf) for object_id in ids])
    winner = claims.argmax(axis=0)  # the first of equals: the lower id
    return {object_id: masks[object_id] & (winner == position) for position, object_id in enumerate(ids)}


def claim_strength(logits: NDArray[np.floating], area: int, slices_from_key: int) -> NDArray[np.floating]:
    """How strong the claim of a mask is to each of its pixels.

    Logits alone let large objects win, which are sure of themselves where they leak, too; thin ones are all edge.

    Args:
        logits: of the object, `(rows, columns)`.
        area: pixels of its mask.
        slices_from_key: to the nearest slice that the user drew.
    """
    return logits - np.log(area) - PER_SLICE * slices_from_key
