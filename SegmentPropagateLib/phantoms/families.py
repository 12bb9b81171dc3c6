"""The families of phantoms: what is drawn where, label by label (see `phantoms` for the list)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SegmentPropagateLib.phantoms.columns import column
from SegmentPropagateLib.phantoms.organs import any_shape, kidney, vertebra
from SegmentPropagateLib.phantoms.scene import Scene
from SegmentPropagateLib.phantoms.shapes import Mask, rotation, smooth_curve, smooth_noise
from SegmentPropagateLib.phantoms.trunks import crowd, trunk


def _body(scene: Scene) -> tuple[NDArray[np.float32], Mask]:
    """Soft tissue (label 9), spine (3), liver (4) and vessels (5); returns the body's middle and its mask."""
    rng, canvas = scene.rng, scene.canvas
    middle = scene.at(*rng.normal(0, [8, 4, 4]))
    radii = scene.at(400, 66, 66) * rng.uniform(0.9, 1.05, 3)
    body = canvas.ellipsoid(middle, radii)
    scene.paint(9, body, "soft tissue", float(rng.uniform(60, 130)))
    column = middle + np.stack([scene.at(-200, 40, 0), scene.at(200, 40, 0)])
    spine = canvas.tube(column, [11 * scene.size, 12 * scene.size])
    scene.paint(3, spine, "spine", float(rng.uniform(20, 250)), body)
    liver = canvas.ellipsoid(
        middle + scene.at(16, -4, -32) + scene.at(*rng.normal(0, 3, 3)),
        scene.at(45, 34, 26) * rng.uniform(0.85, 1.15, 3),
        rotation(rng, 0.15),
    )
    scene.paint(4, liver, "liver", float(rng.uniform(20, 250)), body & (scene.labels == 9))
    root, fork = middle + scene.at(-80, 6, 0), middle + scene.at(0, 4, 2) + scene.at(*rng.normal(0, 3, 3))
    gray = float(rng.uniform(20, 250))
    for side in (-1, 1):
        tip = fork + scene.at(72, rng.uniform(-12, 4), side * rng.uniform(12, 26))
        vessel = canvas.tube(np.stack([root, fork, tip]), np.array([6, 5, 3]) * scene.size)
        scene.paint(5, vessel, "vessels", gray, body & (scene.labels != 3))
    return middle, body


def _organs(scene: Scene, contact: bool = False) -> None:
    rng, canvas = scene.rng, scene.canvas
    middle, body = _body(scene)
    base = middle + scene.at(-19, 10, 34) + scene.at(*rng.normal(0, 3, 3))
    radii = scene.at(rng.uniform(26, 38), rng.uniform(12, 17), rng.uniform(11, 15))
    other = scene.at(rng.uniform(22, 34), rng.uniform(12, 20), rng.uniform(11, 18))
    target = kidney(scene, base, radii)
    shift = scene.at(0, rng.uniform(-5, 5), rng.uniform(-3, 6))
    if contact:
        end = base[0] + 0.8 * radii[0]
        target &= canvas.k < end
        start = end + scene.size * rng.uniform(-2, 2)
        shift[0] = start + 0.5 * other[0] - base[0]
        twin = canvas.ellipsoid(base + shift, other, rotation(rng, 0.1)) & (canvas.k >= start)
    else:
        shift[0] = radii[0] + other[0] + scene.size * rng.uniform(-8, 8)
        twin = canvas.ellipsoid(base + shift, other, rotation(rng, 0.15))
    gray = scene.visible_gray(scene.gray[9])
    scene.paint(2, twin, "look-alike", scene.twin_gray(gray), body & np.isin(scene.labels, (9, 5)))
    scene.paint(1, target, "target", gray, body & (scene.labels != 3))


def _contact(scene: Scene) -> None:
    _organs(scene, contact=True)


def _twins(scene: Scene) -> None:
    rng = scene.rng
    middle, body = _body(scene)
    scene.labels[scene.labels == 4] = 9  # room for both
    gray = scene.visible_gray(scene.gray[9])
    radii = scene.at(rng.uniform(24, 40), rng.uniform(11, 16), rng.uniform(10, 14))
    side = rng.choice([-1, 1])
    for value, name in ((2, "other twin"), (1, "target")):
        place = middle + scene.at(-10, 14, side * 32 * (1 if value == 1 else -1)) + scene.at(*rng.normal(0, [9, 3, 3]))
        organ = kidney(scene, place, radii * rng.uniform(0.9, 1.1, 3).astype(np.float32))
        scene.paint(value, organ, name, gray if value == 1 else scene.twin_gray(gray), body & (scene.labels != 3))


def _reappearing(scene: Scene) -> None:
    rng, canvas = scene.rng, scene.canvas
    middle, body = _body(scene)
    gray = scene.visible_gray(scene.gray[9])
    turn = np.linspace(0, np.pi, 13) * rng.choice([-1, 1])
    height, width = rng.uniform(28, 46), rng.uniform(14, 24)
    loop = np.stack(
        [-height * np.cos(2 * turn) / 2, 6 + rng.uniform(-8, 8) * np.sin(2 * turn), width * np.sin(2 * turn)], 1
    )
    # An open loop: it goes up on one side, over the top, and ends lower on the other side.
    loop = (np.roll(loop, 3, axis=0)[: rng.integers(9, 13)] + rng.normal(0, 1.5, 3)) * scene.size
    radii = rng.uniform(6, 10) * scene.size * (1 + 0.25 * smooth_curve(rng, len(loop), 3))
    tube = canvas.tube((middle + loop).astype(np.float32), np.clip(radii, 3 * scene.size, None))
    beside = canvas.tube(
        (middle + loop[:5] + scene.at(0, rng.choice([-20, 20]), rng.uniform(-6, 6))).astype(np.float32), radii[:5]
    )
    scene.paint(2, beside, "look-alike", scene.twin_gray(gray), body)
    scene.paint(1, tube, "target", gray, body)


def _branching(scene: Scene) -> None:
    rng, canvas = scene.rng, scene.canvas
    middle, body = _body(scene)
    gray = scene.visible_gray(scene.gray[9], 45.0)
    tree = np.zeros(canvas.shape_kji, bool)
    tips = [(middle + scene.at(-60, 4, 10), np.array([1.0, 0.0, 0.0]), rng.uniform(6, 9))]
    for _generation in range(4):
        grown = []
        for start, direction, radius in tips:
            for _branch in range(2 if radius < 8.5 else 1):
                heading = direction + rng.normal(0, [0.2, 0.7, 0.7])
                heading = heading / np.linalg.norm(heading)
                end = start + (heading * rng.uniform(18, 34) * scene.size).astype(np.float32)
                tree |= canvas.tube(np.stack([start, end]), np.array([radius, radius * 0.75]) * scene.size)
                grown.append((end, heading, radius * rng.uniform(0.6, 0.78)))
        tips = [tip for tip in grown if tip[2] > 1.6]
    scene.paint(1, tree, "target", gray, body)


def _nested(scene: Scene) -> None:
    rng = scene.rng
    middle, body = _body(scene)
    shell_gray = scene.visible_gray(scene.gray[9])
    base = middle + scene.at(*rng.normal(0, [12, 6, 6])) + scene.at(0, 0, 22)
    radii = scene.at(rng.uniform(30, 48), rng.uniform(20, 28), rng.uniform(18, 26))
    turn = rotation(rng, 0.2)
    organ = scene.canvas.ellipsoid(base, radii, turn)
    shift = (radii * rng.uniform(-0.2, 0.2, 3)).astype(np.float32)
    part = scene.canvas.ellipsoid(base + shift, radii * rng.uniform(0.45, 0.75, 3).astype(np.float32), turn)
    inner, outer = (1, 2) if rng.random() < 0.6 else (2, 1)
    scene.paint(outer, organ, "target" if outer == 1 else "organ around", shell_gray, body)
    inner_gray = scene.visible_gray(shell_gray, 25.0)
    scene.paint(inner, part, "target" if inner == 1 else "core", inner_gray, body & (scene.labels == outer))


def _spine(scene: Scene) -> None:
    rng = scene.rng
    middle, body = _body(scene)
    scene.labels[scene.labels == 3] = 9  # the plain column makes way for vertebrae
    width = rng.uniform(15, 21) * scene.size
    height = rng.uniform(22, 34) * scene.size
    gray = scene.visible_gray(scene.gray[9])
    lean = scene.at(0, rng.uniform(-6, 6), rng.uniform(-5, 5))
    canal = scene.canvas.tube(
        middle + np.stack([scene.at(-200, 22, 0), scene.at(200, 22, 0)]), [0.4 * width, 0.4 * width]
    )
    scene.paint(8, canal, "spinal canal", float(rng.uniform(20, 250)), body)
    offset = rng.uniform(-0.4, 0.4)
    for value, place in ((2, -2), (2, 2), (2, -1), (2, 1), (1, 0)):
        along = place + offset
        center = (
            middle + np.array([along * height * 1.22, 22 * scene.size - 1.15 * width, 0], np.float32) + along * lean / 2
        )
        level = vertebra(scene, center.astype(np.float32), height, width)
        level_gray = gray if value == 1 else scene.twin_gray(gray)
        scene.paint(value, level, "target" if value == 1 else "look-alike", level_gray, body & (scene.labels != 1))


def _soup(scene: Scene) -> None:
    rng, canvas = scene.rng, scene.canvas
    grounds = int(rng.integers(3, 8)) if rng.random() < 0.75 else 1
    if grounds > 1:
        knots = rng.uniform(12, 45) * scene.size / canvas.spacing * [rng.uniform(0.7, 1.6), 1, 1]
        scene.labels[:] = smooth_noise(rng, canvas.shape_kji, knots, grounds).argmax(0) + 1
    else:
        scene.labels[:] = 1
    for value in range(1, grounds + 1):
        scene.names[value], scene.gray[value] = "ground", _soup_gray(scene)
    value = grounds
    for _ in range(int(rng.integers(8, 18))):
        kind = str(rng.choice(["ellipsoid", "ellipsoid", "blob", "tube", "tube", "branch"]))
        center = (rng.uniform(-0.4, 0.4, 3) * canvas.extent).astype(np.float32)
        size_mm = float(np.exp(rng.uniform(np.log(4), np.log(42)))) * scene.size
        mask = any_shape(scene, center, size_mm, kind)
        if mask.sum() < 40:
            continue
        value += 1
        scene.paint(value, mask, kind, gray := _soup_gray(scene))
        if rng.random() < 0.12:
            steps = max(1, int(size_mm * rng.uniform(0.1, 0.3) / canvas.spacing[1]))
            value += 1
            scene.paint(value, ndimage.binary_erosion(mask, np.ones((1, 3, 3)), steps), "core", _soup_gray(scene))
        if kind in ("ellipsoid", "blob") and rng.random() < 0.35:  # takes over where the shape is still large
            start = center[0] + rng.uniform(-0.5, 0.8) * size_mm
            shift = [0, *rng.normal(0, 0.25 * size_mm, 2)]
            radii = size_mm * np.array([rng.uniform(0.8, 3), *np.exp(rng.normal(0, 0.3, 2))])
            value += 1
            scene.paint(
                value,
                canvas.ellipsoid(center + shift, radii) & (canvas.k >= start),
                "look-alike",
                scene.twin_gray(gray),
            )


def _soup_gray(scene: Scene) -> float:
    """Any gray level, but often nearly that of something else in the scene."""
    if len(scene.gray) > 2 and scene.rng.random() < 0.35:
        return float(scene.gray[int(scene.rng.choice(list(scene.gray)))] + scene.rng.normal(0, 6))
    return float(scene.rng.uniform(0, 255))


SCENES: Mapping[str, Callable[[Scene], None]] = {
    "organs": _organs,
    "contact": _contact,
    "twins": _twins,
    "reappearing": _reappearing,
    "branching": _branching,
    "nested": _nested,
    "spine": _spine,
    "soup": _soup,
    "crowd": crowd,
    "trunk": trunk,
    "column": column,
}
