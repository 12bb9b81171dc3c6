"""Draw one phantom of each family, target red and look-alike blue: Testing/Data/phantoms.jpg."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from SegmentPropagateLib.phantoms.phantom import FAMILIES, Phantom, make_phantom
from SegmentPropagateLib.volumes.intensity import to_gray

OUT = Path(__file__).resolve().parents[1] / "Data" / "phantoms.jpg"
SEED, SLICES, TITLE = 4, 8, 84
COLORS = {1: (255, 70, 70), 2: (90, 190, 255)}


def main() -> None:
    """Draw the sheet."""
    families = [family for family in FAMILIES if family != "mixed"]
    rows = [_row(make_phantom(SEED, family)) for family in families]
    height, width = rows[0].shape[:2]
    sheet = Image.new("RGB", (TITLE + width, height * len(rows)), "black")
    pen = ImageDraw.Draw(sheet)
    for number, (family, row) in enumerate(zip(families, rows, strict=True)):
        sheet.paste(Image.fromarray(row), (TITLE, number * height))
        pen.text((6, (number + 0.5) * height), family, fill="white", anchor="lm")
    sheet.save(OUT, quality=72)


def _row(phantom: Phantom) -> NDArray[np.uint8]:
    """Slices from below the target to above it, with outlines."""
    gray = to_gray(phantom.values, "percentile" if phantom.look == "mr" else "abdomen").gray
    present = np.flatnonzero((phantom.labels == 1).any((1, 2)))
    first, last = max(present[0] - 4, 0), min(present[-1] + 4, len(gray) - 1)
    tiles = []
    for index in np.linspace(first, last, SLICES).round().astype(int):
        tile = np.repeat(gray[index][..., None], 3, axis=2)
        for value, color in COLORS.items():
            mask = phantom.labels[index] == value
            tile[mask & ~ndimage.binary_erosion(mask)] = color
        tiles.append(tile)
    return np.concatenate(tiles, axis=1)


if __name__ == "__main__":
    main()
