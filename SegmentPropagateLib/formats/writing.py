"""Volumes and segmentations into files, complete or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import Outputs, PathLike, check_writable, replacing
from SegmentPropagateLib.formats.kinds import OUTPUT_ENDINGS, WRITABLE, WritableKind
from SegmentPropagateLib.volumes.boxes import bounding_box
from SegmentPropagateLib.volumes.geometry import RESAMPLE, Geometry
from SegmentPropagateLib.volumes.labels import SegmentInfo, default_segment
from SegmentPropagateLib.volumes.volume import Volume


def check_output(path: PathLike) -> WritableKind:
    """Return the kind of an output file, which its ending tells.

    Raises:
        InputError: another ending, or the file cannot be made. Ask before computing anything.
    """
    kind = _kind_of(path)
    check_writable(path)
    return kind


def check_source(path: PathLike, source: PathLike | None) -> None:
    """Raise InputError where labels of the image `source` cannot go into a file of this kind; asked before any work."""
    kind = _kind_of(path)
    if kind.needs_source:
        _module(kind).check_source(source, path)


def write_segmentation(
    path: PathLike,
    masks: Mapping[int, NDArray[np.bool_]],
    geometry: Geometry,
    segments: Sequence[SegmentInfo] = (),
    outputs: Outputs | None = None,
    source: PathLike | None = None,
) -> Sequence[str]:
    """Write masks into a file that is complete or as it was before.

    Args:
        path: ends in one of `kinds.OUTPUT_ENDINGS`. `.seg.nrrd` keeps overlapping objects in layers; in a labelmap (all
            others) a contested voxel goes to the lower value.
        masks: label value (>= 1) -> bool `(k, j, i)`.
        geometry: the grid of the masks.
        segments: names and colors for `.seg.nrrd` and `.dcm`; values that are not listed get default ones.
        outputs: the set of files that it belongs to.
        source: the image that was segmented; only kinds that need it look at it, and for them it is a DICOM series.

    Returns:
        Sentences for the user about what the file has otherwise than the masks.

    Raises:
        InputError: unknown ending, a mask of another shape, axes that are not at right angles, or the file cannot be
            written.
    """
    kind = _kind_of(path)
    _check_right_angles(path, geometry)
    for value, mask in masks.items():
        if mask.shape != geometry.shape_kji or not 1 <= value < 2**32:
            raise InputError(f"Object {value} with a mask of shape {mask.shape} does not fit {geometry.shape_kji}.")
    named = {segment.value: segment for segment in segments}
    layers, members = _stack_layers(masks, geometry.shape_kji, overlapping=kind.overlapping)
    infos = [[named.get(value) or default_segment(value) for value in layer] for layer in members]
    check_source(path, source)
    more = (source,) if kind.needs_source else ()
    with replacing(path, outputs, kind.ending) as temporary:
        notes = _module(kind).write_labels(temporary, layers, infos, geometry, *more)
    return notes or ()


def write_volume(path: PathLike, volume: Volume, outputs: Outputs | None = None) -> None:
    """Write a scalar volume as NIfTI, NRRD or MHA.

    Args:
        path: ends in one of `kinds.OUTPUT_ENDINGS`.
        volume: what to write.
        outputs: the set of files that it belongs to.

    Raises:
        InputError: unknown ending, numbers of a type that files do not have, axes that are not at right angles, or the
            file cannot be written.
    """
    kind = _kind_of(path)
    if kind.overlapping:
        raise InputError(f"Cannot write '{path}': '{kind.ending}' is for segmentations, choose another ending.")
    _check_right_angles(path, volume.geometry)
    array = volume.array_kji.astype(volume.array_kji.dtype.newbyteorder("="), copy=False)
    if array.dtype.char not in "bBhHiIlLqQfd":
        raise InputError(f"Cannot write '{path}': no image has voxels of type {array.dtype}, convert them first.")
    with replacing(path, outputs, kind.ending) as temporary:
        _module(kind).write_labels(temporary, [array], [()], volume.geometry)


def _check_right_angles(path: PathLike, geometry: Geometry) -> None:
    """Raise InputError for a grid that not all programs would open, or put at the same place."""
    if not geometry.at_right_angles:
        raise InputError(f"Cannot write '{path}': the axes of its grid are not at right angles, {RESAMPLE}.")


def _kind_of(path: PathLike) -> WritableKind:
    name = Path(path).name.lower()
    kind = next((kind for kind in WRITABLE if name.endswith(kind.ending)), None)
    if kind is None:
        raise InputError(f"Cannot write '{path}': its name must end in {', '.join(OUTPUT_ENDINGS)}.")
    return kind


def _module(kind: WritableKind) -> ModuleType:
    return import_module(f"{__package__}.{kind.module}")


def _stack_layers(
    masks: Mapping[int, NDArray[np.bool_]], shape_kji: tuple[int, int, int], *, overlapping: bool
) -> tuple[list[NDArray[np.unsignedinteger]], list[list[int]]]:
    """Put masks into as few label arrays as possible; without `overlapping` into one, lower values on top."""
    kind = np.min_scalar_type(max(masks, default=1))
    layers: list[NDArray[np.unsignedinteger]] = [np.zeros(shape_kji, dtype=kind)]
    members: list[list[int]] = [[]]
    for value, mask in sorted(masks.items()):
        box = bounding_box(mask) or (slice(0),) * 3
        inside = mask[box]
        home = next((n for n, layer in enumerate(layers) if not layer[box][inside].any()), None) if overlapping else 0
        if home is None:
            home = len(layers)
            layers.append(np.zeros(shape_kji, dtype=kind))
            members.append([])
        place = layers[home][box]
        place[inside & (place == 0)] = value
        members[home].append(value)
    return layers, members
