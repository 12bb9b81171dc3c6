"""What the prompt network is trained on: objects of drawn slices, given by hasty boxes and clicks."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from tuning_cases import ROOT
from tuning_shapes import bitten, drawn_object

from SegmentPropagateLib.phantoms.phantom import make_phantom
from SegmentPropagateLib.propagators.classical.regions import Region
from SegmentPropagateLib.propagators.prompted.channels import SIZE, Array, Given, channels_of
from SegmentPropagateLib.propagators.prompted.finishing import WITH_DIAGONALS, finish
from SegmentPropagateLib.propagators.prompted.outline import BOX_STRETCH, FILL, MASK_STRETCH
from SegmentPropagateLib.volumes.boxes import first_and_last

sys.path.append(str(ROOT / "Testing" / "Benchmarks"))
from evaluation_prompts import largest, middle

FIRST_SEED = 700_000
"""Phantoms of the starter's training and of the other scripts have other seeds."""
SHAPE = (14, 128, 128)
PIXELS = 40
"""What an object must have on a slice, at least."""
MOST_CLICKS = 8
BOXED, IN_PARTS, COARSE = 0.7, 0.4, 0.6
"""Shares of the samples: given by a box; among those, in all its parts; drawn coarser than the phantom is."""
SHAPED, BITTEN = 0.25, 0.25
"""Shares of the samples whose object is another than the phantom's, and whose object has lost a part to a neighbor."""
FAINT = 0.5
"""Contrast to what is around it, over the spread there, below which two objects in three are passed over."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Drawn:
    """A slice of a phantom and what can be asked for on it.

    Args:
        values: int16 `(rows, columns)`.
        labels: uint8 of the same shape.
        objects: labels with a part that is large enough.
    """

    values: NDArray[np.int16]
    labels: NDArray[np.uint8]
    objects: tuple[int, ...]


@dataclass(frozen=True)
class Sample:
    """An object and what has been said of it so far.

    Args:
        image: float32 `(rows, columns)`.
        truth: the object.
        given: the prompt.
        region: what the network is to see.
        before: what it has seen, 0..1.
        clicks: how often the prompt was added to.
    """

    image: Array
    truth: Mask
    given: Given
    region: Region
    before: Array | None = None
    clicks: int = field(default=0)

    def arrays(self) -> tuple[Array, Array, float]:
        """Channels, the soft mask to be learned, and the object's whole area in samples."""
        channels = channels_of(self.image, self.given, self.before, self.region)
        row_step, column_step = self.region.step_rc
        truth = self.region.take(self.truth) * channels[3]
        return channels, truth, float(self.truth.sum() / (row_step * column_step))


def draw_slices(count: int, first_seed: int = FIRST_SEED) -> Iterator[Drawn]:
    """Slices of `count` phantoms, from this seed on: of each label the largest one and another."""
    for number in range(count):
        rng = np.random.default_rng(number)
        phantom = make_phantom(first_seed + number, "mixed", SHAPE)
        wanted: dict[int, list[int]] = {}
        for label in range(1, int(phantom.labels.max()) + 1):
            areas = (phantom.labels == label).sum(axis=(1, 2))
            if areas.max() >= PIXELS:
                for index in {int(areas.argmax()), int(rng.choice(np.flatnonzero(areas >= PIXELS)))}:
                    wanted.setdefault(index, []).append(label)
        for index, labels in sorted(wanted.items()):
            drawn = phantom.labels[index]
            objects = tuple(label for label in labels if _parts(drawn == label))
            if objects:
                yield Drawn(phantom.values[index], drawn, objects)


def _parts(mask: Mask) -> list[Mask]:
    """The two largest parts, where they are large enough."""
    parts, _ = ndimage.label(mask, WITH_DIAGONALS)
    areas = np.bincount(parts.ravel())[1:]
    return [parts == number + 1 for number in np.argsort(-areas)[:2] if areas[number] >= PIXELS]


def fresh(slices: list[Drawn], rng: np.random.Generator) -> Sample:
    """A sample with a first prompt."""
    boxed = rng.random() < BOXED
    whole = boxed and rng.random() < IN_PARTS
    while True:
        drawn, truth = _any_object(slices, rng)
        truth = truth if whole else _a_part(truth, rng)
        window = _around(truth)
        image, truth = _harder(drawn.values[window], truth[window], slices, rng)
        truth = truth if whole else _a_part(truth, rng)
        if truth.sum() >= PIXELS / 2 and (rng.random() < 1 / 3 or _contrast(image, truth) > FAINT):
            break
    image, truth = _coarser(_other_grays(image, rng), truth, rng)
    for axis in (0, 1):
        if rng.random() < 0.5:
            image, truth = np.flip(image, axis), np.flip(truth, axis)
    if rng.random() < 0.5:
        image, truth = image.T, truth.T
    image, truth = np.ascontiguousarray(image), np.ascontiguousarray(truth)
    return _given_by_box(image, truth, rng) if boxed else _given_by_point(image, truth, rng)


def _any_object(slices: list[Drawn], rng: np.random.Generator) -> tuple[Drawn, Mask]:
    drawn = slices[rng.integers(len(slices))]
    return drawn, drawn.labels == drawn.objects[rng.integers(len(drawn.objects))]


def _a_part(mask: Mask, rng: np.random.Generator) -> Mask:
    parts = _parts(mask) or [largest(mask)]
    return parts[rng.integers(len(parts))]


def _harder(
    image: NDArray[Any], truth: Mask, slices: list[Drawn], rng: np.random.Generator
) -> tuple[NDArray[Any], Mask]:
    """The same, or another object in its place, or a neighbor on top of it."""
    chance = rng.random()
    if chance > SHAPED + BITTEN:
        return image, truth
    neighbor = _any_object(slices, rng)[1]
    return (drawn_object if chance < SHAPED else bitten)(image, truth, neighbor, rng)


def _around(mask: Mask) -> tuple[slice, slice]:
    (row0, row1), (column0, column1) = first_and_last(mask)
    room = 2 * (max(row1 - row0, column1 - column0) + 1) + 8
    return slice(max(row0 - room, 0), row1 + room), slice(max(column0 - room, 0), column1 + room)


def _contrast(image: NDArray[Any], truth: Mask) -> float:
    ring = image[ndimage.binary_dilation(truth, iterations=3) & ~truth]
    if not ring.size:
        return 0.0
    return float(abs(image[truth].mean() - ring.mean()) / (ring.std() + image[truth].std() + 1e-6))


def _other_grays(image: NDArray[Any], rng: np.random.Generator) -> Array:
    """The same image by another scanner: gray values bent, sometimes out of order, turned around, noisy."""
    low, high = np.percentile(image, (1, 99))
    image = (image - low) / max(high - low, 1e-6)
    if rng.random() < 0.5:
        knots = rng.uniform(0, 1, 4)
        knots = np.sort(knots) if rng.random() < 0.85 else knots
        image = np.interp(
            np.clip(image, -0.3, 1.3), np.linspace(-0.3, 1.3, 6), [knots[0] - 0.3, *knots, knots[-1] + 0.3]
        )
    if rng.random() < 0.3:
        image = -image
    if rng.random() < 0.5:
        image = image + rng.normal(0, rng.uniform(0, 0.12), image.shape)
    return image.astype(np.float32)


def _coarser(image: Array, truth: Mask, rng: np.random.Generator) -> tuple[Array, Mask]:
    """The same in larger pixels: many an object of a real volume is six of them wide."""
    extent = max(last - first + 1 for first, last in first_and_last(truth))
    if extent <= 14 or rng.random() > COARSE:
        return image, truth
    factor = extent / np.exp(rng.uniform(np.log(6), np.log(extent))) * np.exp(rng.normal(0, 0.12, 2))
    if factor.max() <= 1.2:
        return image, truth
    shape = tuple(max(int(side / by), 8) for side, by in zip(image.shape, factor, strict=True))
    step = np.array(image.shape) / shape

    def shrunk(array: Array) -> Array:
        blurred = ndimage.gaussian_filter(array, 0.45 * factor)
        return ndimage.affine_transform(blurred, step, (step - 1) / 2, shape, order=1, mode="nearest")

    coarse = shrunk(truth.astype(np.float32)) > 0.5
    return (shrunk(image), coarse) if coarse.sum() >= 12 else (image, truth)


def _given_by_box(image: Array, truth: Mask, rng: np.random.Generator) -> Sample:
    """A box that fits, or one drawn in haste."""
    (row0, row1), (column0, column1) = first_and_last(truth)
    tight, limits = np.array([row0, column0, row1, column1], dtype=float), np.array([*truth.shape] * 2) - 1.0
    sides = np.array([row1 - row0 + 1, column1 - column0 + 1] * 2)
    edges = np.clip(np.rint(tight + _hasty(sides, rng)), 0, limits)
    if (edges[2:] - edges[:2] < 2).any():
        edges = tight
    edges += (-0.5, -0.5, 0.5, 0.5)
    given = Given((edges[0], edges[1], edges[2], edges[3]), np.zeros((0, 2)), np.zeros((0, 2)))
    sides = edges[2:] - edges[:2]
    step = np.maximum(sides, sides.max() / BOX_STRETCH) / FILL * np.exp(rng.normal(0, 0.05))
    center = (edges[:2] + edges[2:]) / 2
    return Sample(image, truth, given, Region((center[0], center[1]), (step[0], step[1]), SIZE))


def _hasty(sides: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
    """By how many pixels the edges of a box are off; `sides` are those of the tight one, each twice.

    A third is a pixel too wide, a third off in any direction, a fifth much too wide, the rest shifted or too small.
    """
    outwards, chance = np.array([-1, -1, 1, 1]), rng.random()
    if chance < 1 / 3:
        return outwards.astype(float)
    if chance < 2 / 3:
        return rng.uniform(-1, 1, 4) * rng.uniform(0.05, 0.18) * sides + (rng.random() < 1 / 3) * outwards
    if chance < 2 / 3 + 0.2:
        evenly = rng.random() < 0.5
        return outwards * (np.tile(rng.uniform(0, 0.3, 2), 2) if evenly else rng.uniform(0, 0.3, 4)) * sides
    if rng.random() < 0.5:
        return np.tile(rng.uniform(-0.15, 0.15, 2), 2) * sides
    return -outwards * rng.uniform(0, 0.15, 4) * sides


def _given_by_point(image: Array, truth: Mask, rng: np.random.Generator) -> Sample:
    """A click well within the object, seen at any scale: the network must tell a good one."""
    place = np.array(_click(truth, rng, 0.5), dtype=float)
    ends = np.array(first_and_last(truth))
    extent = float((ends[:, 1] - ends[:, 0]).max() + 1)
    low, high = (0.3, 1.35) if rng.random() < 0.8 else (0.12, 3.0)
    step = extent / FILL / np.exp(rng.uniform(np.log(low), np.log(high)))
    aside = max(rng.uniform(-1.5, 1), 0)
    center = (1 - aside) * place + aside * ends.mean(axis=1)
    stretch = np.exp(rng.normal(0, 0.1))
    region = Region((center[0], center[1]), (step * stretch, step / stretch), SIZE)
    return Sample(image, truth, Given(None, place[None], np.zeros((0, 2))), region)


def _click(mask: Mask, rng: np.random.Generator, in_the_middle: float) -> tuple[int, int]:
    """Row and column of a click on a mask."""
    if rng.random() < in_the_middle:
        column, row = middle(mask)
        return int(row), int(column)
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    rows, columns = np.nonzero(depth >= max(depth.max() / 2, min(1.0, depth.max())))
    number = rng.integers(len(rows))
    return int(rows[number]), int(columns[number])


def again(sample: Sample, soft: Array, rng: np.random.Generator) -> Sample | None:
    """The sample with a click more where the network was most wrong; None where it is done.

    Args:
        sample: what the network has looked at.
        soft: what it saw, on the region's samples.
        rng: chance.
    """
    before = sample.region.put(soft, (sample.image.shape[0], sample.image.shape[1]))
    given, seen = sample.given, before > 0.5
    if sample.clicks or rng.random() > 0.15:  # the first time it may look again without
        missing, excess = largest(sample.truth & ~seen), largest(seen & ~sample.truth)
        wrong, positive = (missing, True) if missing.sum() >= excess.sum() else (excess, False)
        if wrong.sum() < 2 or sample.clicks >= MOST_CLICKS:
            return None
        click = np.array([_click(wrong, rng, 0.7)], dtype=float)
        name = "positive" if positive else "negative"
        given = replace(given, **{name: np.concatenate((getattr(given, name), click))})
    region = sample.region
    if given.box is None and rng.random() < 0.7:
        region = _around_mask(finish(before, given), rng)
    return replace(sample, given=given, before=before, region=region, clicks=sample.clicks + 1)


def _around_mask(mask: Mask, rng: np.random.Generator) -> Region:
    ends = np.array(first_and_last(mask), dtype=float)
    sides = ends[:, 1] - ends[:, 0] + 1
    step = np.maximum(sides, sides.max() / MASK_STRETCH) / FILL * np.exp(rng.normal(0.1, 0.2))
    center = ends.mean(axis=1)
    return Region((center[0], center[1]), (step[0], step[1]), SIZE)
