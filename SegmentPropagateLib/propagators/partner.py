"""A network and the classical propagator together: the mean of their soft masks, within the classical stop rule.

The network adds shape, the classical half knows better where an object ends. Mean DSC on an open range, of the pair,
the classical half and the network: .83, .82 and .81 on the 33 evaluation targets; .79, .79 and .71 on 32 other organs
and muscles; with the range given .86, .84 and .84; .81, .80 and .77.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from itertools import chain, zip_longest
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.propagation.prompts import BoxPrompt, PointsPrompt
from SegmentPropagateLib.propagation.propagator import KeyMasks, Lane, PropagationSettings, Propagator, SliceUpdate
from SegmentPropagateLib.propagators.classical.carrier import ABSENT
from SegmentPropagateLib.propagators.threaded import Threaded
from SegmentPropagateLib.volumes.stack import ImageStack

NETWORK_SHARE = 0.43
"""Of the mean; low enough for the partner to win where both are sure and disagree, even after `finishing` has taken its
part: a half costs .002 on the other organs, where the network drifts off, for nothing on the evaluation's. Fitted by
Testing/Experiments/fit_partner.py."""
LEADING_SHARE, DOUBT = 0.6, 0.2
"""The network's share where the partner expects an IoU below `DOUBT` of its own mask: there it only goes on because the
user says that the object does. Worth .003 with the range given, and nothing on the other organs. Fitted by
Testing/Experiments/fit_partner.py."""

LEAD = 2
"""Slices of every lane by which the partner, which works in a thread of its own, may be ahead of the network."""


@runtime_checkable
class Leaving(Protocol):
    """A propagator whose run can be spared the rest of a lane."""

    def leave(self, lane: Lane) -> None:
        """What would still be said of a lane is not needed."""


class PartnerPropagator:
    """Averages two propagators; implements `propagator.Propagator`.

    Args:
        network: gives masks.
        partner: gives masks, turns boxes and points into masks, and decides alone where an object has ended. Beyond
            the last key slice an object of presence `ABSENT` does not come back, so the network need not look there.
    """

    def __init__(self, network: Propagator, partner: Propagator) -> None:
        self._network, self._partner = network, partner

    @property
    def info(self) -> Mapping[str, Any]:
        """Facts for reports: the network's, and the partner's name."""
        return {**self._network.info, "partner": self._partner.info["model"]}

    def open(self, stack: ImageStack, settings: PropagationSettings) -> None:
        """Take a new stack."""
        self._network.open(stack, settings)
        self._partner.open(stack, settings)

    def segment(self, slice_index: int, prompt: BoxPrompt | PointsPrompt) -> NDArray[np.bool_]:
        """Ask the partner, whose method is made for prompts; the network has learned from finished outlines."""
        return self._partner.segment(slice_index, prompt)

    def get_ahead(self, lanes: Sequence[Lane], key_masks: KeyMasks) -> Iterator[None]:
        """Let both get ahead."""
        for _ in zip_longest(self._network.get_ahead(lanes, key_masks), self._partner.get_ahead(lanes, key_masks)):
            yield

    def run(self, lanes: Sequence[Lane], key_masks: KeyMasks) -> Generator[SliceUpdate, None, None]:
        """Carry the masks along the lanes, all lanes one slice per step; see `propagator.Propagator.run`."""
        runs = self._network.run(lanes, key_masks), Threaded(self._partner.run(lanes, key_masks), LEAD * len(lanes))
        at_the_end = {(lane.object_id, index): lane for lane in lanes for index in _beyond_keys(lane)}
        left: set[Lane] = set()
        waiting: dict[tuple[int, int], SliceUpdate] = {}
        with ExitStack() as stack:  # closes both, even where closing one of them fails
            network, partner = (stack.enter_context(closing(run)) for run in runs)
            for update in network:
                place = update.object_id, update.slice_index
                if at_the_end.get(place) in left:  # it could not be spared
                    continue
                while place not in waiting:
                    other = next(partner)
                    if at_the_end.get((other.object_id, other.slice_index)) in left:
                        yield other
                    else:
                        waiting[other.object_id, other.slice_index] = other
                both = update, waiting.pop(place)
                yield average(*both)
                if both[1].presence <= ABSENT and place in at_the_end and isinstance(self._network, Leaving):
                    left.add(at_the_end[place])
                    self._network.leave(at_the_end[place])
            for other in chain(waiting.values(), partner) if left else ():
                if at_the_end.get((other.object_id, other.slice_index)) in left:
                    yield other


def _beyond_keys(lane: Lane) -> range:
    """The last leg of a lane, where no key slice lies ahead of it."""
    leg = lane.legs[-1]
    return range(0) if any((key - leg[-1]) * leg.step > 0 for key in lane.keys) else leg


def average(network: SliceUpdate, partner: SliceUpdate) -> SliceUpdate:
    """Mean of two opinions on one slice; empty where the partner holds that the object has ended."""
    if partner.presence <= 0:
        return partner
    share = LEADING_SHARE if partner.predicted_iou < DOUBT else NETWORK_SHARE
    soft = share * _soft(network) + (1 - share) * _soft(partner)
    logits = np.log(soft / (1 - soft))
    mask = logits > 0
    presence = partner.presence if mask.any() else -1.0
    return SliceUpdate(partner.object_id, partner.slice_index, mask, presence, partner.predicted_iou, logits)


def _soft(update: SliceUpdate) -> NDArray[np.float32]:
    """Probabilities, away from 0 and 1; those of a mask without logits are as good as certain."""
    logits = np.where(update.mask, 9.0, -9.0) if update.logits is None else np.clip(update.logits, -9.0, 9.0)
    return (1 / (1 + np.exp(-logits))).astype(np.float32)
