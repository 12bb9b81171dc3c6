"""Labelled volumes out of nothing: a seeded generator of phantoms to train on, to test with and to show.

A phantom is drawn as a map of labels first; intensities follow from the labels as in SynthSeg (a random mean, spread
and texture per label), then blur, bias field, gamma and noise. In the named families label 1 is the target and label 2,
where there is one, the look-alike; in any family every label can serve as a target.

    family       the target                                                   what makes it hard
    ---------    ----------------------------------------------------------   ---------------------------------
    organs       kidney-like, beside spine, liver and vessels                 look-alike near its end
    contact      the same, ending bluntly                                     look-alike takes over in the same place
    twins        one of two equal organs, left and right                      the other one
    reappearing  a loop that crosses many slices twice                        parts appear, merge and leave
    branching    a tapering tree of vessels                                   thin, many parts per slice
    nested       a part within an organ, or the organ's shell                 two targets in one place
    spine        a vertebra: body, arch, processes                            several parts; equals above and below
    soup         any of some twenty shapes in a soup of smooth noise          anything
    crowd        an organ in a trunk full of organs                           same grays all around, thin fat between
    trunk        the same, among ribs; organs and bones of two grays          no gray of their own; ribs slant
    column       a vertebra; shells around marrow, discs, ribs                ends at a disc, its arch goes on
    mixed        one of the above, by chance

Measured on 40 phantoms of `contact` with `hardness` 1 and 40 slices: the target is on 16 of them; 11 of the others hold
the look-alike, which starts 0.5 slices after the target's end, covers 88 % of its last slice and differs from it by 0.6
standard deviations of the target's voxels. A phantom of 32 x 96 x 96 takes 0.06 s, a crowd or a trunk
0.2 s, a column 0.1 s. Testing/Data/phantoms.jpg shows one phantom of each family.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import writing
from SegmentPropagateLib.phantoms.families import SCENES
from SegmentPropagateLib.phantoms.scene import ROOM_KJI, Scene
from SegmentPropagateLib.phantoms.shapes import Canvas, borders, smooth_noise

GENERATOR_VERSION = 2
"""Part of every cache name: raise it whenever a seed of a named family gives another phantom."""


@dataclass(frozen=True)
class Phantom:
    """A synthetic labelled volume.

    Args:
        values: int16 `(k, j, i)`: Hounsfield-like numbers for `ct`, arbitrary positive units for `mr`.
        labels: uint8 of the same shape; 0 is the surroundings.
        spacing_kji_mm: voxel size.
        names: label value -> what it is.
        look: `ct` or `mr`.
    """

    values: NDArray[np.int16]
    labels: NDArray[np.uint8]
    spacing_kji_mm: tuple[float, float, float]
    names: Mapping[int, str]
    look: str


FAMILIES = (*SCENES, "mixed")
_MIXTURE = (0.03, 0.06, 0.03, 0.05, 0.04, 0.03, 0.02, 0.22, 0.07, 0.28, 0.17)
"""Shares of the families, in the order of `SCENES`."""


def _draw_intensities(scene: Scene) -> NDArray[np.float32]:
    """Gray levels 0..255 from the labels: texture per label, blur, bias field, noise."""
    rng, shape, spacing = scene.rng, scene.canvas.shape_kji, scene.canvas.spacing
    count = max(scene.gray) + 1
    mean, spread, fine_share = (np.zeros(count, np.float32) for _ in range(3))
    for value, gray in scene.gray.items():
        mean[value], spread[value], fine_share[value] = gray, rng.uniform(4, 14), rng.random()
        if value > 0 and rng.random() < 0.06:
            spread[value] *= 2.5  # a coarse-grained organ
    fine = smooth_noise(rng, shape, (1, 1.3, 1.3))[0] if rng.random() < 0.5 else rng.standard_normal(shape, np.float32)
    coarse = smooth_noise(rng, shape, rng.uniform(3, 9) * scene.size / spacing)[0]
    share, base = fine_share[scene.labels], mean[scene.labels]
    base = uneven_gray(scene, base)
    if rng.random() < 0.3:  # organs are often parted by a thin layer of something else
        base = np.where(
            borders(scene.labels, 3), base + np.float32(0.5) * (np.float32(rng.uniform(0, 255)) - base), base
        )
    image = base + spread[scene.labels] * (share * fine + (1 - share) * coarse)
    image = ndimage.gaussian_filter(image, (rng.uniform(0.1, 0.6), *rng.uniform(0.3, 0.9, 2)))  # partial volume
    image *= np.exp(
        np.float32(rng.uniform(0, 0.15)) * smooth_noise(rng, shape, scene.canvas.extent[1] / 2.5 / spacing)[0]
    )
    image = np.clip(image, 0, None)
    image = 255 * (image / 255) ** np.float32(np.exp(rng.normal(0, 0.2)))
    return image + rng.standard_normal(shape, np.float32) * np.float32(rng.uniform(2, 12))


def uneven_gray(scene: Scene, base: NDArray[np.float32]) -> NDArray[np.float32]:
    """The gray levels with patches, then walls, then details, where the scene has them."""
    if not scene.walls and not scene.patches:
        return base
    rng, labels = scene.rng, scene.labels
    knots = np.maximum(rng.uniform(4, 14) * scene.size / scene.canvas.spacing, 1)
    patches = smooth_noise(rng, labels.shape, knots)[0] > rng.uniform(0, 1.2)
    walls = borders(labels, int(rng.choice([3, 5])))
    for where, grays in ((patches, scene.patches), (walls, scene.walls)):
        other = np.full(max(scene.gray) + 1, np.nan, np.float32)
        other[list(grays)] = list(grays.values())
        there = other[labels]
        base = np.where(where & ~np.isnan(there), there, base)
    for where, gray in scene.details:
        base[where] = gray
    return base


def _to_look(
    rng: np.random.Generator, image: NDArray[np.float32], labels: NDArray[np.uint8], look: str
) -> NDArray[np.int16]:
    """Gray levels in the unit of a scanner."""
    if look == "ct":
        values = image * np.float32(rng.uniform(0.9, 1.8)) + np.float32(rng.uniform(-160, -60))
        values[labels == 0] += np.float32(-850)  # air around the body
    else:
        values = np.clip(image, 0, None) * np.float32(np.exp(rng.uniform(0, 2)))
    return np.clip(np.rint(values), -1024, 32000).astype(np.int16)


def make_phantom(
    seed: int, family: str = "mixed", shape_kji: tuple[int, int, int] = (32, 96, 96), hardness: float | None = None
) -> Phantom:
    """The phantom of that seed; the same seed, family and shape give the same voxels.

    Args:
        seed: any whole number.
        family: one of `FAMILIES`.
        shape_kji: voxels; the scene fills the field of view whatever the shape.
        hardness: 0 gives look-alikes a gray level of their own, 1 the target's; by chance when None.
    """
    if family not in FAMILIES:
        raise InputError(f"Unknown phantom family '{family}': choose one of {', '.join(FAMILIES)}.")
    if len(shape_kji) != 3 or min(shape_kji) < 8:
        raise InputError(f"A phantom needs at least 8 voxels along each of three axes, got {tuple(shape_kji)}.")
    rng = np.random.default_rng([GENERATOR_VERSION, seed % 2**63, FAMILIES.index(family)])
    if family == "mixed":
        family = str(rng.choice(list(SCENES), p=_MIXTURE))
    shape = (int(shape_kji[0]), int(shape_kji[1]), int(shape_kji[2]))
    in_plane_mm = rng.uniform(0.8, 2.0) * 96 / min(shape[1:])
    size = in_plane_mm * min(shape[1:]) / float(ROOM_KJI[1])
    slice_mm = float(ROOM_KJI[0]) * size / shape[0] * rng.uniform(0.75, 1.25)
    spacing = (round(slice_mm, 4), round(in_plane_mm, 4), round(in_plane_mm, 4))
    canvas = Canvas(rng, shape, spacing, warp_mm=float(rng.uniform(1, 4)) * size)
    scene = Scene(rng, canvas, size, float(rng.uniform(0.3, 1)) if hardness is None else hardness)
    SCENES[family](scene)
    look = "ct" if rng.random() < 0.5 else "mr"
    values = _to_look(rng, _draw_intensities(scene), scene.labels, look)
    present = np.unique(scene.labels)
    names = {int(value): scene.names[int(value)] for value in present if value > 0}
    return Phantom(values, scene.labels, spacing, names, look)


def cached_phantom(folder: Path, seed: int, family: str, shape_kji: tuple[int, int, int]) -> Phantom:
    """`make_phantom` behind a cache of compressed files; a damaged or foreign file is made anew."""
    key = hashlib.sha256(repr((GENERATOR_VERSION, seed, family, tuple(shape_kji))).encode()).hexdigest()[:20]
    path = folder / f"phantom-{key}.npz"
    if path.exists():
        try:
            with np.load(path) as stored:
                names = dict(zip(stored["ids"].tolist(), stored["names"].tolist(), strict=True))
                spacing = tuple(stored["spacing"].tolist())
                return Phantom(stored["values"], stored["labels"], spacing, names, str(stored["look"]))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError):
            path.unlink(missing_ok=True)
    phantom = make_phantom(seed, family, shape_kji)
    folder.mkdir(parents=True, exist_ok=True)
    with writing(path) as file:
        np.savez_compressed(
            file,
            values=phantom.values,
            labels=phantom.labels,
            spacing=np.array(phantom.spacing_kji_mm),
            ids=np.array(list(phantom.names)),
            names=np.array(list(phantom.names.values())),
            look=np.array(phantom.look),
        )
    return phantom
