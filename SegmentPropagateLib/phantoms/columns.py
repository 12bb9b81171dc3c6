"""A family of phantoms: a vertebral column whose bones are a bright shell around marrow.

A vertebra is three things in one slice direction: a body that ends at a disc, an arch that goes on beyond it, and joint
processes that lie beside those of the next vertebra. A starter trained without it went on into the disc, and lost the
marrow of ribs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.phantoms.organs import any_shape
from SegmentPropagateLib.phantoms.scene import Scene
from SegmentPropagateLib.phantoms.shapes import Mask, smooth_curve

LEVELS = 9
PITCH = 1.35
"""From one vertebra to the next, in heights of a body; the rest is disc."""
VALUES, NAMES = {LEVELS // 2: 1, LEVELS // 2 + 1: 2}, {1: "target", 2: "look-alike"}
FIRST_VERTEBRA, FIRST_RIB = 20, 40

Place = tuple[float, float, float]


def column(scene: Scene) -> None:
    """Every vertebra has a label of its own, and so has every rib; the target (1) is the vertebra in the middle."""
    rng = scene.rng
    middle = scene.at(*rng.normal(0, [8, 6, 6]))
    zoom = float(np.exp(rng.uniform(np.log(0.7), np.log(1.6)))) * scene.size
    width, height = zoom * rng.uniform(18, 24), zoom * rng.uniform(20, 30)
    soft = _soft_tissue(scene, middle, width)
    marrow = float(np.clip(soft + rng.uniform(-15, 60), 0, 255))
    shell = scene.visible_gray(soft, 50.0)
    bends = np.stack([smooth_curve(rng, LEVELS, 2) for _ in range(2)], 1) * 4 * zoom
    shift, has_ribs = rng.uniform(-0.4, 0.4), rng.random() < 0.45
    slope = rng.uniform(0.5, 1.2) if has_ribs else rng.uniform(0.1, 0.5)
    canal, disc, rib_gray = rng.uniform(0, 255), soft + rng.normal(0, 15), marrow + rng.normal(0, 8)
    up = (np.arange(LEVELS) - LEVELS // 2 + shift) * PITCH * height
    centers = (middle + np.column_stack([up, bends])).astype(np.float32)
    size = np.array([height, width, width], np.float32)
    _discs_and_canal(scene, centers, size, float(disc), float(canal))
    inside = scene.labels != 0
    for level, center in enumerate(centers):
        value = VALUES.get(level, FIRST_VERTEBRA + level)
        bone = _vertebra(scene, center, size, slope)
        gray = float(np.clip(marrow + rng.normal(0, 4), 0, 255))
        scene.paint(value, bone, NAMES.get(value, "vertebra"), gray, inside & (scene.labels != 1))
        scene.walls[value] = shell
        dense = marrow + float(rng.uniform(0.3, 1)) * (shell - marrow)
        scene.details.append((bone & _ends(scene, center, size), dense))
        for side in (-1, 1) if has_ribs else ():
            rib = FIRST_RIB + 2 * level + (side > 0)
            scene.paint(rib, _rib(scene, center, size, side), "rib", float(rib_gray), inside & ~bone)
            scene.walls[rib] = shell


def _soft_tissue(scene: Scene, middle: NDArray[np.float32], width: float) -> float:
    """Skin, muscle, fat, vessels and muscles beside the column; returns the gray of muscle."""
    rng, canvas = scene.rng, scene.canvas
    fat = float(rng.uniform(10, 120))
    soft = scene.visible_gray(fat, 20.0)
    radii = np.maximum(scene.at(400, rng.uniform(56, 90), rng.uniform(62, 100)), 2.6 * width)
    behind = max(3.1 * width - 0.9 * float(radii[1]), -rng.uniform(0.4, 1.6) * width)  # the processes stay in the body
    front = middle + np.array([0, behind, 0], np.float32)
    scene.paint(3, canvas.ellipsoid(front, radii, power=2.6), "skin and fat", fat)
    scene.paint(4, canvas.ellipsoid(front, radii * rng.uniform(0.8, 0.95), power=2.6), "muscle", soft)
    cavity = front - np.array([0, 0.8 * width, 0], np.float32)
    scene.paint(5, canvas.ellipsoid(cavity, radii * (1, 0.6, 0.75), power=2.6), "fat between organs", fat)
    for side in (-1, 1):
        beside = middle + np.array([0, rng.uniform(0, 0.5) * width, side * rng.uniform(1.3, 1.7) * width], np.float32)
        line = np.stack([beside + scene.at(k, 0, 0) for k in (-200, 200)]).astype(np.float32)
        scene.paint(8, canvas.tube(line, [rng.uniform(0.4, 0.9) * width] * 2), "psoas", soft + rng.normal(0, 8))
    for value in range(9, 9 + int(rng.integers(2, 7))):
        place = middle + np.array([0, -rng.uniform(1, 2.5) * width, rng.normal(0, 1.2) * width], np.float32)
        kind = str(rng.choice(["ellipsoid", "blob", "tube", "tube"]))
        organ = any_shape(scene, place, float(rng.uniform(5, 26)) * scene.size, kind)
        gray = soft + rng.normal(0, 15) if rng.random() < 0.6 else rng.uniform(0, 255)
        scene.paint(value, organ, kind, float(np.clip(gray, 0, 255)), scene.labels == 5)
    return soft


def _discs_and_canal(
    scene: Scene, centers: NDArray[np.float32], size: NDArray[np.float32], disc: float, canal: float
) -> None:
    for center in centers:
        between = center - np.array([0.5 * PITCH * size[0], 0, 0], np.float32)
        scene.paint(7, scene.canvas.ellipsoid(between, size * (0.4, 0.76, 1.02), power=2.6), "discs", disc)
        behind = center + size * np.array([0, 1.12, 0], np.float32)
        scene.paint(6, scene.canvas.ellipsoid(behind, size * (0.7, 0.37, 0.52)), "canal", canal)


def _ends(scene: Scene, center: NDArray[np.float32], size: NDArray[np.float32]) -> Mask:
    """Where a body is dense: at its upper and its lower end."""
    canvas = scene.canvas
    thickness = max(0.07 * float(size[0]), 0.5 * float(canvas.spacing[0]))
    ends = np.abs(canvas.k - center[0]) > 0.5 * float(size[0]) - thickness
    return np.asarray(ends & (np.abs(canvas.j - center[1]) < 0.8 * float(size[1])))


def _vertebra(scene: Scene, center: NDArray[np.float32], size: NDArray[np.float32], slope: float) -> Mask:
    """Body, pedicles, joint processes, laminae, spinous and transverse processes, less the canal.

    Places are in parts of the body's height and half width from its middle: up, back, and to the side.
    """
    canvas, width = scene.canvas, float(size[1])
    thick = scene.rng.uniform(0.85, 1.15)
    mask = canvas.ellipsoid(center, size * (0.9, 0.74, 1.0), power=2.6) & (np.abs(canvas.k - center[0]) < 0.5 * size[0])

    def rod(*places: Place, radius: float) -> None:
        nonlocal mask
        points = center + np.array(places, np.float32) * size
        mask |= canvas.tube(points, [radius * thick * width] * len(places))

    reach = scene.rng.uniform(1.3, 2.0)
    for side in (-1.0, 1.0):
        rod((0.22, 0.6, 0.62 * side), (0.22, 1.35, 0.68 * side), radius=0.22)
        rod((0.62, 1.25, 0.78 * side), (0.15, 1.4, 0.68 * side), (-0.75, 1.62, 0.48 * side), radius=0.19)
        for level in (0.1, -0.25):
            rod((level, 1.45, 0.6 * side), (level - 0.2, 1.85, 0.0), radius=0.16)
        rod((0.2, 1.35, 0.7 * side), (0.3, 1.5, reach * side), radius=0.16)
    for level in (0.0, -0.25, -0.5):
        rod((level - 0.1, 1.85, 0.0), (level - slope, 2.8, 0.0), radius=0.14)
    canal = canvas.ellipsoid(center + size * np.array([0, 1.12, 0], np.float32), size * (4.0, 0.36, 0.5))
    return mask & ~canal


def _rib(scene: Scene, center: NDArray[np.float32], size: NDArray[np.float32], side: int) -> Mask:
    """A flat bone from beside a vertebra around the trunk, sinking on its way."""
    rng, height, width = scene.rng, float(size[0]), float(size[1])
    angle = np.linspace(0.1, rng.uniform(0.6, 1.0), 10) * np.pi
    out, deep, drop = rng.uniform(2.0, 2.8), rng.uniform(1.8, 2.6), rng.uniform(0.8, 2.2)
    i = side * (1.1 + out * np.sin(angle)) * width
    j = (1.35 - deep * (1 - np.cos(angle)) * 0.8) * width
    k = (0.35 - drop * (angle - angle[0])) * height
    line = center + np.stack([k, j, i], 1).astype(np.float32)
    radius, flat = rng.uniform(0.13, 0.2) * width, rng.uniform(0.2, 1.6)
    mask = np.zeros(scene.canvas.shape_kji, bool)
    for step in (-1, 0, 1):
        mask |= scene.canvas.tube(line + np.array([step * flat * radius, 0, 0], np.float32), [radius] * len(line))
    return mask
