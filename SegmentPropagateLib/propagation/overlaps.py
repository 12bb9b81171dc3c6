"""What happens to finished masks before they leave the session."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray


def resolve_overlaps(
    masks: Mapping[int, NDArray[np.bool_]], strengths: Mapping[int, NDArray[np.floating]]
) -> dict[int, NDArray[np.bool_]]:
    """Give every contested pixel of one slice to a single object.

    Args:
        masks: object id -> bool `(rows, columns)`.
        strengths: object id -> float of the same shape, larger = surer; +inf where the user drew the object.

    Returns:
        Masks that do not overlap. The strongest claim wins; equal claims go to the lower object id, as in MedSAM2.
    """
    if len(masks) < 2:
        return dict(masks)
    ids = sorted(masks)
    claims = np.stack([np.where(masks[object_id], strengths[object_id], -np.inf) for object_id in ids])
    claimed = np.stack([masks[object_id] for object_id in ids]).any(axis=0)
    winner = claims.argmax(axis=0)  # the first of equals: the lower id
    return {object_id: claimed & (winner == position) for position, object_id in enumerate(ids)}
