"""Clips: short runs of consecutive slices cut from a labelled volume, augmented, the first one being the key slice."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.propagators.tracking.appearance import IMAGENET_MEAN, IMAGENET_STD, WindowsAppearance
from SegmentPropagateLib.training.forward import ClipPrompt
from SegmentPropagateLib.volumes.boxes import first_and_last
from SegmentPropagateLib.volumes.labels import SegmentInfo
from SegmentPropagateLib.volumes.stack import ImageStack

PromptKind = Literal["mask", "box", "points", "mask-box", "mixed"]
PROMPT_MIXTURES = {
    "mask-box": {"mask": 0.5, "box": 0.5},  # as the released MedSAM2 configuration
    "mixed": {"mask": 0.5, "box": 0.25, "points": 0.25},  # as the released SLM-SAM 2 configuration
}
BOX_JITTER, BOX_JITTER_PIXELS = 0.1, 20.0  # SAM 2: a side moves by a tenth of the box, by 20 pixels at most


@dataclass(frozen=True, eq=False)
class TrainingVolume:
    """A volume in memory, cut along a plane.

    Args:
        name: of the case.
        stack: its slices.
        layers: integer label maps `(slices, rows, columns)`; a value is found in one of them only.
        segments: what is known of the labels, ascending by value.
    """

    name: str
    stack: ImageStack
    layers: tuple[NDArray[np.integer], ...]
    segments: tuple[SegmentInfo, ...] = ()

    def masks(
        self, values: Sequence[int], slices: Sequence[int] | NDArray[np.intp] | slice = slice(None)
    ) -> NDArray[np.bool_]:
        """The union of some labels on some slices, bool `(slices, rows, columns)`."""
        found = [np.isin(layer[slices], values) for layer in self.layers]
        return np.logical_or.reduce(found)


@dataclass(frozen=True)
class Target:
    """Something to segment in a volume.

    Args:
        values: label values that make it up.
        slices: on which slices it is present, ascending.
    """

    values: tuple[int, ...]
    slices: tuple[int, ...]


@dataclass(frozen=True)
class Augmentation:
    """How far clips are changed; every draw holds for the whole clip unless it says otherwise.

    Args:
        flip: chance to mirror the columns.
        quarter_turns: whether to turn by any multiple of 90 degrees as well.
        rotation_deg: largest rotation either way.
        shear_deg: largest shear either way.
        stretch: standard deviation of the log scale per axis.
        brightness: largest shift, of the full range.
        contrast: largest change of the contrast around the mean, relative.
        slice_jitter: the same for each slice on its own: brightness; half of it for contrast.
        gamma: standard deviation of the log exponent, in 3 clips of 10.
        invert: chance to swap dark and bright.
        noise: largest standard deviation of noise, of the full range, in 4 clips of 10.
        mask_jitter: chance that the outline of a mask prompt is as sloppy as an annotator's.
        drift: chance that everything moves sideways and bends from slice to slice, as ribs do across thick slices.
    """

    flip: float = 0.5
    quarter_turns: bool = False
    rotation_deg: float = 25.0
    shear_deg: float = 20.0
    stretch: float = 0.0
    brightness: float = 0.1
    contrast: float = 0.03
    slice_jitter: float = 0.1
    gamma: float = 0.0
    invert: float = 0.0
    noise: float = 0.0
    mask_jitter: float = 0.0
    drift: float = 0.0


@dataclass(frozen=True)
class ClipSettings:
    """What clips look like.

    Args:
        image_size: side of the network's input.
        windows: three windows of the volume's own values (starter) instead of gray as RGB.
        slices: consecutive slices in a clip.
        reverse: share of the clips that run from higher to lower slice numbers.
        roi_factor: side of a square crop around the object on the first slice over the object's, drawn in this range;
            None shows whole slices.
        augmentation: None leaves clips as they are.
    """

    image_size: int
    windows: bool = False
    slices: int = 8
    reverse: float = 0.5
    roi_factor: tuple[float, float] | None = None
    augmentation: Augmentation | None = Augmentation()


@dataclass(frozen=True)
class Clip:
    """One training example.

    Args:
        images: network input `(T, 3, S, S)`.
        masks: reference, bool `(T, S, S)`; never empty on the first slice.
        prompt_mask: the first slice's mask as the annotator draws it, bool `(S, S)`.
        reversed_order: whether it runs towards lower slice numbers.
    """

    images: Tensor
    masks: Tensor
    prompt_mask: Tensor
    reversed_order: bool


def draw_clip(volume: TrainingVolume, target: Target, settings: ClipSettings, rng: np.random.Generator) -> Clip:
    """Cut a clip at a random place where its first slice holds the target; refuse a target too small to see."""
    clip = try_clip(volume, target, settings, rng)
    if clip is None:
        raise InputError(
            f"Label {', '.join(map(str, target.values))} of '{volume.name}' covers too few pixels to learn from "
            f"at {settings.image_size} x {settings.image_size}: leave it out or raise the image size."
        )
    return clip


def try_clip(volume: TrainingVolume, target: Target, settings: ClipSettings, rng: np.random.Generator) -> Clip | None:
    """The same; None where the target is too small in all of 20 attempts, or an augmentation pushes it out of sight."""
    for _ in range(20):
        run, reversed_order = draw_run(target.slices, len(volume.stack), settings, rng)
        clip = rendered(volume, target, run, settings, rng)
        if clip is not None:
            images, masks, prompt_mask = clip
            return Clip(images, masks, prompt_mask, reversed_order)
    return None


def draw_run(
    present: Sequence[int], count: int, settings: ClipSettings, rng: np.random.Generator
) -> tuple[NDArray[np.intp], bool]:
    """Consecutive slices that start on a slice with the target, and whether they run downwards.

    Where a volume is too short for a whole clip in that direction, its last slice is repeated.
    """
    reversed_order = bool(rng.random() < settings.reverse)
    step, length = (-1 if reversed_order else 1), settings.slices
    fitting = [start for start in present if 0 <= start + step * (length - 1) < count]
    start = int(rng.choice(fitting or list(present)))
    return np.clip(start + step * np.arange(length), 0, count - 1), reversed_order


def rendered(
    volume: TrainingVolume,
    target: Target,
    run: NDArray[np.intp],
    settings: ClipSettings,
    rng: np.random.Generator,
    keys: int = 1,
) -> tuple[Tensor, Tensor, Tensor] | None:
    """Network input, masks and prompt mask of a run of slices; None where the prompt is too small to see.

    Args:
        volume: where they are cut from.
        target: what is masked.
        run: the slices; the first one is the prompt's, and its windows and gray values are everyone's.
        settings: of the clip.
        rng: of the augmentation.
        keys: how many of them, from the first on, a crop is laid around.
    """
    masks = volume.masks(target.values, run)
    crop = _crop(np.logical_or.reduce(masks[:keys]), volume.stack.spacing_mm[1:], settings, rng)
    source = (volume.stack.values if settings.windows else volume.stack.gray)[run]
    size, augmentation = settings.image_size, settings.augmentation
    grid = _sampling_grid(crop, masks.shape[1:], size, augmentation, rng)
    if augmentation is not None and augmentation.drift and rng.random() < augmentation.drift:  # 0 draws no number
        grid = grid + _drift(crop, masks.shape, rng) + _bending(crop, masks.shape, size, rng)
    pixels = _sample(source, grid, crop, size)
    truth = _sample(masks, grid, crop, size) > 0.5
    if int(truth[0].sum()) < 12:
        return None
    if settings.windows:
        low, high = np.percentile(pixels[0].numpy(), (1, 99))
        pixels = (pixels - low) * (255 / max(high - low, 1e-3))
    prompt_mask = truth[0]
    if augmentation is not None:
        pixels = _change_intensities(pixels, augmentation, rng)
        if rng.random() < augmentation.mask_jitter:
            prompt_mask = _sloppy(prompt_mask, rng)
    if settings.windows:
        return WindowsAppearance.from_key(pixels[0], prompt_mask).apply(pixels), truth, prompt_mask
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (pixels[:, None].clamp(0, 255) / 255 - mean) / std, truth, prompt_mask


@dataclass(frozen=True)
class _Crop:
    """A rectangle in pixels of the slice: middle and full side lengths along rows and columns."""

    middle: tuple[float, float]
    sides: tuple[float, float]


def _crop(
    mask: NDArray[np.bool_], pixel_mm: tuple[float, float], settings: ClipSettings, rng: np.random.Generator
) -> _Crop:
    rows, columns = mask.shape
    if settings.roi_factor is None:
        return _Crop(((rows - 1) / 2, (columns - 1) / 2), (rows, columns))
    spans = first_and_last(mask)
    side_mm = max((last - first + 1) * mm for (first, last), mm in zip(spans, pixel_mm, strict=True))
    side_mm = max(side_mm * rng.uniform(*settings.roi_factor), 32 * min(pixel_mm))  # as `views` at inference
    wander = rng.normal(0, 0.04, 2) if settings.augmentation is not None else np.zeros(2)
    sides = (side_mm / pixel_mm[0], side_mm / pixel_mm[1])
    middle = [sum(span) / 2 + away * side for span, away, side in zip(spans, wander, sides, strict=True)]
    return _Crop((middle[0], middle[1]), sides)


def _sampling_grid(
    crop: _Crop, shape: tuple[int, ...], size: int, augmentation: Augmentation | None, rng: np.random.Generator
) -> Tensor:
    """Where each pixel of the network's input is taken from, `(1, size, size, 2)` in grid_sample's coordinates."""
    turn = np.eye(2)  # of (x, y)
    if augmentation is not None:
        angle = math.radians(rng.uniform(-1, 1) * augmentation.rotation_deg)
        if augmentation.quarter_turns:
            angle += rng.integers(4) * math.pi / 2
        shear = math.tan(math.radians(rng.uniform(-1, 1) * augmentation.shear_deg))
        scale = np.exp(rng.normal(0, augmentation.stretch, 2) if augmentation.stretch else np.zeros(2))
        mirror = -1.0 if rng.random() < augmentation.flip else 1.0
        rotated = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        turn = rotated @ np.array([[1, shear], [0, 1]]) @ np.diag([mirror * scale[0], scale[1]])
    sides = np.array([crop.sides[1], crop.sides[0]]) / np.array([shape[1], shape[0]])
    middle = (2 * np.array([crop.middle[1], crop.middle[0]]) + 1) / np.array([shape[1], shape[0]]) - 1
    affine = np.concatenate([sides[:, None] * turn, middle[:, None]], 1)
    return functional.affine_grid(
        torch.tensor(affine, dtype=torch.float32)[None], [1, 1, size, size], align_corners=False
    )


def _drift(crop: _Crop, shape: tuple[int, ...], rng: np.random.Generator) -> Tensor:
    """A smooth way of the crop over `(T, rows, columns)`, `(T, 1, 1, 2)` to be added to a sampling grid.

    It strays from the first slice by up to some 0.4 of the crop's side, so that the object stays in sight.
    """
    turns = np.arange(shape[0])[:, None] * rng.uniform(0.1, 0.7, 2) + rng.uniform(0, 2 * math.pi, 2)
    way = np.sin(turns) * rng.uniform(0, 0.2, 2)
    sides = 2 * np.array([crop.sides[1], crop.sides[0]]) / np.array([shape[2], shape[1]])
    return torch.tensor((way - way[0]) * sides, dtype=torch.float32)[:, None, None]


def _bending(crop: _Crop, shape: tuple[int, ...], size: int, rng: np.random.Generator) -> Tensor:
    """A smooth change of form over `(T, rows, columns)`, `(T, S, S, 2)` to be added to a sampling grid.

    Every place sways by up to some 0.08 of the crop's side; the first slice stays as it is.
    """
    knots = torch.from_numpy(rng.standard_normal((2, 2, 4, 4)).astype(np.float32))
    fields = functional.interpolate(knots, size=(size, size), mode="bicubic", align_corners=True)
    turns = np.arange(shape[0])[:, None] * rng.uniform(0.1, 0.7, 2) + rng.uniform(0, 2 * math.pi, 2)
    way = torch.tensor((np.sin(turns) - np.sin(turns[0])) * rng.uniform(0, 0.04, 2), dtype=torch.float32)
    sides = 2 * np.array([crop.sides[1], crop.sides[0]]) / np.array([shape[2], shape[1]])
    return torch.einsum("tf,fcji->tjic", way, fields) * torch.tensor(sides, dtype=torch.float32)


def _sample(pixels: NDArray, grid: Tensor, crop: _Crop, size: int) -> Tensor:
    """Take `(T, rows, columns)` at the grid's places: float32 `(T, size, size)`; smoothed first where it shrinks.

    The grid is `(1, size, size, 2)`, or `(T, size, size, 2)` where every slice is looked at in a place of its own.
    """
    is_mask = pixels.dtype == bool
    floats = np.ascontiguousarray(pixels, np.float32)
    shrink = [side / size for side in crop.sides]
    if max(shrink) > 1.3:
        floats = ndimage.gaussian_filter(floats, (0, *(0.5 * factor if factor > 1.3 else 0.0 for factor in shrink)))
    sampled = functional.grid_sample(
        torch.from_numpy(floats)[:, None],
        grid.expand(len(floats), -1, -1, -1),
        padding_mode="zeros" if is_mask else "border",
        align_corners=False,
    )
    return sampled[:, 0]


def _change_intensities(pixels: Tensor, augmentation: Augmentation, rng: np.random.Generator) -> Tensor:
    """Change gray levels that lie about 0..255."""
    count = len(pixels)
    if rng.random() < augmentation.invert:
        pixels = 255 - pixels
    if augmentation.gamma and rng.random() < 0.3:
        pixels = 255 * (pixels.clamp(0, 400) / 255) ** float(np.exp(rng.normal(0, augmentation.gamma)))
    brightness, contrast = rng.uniform(-1, 1, 2) * (augmentation.brightness, augmentation.contrast)
    each = rng.uniform(-1, 1, (2, count)) * np.array([[augmentation.slice_jitter], [0.5 * augmentation.slice_jitter]])
    shift = torch.tensor(255 * (brightness + each[0]), dtype=torch.float32)[:, None, None]
    gain = torch.tensor((1 + contrast) * (1 + each[1]), dtype=torch.float32)[:, None, None]
    mean = pixels.mean((1, 2), keepdim=True)
    pixels = (pixels - mean) * gain + mean + shift
    if augmentation.noise and rng.random() < 0.4:
        noise = rng.standard_normal(pixels.shape, np.float32) * np.float32(255 * augmentation.noise * rng.random())
        pixels = pixels + torch.from_numpy(noise)
    return pixels


def _sloppy(mask: Tensor, rng: np.random.Generator) -> Tensor:
    """The mask with a wavering outline, at most a few pixels off; unchanged where little would be left of it."""
    soft = functional.avg_pool2d(mask[None, None].float(), 5, 1, 2, count_include_pad=False)
    waves = torch.from_numpy(rng.standard_normal((1, 1, 10, 10), np.float32))
    waves = functional.interpolate(waves, size=mask.shape, mode="bicubic", align_corners=False)
    drawn = (soft + waves * float(rng.uniform(0, 0.18)) + float(rng.normal(0, 0.12)) > 0.5)[0, 0]
    return drawn if int(drawn.sum()) > 20 else mask


# ------------------------------------------------------------------------------------------------------------ prompts


def draw_kind(kind: PromptKind, rng: np.random.Generator) -> PromptKind:
    """The kind itself, or one drawn from a mixture."""
    shares = PROMPT_MIXTURES.get(kind)
    return kind if shares is None else rng.choice(list(shares), p=list(shares.values()))


def draw_prompt(
    clips: Sequence[Clip], kind: PromptKind, clicks: int, generators: Sequence[np.random.Generator]
) -> ClipPrompt:
    """What the network is told on the first slices of a batch.

    Args:
        clips: the batch.
        kind: `mask`, `box` or `points`.
        clicks: simulated clicks after a box or a point.
        generators: one per clip, so that a clip's prompt does not depend on what it is batched with.
    """
    masks = torch.stack([clip.prompt_mask for clip in clips])
    if kind == "mask":
        return ClipPrompt(masks=masks)
    draw = _box_points if kind == "box" else _inside_point
    pairs = [draw(mask.numpy(), rng) for mask, rng in zip(masks, generators, strict=True)]
    return ClipPrompt(
        points_xy=torch.tensor(np.stack([points for points, _ in pairs]), dtype=torch.float32),
        point_labels=torch.tensor(np.stack([labels for _, labels in pairs]), dtype=torch.int32),
        clicks=clicks,
        truth=torch.stack([clip.masks[0] for clip in clips]),
    )


def _box_points(mask: NDArray[np.bool_], rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """The corners of a jittered box, with the labels SAM gives them."""
    (top, bottom), (left, right) = first_and_last(mask)
    box = np.array([[left, top], [right, bottom]], np.float64)
    reach = np.minimum(BOX_JITTER * (box[1] - box[0] + 1), BOX_JITTER_PIXELS)
    box = np.clip(box + rng.uniform(-1, 1, (2, 2)) * reach, 0, np.array(mask.shape[::-1]) - 1)
    return np.sort(box, axis=0), np.array([2, 3])


def _inside_point(mask: NDArray[np.bool_], rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    rows, columns = np.nonzero(mask)
    chosen = rng.integers(len(rows))
    return np.array([[columns[chosen], rows[chosen]]], np.float64), np.array([1])
