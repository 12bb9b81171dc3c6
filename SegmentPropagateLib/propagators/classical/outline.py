"""From a box or points to the outline of an object on one slice, without a network."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SegmentPropagateLib.propagation.prompts import BoxPrompt, PointsPrompt
from SegmentPropagateLib.propagators.classical.growcut import growcut
from SegmentPropagateLib.volumes.robust import spread


def outline(image: NDArray[Any], prompt: BoxPrompt | PointsPrompt) -> NDArray[np.bool_]:
    """Outline what a box or points name, by region growing: bool `(rows, columns)`."""
    box = prompt if isinstance(prompt, BoxPrompt) else prompt.box
    shape = (image.shape[0], image.shape[1])
    inside, outside = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    if box is not None:
        i0, j0, i1, j1 = box.box_ij
        outside |= (rows < j0) | (rows > j1) | (columns < i0) | (columns > i1)
        radius = np.hypot((rows - (j0 + j1) / 2) / (j1 - j0 + 1), (columns - (i0 + i1) / 2) / (i1 - i0 + 1))
        inside |= radius <= 0.2
    if isinstance(prompt, PointsPrompt):
        for (i, j), positive in zip(np.rint(prompt.points_ij).astype(int), prompt.positive, strict=True):
            (inside if positive else outside)[j, i] = True
    if box is None:  # somewhere the object must end
        outside[[0, -1]] = outside[:, [0, -1]] = True
    values = ndimage.gaussian_filter(np.asarray(image, dtype=np.float32), 0.7)
    low, high = np.percentile(values, (1, 99))
    own = values[inside] if inside.any() else values
    unit = max(spread(own), 0.02 * float(high - low), 1e-3)
    share = growcut(values / unit, inside, outside & ~inside, (0.05, 0.05))
    return ndimage.binary_fill_holes(share > 0.5)
