"""A scene: labels under construction, and what they will look like."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.phantoms.shapes import Canvas, Mask

# The scenes are laid out in a room of this size (mm) and scaled to the field of view.
ROOM_KJI = np.array([160.0, 144.0, 144.0], np.float32)


@dataclass
class Scene:
    """Labels under construction; a later shape covers an earlier one.

    Args:
        rng: source of randomness.
        canvas: to draw on.
        size: scale from the room to the field of view.
        hardness: see `twin_gray`.
        labels: uint8 `(k, j, i)`; 0 is air.
        names: label -> what it is.
        gray: label -> gray level, 0..255.
        walls: label -> gray level of its outermost pixels, where that is another.
        patches: label -> gray level of patches within, where it has some.
        details: places with a gray level of their own whatever their label, drawn last.
    """

    rng: np.random.Generator
    canvas: Canvas
    size: float
    hardness: float
    labels: NDArray[np.uint8] = field(init=False)
    names: dict[int, str] = field(default_factory=dict)
    gray: dict[int, float] = field(default_factory=dict)
    walls: dict[int, float] = field(default_factory=dict)
    patches: dict[int, float] = field(default_factory=dict)
    details: list[tuple[Mask, float]] = field(default_factory=list)

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
