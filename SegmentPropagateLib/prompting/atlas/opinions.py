"""What finished cases that lie on a volume bring of each label, at a second look where the first one is unsure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from SegmentPropagateLib.prompting.atlas.fusion import Carried, Outline, Start, carry, outline_of
from SegmentPropagateLib.prompting.atlas.grid import ALONG, Body
from SegmentPropagateLib.prompting.atlas.judgement import FOUND, judged
from SegmentPropagateLib.prompting.atlas.second_look import LEAST_PINS, PINS, Pin, compared, pin_of, pinned
from SegmentPropagateLib.prompting.source import Proposal
from SegmentPropagateLib.volumes.geometry import Plane
from SegmentPropagateLib.volumes.labels import Labels
from SegmentPropagateLib.volumes.volume import Volume

Redraw = Callable[[Proposal, Carried, Body, Volume, Plane], Proposal]
"""Makes a better draft of one, given what was carried and the volume's grid."""

Group = tuple[int, ...]  # numbers of the templates that are asked about a label


def as_it_is(draft: Proposal, carried: Carried, body: Body, volume: Volume, plane: Plane) -> Proposal:
    """A `Redraw` that changes nothing."""
    del carried, body, volume, plane
    return draft


class Query(NamedTuple):
    """What is looked at: the image on its lattice, the image itself, and the plane of its slices."""

    body: Body
    volume: Volume
    plane: Plane


class Template:
    """A finished case that lies on the volume.

    Args:
        body: the case on its lattice.
        drawn: its labels.
        values: label -> label in `drawn`.
        starts: the ways in which it lies.
    """

    def __init__(self, body: Body, drawn: Labels, values: Mapping[int, int], starts: Sequence[Start]) -> None:
        self.starts = starts
        self._body, self._drawn, self._values = body, drawn, values
        self._outlines: dict[int, Outline | None] = {}

    def sizes_mm3(self) -> dict[int, float]:
        """Label -> how much of it is drawn."""
        voxel = float(np.prod(self._drawn.geometry.spacing_kji_mm))
        counts: Counter[int] = Counter()
        for plane in (plane for layer in self._drawn.layers for plane in layer):
            values, sizes = np.unique(plane[plane != 0], return_counts=True)
            counts.update(dict(zip(values.tolist(), sizes.tolist(), strict=True)))
        return {label: voxel * counts[value] for label, value in self._values.items()}

    def outline(self, label: int) -> Outline | None:
        """Where a label is in it; None where it has no voxel of it."""
        if label not in self._outlines:
            mask = self._drawn.mask(self._values[label]) if label in self._values else None
            found = None if mask is None else outline_of(mask, self._drawn.geometry, self._body.lattice)
            self._outlines[label] = found
        return self._outlines[label]


class Opinions:
    """Drafts of labels; what one label gets does not depend on which others are asked about.

    Args:
        query: the image.
        templates: number -> finished case.
        redraw: has the last word on every draft but those of what is not here.
        again: the same at the second look; None looks once.
        pause: called before each step of the second look; what it raises ends the work.
    """

    def __init__(
        self,
        query: Query,
        templates: Mapping[int, Template],
        redraw: Redraw,
        again: Redraw | None,
        pause: Callable[[], None],
    ) -> None:
        self._query, self._templates = query, templates
        self._redraw, self._again, self._pause = redraw, again, pause
        self._first: dict[tuple[int, Group], tuple[Proposal, Carried | None] | None] = {}
        self._pinned: dict[Group, dict[int, Start]] = {}

    def on(self, label: int, group: Group) -> Proposal | None:
        """The draft by these templates; None where none of them has the label."""
        first = self._at_first(label, group)
        if first is None:
            return None
        draft, carried = first
        if self._again is None or carried is None or draft.status != "unsure":
            return draft
        return self._second(label, group, carried, self._again) or draft

    def _at_first(self, label: int, group: Group) -> tuple[Proposal, Carried | None] | None:
        if (label, group) not in self._first:
            starts = {number: self._templates[number].starts for number in group}
            self._first[label, group] = self._drafted(label, starts)
        return self._first[label, group]

    def _drafted(self, label: int, starts: Mapping[int, Sequence[Start]]) -> tuple[Proposal, Carried | None] | None:
        carried = self._carried(label, starts)
        if carried is None and all(self._templates[number].outline(label) is None for number in starts):
            return None
        body, volume, plane = self._query
        draft = judged(label, carried, body.lattice, volume, plane)
        if carried is not None and draft.status != "not here":
            draft = self._redraw(draft, carried, *self._query)
        return draft, carried

    def _carried(self, label: int, starts: Mapping[int, Sequence[Start]]) -> Carried | None:
        """What these starts of the templates bring of a label."""
        outlines = {number: self._templates[number].outline(label) for number in starts}
        pairs = [(it, start) for number, it in outlines.items() if it is not None for start in starts[number]]
        return carry([it for it, _ in pairs], [start for _, start in pairs], self._query.body.gray) if pairs else None

    def _second(self, label: int, group: Group, first: Carried, redraw: Redraw) -> Proposal | None:
        """The draft of a label that is found at the second look; None where it is not."""
        if group not in self._pinned:
            self._pinned[group] = self._pinned_starts(group)
        self._pause()
        carried = self._carried(label, {number: [start] for number, start in self._pinned[group].items()})
        if carried is None:
            return None
        body, volume, plane = self._query
        agreement = compared(first, carried, body.gray.shape, ALONG.index(Plane.parse(plane)))
        if agreement.overall < FOUND:
            return None  # drawing it would take as long as carrying it did
        draft = judged(label, carried, body.lattice, volume, plane, agreement)
        if draft.status == "found":
            draft = redraw(draft, carried, *self._query)
        return draft if draft.status == "found" else None

    def _pinned_starts(self, group: Group) -> dict[int, Start]:
        pins = self._pins(group)
        starts = {}
        for number in group:
            mine = [(pin, self._templates[number].outline(label)) for label, pin in pins.items()]
            drawn = [(pin, outline) for pin, outline in mine if outline is not None]
            self._pause()
            start = (
                pinned(self._query.body, self._templates[number].starts, drawn) if len(drawn) >= LEAST_PINS else None
            )
            if start is not None:
                starts[number] = start
        return starts

    def _pins(self, group: Group) -> dict[int, Pin]:
        """The largest labels of these templates that are found, whichever were asked for."""
        sizes: dict[int, float] = {}
        for number in group:
            for label, size in self._templates[number].sizes_mm3().items():
                sizes[label] = max(sizes.get(label, 0.0), size)
        pins: dict[int, Pin] = {}
        for label in sorted(sizes, key=lambda label: (-sizes[label], label)):
            self._pause()
            draft, carried = self._at_first(label, group) or (None, None)
            if draft is not None and carried is not None and draft.status == "found":
                pins[label] = pin_of(draft, carried, *self._query)
            if len(pins) == PINS:
                break
        return pins
