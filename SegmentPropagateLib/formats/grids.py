"""Between voxel grids in RAS and SimpleITK images, which are LPS."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.volumes.geometry import LPS_RAS, Frames, Geometry
from SegmentPropagateLib.volumes.labels import values_in
from SegmentPropagateLib.wording import are, counted

_Shape = tuple[int, int, int]
FRAME_OF_REFERENCE = "SegmentPropagate frame of reference"
"""The field of an image that tells its frame of reference, as DICOM files do."""
_FRAMES = "SegmentPropagate frames"  # the field of an image in which they travel


def geometry_of(image: sitk.Image, path: Path) -> Geometry:
    """The grid of an image; InputError that names the file where its axes span no volume."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    matrix[:3, 3] = image.GetOrigin()
    frames = _frames_in(image.GetMetaData(_FRAMES)) if image.HasMetaDataKey(_FRAMES) else None
    frame = image.GetMetaData(FRAME_OF_REFERENCE) if image.HasMetaDataKey(FRAME_OF_REFERENCE) else ""
    try:
        return Geometry(image.GetSize()[::-1], LPS_RAS @ matrix, frames, frame)
    except InputError as error:
        raise InputError(f"'{path}' cannot be used. {error}") from error


def image_of(array_kji: NDArray[Any], geometry: Geometry) -> sitk.Image:
    """An image of a `(k, j, i)` array on its grid."""
    image = sitk.GetImageFromArray(array_kji)
    matrix = geometry.ijk_to_lps
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((matrix[:3, :3] / spacing).round(14).ravel().tolist())  # ITK stumbles over 1e-45
    image.SetOrigin(matrix[:3, 3].tolist())
    if geometry.frames is not None:
        image.SetMetaData(_FRAMES, _text_of(geometry.frames))
    return image


def check_one_frame_of_reference(labels: Geometry, image: Geometry, path: Path) -> None:
    """Raise InputError where DICOM files say that their places have nothing to do with each other."""
    theirs, its = labels.frame_of_reference, image.frame_of_reference
    if theirs and its and theirs != its:
        raise InputError(
            f"The labels in '{path}' belong to another frame of reference ({theirs}) than the image ({its}), so nobody "
            f"knows where they lie in it: give the labels of this image, or register them and save a .seg.nrrd."
        )


def match(
    layers: list[NDArray[np.unsignedinteger]],
    source: Geometry,
    target: Geometry,
    path: Path,
    notify: Callable[[str], None],
) -> list[NDArray[np.unsignedinteger]]:
    """The layers on another grid; each voxel takes the value that lies nearest to its center.

    Args:
        layers: arrays `(k, j, i)` of label values.
        source: their grid.
        target: the grid of the image.
        path: where the labels came from, for sentences.
        notify: takes a sentence about labels that are lost, or that lie where they hardly belong.

    Raises:
        InputError: no label lies within the image.
    """
    moved = resample(layers, source, target)
    if any(layer.any() for layer in layers) and not any(layer.any() for layer in moved):
        raise InputError(
            f"The labels in '{path}' lie elsewhere in space: none of their voxels is inside the image, so they "
            f"belong to another image or lost their geometry."
        )
    to_target = (np.linalg.inv(target.ijk_to_ras) @ source.ijk_to_ras)[:3]
    if source.shape_kji == target.shape_kji and not fill_one_box(source, target):
        notify(
            f"'{path}' has the shape of the image but lies at another place: its labels were matched in space. If it "
            f"lost its geometry, give it that of the image."
        )
    total = sum(int(np.count_nonzero(layer)) for layer in layers)
    outside = sum(_count_outside(layer, to_target, target.shape_kji) for layer in layers)
    if outside:
        of_all = f"{outside} of {counted(total, 'label voxel')}"
        notify(f"{of_all} in '{path}' {are(outside)} outside the image and left out.")
    lost = set().union(*map(values_in, layers)) - set().union(*map(values_in, moved))
    if lost:
        notify(f"No voxel of the image lies in label {', '.join(map(str, sorted(lost)))} of '{path}'.")
    return moved


def resample(
    layers: Iterable[NDArray[np.unsignedinteger]], source: Geometry, target: Geometry
) -> list[NDArray[np.unsignedinteger]]:
    """The layers on another grid; each voxel takes the value that lies nearest to its center, 0 outside `source`."""
    k, j, i = target.shape_kji
    resampler = sitk.ResampleImageFilter()
    resampler.SetReferenceImage(image_of(np.zeros((1, 1, 1), dtype=np.uint8), target))
    resampler.SetSize((i, j, k))
    resampler.SetInterpolator(sitk.sitkNearestNeighbor)
    return [sitk.GetArrayFromImage(resampler.Execute(image_of(layer, source))) for layer in layers]


def fill_one_box(source: Geometry, target: Geometry) -> bool:
    """Whether two grids fill the same box, half a voxel aside, in whichever order their voxels are stored."""
    corners = np.array([(*corner, 1) for corner in product(*((0, n - 1) for n in source.shape_kji[::-1]))]).T
    there = (np.linalg.inv(target.ijk_to_ras) @ source.ijk_to_ras)[:3] @ corners
    ends = np.stack([there.min(axis=1), there.max(axis=1)])
    return bool(np.abs(ends - [(0, 0, 0), np.array(target.shape_kji[::-1]) - 1]).max() < 0.5)


def _count_outside(layer: NDArray[np.unsignedinteger], to_target: NDArray[np.float64], target_kji: _Shape) -> int:
    """How many label voxels have their center outside the other grid."""
    sizes = np.array(target_kji[::-1])[:, None]
    count = 0
    for k, plane in enumerate(layer):
        j, i = plane.nonzero()
        places = to_target @ np.stack([i, j, np.full(len(i), k), np.ones(len(i))])
        count += int(((places < -0.5) | (places > sizes - 0.5)).any(axis=0).sum())
    return count


def _text_of(frames: Frames) -> str:
    return json.dumps(vars(frames), default=np.ndarray.tolist)


def _frames_in(text: str) -> Frames:
    fields = json.loads(text)
    for form in ("qform", "sform"):
        fields[form] = None if fields[form] is None else np.array(fields[form])
    return Frames(**{**fields, "codes": tuple(fields["codes"])})
