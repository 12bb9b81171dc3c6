"""Label files in the numbering of a project's template: people's names of labels agree, their numbers need not."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import PathLike
from SegmentPropagateLib.formats.reading import read_labels
from SegmentPropagateLib.prompting.finished import joined
from SegmentPropagateLib.reports.effort import Stack
from SegmentPropagateLib.volumes.geometry import Geometry, Plane
from SegmentPropagateLib.volumes.labels import SegmentInfo
from SegmentPropagateLib.volumes.stack import stack_of


def numbers_in(template: Sequence[SegmentInfo], segments: Sequence[SegmentInfo]) -> dict[int, int]:
    """Number in the template -> number in a file, for the segments that both have."""
    _, (_, found) = joined((template, segments))
    known = {segment.value for segment in template}
    return {value: own for value, own in found.items() if value in known}


def read_stacks(
    path: PathLike,
    like: Geometry,
    template: Sequence[SegmentInfo],
    plane: str,
    notify: Callable[[str], None] = lambda _sentence: None,
) -> dict[int, Stack]:
    """The labels of a file that the template has: number in the template -> bool `(slices, rows, columns)`.

    Args:
        path: of the file.
        like: the grid of the image.
        template: labels of the project.
        plane: whose slices are wanted.
        notify: takes a sentence about what was left out.

    Raises:
        InputError: the file cannot be read, or has labels and none of them is the project's.
    """
    labels = read_labels(path, like, notify)
    numbers = numbers_in(template, labels.segments)
    if labels.segments and not numbers:
        there, wanted = (", ".join(f"'{segment.name}'" for segment in of) for of in (labels.segments, template))
        raise InputError(f"'{path}' has none of the project's labels: it has {there}, the project {wanted}.")
    for segment in labels.segments:
        if segment.value not in numbers.values():
            notify(f"'{segment.name}' of '{path}' is left out: the project has no label of that name or number.")
    axis = like.plane_axis(Plane.parse(plane))
    return {value: stack_of(labels.mask(own), axis) for value, own in numbers.items()}


def spacing_of(geometry: Geometry, plane: str) -> tuple[float, float, float]:
    """Distances between the slices of a plane, their rows and their columns, mm."""
    axis = geometry.plane_axis(Plane.parse(plane))
    rows, columns = (mm for other, mm in enumerate(geometry.spacing_kji_mm) if other != axis)
    return geometry.spacing_kji_mm[axis], rows, columns
