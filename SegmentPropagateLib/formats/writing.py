"""Volumes and segmentations into files, complete or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import PathLike, check_writable, replacing
from SegmentPropagateLib.formats.grids import image_of
from SegmentPropagateLib.formats.kinds import OUTPUT_ENDINGS, WRITABLE, WritableKind
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.labels import SegmentInfo, default_segment
from SegmentPropagateLib.volumes.volume import Volume


def check_output(path: PathLike) -> WritableKind:
    """Return the kind of an output file, which its ending tells.

    Raises:
        InputError: another ending, or the file cannot be made. Ask before computing anything.
    """
    kind = next((kind for kind in WRITABLE if Path(path).name.lower().endswith(kind.ending)), None)
    if kind is None:
        raise InputError(f"Cannot write '{path}': its name must end in {', '.join(OUTPUT_ENDINGS)}.")
    check_writable(path)
    return kind


def check_source(path: PathLike, source: PathLike | None) -> None:
    """Raise InputError where labels of the image `source` cannot go into a file of this kind; asked before any work."""
    kind = check_output(path)
    if kind.needs_source:
        _module(kind).check_source(source, path)


def write_segmentation(
    path: PathLike,
    masks: Mapping[int, NDArray[np.bool_]],
    geometry: Geometry,
    segments: Sequence[SegmentInfo] = (),
    source: PathLike | None = None,
) -> Sequence[str]:
    """Write masks under a temporary name and rename it.

    Args:
        path: ends in one of `kinds.OUTPUT_ENDINGS`. `.seg.nrrd` keeps overlapping objects in layers; in a labelmap (all
            others) a contested voxel goes to the lower value.
        masks: label value (>= 1) -> bool `(k, j, i)`.
        geometry: the grid of the masks.
        segments: names and colors for `.seg.nrrd` and `.dcm`; values that are not listed get default ones.
        source: the image that was segmented; only kinds that need it look at it, and for them it is a DICOM series.

    Returns:
        Sentences for the user about what the file has otherwise than the masks.

    Raises:
        InputError: unknown ending, a mask of another shape, or the file cannot be written.
    """
    kind = check_output(path)
    for value, mask in masks.items():
        if mask.shape != geometry.shape_kji or not 1 <= value < 2**32:
            raise InputError(f"Object {value} with a mask of shape {mask.shape} does not fit {geometry.shape_kji}.")
    named = {segment.value: segment for segment in segments}
    layers, members = _stack_layers(masks, geometry.shape_kji, overlapping=kind.overlapping)
    infos = [[named.get(value) or default_segment(value) for value in layer] for layer in members]
    check_source(path, source)
    more = (source,) if kind.needs_source else ()
    with replacing(path) as temporary:
        try:
            notes = _module(kind).write_labels(temporary, layers, infos, geometry, *more)
        except RuntimeError as error:  # what SimpleITK raises
            raise InputError(f"Cannot write '{path}': is the disk full?") from error
    return notes or ()


def write_volume(path: PathLike, volume: Volume) -> None:
    """Write a scalar volume as NIfTI, NRRD or MHA under a temporary name and rename it."""
    with replacing(path) as temporary:
        sitk.WriteImage(image_of(volume.array_kji, volume.geometry), str(temporary), useCompression=True)


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
        home = next((n for n, layer in enumerate(layers) if not layer[mask].any()), None) if overlapping else 0
        if home is None:
            home = len(layers)
            layers.append(np.zeros(shape_kji, dtype=kind))
            members.append([])
        layers[home][mask & (layers[home] == 0)] = value
        members[home].append(value)
    return layers, members
