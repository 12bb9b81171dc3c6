"""Contact sheets: what became of each object, on one picture."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from SegmentPropagateLib.files import Outputs, PathLike, writing
from SegmentPropagateLib.propagation.results import SliceResult
from SegmentPropagateLib.propagation.review import Seen, worth_a_look
from SegmentPropagateLib.propagation.session import Session
from SegmentPropagateLib.volumes.boxes import bounding_box
from SegmentPropagateLib.volumes.choice import evenly
from SegmentPropagateLib.volumes.geometry import Geometry, Plane
from SegmentPropagateLib.volumes.labels import SegmentInfo
from SegmentPropagateLib.volumes.stack import Gray, stack_of

_COLUMNS, _TILE, _GAP, _MARGIN = 6, 232, 8, 20
_CAPTION, _TITLE, _PROFILE = 22, 34, 40
_WIDTH = 2 * _MARGIN + _COLUMNS * _TILE + (_COLUMNS - 1) * _GAP
_PAPER, _INK, _FAINT, _KEY = (18, 20, 24), (236, 238, 242), (138, 144, 154), (255, 205, 64)
_DOUBT = (245, 147, 30)
_LEGEND = (
    "bars: area on each slice; yellow: key slices, as they were given; overlap: IoU with the truth to be expected; "
    "orange: worth a look"
)


@dataclass(frozen=True)
class Orientation:
    """How to turn a stored slice so that the patient is upright, as in Slicer: axial from the feet, left on the right.

    Args:
        transpose: swap rows and columns first.
        flip_rows: then turn upside down.
        flip_columns: then mirror.
        left: letter of the patient's side at the picture's left edge.
        top: letter at its upper edge.
    """

    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False
    left: str = ""
    top: str = ""

    @classmethod
    def upright(cls, geometry: Geometry, plane: Plane) -> Orientation:
        """That of slices along the plane; oblique ones are turned to the nearest right angle."""
        axis = geometry.plane_axis(plane)
        directions = geometry.ijk_to_ras[:3, 2::-1] / geometry.spacing_kji_mm  # RAS of one step along k, j, i
        row, column = (directions[:, other] for other in range(3) if other != axis)
        right = np.array([0, -1, 0] if plane is Plane.SAGITTAL else [-1, 0, 0])
        down = np.array([0, -1, 0] if plane is Plane.AXIAL else [0, 0, -1])
        transpose = abs(row @ right) + abs(column @ down) > abs(column @ right) + abs(row @ down)
        if transpose:
            row, column = column, row
        letters = ("A", "S") if plane is Plane.SAGITTAL else ("R", "A" if plane is Plane.AXIAL else "S")
        return cls(bool(transpose), bool(row @ down < 0), bool(column @ right < 0), *letters)

    def turn(self, picture: NDArray) -> NDArray:
        """A slice `(rows, columns)` as it is shown."""
        picture = picture.T if self.transpose else picture
        picture = picture[::-1] if self.flip_rows else picture
        return picture[:, ::-1] if self.flip_columns else picture


@dataclass(frozen=True)
class OverlayObject:
    """One object on the sheet.

    Args:
        name: for people.
        color_rgb: 0..1.
        results: slice -> result, for every slice of the range.
    """

    name: str
    color_rgb: tuple[float, float, float]
    results: Mapping[int, SliceResult]


def write_overlay(
    path: PathLike, session: Session, segments: Sequence[SegmentInfo], outputs: Outputs | None = None
) -> None:
    """Write the contact sheet of a session's objects, with the names and colors of `segments`, as PNG."""
    masks = session.masks()  # as they are written: overlaps settled
    objects = []
    for segment in segments:
        slices = stack_of(masks[segment.value], session.axis)
        results = session.results(segment.value)
        shown = {index: replace(result, bits=np.packbits(slices[index])) for index, result in results.items()}
        objects.append(OverlayObject(segment.name, segment.color_rgb, shown))
    orientation = Orientation.upright(session.geometry, session.plane)
    sheet = draw_contact_sheet(session.stack.gray, session.stack.spacing_mm, objects, orientation)
    with writing(path, outputs) as file:
        sheet.save(file, format="PNG")


def draw_contact_sheet(
    gray: Gray,
    spacing_mm: tuple[float, float, float],
    objects: Sequence[OverlayObject],
    orientation: Orientation,
) -> Image.Image:
    """Draw one block per object: title, profile of the area over the range, and slices with the outline.

    Args:
        gray: uint8 `(slices, rows, columns)`.
        spacing_mm: distance of slices, rows, columns.
        objects: in the order of the sheet.
        orientation: how slices are turned.
    """
    rows = 2 if len(objects) <= 4 else 1
    blocks = [_draw_block(gray, spacing_mm, item, orientation, rows) for item in objects]
    height = 2 * _MARGIN + sum(block.height + _MARGIN for block in blocks)
    sheet = Image.new("RGB", (_WIDTH, max(height, 2 * _MARGIN)), _PAPER)
    ImageDraw.Draw(sheet).text((_MARGIN, height - 1.5 * _MARGIN), _LEGEND, _FAINT, _font(15), anchor="lm")
    top = _MARGIN
    for block in blocks:
        sheet.paste(block, (_MARGIN, top))
        top += block.height + _MARGIN
    return sheet


def chosen_slices(results: Mapping[int, SliceResult], count: int) -> list[int]:
    """Slices to show: the range's ends, the keys, and for the rest evenly spread ones where the object is.

    A long open range would otherwise show little but empty slices; where the object ends is shown by one empty slice
    on either side, and the profile shows all of the range. Tiles that are left over are spread over the rest.
    """
    if len(results) <= count:
        return sorted(results)
    first, last = min(results), max(results)
    present = [index for index, result in results.items() if result.mask.any()] or [first, last]
    keys = [index for index, result in results.items() if result.source == "key"]
    chosen = set([first, last, *evenly(keys, count - 2)][:count])
    around = [index for index in sorted(results) if min(present) - 1 <= index <= max(present) + 1]
    spread = [chosen | set(evenly(around, number)) for number in range(count + 1)]
    chosen = max((option for option in spread if len(option) <= count), key=len)
    for pool in (around, results):
        while len(chosen) < count and (rest := sorted(set(pool) - chosen)):
            chosen.add(max(rest, key=lambda index: min(abs(index - other) for other in chosen)))  # widest gap
    return sorted(chosen)


@dataclass(frozen=True)
class _Window:
    """A square part of the slices, in mm around a center; it may reach beyond the slice."""

    center_mm: tuple[float, float]
    side_mm: float
    spacing_mm: tuple[float, float]

    @classmethod
    def around(cls, masks: Sequence[NDArray[np.bool_]], spacing_mm: tuple[float, float]) -> _Window:
        """The object on all slices with half its size of surroundings, or the whole slice when it is nowhere."""
        shape = np.array(masks[0].shape)
        box = bounding_box(np.any(masks, axis=0)) or tuple(slice(0, size) for size in masks[0].shape)
        low, high = np.array([[span.start, span.stop] for span in box]).T * np.array(spacing_mm)
        side = max(1.6 * (high - low).max(), 24 * max(spacing_mm), 40.0)
        whole = shape * spacing_mm
        side = min(side, whole.max())
        center = (low + high) / 2
        for axis in range(2):  # stay inside the slice as far as it goes
            half = side / 2
            center[axis] = np.clip(center[axis], half, whole[axis] - half) if whole[axis] > side else whole[axis] / 2
        return cls((float(center[0]), float(center[1])), float(side), spacing_mm)

    def cut(self, picture: NDArray[np.uint8], orientation: Orientation, method: Image.Resampling) -> NDArray[np.uint8]:
        """That part of a slice `(rows, columns)`, turned and resampled to a tile with square pixels."""
        box = [
            (middle + sign * self.side_mm / 2) / step
            for middle, step in zip(self.center_mm, self.spacing_mm, strict=True)
            for sign in (-1, 1)
        ]
        margin = [max(0, math.ceil(-box[0])), max(0, math.ceil(-box[2]))]
        beyond = [max(0, math.ceil(box[1]) - picture.shape[0]), max(0, math.ceil(box[3]) - picture.shape[1])]
        padded = np.pad(picture, list(zip(margin, beyond, strict=True)))
        rows, columns = (box[0] + margin[0], box[1] + margin[0]), (box[2] + margin[1], box[3] + margin[1])
        image = Image.fromarray(np.ascontiguousarray(padded))
        tile = image.resize((_TILE, _TILE), method, box=(columns[0], rows[0], columns[1], rows[1]))
        return np.ascontiguousarray(orientation.turn(np.asarray(tile)))


def _draw_block(
    gray: Gray,
    spacing_mm: tuple[float, float, float],
    item: OverlayObject,
    orientation: Orientation,
    rows: int,
) -> Image.Image:
    chosen = chosen_slices(item.results, rows * _COLUMNS)
    rows = math.ceil(len(chosen) / _COLUMNS)
    block = Image.new("RGB", (_WIDTH - 2 * _MARGIN, _TITLE + _PROFILE + rows * (_TILE + _CAPTION + _GAP)), _PAPER)
    draw = ImageDraw.Draw(block)
    color = _bright(item.color_rgb)
    _draw_title(draw, item, color)
    _draw_profile(draw, item, color, chosen)
    window = _Window.around([result.mask for result in item.results.values()], spacing_mm[1:])
    doubts = worth_a_look(
        {n: Seen(result.area, result.predicted_iou, result.source == "key") for n, result in item.results.items()}
    )
    for position, index in enumerate(chosen):
        left = position % _COLUMNS * (_TILE + _GAP)
        top = _TITLE + _PROFILE + position // _COLUMNS * (_TILE + _CAPTION + _GAP)
        result = item.results[index]
        block.paste(_draw_tile(gray[index], result.mask, window, orientation, color), (left, top))
        if position == 0:
            _draw_letters(draw, orientation, left, top)
        _draw_caption(draw, item, index, (left, top), in_doubt=index in doubts)
    return block


def _draw_tile(
    gray: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    window: _Window,
    orientation: Orientation,
    color: tuple[int, int, int],
) -> Image.Image:
    tile = np.repeat(window.cut(gray, orientation, Image.Resampling.BICUBIC)[..., None], 3, axis=2)
    if mask.any():
        share = window.cut(mask.astype(np.uint8) * 255, orientation, Image.Resampling.BILINEAR)
        parts, number = ndimage.label(share)
        peaks = ndimage.maximum(share, parts, range(1, number + 1))
        level = np.array([256, *np.minimum(peaks, 128)])  # a part smaller than a pixel stays visible
        inside = share >= level[parts]
        halo = ndimage.binary_dilation(inside) & ~inside
        tile[halo] = tile[halo] // 3  # sets the line off from bright surroundings
        tile[inside & ~ndimage.binary_erosion(inside, iterations=2)] = color
    return Image.fromarray(tile)


def _draw_title(draw: ImageDraw.ImageDraw, item: OverlayObject, color: tuple[int, int, int]) -> None:
    draw.rounded_rectangle((0, 5, 18, 23), 4, fill=color)
    draw.text((28, 14), textwrap.shorten(item.name, 70, placeholder=" ..."), _INK, _font(20), anchor="lm")
    present = sum(bool(result.mask.any()) for result in item.results.values())
    keys = [str(index) for index, result in item.results.items() if result.source == "key"]
    named = f"{len(keys)} keys" if len(keys) > 6 else f"key {', '.join(keys)}"
    facts = f"slices {min(item.results)} to {max(item.results)}, present on {present}, {named}"
    draw.text((_WIDTH - 2 * _MARGIN, 14), facts, _FAINT, _font(15), anchor="rm")


def _draw_profile(
    draw: ImageDraw.ImageDraw, item: OverlayObject, color: tuple[int, int, int], chosen: Sequence[int]
) -> None:
    """One bar per slice of the range, its height the area; ticks below the slices that are shown."""
    first, last = min(item.results), max(item.results)
    largest = max(result.area for result in item.results.values()) or 1
    base = _TITLE + _PROFILE - 14
    step = (_WIDTH - 2 * _MARGIN) / (last - first + 1)
    draw.line((0, base, _WIDTH - 2 * _MARGIN, base), (58, 62, 70))
    for index, result in item.results.items():
        left = (index - first) * step
        right = max(left + step - (2 if step > 6 else 1), left)
        if result.area:
            fill = _KEY if result.source == "key" else tuple(part * 3 // 4 for part in color)
            draw.rectangle((left, base - max(2, (base - _TITLE) * result.area / largest), right, base - 1), fill)
        if index in chosen:
            middle = (left + right) / 2
            draw.polygon(
                [(middle, base + 3), (middle - 4, base + 9), (middle + 4, base + 9)],
                _KEY if result.source == "key" else _FAINT,
            )


def _draw_letters(draw: ImageDraw.ImageDraw, orientation: Orientation, left: int, top: int) -> None:
    for letter, place, anchor in ((orientation.left, (6, _TILE / 2), "lm"), (orientation.top, (_TILE / 2, 4), "mt")):
        draw.text(
            (left + place[0], top + place[1]),
            letter,
            _INK,
            _font(14),
            anchor=anchor,
            stroke_width=2,
            stroke_fill=_PAPER,
        )


def _draw_caption(
    draw: ImageDraw.ImageDraw, item: OverlayObject, index: int, corner: tuple[int, int], *, in_doubt: bool
) -> None:
    (left, top), result = corner, item.results[index]
    key = result.source == "key"
    if key:
        draw.rectangle((left, top, left + _TILE - 1, top + _TILE - 1), outline=_KEY, width=3)
        draw.rectangle((left, top, left + 44, top + 22), fill=_KEY)
        draw.text((left + 22, top + 12), "KEY", _PAPER, _font(15), anchor="mm")
    end = {min(item.results): ", first", max(item.results): ", last"}.get(index, "")
    shade = _KEY if key else _INK if result.mask.any() else _FAINT
    draw.text((left, top + _TILE + 11), f"slice {index}{end}", shade, _font(15), anchor="lm")
    verdict = _DOUBT if in_doubt else shade
    draw.text((left + _TILE, top + _TILE + 11), _verdict(result), verdict, _font(15), anchor="rm")


def _verdict(result: SliceResult) -> str:
    if result.source == "key":
        return "key slice"
    if not result.mask.any():
        return "absent"
    return f"overlap {100 * result.predicted_iou:.0f} %" if math.isfinite(result.predicted_iou) else "present"


def _bright(color_rgb: tuple[float, float, float]) -> tuple[int, int, int]:
    """The color with its strongest part at full and none below a third: dark ones would be lost on a gray picture."""
    scale = 255 / max(*color_rgb, 0.05)
    red, green, blue = (min(255, max(85, round(part * scale))) for part in color_rgb)
    return red, green, blue


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
