"""Pairs of volumes made of two: bent, cut, with other contrast, or with inverted gray values like another modality.

A rule on drafts that is chosen by two volumes alone fits these two; each pair here asks for it once more, with other
displacements, other fields of view and another contrast of every organ.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from evaluation_targets import files_of
from numpy.typing import NDArray
from scipy import ndimage

from SegmentPropagateLib.formats.reading import read_labels, read_volume
from SegmentPropagateLib.formats.writing import write_segmentation, write_volume
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.volume import Volume

PAIRS = (
    *(("large-bent-1", "small"), ("small-bent-4", "large"), ("large-bent-6-high", "large-low")),
    *(("large-bent-7-slab", "large"), ("large-bent-2", "large-slab"), ("large-bent-8-inverted", "small-inverted")),
    *(("large-bent-3", "small"), ("small-bent-5", "large")),
)
"""Query and template."""

_SLABS = {"low": slice(0, 20), "high": slice(10, 30), "slab": slice(9, 22)}
_SLABS_OF_BENT = {"slab": slice(6, 19)}
_BEND_MM, _SMOOTH_MM, _STEP_MM = 4.5, 28.0, 12.0  # spread of displacements, along the body .6 of it; of their field
_SCALE, _CONTRAST_HU, _NOISE_HU = 0.07, 35.0, 24.0
_OTHER_GRAY = (*range(1, 20), 52, 63, 64)  # organs and vessels, which contrast medium changes; bones and muscles stay

Parts = tuple[NDArray[Any], NDArray[np.uint8], Geometry]


def make_copies(data: Path, names: tuple[str, str], folder: Path) -> None:
    """Write all volumes of `PAIRS`, each into a folder of its name, as `evaluation_targets.files_of` finds them.

    Args:
        data: folder of the evaluation volumes.
        names: the one that is called large, and the one that is called small.
        folder: where the copies go.
    """
    originals = dict(zip(("large", "small"), (_read(data / name) for name in names), strict=True))
    for name in sorted({name for pair in PAIRS for name in pair}):
        kind, *words = name.split("-")
        values, labels, geometry = originals[kind]
        slabs = _SLABS
        if "bent" in words:
            values, labels = _bent(values, labels, geometry, int(words[words.index("bent") + 1]))
            slabs = _SLABS | _SLABS_OF_BENT
        for word in words:
            if word in slabs:
                span = slabs[word]
                geometry = geometry.part([span.start, 0, 0], [span.stop - span.start, *values.shape[1:]])
                values, labels = values[span], labels[span]
        if "inverted" in words:
            values = _inverted(values)
        (folder / name).mkdir()
        write_volume(folder / name / "image.nii.gz", Volume(values, geometry, name))
        masks = {int(value): labels == value for value in np.unique(labels) if value}
        write_segmentation(folder / name / "labels.nii.gz", masks, geometry)


def _read(home: Path) -> Parts:
    image, reference = files_of(home)
    volume = read_volume(image)
    drawn = read_labels(reference, volume.geometry)
    labels = np.zeros(volume.array_kji.shape, np.uint8)
    for segment in drawn.segments:
        labels[drawn.mask(segment.value)] = segment.value
    return volume.array_kji, labels, volume.geometry


def _bent(
    values: NDArray[Any], labels: NDArray[np.uint8], geometry: Geometry, seed: int
) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """A patient of another shape, with other contrast and more noise."""
    rng = np.random.default_rng(seed)
    spacing = np.array(geometry.spacing_kji_mm)
    points = _displaced(rng, values.shape, spacing)
    blur = 1.5 / spacing
    gray = values.astype(np.float32)
    for label in np.unique(labels)[1:]:
        if label in _OTHER_GRAY:
            change = np.float32(rng.uniform(-_CONTRAST_HU, _CONTRAST_HU))
            gray += ndimage.gaussian_filter((labels == label) * change, blur)
    gray = ndimage.map_coordinates(gray, points, order=1, mode="nearest")
    gray += _NOISE_HU * ndimage.gaussian_filter(rng.standard_normal(gray.shape).astype(np.float32), blur)
    bent, most = np.zeros_like(labels), np.full(labels.shape, 0.5, np.float32)
    for label in np.unique(labels)[1:]:
        share = ndimage.map_coordinates((labels == label).astype(np.float32), points, order=1, mode="nearest")
        bent[share > most] = label
        most = np.maximum(most, share)
    return np.round(gray).astype(np.int16), bent


def _displaced(rng: np.random.Generator, shape: tuple[int, ...], spacing: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where a voxel's values come from, voxels."""
    coarse = [max(3, int(np.ceil(size * step / _STEP_MM))) for size, step in zip(shape, spacing, strict=True)]
    at = np.meshgrid(*[np.linspace(0, few - 1, size) for few, size in zip(coarse, shape, strict=True)], indexing="ij")
    field = []
    for axis, step in enumerate(spacing):
        part = ndimage.gaussian_filter(rng.standard_normal(coarse), _SMOOTH_MM / _STEP_MM, mode="reflect")
        part *= _BEND_MM * (1.0 if axis else 0.6) / max(float(part.std()), 1e-6)
        field.append(ndimage.map_coordinates(part, np.stack(at), order=1) / step)
    scales = 1 + rng.uniform(-_SCALE, _SCALE, 3)
    middles = [(size - 1) / 2 for size in shape]
    axes = [(np.arange(n) - mid) * scale + mid for n, mid, scale in zip(shape, middles, scales, strict=True)]
    return np.stack([own + moved for own, moved in zip(np.meshgrid(*axes, indexing="ij"), field, strict=True)])


def _inverted(values: NDArray[Any]) -> NDArray[np.uint16]:
    """Soft tissue bright where it was dark, and air black."""
    gray = np.where(values > -250, 900 - 1.6 * np.clip(values.astype(np.float32), -200, 300), 20)
    noise = 8 * np.random.default_rng(0).standard_normal(values.shape)
    return np.round(gray + noise).clip(0).astype(np.uint16)
