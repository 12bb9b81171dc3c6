"""Small pictures of cases for lists: one slice with its labels, made by a process of its own.

    python -m SegmentPropagateLib.reports.thumbnails

reads a line `["image", "labels" or null, "picture.ppm", size]` of JSON after another, writes the picture, and answers
each with a line `["picture.ppm", "" or what went wrong]`. PPM, as Qt reads it without a package that may be missing.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.errors import InputError, SegmentPropagateError
from SegmentPropagateLib.files import PathLike, writing
from SegmentPropagateLib.formats.reading import read_labels, read_volume
from SegmentPropagateLib.reports.overlay import Orientation
from SegmentPropagateLib.volumes.geometry import Plane
from SegmentPropagateLib.volumes.stack import slice_of, stack_of

CONTRAST = 1, 99.5
"""Percentiles of the slice that are shown as black and white."""
SHARE = 0.5
"""Of the label's color in the pixels of the object."""


def draw_thumbnail(image: PathLike, labels: PathLike | None, size: int) -> NDArray[np.uint8]:
    """Draw the axial slice that labels fill most, or the middle one where there are none.

    Args:
        image: a file or folder that `read_volume` reads.
        labels: a file that `read_labels` reads, matched in physical space; None without any.
        size: side of the picture in pixels.

    Returns:
        uint8 `(size, size, 3)`, the patient upright.

    Raises:
        InputError: the image is missing, damaged or none; labels that cannot be read are left out.
    """
    volume = read_volume(image)
    geometry, axis = volume.geometry, volume.geometry.plane_axis(Plane.AXIAL)
    found = None
    if labels is not None:
        with suppress(InputError):  # such as a result in which nothing was to be found
            found = read_labels(labels, like=geometry)
    colors = {segment.value: segment.color_rgb for segment in found.segments} if found is not None else {}
    layers = found.layers if found is not None else ()
    areas = sum(np.count_nonzero(stack_of(layer, axis), axis=(1, 2)) for layer in layers)
    index = int(np.argmax(areas)) if np.any(areas) else geometry.shape_kji[axis] // 2
    gray = slice_of(volume.array_kji, axis, index).astype(np.float32)
    low, high = np.nanpercentile(gray, CONTRAST) if np.isfinite(gray).any() else (0.0, 1.0)
    gray = np.nan_to_num(np.clip((gray - low) / max(high - low, 1e-6), 0, 1), nan=0.0)
    picture = np.repeat(gray[..., None], 3, axis=2)
    for layer in layers:
        shown = slice_of(layer, axis, index)
        for value in np.unique(shown[shown > 0]).tolist():
            part = picture[shown == value]
            picture[shown == value] = part + SHARE * (np.array(colors.get(value, (1.0, 0.5, 0.0))) - part)
    spacing = [spacing for other, spacing in enumerate(geometry.spacing_kji_mm) if other != axis]
    orientation = Orientation.upright(geometry, Plane.AXIAL)
    rows, columns = _places(gray.shape, (spacing[0], spacing[1]), size, orientation.transpose)
    turned = [orientation.turn(channel) for channel in np.moveaxis(picture, -1, 0)]
    inside = (rows >= 0)[:, None] & (columns >= 0)[None, :]
    return np.stack([np.rint(255 * channel[np.ix_(rows, columns)] * inside) for channel in turned], -1).astype(np.uint8)


def _places(
    shape: tuple[int, ...], spacing_mm: tuple[float, float], size: int, transpose: bool
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Row and column of the turned slice under each pixel of a square picture; -1 beside the slice."""
    extents = [count * step for count, step in zip(shape, spacing_mm, strict=True)]
    steps, counts = list(spacing_mm), list(shape)
    if transpose:
        steps, counts = steps[::-1], counts[::-1]
    offsets = ((np.arange(size) + 0.5) / size - 0.5) * max(extents)
    found = [np.floor(offsets / step + count / 2).astype(int) for step, count in zip(steps, counts, strict=True)]
    rows, columns = (
        np.where((place < count) & (place >= 0), place, -1) for place, count in zip(found, counts, strict=True)
    )
    return rows, columns


def main() -> int:
    """Draw what the lines of standard input name; ends with it."""
    with suppress(AttributeError, OSError):  # not on Windows
        os.nice(10)
    for line in sys.stdin:
        image, labels, target, size = json.loads(line)
        problem = ""
        try:
            picture = draw_thumbnail(image, labels, size)
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            with writing(target) as stream:
                stream.write(b"P6 %d %d 255\n" % (size, size) + picture.tobytes())
        except (SegmentPropagateError, OSError, MemoryError) as error:
            problem = str(error) or type(error).__name__
        sys.stdout.write(json.dumps([target, problem]) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
