"""Two families of phantoms: a trunk full of organs, and one with ribs whose organs are of several grays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SegmentPropagateLib.phantoms.organs import any_shape, vertebra
from SegmentPropagateLib.phantoms.scene import Scene
from SegmentPropagateLib.phantoms.shapes import Mask, borders, smooth_noise

BONES = (6, 9)
"""Labels of vertebrae and ribs."""
_OF_THE_GRID = 64
"""An organ has 60 voxels, or this part of the grid where that is less: of 8 x 8 x 8 voxels no two had 60."""


def crowd(scene: Scene) -> None:
    """A trunk full of organs of nearly one gray."""
    _fill(scene, has_ribs=False)


def trunk(scene: Scene) -> None:
    """The same within ribs; organs and bones may have a wall or patches of another gray."""
    rng = scene.rng
    organs = _fill(scene, has_ribs=True)
    for value in (*organs, *BONES):
        if rng.random() < (0.7 if value in BONES else 0.3):
            scene.walls[value] = _another_gray(scene, scene.gray[value])
        if rng.random() < 0.3:
            scene.patches[value] = _another_gray(scene, scene.gray[value])


def _another_gray(scene: Scene, gray: float) -> float:
    return float(np.clip(gray + scene.rng.choice([-1, 1]) * scene.rng.uniform(15, 90), 0, 255))


def _fill(scene: Scene, has_ribs: bool) -> list[int]:
    """Draw everything; returns the labels of the organs, target (1) and look-alike (2) first."""
    rng, canvas = scene.rng, scene.canvas
    fat = float(rng.uniform(10, 110))
    soft = scene.visible_gray(fat, 25.0)
    middle = scene.at(*rng.normal(0, [8, 4, 4]))
    radii = scene.at(400, rng.uniform(50, 66), rng.uniform(58, 74))
    wall = scene.size * np.array([0, *rng.uniform(6, 12, 2)], np.float32)
    scene.paint(3, canvas.ellipsoid(middle, radii, power=2.6), "skin and fat", fat)
    scene.paint(4, canvas.ellipsoid(middle, radii - wall * 0.4, power=2.6), "muscle", soft + rng.normal(0, 6))
    inside = canvas.ellipsoid(middle, radii - wall, power=2.6)
    scene.paint(5, inside, "fat between organs", fat)
    _spine(scene, middle + radii * np.array([0, 0.5, 0], np.float32), soft)
    if has_ribs:
        _ribs(scene, middle, radii)
    organs: list[int] = []
    while len(organs) < 2:  # on a coarse grid most may be too small to be drawn
        organs = _organs(scene, middle, radii, inside, soft)
    _part(scene, organs)
    target, beside = (int(value) for value in rng.choice(organs, 2, replace=False))
    for value, organ, name in ((1, target, "target"), (2, beside, "look-alike")):
        scene.labels[scene.labels == organ] = value
        scene.names[value], scene.gray[value] = name, scene.gray.pop(organ)
        del scene.names[organ]
    return [1, 2, *(organ for organ in organs if organ not in (target, beside))]


def _part(scene: Scene, organs: list[int]) -> None:
    """A layer of fat (label 5) between neighbors in some places; in others they touch."""
    apart = smooth_noise(scene.rng, scene.canvas.shape_kji, 14 * scene.size / scene.canvas.spacing)[0]
    where = borders(scene.labels, 3) & (apart > scene.rng.uniform(-0.6, 1.5))
    scene.labels[where & np.isin(scene.labels, organs)] = 5


def _ribs(scene: Scene, middle: NDArray[np.float32], radii: NDArray[np.float32]) -> None:
    """Ribs (label 9): slanting arches in the wall of the trunk, so that a slice cuts many of them, each elsewhere."""
    rng, size = scene.rng, scene.size
    apart, drop, radius = rng.uniform(20, 34), rng.uniform(35, 95), rng.uniform(2.6, 5.5)
    depth, phase = rng.uniform(0.86, 0.93), rng.uniform(0, 1)
    gray = scene.visible_gray(scene.gray[4])
    bend = np.linspace(0.12, rng.uniform(0.55, 0.85), 12)
    where = np.isin(scene.labels, (3, 4, 5))
    for side in (-1, 1):
        for level in range(-5, 6):
            k = ((level + phase + rng.normal(0, 0.04)) * apart + drop * (bend - 0.4)) * size
            j = depth * radii[1] * np.cos(np.pi * bend)
            i = depth * radii[2] * np.sin(np.pi * bend) * side
            line = (middle + np.stack([k, j, i], 1)).astype(np.float32)
            rib = scene.canvas.tube(line, [radius * size] * len(line))
            scene.paint(9, rib, "ribs", gray, where)


def _spine(scene: Scene, back: NDArray[np.float32], soft: float) -> None:
    """Vertebrae (label 6) in muscle (label 7)."""
    rng = scene.rng
    width, height = rng.uniform(11, 16) * scene.size, rng.uniform(20, 32) * scene.size
    for side in (-1, 1):
        line = back + np.stack([scene.at(k, 6, side * 20) for k in (-200, 200)])
        scene.paint(7, scene.canvas.tube(line, [13 * scene.size] * 2), "back muscle", soft + rng.normal(0, 6))
    gray = scene.visible_gray(soft)
    for level in range(-3, 4):
        center = back + np.array([(level + rng.uniform(-0.05, 0.05)) * 1.2 * height, -0.4 * width, 0], np.float32)
        scene.paint(6, vertebra(scene, center, height, width), "vertebrae", gray, scene.labels != 0)


def _organs(
    scene: Scene, middle: NDArray[np.float32], radii: NDArray[np.float32], inside: Mask, soft: float
) -> list[int]:
    """Organs, vessels and gut, the large ones first; returns their labels."""
    rng, organs = scene.rng, []
    least = min(60, scene.labels.size // _OF_THE_GRID)
    sizes = np.sort(np.exp(rng.uniform(np.log(5), np.log(42), int(rng.integers(26, 46)))))[::-1]
    for value, size_mm in enumerate(sizes * scene.size, start=10):
        kind = str(rng.choice(["ellipsoid", "blob", "blob", "tube", "tube", "branch"]))
        center = middle + (rng.uniform(-0.8, 0.8, 3) * [80 * scene.size, radii[1], radii[2]]).astype(np.float32)
        mask = any_shape(scene, center, float(size_mm) if kind in ("ellipsoid", "blob") else float(size_mm) / 2, kind)
        # Most organs make way for what is there; some press into it.
        where = inside & (scene.labels == 5) if rng.random() < 0.7 else inside & ~np.isin(scene.labels, (6, 7, 9))
        if np.count_nonzero(mask & where) < least:
            continue
        organs.append(value)
        gray = soft + rng.normal(0, 12) if rng.random() < 0.7 else float(rng.uniform(0, 255))
        scene.paint(value, mask, kind, float(np.clip(gray, 5, 250)), where)
        if rng.random() < 0.2:  # gas, fluid or contrast in a gut
            steps = max(1, int(size_mm * rng.uniform(0.15, 0.3) / scene.canvas.spacing[1]))
            lumen = ndimage.binary_erosion(mask & where, np.ones((1, 3, 3)), steps)
            scene.paint(8, lumen, "lumen", float(scene.gray.get(8, rng.choice([5.0, rng.uniform(0, 255)]))))
    return [value for value in organs if np.any(scene.labels == value)]
