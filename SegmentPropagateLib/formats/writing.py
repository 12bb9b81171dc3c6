"""Volumes and segmentations into files, complete or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import PathLike, check_writable, replacing
from SegmentPropagateLib.formats.grids import LPS_RAS, image_of
from SegmentPropagateLib.formats.seg_nrrd import write_seg_nrrd
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.labels import SegmentInfo, default_segment
from SegmentPropagateLib.volumes.volume import Volume

OUTPUT_SUFFIXES = (".seg.nrrd", ".nrrd", ".nii.gz", ".mha")


def check_output(path: PathLike) -> str:
    """Return the kind of an output file, one of `OUTPUT_SUFFIXES`.

    Raises:
        InputError: another ending, or the file cannot be made. Ask before computing anything.
    """
    suffix = next((suffix for suffix in OUTPUT_SUFFIXES if Path(path).name.lower().endswith(suffix)), None)
    if suffix is None:
        raise InputError(f"Cannot write '{path}': its name must end in {', '.join(OUTPUT_SUFFIXES)}.")
    check_writable(path)
    return suffix


def write_segmentation(
    path: PathLike,
    masks: Mapping[int, NDArray[np.bool_]],
    geometry: Geometry,
    segments: Sequence[SegmentInfo] = (),
) -> None:
    """Write masks under a temporary name and rename it.

    Args:
        path: ends in one of `OUTPUT_SUFFIXES`. `.seg.nrrd` keeps overlapping objects in layers; in a labelmap (all
            others) a contested voxel goes to the lower value.
        masks: label value (>= 1) -> bool `(k, j, i)`.
        geometry: the grid of the masks.
        segments: names and colors for `.seg.nrrd`; values that are not listed get default ones.

    Raises:
        InputError: unknown ending, a mask of another shape, or the file cannot be written.
    """
    suffix = check_output(path)
    for value, mask in masks.items():
        if mask.shape != geometry.shape_kji or not 1 <= value < 2**32:
            raise InputError(f"Object {value} with a mask of shape {mask.shape} does not fit {geometry.shape_kji}.")
    named = {segment.value: segment for segment in segments}
    layers, members = _stack_layers(masks, geometry.shape_kji, overlapping=suffix == ".seg.nrrd")
    with replacing(path) as temporary:
        if suffix == ".seg.nrrd":
            infos = [[named.get(value) or default_segment(value) for value in layer] for layer in members]
            write_seg_nrrd(temporary, layers, infos, geometry, LPS_RAS @ geometry.ijk_to_ras)
        else:
            try:
                sitk.WriteImage(image_of(layers[0], geometry), str(temporary), useCompression=True)
            except RuntimeError as error:
                raise InputError(f"Cannot write '{path}': is the disk full?") from error


def write_volume(path: PathLike, volume: Volume) -> None:
    """Write a scalar volume as NIfTI, NRRD or MHA under a temporary name and rename it."""
    with replacing(path) as temporary:
        sitk.WriteImage(image_of(volume.array_kji, volume.geometry), str(temporary), useCompression=True)


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
