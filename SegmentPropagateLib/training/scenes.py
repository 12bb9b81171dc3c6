"""The families of phantoms: what is drawn where, label by label (see `phantoms` for the list)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SegmentPropagateLib.training.shapes import Canvas, Mask, rotation, smooth_curve, smooth_noise

# The scenes are laid out in a room of this size (mm) and scaled to the field of view.
ROOM_KJI = np.array([160.0, 144.0, 144.0], np.float32)


@dataclass
class Scene:
    """Labels under construction; a later shape covers an earlier one."""

    rng: np.random.Generator
    canvas: Canvas
    size: float  # scale from the room to the field of view
    hardness: float
    labels: NDArray[np.uint8] = field(init=False)
    names: dict[int, str] = field(default_factory=dict)
    gray: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.labels = np.zeros(self.canvas.shape_kji, np.uint8)
        self.gray[0] = float(self.rng.uniform(0, 15))

    def at(self, k: float, j: float, i: float) -> NDArray[np.float32]:
        """A place in the room, in mm from its middle, scaled to the field of view."""
        return np.array([k, j, i], np.float32) * self.size

    def paint(self, value: int, mask: Mask, name: str, gray: float, where: Mask | None = None) -> None:
        """Give the voxels a label, only `where` allowed."""
        self.labels[mask if where is None else mask & where] = value
        self.names[value] = name
        self.gray[value] = gray

    def visible_gray(self, against: float, gap: float = 30.0) -> float:
        """A gray level that differs from another by at least the gap, or there would be nothing to see."""
        while True:
            gray = float(self.rng.uniform(20, 240))
            if abs(gray - against) >= gap:
                return gray

    def twin_gray(self, gray: float) -> float:
        """The gray level of a look-alike: nearly equal for a hardness of 1."""
        away = (1 - self.hardness) * self.rng.choice([-1, 1]) * self.rng.uniform(30, 80)
        return float(gray + away + self.rng.normal(0, 3))


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


def _kidney(scene: Scene, base: NDArray[np.float32], radii: NDArray[np.float32]) -> Mask:
    """An ellipsoid less its hilum."""
    mask = scene.canvas.ellipsoid(base, radii, rotation(scene.rng, 0.12))
    inward = -np.sign(base[2]) * radii[2]
    hilum = scene.canvas.ellipsoid(base + np.array([0, 0, inward], np.float32), scene.at(8, 6, 6))
    return mask & ~hilum


def _organs(scene: Scene, contact: bool = False) -> None:
    rng, canvas = scene.rng, scene.canvas
    middle, body = _body(scene)
    base = middle + scene.at(-19, 10, 34) + scene.at(*rng.normal(0, 3, 3))
    radii = scene.at(rng.uniform(26, 38), rng.uniform(12, 17), rng.uniform(11, 15))
    other = scene.at(rng.uniform(22, 34), rng.uniform(12, 20), rng.uniform(11, 18))
    target = _kidney(scene, base, radii)
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
        organ = _kidney(scene, place, radii * rng.uniform(0.9, 1.1, 3).astype(np.float32))
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


def _vertebra(scene: Scene, center: NDArray[np.float32], height: float, width: float) -> Mask:
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
        level = _vertebra(scene, center.astype(np.float32), height, width)
        level_gray = gray if value == 1 else scene.twin_gray(gray)
        scene.paint(value, level, "target" if value == 1 else "look-alike", level_gray, body & (scene.labels != 1))


def _soup_shape(scene: Scene, center: NDArray[np.float32], size_mm: float, kind: str) -> Mask:
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
        mask = _soup_shape(scene, center, size_mm, kind)
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


def _crowd(scene: Scene) -> None:
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
    _crowd_spine(scene, middle + radii * np.array([0, 0.5, 0], np.float32), soft)
    organs: list[int] = []
    while len(organs) < 2:  # on a coarse grid most may be too small to be drawn
        organs = _crowd_organs(scene, middle, radii, inside, soft)
    # A layer of fat parts neighbors in some places; in others they touch.
    window = (1, 3, 3)
    borders = ndimage.maximum_filter(scene.labels, window) != ndimage.minimum_filter(scene.labels, window)
    parted = smooth_noise(rng, canvas.shape_kji, 14 * scene.size / canvas.spacing)[0] > rng.uniform(-0.6, 1.5)
    scene.labels[borders & parted & np.isin(scene.labels, organs)] = 5
    target, beside = (int(value) for value in rng.choice(organs, 2, replace=False))
    for value, organ, name in ((1, target, "target"), (2, beside, "look-alike")):
        scene.labels[scene.labels == organ] = value
        scene.names[value], scene.gray[value] = name, scene.gray.pop(organ)
        del scene.names[organ]


def _crowd_spine(scene: Scene, back: NDArray[np.float32], soft: float) -> None:
    """Vertebrae (label 6) in muscle (label 7)."""
    rng = scene.rng
    width, height = rng.uniform(11, 16) * scene.size, rng.uniform(20, 32) * scene.size
    for side in (-1, 1):
        line = back + np.stack([scene.at(k, 6, side * 20) for k in (-200, 200)])
        scene.paint(7, scene.canvas.tube(line, [13 * scene.size] * 2), "back muscle", soft + rng.normal(0, 6))
    gray = scene.visible_gray(soft)
    for level in range(-3, 4):
        center = back + np.array([(level + rng.uniform(-0.05, 0.05)) * 1.2 * height, -0.4 * width, 0], np.float32)
        scene.paint(6, _vertebra(scene, center, height, width), "vertebrae", gray, scene.labels != 0)


def _crowd_organs(
    scene: Scene, middle: NDArray[np.float32], radii: NDArray[np.float32], inside: Mask, soft: float
) -> list[int]:
    """Organs, vessels and gut, the large ones first; returns their labels."""
    rng, organs = scene.rng, []
    sizes = np.sort(np.exp(rng.uniform(np.log(5), np.log(42), int(rng.integers(26, 46)))))[::-1]
    for value, size_mm in enumerate(sizes * scene.size, start=10):
        kind = str(rng.choice(["ellipsoid", "blob", "blob", "tube", "tube", "branch"]))
        center = middle + (rng.uniform(-0.8, 0.8, 3) * [80 * scene.size, radii[1], radii[2]]).astype(np.float32)
        mask = _soup_shape(scene, center, float(size_mm) if kind in ("ellipsoid", "blob") else float(size_mm) / 2, kind)
        # Most organs make way for what is there; some press into it.
        where = inside & (scene.labels == 5) if rng.random() < 0.7 else inside & ~np.isin(scene.labels, (6, 7))
        if np.count_nonzero(mask & where) < 60:
            continue
        organs.append(value)
        gray = soft + rng.normal(0, 12) if rng.random() < 0.7 else float(rng.uniform(0, 255))
        scene.paint(value, mask, kind, float(np.clip(gray, 5, 250)), where)
        if rng.random() < 0.2:  # gas, fluid or contrast in a gut
            steps = max(1, int(size_mm * rng.uniform(0.15, 0.3) / scene.canvas.spacing[1]))
            lumen = ndimage.binary_erosion(mask & where, np.ones((1, 3, 3)), steps)
            scene.paint(8, lumen, "lumen", float(scene.gray.get(8, rng.choice([5.0, rng.uniform(0, 255)]))))
    return [value for value in organs if np.any(scene.labels == value)]


SCENES: Mapping[str, Callable[[Scene], None]] = {
    "organs": _organs,
    "contact": _contact,
    "twins": _twins,
    "reappearing": _reappearing,
    "branching": _branching,
    "nested": _nested,
    "spine": _spine,
    "soup": _soup,
    "crowd": _crowd,
}
