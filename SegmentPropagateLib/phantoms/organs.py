"""What scenes are made of: kidneys, vertebrae, and shapes of any kind."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.phantoms.scene import Scene
from SegmentPropagateLib.phantoms.shapes import Mask, rotation, smooth_curve, smooth_noise


def kidney(scene: Scene, base: NDArray[np.float32], radii: NDArray[np.float32]) -> Mask:
    """An ellipsoid less its hilum."""
    mask = scene.canvas.ellipsoid(base, radii, rotation(scene.rng, 0.12))
    inward = -np.sign(base[2]) * radii[2]
    hilum = scene.canvas.ellipsoid(base + np.array([0, 0, inward], np.float32), scene.at(8, 6, 6))
    return mask & ~hilum


def vertebra(scene: Scene, center: NDArray[np.float32], height: float, width: float) -> Mask:
    """Body, arch around the canal, spinous and transverse processes."""
    canvas, s = scene.canvas, width
    mask = canvas.ellipsoid(center, (height * 0.5, 0.72 * s, s), power=4.0)
    ring = np.array([0, 1.15 * s, 0], np.float32)
    arch = canvas.ellipsoid(center + ring, (height * 0.42, 0.72 * s, 0.8 * s))
    canal = canvas.ellipsoid(center + ring, (height * 3, 0.42 * s, 0.5 * s))
    mask |= arch
    low = np.array([height * scene.rng.uniform(0.2, 0.6), 0, 0], np.float32)
    spinous = center + np.array([0, 1.7 * s, 0], np.float32)
    mask |= canvas.tube(np.stack([spinous, spinous + low + np.array([0, 0.9 * s, 0], np.float32)]), [0.2 * s, 0.16 * s])
    for side in (-1, 1):
        root = center + np.array([0, 1.1 * s, side * 0.7 * s], np.float32)
        tip = root + np.array([0, 0.25 * s, side * 0.9 * s], np.float32) - low * 0.4
        mask |= canvas.tube(np.stack([root, tip]), [0.2 * s, 0.14 * s])
    return mask & ~canal


def any_shape(scene: Scene, center: NDArray[np.float32], size_mm: float, kind: str) -> Mask:
    """A random `ellipsoid`, `blob`, `tube` or `branch` about a place, of about that radius."""
    rng, canvas = scene.rng, scene.canvas
    if kind in ("tube", "branch"):
        radius = min(size_mm, 16 * scene.size)
        count = 14
        heading = np.array([1, 0, 0]) if rng.random() < 0.7 else rotation(rng, 1.0)[0]
        line = np.linspace(-0.6, 0.6, count)[:, None] * canvas.extent.max() * heading
        bends = np.stack([smooth_curve(rng, count, rng.uniform(1, 4)) for _ in range(3)], 1) * 10 * scene.size
        first, last = sorted(rng.choice(count, 2, replace=False)) if rng.random() < 0.6 else (0, count - 1)
        points = (center + line + bends)[first : last + 2].astype(np.float32)
        radii = np.clip(radius * np.exp(0.5 * smooth_curve(rng, count + 1, 3)), 0.2 * radius, 2 * radius)
        mask = canvas.tube(points, radii[: len(points)])
        if kind == "branch" and len(points) > 3:
            fork = int(rng.integers(1, len(points) - 2))
            drift = np.arange(len(points) - fork)[:, None] * rng.normal(0, 6, 3) * [0.2, 1, 1] * scene.size
            mask |= canvas.tube(
                (points[fork:] + drift).astype(np.float32), radii[fork : len(points)] * rng.uniform(0.5, 1)
            )
        return mask
    radii = size_mm * np.exp(rng.normal(0, 0.3, 3))
    radii[0] = max(radii[0] * rng.uniform(0.8, 2.0), 1.2 * canvas.spacing[0])
    rim = None
    if kind == "blob":
        knots = np.maximum((0.5 * size_mm + 2) / canvas.spacing, 1)
        rim = np.exp(smooth_noise(rng, canvas.shape_kji, knots)[0] * np.float32(rng.uniform(0.2, 0.8)))
    mask = canvas.ellipsoid(
        center, radii, rotation(rng, rng.uniform(0.1, 1)), float(rng.choice([2, 2, 2, 1.4, 4])), rim
    )
    if rng.random() < 0.3:  # a blunt end on one side
        cut = center[0] + rng.uniform(0.1, 0.8) * radii[0] * (side := rng.choice([-1, 1]))
        mask &= side * (canvas.k - cut) < 0
    return mask
