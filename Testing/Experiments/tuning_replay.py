"""Plays recordings with other numbers: the library's own averaging and finishing, over what was recorded."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from tuning_recording import EXTENTS, SOFTEST, Course, Recording

from SegmentPropagateLib.models import loading
from SegmentPropagateLib.propagation.propagator import (
    KeyMasks,
    Lane,
    PropagationSettings,
    Propagator,
    SliceUpdate,
)
from SegmentPropagateLib.propagators import finishing, partner
from SegmentPropagateLib.propagators.classical import carrier
from SegmentPropagateLib.reports.metrics import dice
from SegmentPropagateLib.volumes.cropped import Cropped
from SegmentPropagateLib.volumes.stack import ImageStack

HOMES: Mapping[str, ModuleType] = {
    "NETWORK_SHARE": partner,
    "LEADING_SHARE": partner,
    "DOUBT": partner,
    "AT_THE_END": finishing,
    "NEIGHBOR": finishing,
    "CERTAIN": finishing,
    "CLASSICAL_EXCESS": loading,
    "STATED": carrier,
}
"""Number -> the module that it is read from."""
MEASURES = ("open", "range", "near")
"""Mean DSC on an open range, with the first and the last slice given, and on an open range near the key slice."""
NEAR = 5
"""Slices on either side of the key slice that count as near, as in the evaluation."""

Numbers = Mapping[str, float]
Stop = Callable[[Course], NDArray[np.float64]] | None
"""A stop rule: the logit of the object's presence for every slice of a course. None is the library's."""


def in_code(name: str) -> float:
    """The number that the library has."""
    return float(getattr(HOMES[name], name))


@contextmanager
def changed(numbers: Numbers) -> Iterator[None]:
    """The library with other numbers."""
    with ExitStack() as stack:
        for name, value in numbers.items():
            stack.enter_context(patch.object(HOMES[name], name, value))
        yield


def sweep(
    cases: Iterable[Recording], settings: Sequence[Numbers], way: str = "pair", stops: Sequence[Stop] = (None,)
) -> tuple[list[str], NDArray[np.float64]]:
    """The cases' groups, and figures `(cases, stops x settings, MEASURES)`.

    Args:
        cases: read one by one.
        settings: numbers that differ from the library's.
        way: `pair`, `classical` or `network`.
        stops: stop rules; all settings are tried with each of them.
    """
    rows, groups = [], []
    for case in cases:
        network = {extent: _network(case.courses[extent]) for extent in EXTENTS}
        figures = []
        for stop in stops:
            for numbers in settings:
                with changed(numbers):
                    masks = {extent: _masks(case, extent, way, network[extent], stop) for extent in EXTENTS}
                figures.append(figures_of(masks, case.truth, case.key))
        rows.append(figures)
        groups.append(case.group)
    return groups, np.array(rows)


def replay(case: Recording, extent: str, way: str = "pair") -> NDArray[np.bool_]:
    """Masks `(slices, rows, columns)` of a run, key slice included, within the case's window."""
    return _masks(case, extent, way, _network(case.courses[extent]), None)


def figures_of(masks: Mapping[str, NDArray[np.bool_]], truth: NDArray[np.bool_], key: int) -> list[float]:
    """`MEASURES` of the masks of both extents, `(slices, rows, columns)` as the reference is."""
    distance = np.abs(np.arange(len(truth)) - key)
    near = (distance > 0) & (distance <= NEAR)
    return [*(dice(masks[extent], truth) for extent in EXTENTS), dice(masks["open"][near], truth[near])]


class Told:
    """A propagator that says what it was told to."""

    def __init__(self, updates: Sequence[SliceUpdate]) -> None:
        self.info: Mapping[str, Any] = {"model": "recording"}
        self._updates = updates

    def open(self, stack: ImageStack, settings: PropagationSettings) -> None:
        """A recording needs no stack."""

    def run(self, lanes: Sequence[Lane], key_masks: KeyMasks) -> Generator[SliceUpdate, None, None]:
        yield from self._updates


def heard(case: Recording, extent: str, stop: Stop = None) -> tuple[list[SliceUpdate], list[SliceUpdate]]:
    """What the network and the classical propagator said, slice by slice in the order of visit."""
    course = case.courses[extent]
    return _network(course), _carried(course, stop)


def finished(case: Recording, extent: str, inner: Propagator, excess: float) -> NDArray[np.bool_]:
    """Masks `(slices, rows, columns)` of a propagator, finished, key slice included."""
    propagator = finishing.FinishingPropagator(inner, excess)
    gray = np.zeros(case.truth.shape, np.uint8)
    propagator.open(ImageStack(gray, gray, (1.0, 1.0, 1.0)), PropagationSettings())
    masks = np.zeros(case.truth.shape, dtype=bool)
    masks[case.key] = case.truth[case.key]
    for update in propagator.run(case.courses[extent].lanes, {1: {case.key: case.truth[case.key]}}):
        masks[update.slice_index] = update.mask
    return masks


def _masks(case: Recording, extent: str, way: str, network: Sequence[SliceUpdate], stop: Stop) -> NDArray[np.bool_]:
    parts = {"network": Told(network), "classical": Told(_carried(case.courses[extent], stop))}
    excess = 0.0 if way == "network" else loading.CLASSICAL_EXCESS
    inner = partner.PartnerPropagator(parts["network"], parts["classical"]) if way == "pair" else parts[way]
    return finished(case, extent, inner, excess)


def _network(course: Course) -> list[SliceUpdate]:
    said = zip(
        course.slices, course.network.astype(np.float32), course.network_presence, course.network_iou, strict=True
    )
    return [
        SliceUpdate(1, index, logits > 0, presence, iou, Cropped.of(logits)) for index, logits, presence, iou in said
    ]


def _carried(course: Course, stop: Stop) -> list[SliceUpdate]:
    """What the classical propagator would have said: nothing more once its stop rule holds that the object ended."""
    agreements = course.agreement if stop is None else stop(course)
    logits, nothing = course.carried.astype(np.float32), np.log(SOFTEST / (1 - SOFTEST))
    updates, place = [], 0
    for lane in course.lanes:
        stated, ended = lane.legs[0][-1] in lane.given_ends, False
        for index in lane.slices:
            agreement, iou = (carrier.ABSENT, 0.0) if ended else (agreements[place], course.carried_iou[place])
            presence = agreement + (carrier.STATED if stated and agreement > carrier.ABSENT else 0.0)
            ended = presence <= 0
            own = np.full(logits[place].shape, nothing, np.float32) if ended else logits[place]
            mask = own > 0
            presence = presence if mask.any() else min(presence, -1.0)
            updates.append(SliceUpdate(1, index, mask, presence, iou, Cropped.of(own)))
            place += 1
    return updates
