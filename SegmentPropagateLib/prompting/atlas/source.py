"""The source `atlas`: finished cases are laid over the volume one by one, and what they bring is put together.

It does the work of MedLSAM (Lei 2023, arXiv:2306.14752) by registration instead of a trained network, and hands over a
mask on one slice with a range: of 23 organs that were then propagated, a box gave a mean DSC of .35 and the mask .69.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from itertools import count
from typing import NamedTuple

import numpy as np

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.reading import read_labels, read_volume
from SegmentPropagateLib.prompting.atlas.deformation import deform
from SegmentPropagateLib.prompting.atlas.fusion import Start
from SegmentPropagateLib.prompting.atlas.grid import Body, body_of, shows_no_body
from SegmentPropagateLib.prompting.atlas.opinions import Opinions, Query, Redraw, Template, as_it_is
from SegmentPropagateLib.prompting.atlas.orientation import exchanged
from SegmentPropagateLib.prompting.atlas.placement import STARTS, Place, places
from SegmentPropagateLib.prompting.finished import Finished
from SegmentPropagateLib.prompting.source import Proposal, Support, Tick, in_silence
from SegmentPropagateLib.volumes.boxes import bounding_box
from SegmentPropagateLib.volumes.geometry import Geometry, Plane
from SegmentPropagateLib.volumes.labels import Labels
from SegmentPropagateLib.volumes.volume import Volume

TEMPLATES = 5
"""How many of the cases are used, those that fit best where they are placed; as many as MedLSAM's supports."""

NEAR = 15
"""Grid points around all that is drawn in a case which are laid over the volume."""


class Atlas:
    """Carries the masks of finished cases; see `PromptSource`.

    Args:
        redraw: has the last word on every draft but those of what is not here.
        again: the same at a second look at what is unsure, see `second_look`; None looks once.
    """

    def __init__(self, redraw: Redraw = as_it_is, again: Redraw | None = None) -> None:
        self._redraw, self._again = redraw, again

    def propose(
        self, volume: Volume, labels: Collection[int], support: Support, plane: Plane, tick: Tick = in_silence
    ) -> list[Proposal]:
        """See `source.PromptSource.propose`.

        Raises:
            InputError: there are no finished cases, or one of them cannot be read.
        """
        cases = support.cases
        if not cases:
            raise InputError("The source 'atlas' needs finished cases: give a folder of images with their labels.")
        body = body_of(volume)
        if body is None:
            return [_absent(label, shows_no_body(f"'{volume.name}'")) for label in labels]
        most = len(cases) + STARTS * min(TEMPLATES, len(cases))
        total = most + len(labels)
        tried: list[_Tried] = []
        for finished in cases:
            tried.append(_try(finished, labels, body, keep=len(cases) <= TEMPLATES))
            tick(len(tried), total)
        chosen = {label: _best(label, cases, tried) for label in labels}
        laid = count(len(cases) + 1)

        def told() -> None:
            tick(min(next(laid), most), total)

        numbers = sorted(set().union(*chosen.values()))
        templates = {number: _laid(cases[number], body, tried[number], told) for number in numbers}
        proposals: list[Proposal] = []

        def pause() -> None:
            tick(most + len(proposals), total)

        opinions = Opinions(Query(body, volume, plane), templates, self._redraw, self._again, pause)
        for label in labels:
            draft = opinions.on(label, tuple(chosen[label]))
            if draft is not None:
                proposals.append(_doubted(draft, tried[chosen[label][0]].doubt))
            else:
                reasons = [one.reason for finished, one in zip(cases, tried, strict=True) if label in finished.values]
                proposals.append(_absent(label, next(filter(None, reasons), f"No finished case has label {label}.")))
            pause()
        return proposals


class _Tried(NamedTuple):
    """Where a case can lie on the volume, or why it cannot, or why it should not.

    With its grid and its body, unless there are many cases.
    """

    places: Sequence[Place] = ()
    reason: str = ""
    doubt: str = ""
    image: tuple[Geometry, Body] | None = None


def _absent(label: int, reason: str) -> Proposal:
    return Proposal(label, "not here", source="atlas", reason=reason)


def _try(finished: Finished, labels: Collection[int], volume: Body, keep: bool) -> _Tried:
    name = finished.case.name
    if not any(label in finished.values for label in labels):
        return _Tried()
    image = read_volume(finished.case.image)
    body = body_of(image)
    if body is None:
        return _Tried(reason=shows_no_body(f"The finished case '{name}'"))
    if volume.is_ct != body.is_ct:
        kinds = ("CT", "none") if volume.is_ct else ("no CT", "one")
        told = f"The image is {kinds[0]} and the finished case '{name}' is {kinds[1]}: give cases of its modality."
        return _Tried(reason=told)
    found = places(volume, body)
    if not found:
        return _Tried(reason=f"The image and the finished case '{name}' have too little of the body in common.")
    ends = exchanged(volume, body)
    told = f"The finished case '{name}' fits better with {ends} exchanged: check how the two images lie."
    return _Tried(found, doubt=told if ends else "", image=(image.geometry, body) if keep else None)


def _best(label: int, cases: Sequence[Finished], tried: Sequence[_Tried]) -> list[int]:
    """Numbers of the cases that have the label and fit best; the choice for one label leaves the others alone.

    Those that seem to lie the wrong way are taken where there are no others.
    """
    able = [n for n, finished in enumerate(cases) if label in finished.values and tried[n].places]
    able = [n for n in able if not tried[n].doubt] or able
    return sorted(able, key=lambda n: -tried[n].places[0].score)[:TEMPLATES]


def _doubted(draft: Proposal, doubt: str) -> Proposal:
    """The same, but not found where there is a doubt."""
    if not doubt:
        return draft
    return replace(draft, status="not here" if draft.status == "not here" else "unsure", reason=doubt)


def _laid(finished: Finished, volume: Body, tried: _Tried, told: Callable[[], None]) -> Template:
    """Lay a case over the volume; `told` is called after each of its starts."""
    geometry, body = tried.image or _read(finished)
    drawn = read_labels(finished.case.labels, geometry)
    near = _surroundings(drawn, body)
    template, first = body.part(near), np.array([span.start for span in near], np.float32)[:, None, None, None]
    starts = []
    for place in tried.places:
        starts.append(Start(template, deform(volume, template, place.points(volume.gray.shape) - first)))
        told()
    return Template(template, drawn, finished.values, starts)


def _surroundings(drawn: Labels, body: Body) -> tuple[slice, ...]:
    """The box of a case's lattice with all that is drawn in it, whichever labels are asked for, and what is near."""
    box = bounding_box(np.any(drawn.layers, axis=0))
    if box is None:
        return tuple(slice(0, size) for size in body.lattice.shape)
    part = drawn.geometry.part([span.start for span in box], [span.stop - span.start for span in box])
    return tuple(slice(max(0, span.start - NEAR), span.stop + NEAR) for span in body.lattice.over(part))


def _read(finished: Finished) -> tuple[Geometry, Body]:
    image = read_volume(finished.case.image)
    body = body_of(image)
    if body is None:  # it had one a moment ago
        raise InputError(f"'{finished.case.image}' has changed while it was read.")
    return image.geometry, body
