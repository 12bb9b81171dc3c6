"""What finished cases say of each label: its outline, its landmarks, and what the localizer sees there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.reading import read_labels, read_volume
from SegmentPropagateLib.prompting.atlas.fusion import Outline, outline_of
from SegmentPropagateLib.prompting.atlas.grid import Body, body_of, shows_no_body
from SegmentPropagateLib.prompting.finished import Finished
from SegmentPropagateLib.prompting.landmarks.points import (
    box_of,
    extreme_points,
    parts_for,
    parts_of,
    surface_of,
)
from SegmentPropagateLib.prompting.landmarks.search import Codes, Seen, averaged
from SegmentPropagateLib.volumes.geometry import Geometry

SUPPORTS = 5
"""Finished cases that a label is looked for with: as many as in the paper."""

See = Callable[[Body], Seen]


class Example(NamedTuple):
    """A label in a finished case.

    Args:
        outline: its voxels.
        surface: of it, points of the lattice `(N, 3)`.
        reach: of a voxel, `(3,)`.
        case: where it is.
    """

    outline: Outline
    surface: NDArray[np.float64]
    reach: NDArray[np.float64]
    case: Case


class Shown(NamedTuple):
    """An example in parts: `boxes` `(parts, 2, 3)`, low and high corner in points of the lattice."""

    outline: Outline
    body: Body
    boxes: NDArray[np.float64]


class Case(NamedTuple):
    """A finished case as the localizer sees it."""

    geometry: Geometry
    body: Body
    seen: Seen


class Tried(NamedTuple):
    """How near a case is to the volume in the body, in latent units, or why it cannot be used; and the case itself."""

    away: float = np.inf
    reason: str = ""
    case: Case | None = None


def tried(finished: Finished, labels: Collection[int], volume: Body, middle: NDArray[np.float64], see: See) -> Tried:
    """Look at a finished case.

    Args:
        finished: the case.
        labels: that are looked for.
        volume: the image that they are looked for in.
        middle: latent place of its middle, `(3,)`.
        see: lets the localizer see a volume.
    """
    name = finished.case.name
    if not any(label in finished.values for label in labels):
        return Tried()
    case = opened(finished, see)
    if case is None:
        return Tried(reason=shows_no_body(f"The finished case '{name}'"))
    if volume.is_ct != case.body.is_ct:
        return Tried(reason=f"The finished case '{name}' is of another modality than the image.")
    return Tried(float(np.abs(middle_of(case.seen) - middle).max()), case=case)


def opened(finished: Finished, see: See) -> Case | None:
    """The case's volume; None where nobody is in it."""
    image = read_volume(finished.case.image)
    body = body_of(image)
    return None if body is None else Case(image.geometry, body, see(body))


def middle_of(seen: Seen) -> NDArray[np.float64]:
    """Latent place of a volume's middle: the median of its map."""
    return np.asarray(seen.maps.places[0].flatten(1).median(dim=1).values.double().numpy())


def examples_of(finished: Finished, labels: Collection[int], case: Case) -> dict[int, Example]:
    """Label -> where it is in the case, for those that have a voxel."""
    drawn = read_labels(finished.case.labels, case.geometry)
    examples = {}
    for label in labels:
        if label in finished.values:
            outline = outline_of(drawn.mask(finished.values[label]), case.geometry, case.body.lattice)
            if outline is not None:
                examples[label] = Example(outline, *surface_of(outline, case.body.lattice), case)
    return examples


def whole_ones(examples: Sequence[Example]) -> list[Example]:
    """Those that show all of a label; where every one is cut, the largest alone: their ends are different places."""
    whole = [example for example in examples if not np.any(example.outline.cut)]
    return whole or [max(examples, key=lambda example: float(example.outline.share.sum()))]


def shown(examples: Sequence[Example]) -> tuple[Codes, list[Shown]]:
    """Landmarks of a label, averaged over the examples, six a part from the lowest on, and its outlines."""
    count = parts_for([float(np.ptp(example.surface[:, 0])) for example in examples])
    cut = [parts_of(example.surface, count) for example in examples]
    if len({len(parts) for parts in cut}) > 1:
        cut = [[example.surface] for example in examples]
    codes, outlines = [], []
    for example, parts in zip(examples, cut, strict=True):
        points = np.stack([extreme_points(part, example.reach) for part in parts])
        codes.append(example.case.seen.codes(points.reshape(-1, 3)))
        outlines.append(Shown(example.outline, example.case.body, box_of(points)))
    return averaged(codes), outlines


def reopened(finished: Finished, see: See) -> Case:
    """A case that was looked at before.

    Raises:
        InputError: it has become empty since.
    """
    case = opened(finished, see)
    if case is None:
        raise InputError(f"'{finished.case.image}' has changed while it was read.")
    return case
