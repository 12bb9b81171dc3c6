"""A network and the classical propagator together: the mean of their soft masks, within the classical stop rule.

The network adds shape, the classical half knows better where an object ends. Mean DSC on an open range, of the pair,
the classical half and the network: .83, .82 and .81 on the 33 evaluation targets; .79, .79 and .71 on 32 other organs
and muscles; with the range given .86, .84 and .84; .81, .80 and .77.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from itertools import zip_longest
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.propagation.prompts import NOTHING_KNOWN, BoxPrompt, Known, PointsPrompt
from SegmentPropagateLib.propagation.propagator import KeyMasks, Lane, PropagationSettings, Propagator, SliceUpdate
from SegmentPropagateLib.propagators.classical.carrier import ABSENT
from SegmentPropagateLib.propagators.threaded import Threaded
from SegmentPropagateLib.volumes.cropped import Cropped, combined
from SegmentPropagateLib.volumes.stack import ImageStack

NETWORK_SHARE = 0.43
"""Of the mean; low enough for the partner to win where both are sure and disagree, even after `finishing` has taken its
part: a half costs .002 on the other organs, where the network drifts off, for nothing on the evaluation's. Fitted by
Testing/Experiments/fit_partner.py."""
LEADING_SHARE, DOUBT = 0.6, 0.2
"""The network's share where the partner expects an IoU below `DOUBT` of its own mask: there it only goes on because the
user says that the object does. Worth .003 with the range given, and nothing on the other organs. Fitted by
Testing/Experiments/fit_partner.py."""

CERTAIN = 9.0
"""Logits are cut off there."""
LEAD = 2
"""Slices of every lane by which the partner, which works in a thread of its own, may be ahead of the network."""
MOST_HELD = 40
"""Slices by which the network may be ahead between two key slices, 1.3 MB each of 512 x 512 pixels."""

Pair = tuple[SliceUpdate | None, SliceUpdate]
"""What the network says of a slice, if anything, and what its partner says."""


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
        beside: what is to hold while both are at work.
    """

    def __init__(
        self,
        network: Propagator,
        partner: Propagator,
        beside: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._network, self._partner, self._beside = network, partner, beside

    @property
    def info(self) -> Mapping[str, Any]:
        """Facts for reports: the network's, and the partner's name."""
        return {**self._network.info, "partner": self._partner.info["model"]}

    def open(self, stack: ImageStack, settings: PropagationSettings) -> None:
        """Take a new stack."""
        self._network.open(stack, settings)
        self._partner.open(stack, settings)

    def segment(
        self, slice_index: int, prompt: BoxPrompt | PointsPrompt, known: Known = NOTHING_KNOWN
    ) -> NDArray[np.bool_]:
        """Ask the partner, whose method is made for prompts; the network has learned from finished outlines."""
        return self._partner.segment(slice_index, prompt, known)

    def get_ahead(self, lanes: Sequence[Lane], key_masks: KeyMasks) -> Iterator[None]:
        """Let both get ahead."""
        for _ in zip_longest(self._network.get_ahead(lanes, key_masks), self._partner.get_ahead(lanes, key_masks)):
            yield

    def run(self, lanes: Sequence[Lane], key_masks: KeyMasks) -> Generator[SliceUpdate, None, None]:
        """Carry the masks along the lanes; see `propagator.Propagator.run`.

        A slice comes as soon as both have said what they think of it, whatever one of them has yet to say of others.
        """
        with self._beside(), ExitStack() as stack:  # closes both, even where closing one of them fails
            said = Threaded(self._partner.run(lanes, key_masks), LEAD * len(lanes))
            partner = stack.enter_context(closing(said))
            network = stack.enter_context(closing(self._network.run(lanes, key_masks)))
            pairs = _Pairs(lanes, partner)
            for update in network:
                for own, other in pairs.take(update):
                    yield other if own is None else average(own, other)
                    lane = pairs.ending(other)
                    if own is not None and lane is not None and isinstance(self._network, Leaving):
                        self._network.leave(lane)
                        yield from pairs.leave(lane)
            for own, other in pairs.rest():
                yield other if own is None else average(own, other)


class _Pairs:
    """Brings together what a network and its partner say of the same slices, each in an order of its own.

    Args:
        lanes: of the run.
        partner: what it says.
    """

    def __init__(self, lanes: Sequence[Lane], partner: Threaded[SliceUpdate]) -> None:
        self._left: set[Lane] = set()
        self._partner, self._room = partner, len(lanes)
        self._at_the_end = {(lane.object_id, index): lane for lane in lanes for index in _beyond_keys(lane)}
        self._own: dict[tuple[int, int], SliceUpdate] = {}
        self._others: dict[tuple[int, int], SliceUpdate] = {}

    def take(self, update: SliceUpdate) -> Iterator[Pair]:
        """Take what the network says of a slice, and give what is complete.

        It waits for the partner only where that may spare the network the next slice, or much is held.
        """
        place = update.object_id, update.slice_index
        if self._at_the_end.get(place) in self._left:  # it could not be spared
            return
        self._own[place] = update
        if place in self._others:
            yield self._own.pop(place), self._others.pop(place)
        while self._waits_at(place) or (self._partner.is_ready and len(self._others) < self._room):
            other = next(self._partner, None)
            if other is None:
                return
            yield from self._match(other)

    def rest(self) -> Iterator[Pair]:
        """What was still to come when the network has said all."""
        for other in self._partner if self._own or self._left else ():
            yield from self._match(other)

    def ending(self, other: SliceUpdate) -> Lane | None:
        """The lane at whose end the partner has lost the object, so that it will not come back."""
        return self._at_the_end.get((other.object_id, other.slice_index)) if other.presence <= ABSENT else None

    def leave(self, lane: Lane) -> Iterator[SliceUpdate]:
        """The network says no more of the end of a lane: give the partner's word alone, as far as it has come."""
        self._left.add(lane)
        for place in [place for place in self._others if self._at_the_end.get(place) == lane]:
            yield self._others.pop(place)

    def _waits_at(self, place: tuple[int, int]) -> bool:
        return place in self._own and (place in self._at_the_end or len(self._own) > MOST_HELD)

    def _match(self, other: SliceUpdate) -> Iterator[Pair]:
        place = other.object_id, other.slice_index
        if self._at_the_end.get(place) in self._left:
            yield None, other
        elif place in self._own:
            yield self._own.pop(place), other
        else:
            self._others[place] = other


def _beyond_keys(lane: Lane) -> range:
    """The last leg of a lane, where no key slice lies ahead of it."""
    leg = lane.legs[-1]
    return range(0) if any((key - leg[-1]) * leg.step > 0 for key in lane.keys) else leg


def average(network: SliceUpdate, partner: SliceUpdate) -> SliceUpdate:
    """Mean of two opinions on one slice; empty where the partner holds that the object has ended."""
    if partner.presence <= 0:
        return partner
    share = LEADING_SHARE if partner.predicted_iou < DOUBT else NETWORK_SHARE

    def mean(own: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
        soft = share * _soft(own) + (1 - share) * _soft(other)
        return np.log(soft / (1 - soft))

    logits = combined(mean, _logits(network), _logits(partner))
    mask = logits.above(0)
    presence = partner.presence if mask.any() else -1.0
    return SliceUpdate(partner.object_id, partner.slice_index, mask, presence, partner.predicted_iou, logits)


def _logits(update: SliceUpdate) -> Cropped:
    """Logits; those of a mask without are as good as certain."""
    return Cropped.of_mask(update.mask, CERTAIN, -CERTAIN) if update.part is None else update.part


def _soft(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities, away from 0 and 1."""
    return (1 / (1 + np.exp(-np.clip(logits, -CERTAIN, CERTAIN)))).astype(np.float32, copy=False)
