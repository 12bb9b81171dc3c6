"""Validation: one key slice is carried through whole volumes with all that users run, and measured in 3-D."""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from SegmentPropagateLib.models.loading import as_run
from SegmentPropagateLib.networks.adapters.lora import merge_lora
from SegmentPropagateLib.networks.card import Card
from SegmentPropagateLib.networks.families import find_family
from SegmentPropagateLib.networks.sam2 import Network
from SegmentPropagateLib.propagation.lanes import plan_lanes
from SegmentPropagateLib.propagation.prompts import NOTHING_KNOWN, BoxPrompt, Known, PointsPrompt
from SegmentPropagateLib.propagation.propagator import KeyMasks, Lane, PropagationSettings, Propagator, SliceUpdate
from SegmentPropagateLib.propagators.classical.engine import ClassicalPropagator
from SegmentPropagateLib.propagators.tracking.engine import NetworkPropagator
from SegmentPropagateLib.reports.metrics import dice
from SegmentPropagateLib.training.clips import Target, TrainingVolume
from SegmentPropagateLib.volumes.boxes import bounding_box
from SegmentPropagateLib.volumes.cropped import NOWHERE, Cropped
from SegmentPropagateLib.volumes.stack import ImageStack

EXTENTS = ("open", "range")
"""The ways in which users run: where the object ends is left open, or its first and last slice are given."""
GAIN = 0.002
"""Least gain of DSC that counts: smaller ones on the cases set aside were lost on others (Testing/Experiments)."""
FAINTEST = -9.0
"""Logits below are as good as this one (see `partner`), so that they need not be kept."""


class Score(NamedTuple):
    """How well targets are found as users run a model; means over the targets.

    Args:
        open_dsc: 3-D DSC on an open range, key slice included.
        range_dsc: the same with the first and last slice given.
        absent_empty: on an open range, the share of the slices without the target that are left empty.
    """

    open_dsc: float
    range_dsc: float
    absent_empty: float

    @property
    def dsc(self) -> float:
        """What models are ranked by: both ranges count alike."""
        return (self.open_dsc + self.range_dsc) / 2

    def to_record(self) -> dict[str, float]:
        """As a step's record has it."""
        return {"validation_dsc": self.dsc, **{f"validation_{name}": value for name, value in self._asdict().items()}}

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Score | None:
        """What `to_record` gave; None where the step was not measured."""
        names = [f"validation_{name}" for name in cls._fields]
        return cls(*(record[name] for name in names)) if all(name in record for name in names) else None


class Ranking:
    """Which of the models of a run is kept: the best one of those that are better than the starting point.

    Better means a DSC higher by `GAIN` and slices without the target being left empty at least as often.

    Args:
        start: the starting point's figures; None where nothing is measured, and the last model is kept.
    """

    def __init__(self, start: Score | None) -> None:
        self.start = start
        self.best, self.last, self.in_vain = start, start, 0

    def add(self, score: Score | None) -> bool:
        """Take a model's figures, None where it was not measured; whether it is the one to keep."""
        if self.start is None or self.best is None:
            return True
        if score is None:
            return False
        self.last = score
        gains = score.dsc > self.best.dsc and score.dsc >= self.start.dsc + GAIN
        is_better = gains and score.absent_empty >= self.start.absent_empty
        self.in_vain = 0 if is_better else self.in_vain + 1
        if is_better:
            self.best = score
        return is_better

    def facts(self) -> dict[str, Any]:
        """For the user: DSC of the model kept and of the starting point, and whether these are one; None if unknown."""
        if self.start is None or self.best is None:
            return {"validation_dsc": None, "start_dsc": None, "kept_start": False}
        return {"validation_dsc": self.best.dsc, "start_dsc": self.start.dsc, "kept_start": self.best is self.start}

    def metrics(self) -> dict[str, Any]:
        """For a card."""
        named = {"start": self.start, "best": self.best, "last": self.last}
        figures = {
            name: {key: round(value, 4) for key, value in score._asdict().items()}
            for name, score in named.items()
            if score is not None
        }
        return {name: round(score.dsc, 4) for name, score in (("dsc", self.last), ("best_dsc", self.best)) if score} | {
            "figures": figures
        }


def frozen_propagator(network: Network, card: Card, device: torch.device) -> NetworkPropagator:
    """The network as it is now, as a propagator; training may go on meanwhile."""
    frozen = copy.deepcopy(network).eval().requires_grad_(False)
    merge_lora(frozen)
    return NetworkPropagator(frozen, card, device)


def propagate_target(
    propagator: Propagator,
    volume: TrainingVolume,
    target: Target,
    settings: PropagationSettings,
    ends: tuple[int, int] | None = None,
) -> tuple[NDArray[np.bool_], int]:
    """Carry the largest slice of a target both ways, as a session does.

    Args:
        propagator: what carries it.
        volume: where.
        target: what.
        settings: of the run.
        ends: first and last slice with the target, told to the propagator; None runs through the whole stack.

    Returns:
        bool `(slices, rows, columns)`, the key slice being the reference's own, and which slice that is.
    """
    reference = volume.masks(target.values)
    key = int(reference.sum((1, 2)).argmax())
    result = np.zeros_like(reference)
    result[key] = reference[key]
    first, last = ends or (0, len(reference) - 1)
    propagator.open(volume.stack, settings)
    lanes = plan_lanes(1, {key: reference[key]}, first, last, settings.pass_mode, ends or ())
    for update in propagator.run(lanes, {1: {key: reference[key]}}):
        result[update.slice_index] = update.mask
    return result, key


class Examiner:
    """Measures networks on the same targets again and again.

    The classical partner does not learn, so what it says of a target is kept: it takes longer than a small network.

    Args:
        targets: what to measure on; volumes are loaded when they are needed.
        device: where the network computes.
    """

    def __init__(self, targets: Sequence[tuple[Callable[[], TrainingVolume], Target]], device: torch.device) -> None:
        self._targets, self._device = targets, device
        self._partners = [{extent: RememberedRun(ClassicalPropagator) for extent in EXTENTS} for _ in targets]

    def score(self, network: Network, card: Card) -> Score:
        """Mean figures of a network as it is now; NaN without targets."""
        family = find_family(card.family)
        alone = frozen_propagator(network, card, self._device)
        rows = []
        for (load, target), partners in zip(self._targets, self._partners, strict=True):
            pairs = {extent: as_run(alone, family, partners[extent] if family.partner else None) for extent in EXTENTS}
            rows.append(_figures(pairs, load(), target))
        open_dsc, range_dsc, absent_empty = np.mean(rows, axis=0) if rows else (np.nan,) * 3
        return Score(float(open_dsc), float(range_dsc), float(absent_empty))


def _figures(
    propagators: Mapping[str, Propagator], volume: TrainingVolume, target: Target
) -> tuple[float, float, float]:
    """The figures of a `Score` for one target."""
    truth = volume.masks(target.values)
    present = truth.any((1, 2))
    indices = np.flatnonzero(present)
    ends = {"open": None, "range": (int(indices[0]), int(indices[-1]))}
    settings = PropagationSettings()
    masks = {name: propagate_target(propagators[name], volume, target, settings, ends[name])[0] for name in EXTENTS}
    absent = masks["open"][~present]
    empty = 1.0 - float(absent.any((1, 2)).mean()) if len(absent) else 1.0
    return dice(masks["open"], truth), dice(masks["range"], truth), empty


class RememberedRun:
    """Runs a propagator once, and from then on says what it said; implements `propagator.Propagator`.

    Args:
        make: makes the propagator, which gives logits; it is let go, with its stack, when it has run.
    """

    def __init__(self, make: Callable[[], Propagator]) -> None:
        self._inner: Propagator | None = make()
        self.info: Mapping[str, Any] = self._inner.info
        self._said: list[_Said] = []

    def open(self, stack: ImageStack, settings: PropagationSettings) -> None:
        """Take the stack, which is always the same one."""
        if self._inner is not None:
            self._inner.open(stack, settings)

    def segment(
        self, slice_index: int, prompt: BoxPrompt | PointsPrompt, known: Known = NOTHING_KNOWN
    ) -> NDArray[np.bool_]:
        """Refuse: prompts are not remembered."""
        raise NotImplementedError("Validation starts from reference outlines.")

    def get_ahead(self, lanes: Sequence[Lane], key_masks: KeyMasks) -> Iterator[None]:
        """Nothing: nobody waits."""
        del lanes, key_masks
        return iter(())

    def run(self, lanes: Sequence[Lane], key_masks: KeyMasks) -> Generator[SliceUpdate, None, None]:
        """Carry the masks, or say again what came of it: lanes and keys are always the same ones."""
        if self._inner is None:
            for said in self._said:
                yield said.update()
            return
        self._said.clear()
        left = sum(len(lane.slices) for lane in lanes)
        with closing(self._inner.run(lanes, key_masks)) as updates:
            for update in updates:
                self._said.append(_Said.of(update))
                left -= 1
                if left == 0:  # whoever reads the last one need not ask for another
                    self._inner = None
                yield update


@dataclass(frozen=True)
class _Said:
    """An update without what is as good as certainly outside."""

    part: Cropped
    bare: SliceUpdate

    @classmethod
    def of(cls, update: SliceUpdate) -> _Said:
        logits = update.logits
        if logits is None:
            raise ValueError(f"Slice {update.slice_index} came without logits, which are to be remembered.")
        rows, columns = bounding_box(update.mask | (logits > FAINTEST)) or NOWHERE
        part = Cropped(logits[rows, columns].copy(), (rows, columns), (logits.shape[0], logits.shape[1]), FAINTEST)
        return cls(part, replace(update, mask=update.mask[rows, columns].copy(), part=None))

    def update(self) -> SliceUpdate:
        mask = np.zeros(self.part.shape, dtype=bool)
        mask[self.part.box] = self.bare.mask
        return replace(self.bare, mask=mask, part=self.part)
