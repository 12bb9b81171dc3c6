"""A propagator without a network: registration, region growing and intensities, with a stop rule.

It needs numpy, scipy and SimpleITK only, so it works where torch is not installed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from itertools import islice, zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.propagation.prompts import NOTHING_KNOWN, BoxPrompt, Known, PointsPrompt
from SegmentPropagateLib.propagation.propagator import KeyMasks, Lane, PropagationSettings, SliceUpdate
from SegmentPropagateLib.propagators.classical.carrier import ABSENT, Carrier, Guess
from SegmentPropagateLib.propagators.classical.way import Way
from SegmentPropagateLib.propagators.prompted.finishing import finish, keep_out
from SegmentPropagateLib.propagators.prompted.grays import Grays
from SegmentPropagateLib.propagators.prompted.known import Acquaintance
from SegmentPropagateLib.propagators.prompted.outline import look
from SegmentPropagateLib.volumes.cropped import combined
from SegmentPropagateLib.volumes.stack import ImageStack

AHEAD = 8
"""Slices beside a key slice, away from all others, that are done before a run; more would be lost at the next stroke.
Between two keys all are: both have to be through before the first slice is seen."""

KEPT_MB = 64
"""Ways of former runs are kept for corrections up to this size: 1000 slices. A correction shortens some passes and
makes the end of others stated; registration, which takes most of their time, stays the same."""

WayName = tuple[int, bytes, int]
"""Key slice, its mask, and +1 or -1."""
PassName = tuple[int, bytes, range, bool]
"""Key slice, its mask, slices to visit, and whether the user says that the object is there on all of them."""


class ClassicalPropagator:
    """Carries masks without learning; implements `propagator.Propagator`.

    Args:
        grays: what is known of the gray values of the object that boxes and points will mean, in `portable` units.
    """

    def __init__(self, grays: Grays | None = None) -> None:
        self._stack: ImageStack | None = None
        self._grays = grays
        self._acquaintance: Acquaintance | None = None  # with the objects of the stack
        self._begun: dict[PassName, Carrier] = {}  # ahead of a run, which goes on with them
        self._ways: dict[WayName, Way] = {}  # of former runs, the latest last
        self._settings = PropagationSettings()

    @property
    def info(self) -> Mapping[str, Any]:
        """Facts for reports."""
        return {"model": "classical", "family": "classical", "device": "cpu", "precision": "float32"}

    def open(self, stack: ImageStack, settings: PropagationSettings) -> None:
        """Take a new stack."""
        self._stack, self._settings, self._acquaintance = stack, settings, None
        self._begun.clear()
        self._ways.clear()

    def segment(
        self, slice_index: int, prompt: BoxPrompt | PointsPrompt, known: Known = NOTHING_KNOWN
    ) -> NDArray[np.bool_]:
        """Outline the object that a box or points name on one slice: bool `(rows, columns)`."""
        stack, boxed = self._opened(), isinstance(prompt, BoxPrompt) or prompt.box is not None
        grays = self._acquainted().grays(slice_index, boxed, known.outlines)
        soft, given = look(stack.values[slice_index], stack.spacing_mm[1:], prompt, grays=grays)
        return finish(keep_out(soft, given, known.others), given)

    def get_ahead(self, lanes: Sequence[Lane], key_masks: KeyMasks) -> Iterator[None]:
        """Begin the passes of a run from the same outlines, a slice of one of them per step."""
        passes = _Passes(self._opened(), key_masks, self._begun, self._ways)
        drawn = [lane for lane in lanes if all(key_masks[lane.object_id][key].any() for key in lane.keys)]
        wanted: dict[Carrier, range] = {}
        for found in (passes.needed(lane, leg) for lane in drawn for leg in lane.legs):
            wanted |= {carrier: slices if len(found) > 1 else slices[:AHEAD] for carrier, slices in found}
        self._begun = passes.begun
        for step in zip_longest(*wanted.values()):
            for carrier, index in zip(wanted, step, strict=True):
                if index is not None:
                    carrier.at(index)
                    yield
        for outlines in ({z: mask for z, mask in masks.items() if mask.any()} for masks in key_masks.values()):
            for boxed in (True, False) if outlines else ():  # of .4 s that a click on another slice then need not take
                self._acquainted().grays(max(outlines) + 1, boxed, outlines)
                yield

    def _acquainted(self) -> Acquaintance:
        if self._acquaintance is None:
            stack = self._opened()
            grays = None if self._grays is None else self._grays.in_unit_of(stack.values)
            self._acquaintance = Acquaintance(stack, grays)
        return self._acquaintance

    def run(self, lanes: Sequence[Lane], key_masks: KeyMasks) -> Generator[SliceUpdate, None, None]:
        """Carry the masks along the lanes; see `propagator.Propagator.run`.

        The lanes take turns, a registration each, and nobody waits for lanes that need many before their first slice:
        those between two keys need a pass from the far one. All in one thread: two took as long, as most of the work
        is many short calls of numpy.
        """
        stack = self._opened()
        passes = _Passes(stack, key_masks, self._begun, self._ways)
        self._begun = {}
        quickest_first = sorted(lanes, key=lambda lane: len(lane.keys))
        walks = deque(_walk(lane, passes, self._settings, stack) for lane in quickest_first)
        try:
            while walks:
                walk = walks.popleft()
                for update in islice(walk, 1):  # none where it has come to its end
                    walks.append(walk)
                    if update is not None:
                        yield update
        finally:  # also where the rest is not asked for
            self._keep(passes.ways)

    def _keep(self, ways: dict[WayName, Way]) -> None:
        """Keep what a run has made for the next one, and the latest of what was kept before, within the bound."""
        kept, room = {}, KEPT_MB * 2**20
        older = {name: way for name, way in self._ways.items() if name not in ways}
        for name, way in reversed((older | ways).items()):
            room -= way.bytes
            if room >= 0:
                kept[name] = way
        self._ways = dict(reversed(kept.items()))

    def _opened(self) -> ImageStack:
        if self._stack is None:
            raise RuntimeError("open() comes before segment() and run()")
        return self._stack


class _Passes:
    """All passes of one run; the two lanes between a pair of keys share theirs, whichever comes first.

    Args:
        stack: the slices.
        key_masks: see `propagator.KeyMasks`.
        known: passes that were begun before; those of them that are needed go on.
        known_ways: the same of ways.

    Attributes:
        begun: passes that were needed.
        ways: ways that were needed.
    """

    def __init__(
        self,
        stack: ImageStack,
        key_masks: KeyMasks,
        known: Mapping[PassName, Carrier],
        known_ways: Mapping[WayName, Way],
    ) -> None:
        self._stack, self._key_masks = stack, key_masks
        self._known, self._known_ways = known, known_ways
        self.ways: dict[WayName, Way] = {}
        self.begun: dict[PassName, Carrier] = {}
        self._masks: dict[tuple[int, int], bytes] = {}

    def guess(self, lane: Lane, leg: range, index: int) -> Guess:
        """Guess one slice of a leg; between two keys both have a say, each in proportion to its nearness."""
        near, far = _bounds(lane, leg)
        guesses = [carrier.at(index) for carrier, _slices in self.needed(lane, leg)]
        return guesses[0] if far is None else guesses[0].mixed(guesses[1], abs(index - near) / abs(far - near))

    def needed(self, lane: Lane, leg: range) -> list[tuple[Carrier, range]]:
        """The passes of a leg with their slices: from the key slice behind it, and from the one ahead, if any."""
        near, far = _bounds(lane, leg)
        if far is None:
            return [self._pass(lane.object_id, near, leg, leg[-1] in lane.given_ends)]
        step = 1 if far > near else -1
        # A key beyond is the user's word that the object goes on, as a given end is.
        return [
            self._pass(lane.object_id, near, range(near + step, far, step), True),
            self._pass(lane.object_id, far, range(far - step, near, -step), True),
        ]

    def _pass(self, object_id: int, key: int, slices: range, stated: bool) -> tuple[Carrier, range]:
        mask = self._key_masks[object_id][key]
        if (object_id, key) not in self._masks:
            self._masks[object_id, key] = np.packbits(mask).tobytes()
        name = (key, self._masks[object_id, key], slices, stated)
        if name not in self.begun:
            self.begun[name] = self._known.get(name) or Carrier(self._way(name, mask), slices, stated)
            self.ways[_way_name(name)] = self.begun[name].way
        return self.begun[name], slices

    def _way(self, name: PassName, mask: NDArray[np.bool_]) -> Way:
        own = _way_name(name)
        return self.ways.get(own) or self._known_ways.get(own) or Way(self._stack, own[0], mask, own[2])


def _way_name(name: PassName) -> WayName:
    key, mask, slices, _stated = name
    return key, mask, slices.step


def _walk(
    lane: Lane, passes: _Passes, settings: PropagationSettings, stack: ImageStack
) -> Iterator[SliceUpdate | None]:
    """Yield the updates of one lane; None after a registration that others follow before the next one."""
    for leg in lane.legs:
        empty = 0
        for index in leg:
            if settings.stop_after_empty is not None and empty >= settings.stop_after_empty:
                nothing = np.zeros(stack.slice_shape, dtype=bool)
                yield SliceUpdate(lane.object_id, index, nothing, ABSENT, 0.0)
                continue
            for carrier, _slices in passes.needed(lane, leg):
                while carrier.is_behind(index):
                    if carrier.advance() and carrier.is_behind(index):
                        yield None
            guess = passes.guess(lane, leg, index)
            logits = combined(_log_odds, guess.soft)
            mask = logits.above(0)
            empty = 0 if mask.any() else empty + 1
            presence = guess.presence if mask.any() else min(guess.presence, -1.0)
            yield SliceUpdate(lane.object_id, index, mask, presence, guess.predicted_iou, logits)


def _log_odds(soft: NDArray[np.float32]) -> NDArray[np.float32]:
    soft = np.clip(soft, 1e-4, 1 - 1e-4)
    return np.log(soft / (1 - soft))


def _bounds(lane: Lane, leg: range) -> tuple[int, int | None]:
    """Key slice that a leg starts from, and the key slice ahead of it, if any."""
    behind = [key for key in lane.keys if (key - leg[0]) * leg.step < 0]
    ahead = [key for key in lane.keys if (key - leg[-1]) * leg.step > 0]
    near = max(behind) if leg.step > 0 else min(behind)
    if not ahead:
        return near, None
    return near, min(ahead) if leg.step > 0 else max(ahead)
