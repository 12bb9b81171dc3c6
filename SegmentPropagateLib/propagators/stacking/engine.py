"""A pair of propagators that learns from the key slices of a case.

Every key slice is propagated to from its neighbors, a small network learns there what the pair gets wrong, and what it
says is mixed into all other slices, with a weight that `gate` grants. Key slices are never changed, nor are slices that
the pair holds to be empty.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.propagation.learning import FEWEST, Gain, Lesson
from SegmentPropagateLib.propagation.prompts import NOTHING_KNOWN, BoxPrompt, Known, PointsPrompt
from SegmentPropagateLib.propagation.propagator import KeyMasks, Lane, PropagationSettings, Propagator, SliceUpdate
from SegmentPropagateLib.propagators.partner import Leaving
from SegmentPropagateLib.propagators.stacking.gate import WEIGHTS, Masks, gain_of, left_out, spread, weight_of
from SegmentPropagateLib.propagators.tracking.views import View
from SegmentPropagateLib.volumes.stack import ImageStack

if TYPE_CHECKING:
    from SegmentPropagateLib.propagators.stacking.lessons import Taught
Heard = Generator[tuple[SliceUpdate, list[SliceUpdate]], None, None]
"""What the pair says of a slice, and what its halves said; a half that was spared says what the pair does."""


class Seeing(Propagator, Protocol):
    """A propagator that says what it sees."""

    def look(self, index: int, view: View, key: int, mask: NDArray[np.bool_]) -> Sequence[Any]:
        """What is seen of a slice in a view, in the colors chosen for a key slice: tensors `(C, h, w)` on the CPU."""


class StackingPropagator:
    """A pair that can learn; implements `propagator.Propagator` and `learning.Learner`.

    Args:
        network: gives masks, and says what it sees.
        partner: gives masks.
        pair: makes of the two the propagator whose masks are put right.
    """

    def __init__(
        self, network: Seeing, partner: Propagator, pair: Callable[[Propagator, Propagator], Propagator]
    ) -> None:
        self._network = network
        self._halves = _Heard(network), _Heard(partner)
        self._pair = pair(*self._halves)
        self._stack: ImageStack | None = None
        self._settings = PropagationSettings()
        self._taught: dict[int, Taught] = {}

    @property
    def info(self) -> Mapping[str, Any]:
        """Facts for reports: the pair's."""
        return self._pair.info

    def open(self, stack: ImageStack, settings: PropagationSettings) -> None:
        """Take a new stack, of which nothing is learned yet."""
        self.unlearn()
        self._stack, self._settings = stack, settings
        self._pair.open(stack, settings)

    def segment(
        self, slice_index: int, prompt: BoxPrompt | PointsPrompt, known: Known = NOTHING_KNOWN
    ) -> NDArray[np.bool_]:
        """Ask the pair."""
        return self._pair.segment(slice_index, prompt, known)

    def get_ahead(self, lanes: Sequence[Lane], key_masks: KeyMasks) -> Iterator[None]:
        """Let the pair get ahead."""
        return self._pair.get_ahead(lanes, key_masks)

    def run(self, lanes: Sequence[Lane], key_masks: KeyMasks) -> Generator[SliceUpdate, None, None]:
        """Carry the masks along the lanes, and put them right; see `propagator.Propagator.run`."""
        with closing(self._run(lanes, key_masks)) as updates:
            for pair, halves in updates:
                learned = self._taught.get(pair.object_id)
                yield pair if learned is None else learned.put_right(pair, halves)

    def learn(self, key_masks: KeyMasks) -> Generator[tuple[int, int], None, dict[int, Lesson]]:
        """Learn from the key slices of these objects; see `learning.Learner.learn`."""
        if self._stack is None:
            raise RuntimeError("open() comes before learn()")
        used = {object_id: spread(masks) for object_id, masks in key_masks.items() if len(masks) >= FEWEST}
        plans = {object_id: left_out(masks, self._settings.pass_mode) for object_id, masks in used.items()}
        total = sum(len(lane.slices) + 1 for lanes, _ in plans.values() for lane in lanes)
        lessons = {object_id: Lesson(len(masks)) for object_id, masks in key_masks.items()}
        taught: dict[int, Taught] = {}
        done = 0
        for object_id, masks in used.items():
            pupil = _Pupil(self._stack, masks, self._network.look)
            with closing(pupil.learn(self._run(*plans[object_id]))) as steps:
                for _ in steps:
                    done += 1
                    yield done, total
            lessons[object_id] = Lesson(len(key_masks[object_id]), pupil.weight, pupil.gains)
            if pupil.taught is not None:
                taught[object_id] = pupil.taught
        self._taught = {it: old for it, old in self._taught.items() if it not in lessons} | taught
        return lessons

    def unlearn(self) -> None:
        """Forget what was learned of all objects."""
        self._taught = {}

    def _run(self, lanes: Sequence[Lane], key_masks: KeyMasks) -> Heard:
        with closing(self._pair.run(lanes, key_masks)) as updates:
            for update in updates:
                yield update, [half.take(update) or update for half in self._halves]


class _Pupil:
    """Learns of one object.

    Args:
        stack: the slices.
        masks: of the key slices that it learns from.
        look: asks a network what it sees.

    Attributes:
        gains: weight -> what it would have gained.
        weight: the one that the gate grants.
        taught: what is used with it; None where it is 0.
    """

    def __init__(self, stack: ImageStack, masks: Masks, look: Callable[..., Sequence[Any]]) -> None:
        self._stack, self._masks, self._look = stack, masks, look
        self.gains: dict[float, Gain] = {}
        self.weight = 0.0
        self.taught: Taught | None = None

    def learn(self, propagated: Heard) -> Generator[None, None, None]:
        """Learn from what was propagated to the key slices; yields after every slice, and once a key slice."""
        from SegmentPropagateLib.propagators.stacking.lessons import Example, Taught, nested_gains  # torch
        from SegmentPropagateLib.propagators.stacking.looks import Looks

        looks, keys = Looks(self._stack, self._masks, self._look), sorted(self._masks)
        examples = []
        with closing(propagated):
            for pair, halves in propagated:
                if pair.slice_index == keys[pair.object_id]:
                    examples.append(Example.of(looks, self._masks[pair.slice_index], pair, halves))
                yield
        if len(examples) < FEWEST:  # lanes that ended early
            return
        gained = []
        for number in range(len(examples)):
            gained.append(nested_gains(examples, number))
            yield
        self.gains = {weight: gain_of([each[weight] for each in gained]) for weight in WEIGHTS}
        self.weight = weight_of(self.gains)
        if self.weight:
            self.taught = Taught.by(examples, looks, self.weight)


class _Heard:
    """Passes a propagator on, and keeps what it said until it is taken; implements `propagator.Propagator`."""

    def __init__(self, inner: Propagator) -> None:
        self._inner = inner
        self._said: dict[tuple[int, int], SliceUpdate] = {}

    @property
    def info(self) -> Mapping[str, Any]:
        """Facts for reports: the other's."""
        return self._inner.info

    def open(self, stack: ImageStack, settings: PropagationSettings) -> None:
        """Take a new stack."""
        self._inner.open(stack, settings)

    def segment(
        self, slice_index: int, prompt: BoxPrompt | PointsPrompt, known: Known = NOTHING_KNOWN
    ) -> NDArray[np.bool_]:
        """Ask the other."""
        return self._inner.segment(slice_index, prompt, known)

    def get_ahead(self, lanes: Sequence[Lane], key_masks: KeyMasks) -> Iterator[None]:
        """Let the other get ahead."""
        return self._inner.get_ahead(lanes, key_masks)

    def run(self, lanes: Sequence[Lane], key_masks: KeyMasks) -> Generator[SliceUpdate, None, None]:
        """What the other says; see `propagator.Propagator.run`."""
        self._said.clear()
        with closing(self._inner.run(lanes, key_masks)) as updates:
            for update in updates:
                self._said[update.object_id, update.slice_index] = update
                yield update

    def leave(self, lane: Lane) -> None:
        """Spare the other the rest of a lane; see `partner.Leaving`."""
        if isinstance(self._inner, Leaving):
            self._inner.leave(lane)

    def take(self, place: SliceUpdate) -> SliceUpdate | None:
        """What was said of the same object on the same slice; None where it was spared."""
        return self._said.pop((place.object_id, place.slice_index), None)
