"""The source `atlas-memory`: registration says where an object is, the network's memory of the finished cases how it
looks there.

The masks that the source `atlas` carries are the expectation; the finished cases, as registration lays them on a slice,
are the network's supports. The slice on which network and expectation agree best becomes the key slice, and others on
which they agree become key slices beside it. What is unsure then is looked at a second time, pinned by what was found.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.prompting.atlas.fusion import Carried
from SegmentPropagateLib.prompting.atlas.grid import Body
from SegmentPropagateLib.prompting.atlas.sampling import on_slice, warped
from SegmentPropagateLib.prompting.atlas.source import Atlas
from SegmentPropagateLib.prompting.recall import Aligned, Answer, Memory, Question, remembering
from SegmentPropagateLib.prompting.source import Proposal, Support, Tick, in_silence
from SegmentPropagateLib.prompting.supports import (
    SUPPORTS,
    Image,
    Window,
    gray_of,
    likeness,
    mask_on,
    most_similar,
    points_on,
    window_around,
)
from SegmentPropagateLib.propagation.results import SliceResult, Source
from SegmentPropagateLib.reports.metrics import dice
from SegmentPropagateLib.volumes.geometry import Plane
from SegmentPropagateLib.volumes.stack import slice_of
from SegmentPropagateLib.volumes.volume import Volume

READ = (0.2, 0.5, 0.8)
"""Where along an object that registration has found the network looks, beside the key slice: a tenth of a second each.
Of what registration is unsure of the key slice alone is drawn anew. `evenly` would take a quarter, a half and three
quarters; the figures below are of these."""
DOUBT = 0.4
"""Mean worth of these slices below which a label is not found, whatever registration says: the network sees another
object there, or none. Of what registration found in two volumes, each from the other, and in eight pairs of copies of
them (bent, cut, with other contrast, inverted) it leaves 132 labels, 128 with a DSC over .5 on the key slice; the worth
of the best slice alone would leave 137, 131 of them so."""
CONVINCED = 0.6
"""The same at the second look at a label of which registration was unsure. Of 66 such labels of the eight pairs it
leaves 12, all of them right; the best wrong one has .52."""
AGREED = 0.8
"""DSC of what the network draws and what registration carries from which on a slice is a key slice too: where an object
goes on far beyond a finished case, one key slice is not enough. Once propagated the compact organs of six of those
pairs had mean DSCs of .86, .89, .83, .91, .84 and .85 so, and from one key slice .79, .86, .79, .88, .86 and .88."""

_EXACT = 0.5  # trust from which on a template is the volume itself, and its mask needs no second look


class AtlasMemory:
    """Carries the masks of finished cases, and has the network draw them anew; see `PromptSource`."""

    def propose(
        self, volume: Volume, labels: Collection[int], support: Support, plane: Plane, tick: Tick = in_silence
    ) -> list[Proposal]:
        """See `source.PromptSource.propose`.

        Raises:
            InputError: there are no finished cases, one of them or the model cannot be read, or PyTorch is missing.
        """
        redrawing = _Redrawing(support.model)
        atlas = Atlas(redrawing, partial(redrawing, least=CONVINCED))
        drafts = atlas.propose(volume, labels, support, plane, tick)
        return [replace(draft, source="atlas-memory") for draft in drafts]


class _Redrawing:
    """A `Redraw` by the memory of a network, which is loaded when something was found."""

    def __init__(self, model: str | Path | None) -> None:
        self._model = model
        self._memory: Memory | None = None

    def __call__(
        self, draft: Proposal, carried: Carried, body: Body, volume: Volume, plane: Plane, least: float = DOUBT
    ) -> Proposal:
        if np.average(carried.trust, weights=carried.soft + 1e-9) > _EXACT:
            return draft
        axis = volume.geometry.plane_axis(plane)
        rows, columns = (step for other, step in enumerate(volume.geometry.spacing_kji_mm) if other != axis)
        chosen = _some(sorted(draft.slices), draft.key_slice, READ if draft.status == "found" else ())
        masks = {index: draft.slices[index].mask for index in chosen}
        window = window_around(np.logical_or.reduce(list(masks.values())), (rows, columns))
        gray = gray_of(volume, body)
        questions = {}
        for index, mask in masks.items():
            mine = gray(slice_of(volume.array_kji, axis, index)[window])
            points = points_on(body.lattice, volume.geometry, axis, index, window)
            question = _question(mine, mask[window], points, carried)
            if question is not None:
                questions[index] = question
        if not questions:
            return _doubted(draft, 0.0)
        self._memory = self._memory or remembering(self._model)
        answers = dict(zip(questions, self._memory.ask(list(questions.values()), (rows, columns)), strict=True))
        return _with_answers(draft, answers, window, least)


def _some(present: list[int], key: int | None, places: Sequence[float]) -> list[int]:
    """The key slice and those at `places`, 0..1 from the first to the last slice that has the object."""
    others = {present[round(place * (len(present) - 1))] for place in places}
    return sorted(others | ({key} if key is not None else set()))


def _question(gray: Image, expected: NDArray[np.bool_], points: Image, carried: Carried) -> Question | None:
    """What the network is asked about a slice; None where no finished case shows the object there.

    Of each finished case the start whose mask is nearest to the expected one supports: three times the same slice, a
    little shifted, takes three times as long and tells no more.

    Args:
        gray: of the slice.
        expected: the carried mask on it.
        points: the volume's lattice under its pixels.
        carried: the object.
    """
    nearest: dict[int, tuple[float, Body, Image, NDArray[np.bool_]]] = {}
    for start, outline in zip(carried.starts, carried.outlines, strict=True):
        there = on_slice(start.deformed.points, points)
        mask = mask_on(there, outline, start.body.lattice)
        if mask is not None:
            overlap = dice(mask, expected)
            if id(outline) not in nearest or overlap > nearest[id(outline)][0]:
                nearest[id(outline)] = overlap, start.body, there, mask
    if not nearest:
        return None
    supports = [Aligned(warped(case.wide, there), mask) for _, case, there, mask in nearest.values()]
    likenesses = [likeness(support.gray, expected) for support in supports]
    chosen = most_similar(likeness(gray, expected), likenesses, SUPPORTS)
    return Question(gray, expected, [supports[number] for number in reversed(chosen)])


def _with_answers(draft: Proposal, answers: Mapping[int, Answer], window: Window, least: float) -> Proposal:
    """The draft with slices that were drawn anew; the best of them is the key slice, `least` the worth of what is
    found."""
    drawn = {index: answer for index, answer in answers.items() if answer.mask.any()}
    if not drawn:
        return _doubted(draft, 0.0)
    key = max(drawn, key=lambda index: drawn[index].worth)
    keys = {key, *(index for index, answer in drawn.items() if answer.agreed >= AGREED)}
    slices = {index: replace(result, source="propagated") for index, result in draft.slices.items()}
    for index, answer in drawn.items():
        mask = np.zeros(slices[index].shape, dtype=bool)
        mask[window] = answer.mask
        old = slices[index]
        source: Source = "key" if index in keys else "propagated"
        slices[index] = SliceResult.of_mask(mask, source, old.presence, old.predicted_iou)
    moved = replace(draft, key_slice=key, mask=slices[key].mask, slices=slices)
    worth = float(np.mean([answer.worth for answer in answers.values()]))
    return moved if worth >= least else _doubted(moved, worth)


def _doubted(draft: Proposal, worth: float) -> Proposal:
    """The same, but no longer found."""
    if draft.status != "found":
        return draft
    reason = f"The network sees another outline there than the finished cases would have ({worth:.2f})."
    return replace(draft, status="unsure", reason=reason)
