"""The source `atlas-memory`: registration says where an object is, the network's memory of the finished cases how it
looks there.

The masks that the source `atlas` carries are the expectation; the finished cases, as registration lays them on a slice,
are the network's supports. The slice on which network and expectation agree best becomes the key slice.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.prompting.atlas.deformation import warped
from SegmentPropagateLib.prompting.atlas.fusion import Carried
from SegmentPropagateLib.prompting.atlas.grid import Body
from SegmentPropagateLib.prompting.atlas.source import Atlas
from SegmentPropagateLib.prompting.recall import Aligned, Answer, Memory, Question
from SegmentPropagateLib.prompting.source import Proposal, Support, Tick, in_silence
from SegmentPropagateLib.prompting.supports import (
    SUPPORTS,
    Image,
    Window,
    aligned,
    gray_of,
    likeness,
    most_similar,
    points_on,
    window_around,
)
from SegmentPropagateLib.propagation.results import SliceResult, Source
from SegmentPropagateLib.reports.metrics import dice
from SegmentPropagateLib.volumes.geometry import Plane
from SegmentPropagateLib.volumes.stack import slice_of
from SegmentPropagateLib.volumes.volume import Volume

READ = 4
"""Slices that the network looks at of an object that registration has found, beside the key slice: a tenth of a second
each. Of 19 organs in two parts of a volume the mean DSC on the key slice was .66 as carried, .78 with none beside it,
.80 with 4 and .79 with 6. Of what registration is unsure of the key slice alone is drawn anew, as more made it no
better: .17 as carried, .26 so, .20 with 6 of 23 organs."""
DOUBT = 0.4
"""Worth of the best slice below which a label is not found, whatever registration says: the network sees another object
there, or none."""
CONFIRMED = 0.8
"""Worth of a slice, read with nothing but the key slice in memory, from which on it is a key slice too: there the
finished cases and the key slice lead to one outline, neither knowing of the other."""

_EXACT = 0.5  # trust from which on a template is the volume itself, and its mask needs no second look


class AtlasMemory:
    """Carries the masks of finished cases, and has the network draw them anew; see `PromptSource`."""

    def __init__(self) -> None:
        self._memory: Memory | None = None  # loaded when something was found

    def propose(
        self, volume: Volume, labels: Collection[int], support: Support, plane: Plane, tick: Tick = in_silence
    ) -> list[Proposal]:
        """See `source.PromptSource.propose`.

        Raises:
            InputError: there are no finished cases, one of them cannot be read, or PyTorch is missing.
        """
        drafts = Atlas(self._redrawn).propose(volume, labels, support, plane, tick)
        return [replace(draft, source="atlas-memory") for draft in drafts]

    def _redrawn(self, draft: Proposal, carried: Carried, body: Body, volume: Volume, plane: Plane) -> Proposal:
        if np.average(carried.trust, weights=carried.soft + 1e-9) > _EXACT:
            return draft
        axis = volume.geometry.plane_axis(plane)
        rows, columns = (step for other, step in enumerate(volume.geometry.spacing_kji_mm) if other != axis)
        chosen = _some(sorted(draft.slices), draft.key_slice, READ if draft.status == "found" else 0)
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
        self._memory = self._memory or Memory()
        answers = dict(zip(questions, self._memory.ask(list(questions.values()), (rows, columns)), strict=True))
        drawn = {index: answer for index, answer in answers.items() if answer.mask.any()}
        if not drawn:
            return _doubted(draft, 0.0)
        key = max(drawn, key=lambda index: drawn[index].worth)
        others = self._confirmed(key, drawn, questions, (rows, columns))
        return _with_answers(draft, drawn | others, [key, *others], window)

    def _confirmed(
        self, key: int, drawn: Mapping[int, Answer], questions: Mapping[int, Question], pixel_mm: tuple[float, float]
    ) -> dict[int, Answer]:
        """On either side the farthest slice that looks the same when nothing but the key slice is in memory."""
        confirmed: dict[int, Answer] = {}
        if self._memory is None or drawn[key].worth < DOUBT:
            return confirmed
        support = Aligned(questions[key].gray, drawn[key].mask)
        sides = [
            sorted(index for index in drawn if index < key),
            sorted((index for index in drawn if index > key), reverse=True),
        ]
        while any(sides):
            asked = [side.pop(0) for side in sides if side]
            slices = [(questions[index].gray, drawn[index].mask) for index in asked]
            for index, answer in zip(asked, self._memory.compare(support, slices, pixel_mm), strict=True):
                if answer.mask.any() and answer.worth >= CONFIRMED:
                    confirmed[index] = answer
                    sides[index > key].clear()
        return confirmed


def _some(present: list[int], key: int | None, count: int) -> list[int]:
    """The key slice and so many others, evenly over those that have the object."""
    places = np.linspace(0, len(present) - 1, min(count, len(present)) + 2)[1:-1]
    return sorted({present[round(float(place))] for place in places} | ({key} if key is not None else set()))


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
    nearest: dict[int, tuple[float, Aligned]] = {}
    for start, outline in zip(carried.starts, carried.outlines, strict=True):
        there = np.stack([warped(axis, points) for axis in start.deformed.points])
        support = aligned(there, outline, start.wide, start.lattice)
        if support is not None:
            overlap = dice(support.mask, expected)
            if id(outline) not in nearest or overlap > nearest[id(outline)][0]:
                nearest[id(outline)] = overlap, support
    if not nearest:
        return None
    supports = [support for _, support in nearest.values()]
    likenesses = [likeness(support.gray, expected) for support in supports]
    chosen = most_similar(likeness(gray, expected), likenesses, SUPPORTS)
    return Question(gray, expected, [supports[number] for number in reversed(chosen)])


def _with_answers(draft: Proposal, drawn: Mapping[int, Answer], keys: Sequence[int], window: Window) -> Proposal:
    """The draft with slices that were drawn anew; of `keys` the first is the key slice."""
    key = keys[0]
    slices = {index: replace(result, source="propagated") for index, result in draft.slices.items()}
    for index, answer in drawn.items():
        mask = np.zeros(slices[index].shape, dtype=bool)
        mask[window] = answer.mask
        old = slices[index]
        source: Source = "key" if index in keys else "propagated"
        slices[index] = SliceResult.of_mask(mask, source, old.presence, old.predicted_iou)
    moved = replace(draft, key_slice=key, mask=slices[key].mask, slices=slices)
    return moved if drawn[key].worth >= DOUBT else _doubted(moved, drawn[key].worth)


def _doubted(draft: Proposal, worth: float) -> Proposal:
    """The same, but no longer found."""
    if draft.status != "found":
        return draft
    reason = f"The network sees another outline there than the finished cases would have ({worth:.2f})."
    return replace(draft, status="unsure", reason=reason)
