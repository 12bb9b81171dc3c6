"""Boxes and points as a network takes them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from SegmentPropagateLib.propagation.prompts import BoxPrompt, PointsPrompt
from SegmentPropagateLib.propagators.tracking.views import View

BOX_CORNERS = (2, 3)
"""Labels of the first and the last corner of a box; 1 is on the object, 0 beside it."""


def as_points(prompt: BoxPrompt | PointsPrompt, view: View, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A prompt in the pixels of the network's input.

    Args:
        prompt: on the slice.
        view: what the network sees of the slice.
        size: side of its input.

    Returns:
        Points, float32 `(N, 2)`, x and y, and their labels, int32 `(N,)`; a box comes first, as its corners.
    """
    box = prompt if isinstance(prompt, BoxPrompt) else prompt.box
    points = [] if box is None else [np.reshape(box.box_ij, (2, 2))]
    labels = [] if box is None else [*BOX_CORNERS]
    if isinstance(prompt, PointsPrompt):
        points.append(prompt.points_ij)
        labels += prompt.positive.astype(int).tolist()
    seen = (np.concatenate(points) - (view.column, view.row)) / (view.columns, view.rows) * size
    return torch.tensor(seen, dtype=torch.float32), torch.tensor(labels, dtype=torch.int32)


def box_mask(prompt: BoxPrompt | PointsPrompt, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The inside of the box as a mask of `(rows, columns)`; empty where there is none."""
    mask = np.zeros(shape, dtype=bool)
    box = prompt if isinstance(prompt, BoxPrompt) else prompt.box
    if box is not None:
        i0, j0, i1, j1 = box.box_ij
        mask[max(int(j0), 0) : int(j1) + 1, max(int(i0), 0) : int(i1) + 1] = True
    return mask
