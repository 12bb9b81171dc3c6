"""Drawn trunks that share one layout: where an organ is in one tells where it is in the next.

The families of `phantom` place organs at random, so nothing can be learned of places from them. All bodies of a layout
have the same organs, bones and lungs at the same places, with sizes, bends and gray values of their own, and a field of
view of their own that leaves out what lies above and below.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SegmentPropagateLib.phantoms.phantom import Phantom
from SegmentPropagateLib.phantoms.shapes import smooth_noise

ORGANS = 14
"""Labels 1 to 14; vertebrae, lungs, cord and aorta follow as in `NAMES`."""
NAMES = {
    **{value: f"organ {value}" for value in range(1, ORGANS + 1)},
    **{20 + level: f"vertebra {level}" for level in range(17)},
    40: "lung right",
    41: "lung left",
    50: "cord",
    51: "aorta",
}

_SIZE_MM = np.array([520.0, 260.0, 340.0])
_SHIFT_MM, _GROWTH, _BEND_MM = 7.0, 0.1, 7.0  # standard deviations between people
_FIELD_MM = (130.0, 320.0)  # of a cropped body's length

Image = NDArray[np.float32]


@dataclass(frozen=True)
class Body:
    """A drawn trunk.

    Args:
        phantom: its voxels; arrays go toward head, back and left.
        start_mm: place of voxel 0 in the layout's own coordinates, along k, j, i.
    """

    phantom: Phantom
    start_mm: NDArray[np.float64]


@dataclass(frozen=True)
class _Organ:
    center_mm: NDArray[np.float64]
    radii_mm: NDArray[np.float64]
    power: float
    hu: float
    tilt: float


def make_body(seed: int, layout: int = 0, mm: float = 4.0, cropped: bool = True) -> Body:
    """The body of that seed; the same seed and layout give the same one.

    Args:
        seed: of the person.
        layout: seed of where organs are and what they are like.
        mm: voxel size.
        cropped: whether the field of view is a part of the trunk, by chance.
    """
    rng = np.random.default_rng([78, layout, seed])
    shape = tuple(int(size / mm) for size in _SIZE_MM)
    bend = smooth_noise(rng, shape, np.full(3, 80 / mm), 3) * _BEND_MM
    scale = np.exp(rng.normal(0, 0.08, 3))
    axes = np.meshgrid(*[(np.arange(n) - (n - 1) / 2) * mm for n in shape], indexing="ij", sparse=True)
    z, y, x = (((axis + shift) / part).astype(np.float32) for axis, shift, part in zip(axes, bend, scale, strict=True))
    hu, labels, radius = _trunk(rng, z, y, x)
    _column(rng, z, y, x, hu, labels)
    for value, organ in enumerate(_layout(layout), 1):
        center = organ.center_mm + rng.normal(0, _SHIFT_MM, 3)
        radii = organ.radii_mm * np.exp(rng.normal(0, _GROWTH, 3))
        dz, dx = z - center[0], x - center[2]
        dz, dx = dx * np.sin(organ.tilt) + dz * np.cos(organ.tilt), dx * np.cos(organ.tilt) - dz * np.sin(organ.tilt)
        sides = zip((dz, y - center[1], dx), radii, strict=True)
        inside = sum(np.abs(side / half) ** organ.power for side, half in sides) < 1 + 0.03 * bend[value % 3]
        inside &= (radius < 0.64) & ~((labels >= 20) & (labels < 40)) & (labels != 50)
        hu[inside], labels[inside] = organ.hu + rng.normal(0, 12), value
    hu += smooth_noise(rng, shape, np.full(3, max(1.0, 12 / mm)))[0] * rng.uniform(6, 14)
    hu = ndimage.gaussian_filter(hu, 0.5) + rng.standard_normal(shape, np.float32) * np.float32(rng.uniform(5, 18))
    cut = _field(rng, shape, mm) if cropped else (slice(None),) * 3
    values = np.clip(np.rint(hu[cut]), -1024, 3000).astype(np.int16)
    names = {int(value): NAMES[int(value)] for value in np.unique(labels[cut]) if value}
    start = np.array([(span.start or 0) * mm for span in cut]) - (np.array(shape) - 1) / 2 * mm
    return Body(Phantom(values, labels[cut].copy(), (mm, mm, mm), names, "ct"), start)


def _layout(seed: int) -> list[_Organ]:
    """Organs that leave each other room."""
    rng = np.random.default_rng([77, seed])
    organs: list[_Organ] = []
    for _ in range(ORGANS):
        for _attempt in range(200):
            share = np.array([rng.uniform(-200, 200), rng.uniform(-0.55, 0.35), rng.uniform(-0.6, 0.6)])
            center = share * [1, _SIZE_MM[1] * 0.38, _SIZE_MM[2] * 0.42]
            radii = np.exp(rng.uniform(np.log(14), np.log(50), 3)) * [1.2, 1, 1]
            if all((np.abs(center - it.center_mm) / (0.7 * (radii + it.radii_mm))).max() > 1 for it in organs):
                break
        organs.append(_Organ(center, radii, rng.uniform(1.6, 3.2), rng.uniform(-20, 130), rng.uniform(-0.5, 0.5)))
    return organs


def _trunk(rng: np.random.Generator, z: Image, y: Image, x: Image) -> tuple[Image, NDArray[np.uint8], Image]:
    """Skin, wall, cavity, lungs and ribs: gray values, labels, and how far out a voxel is, 1 on the skin."""
    _, depth, width = _SIZE_MM
    waist = 1 + 0.1 * np.sin(z / 90) + 0.08 * np.cos(z / 37)
    radius = (np.abs(y) / (depth * 0.4 * waist)) ** 2.3 + (np.abs(x) / (width * 0.43 * waist)) ** 2.3
    labels = np.zeros(radius.shape, np.uint8)
    fat, soft = rng.normal(-95, 8), rng.normal(50, 8)
    hu = np.select([radius < 0.62, radius < 0.82, radius < 1], [fat + 25, soft, fat], -1000).astype(np.float32)
    lungs = (radius < 0.62) & (z > 95) & (np.abs(x) > 22) & (y < 60)
    hu[lungs] = rng.normal(-820, 20)
    labels[lungs & (x < 0)], labels[lungs & (x > 0)] = 40, 41
    ribs = (np.abs(((z + 0.55 * y) / 27) % 1 - 0.5) < 0.17) & (radius > 0.66) & (radius < 0.78) & (z > -20)
    hu[ribs] = rng.normal(330, 30)
    return hu, labels, radius


def _column(rng: np.random.Generator, z: Image, y: Image, x: Image, hu: Image, labels: NDArray[np.uint8]) -> None:
    """Vertebrae that grow downward, the cord behind them, the aorta before them."""
    back = y - _SIZE_MM[1] * 0.26
    for level in range(-8, 9):
        height, width = 30 - 0.6 * level, 21 - 0.6 * level
        middle = level * 31 + rng.normal(0, 1)
        bone = (np.abs(z - middle) < 0.42 * height) & ((back / (width * 0.8)) ** 2 + (x / width) ** 2 < 1)
        hu[bone], labels[bone] = rng.normal(260, 15), 28 + level
    cord = ((back - 24) / 8) ** 2 + (x / 9) ** 2 < 1
    hu[cord], labels[cord] = 30, 50
    before = y - _SIZE_MM[1] * 0.13
    aorta = ((before - 6 * np.sin(z / 60)) / 11) ** 2 + ((x - 10 - 6 * np.cos(z / 70)) / 11) ** 2 < 1
    hu[aorta], labels[aorta] = rng.normal(140, 25), 51


def _field(rng: np.random.Generator, shape: tuple[int, ...], mm: float) -> tuple[slice, ...]:
    """A stretch of the trunk; in three of ten bodies its sides are cut as well."""
    spans = []
    narrow = rng.random() < 0.3
    for axis, size in enumerate(shape):
        if axis == 0:
            count = min(size, int(rng.uniform(*_FIELD_MM) / mm))
        else:
            count = int(size * rng.uniform(0.6, 0.9)) if narrow else size
        start = int(rng.integers(0, size - count + 1))
        spans.append(slice(start, start + count))
    return tuple(spans)
