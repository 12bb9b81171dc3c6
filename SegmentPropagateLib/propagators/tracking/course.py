"""One run: lanes advance one slice per step, all in one batch where they read alike."""

from __future__ import annotations

import copy
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from itertools import groupby, zip_longest

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.networks.memory import (
    MEMORY_SLOTS,
    AnchorRule,
    MemoryPolicy,
    Reads,
    Remembered,
    Score,
    select_from,
)
from SegmentPropagateLib.networks.memory_rules import Course, best_courses, merit_after
from SegmentPropagateLib.propagation.propagator import KeyMasks, Lane, PropagationSettings, SliceUpdate
from SegmentPropagateLib.propagators.tracking.appearance import Appearance, ChooseAppearance
from SegmentPropagateLib.propagators.tracking.open_stack import OpenStack, Told
from SegmentPropagateLib.propagators.tracking.rivals import rival_overlap
from SegmentPropagateLib.propagators.tracking.tracker import Look, Outcome, SliceMemory
from SegmentPropagateLib.propagators.tracking.views import View, ViewFinder

VIEW_CORRECTIONS = 2
"""How often a slice is looked at again because its object came near the edge of the view."""

KEPT_KEYS_MB = 1024
"""Keys of recent memories are kept from slice to slice up to this size: 4 objects at 1024 x 1024 pixels. Computing
them again takes 6 % of a slice's time."""


@dataclass(frozen=True)
class Seen:
    """A memory of a slice.

    Args:
        memory: what the network keeps.
        view: the view in which it was made.
        asked_from: the lane's own view when it was made.
        score: what was said of the slice, where the policy asks for it.
    """

    memory: SliceMemory
    view: View
    asked_from: View
    score: Score | None = None


@dataclass
class LaneState:
    """A lane on its way.

    Args:
        lane: where it goes.
        home: the view in which every leg begins.
        appearance: how pixels become channels.
        seen: slice -> what is remembered of it; key slices too.
        step: how many slices were done.
        empty_run: how many slices in a row were empty.
        anchors: slices that are read like key slices.
        merit: of the pathway; see `memory_rules.merit_after`.
        told: what waits until it is known which pathway is the best.
    """

    lane: Lane
    home: View
    appearance: Appearance
    seen: dict[int, Seen] = field(default_factory=dict)
    step: int = 0
    empty_run: int = 0
    anchors: tuple[int, ...] = ()
    merit: float = 0.0
    told: list[SliceUpdate] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._visits = [(index, leg.step, index == leg[0]) for leg in self.lane.legs for index in leg]
        self.view = self.home

    @property
    def index(self) -> int:
        """The slice that comes next."""
        return self._visits[self.step][0]

    @property
    def direction(self) -> int:
        """+1 or -1."""
        return self._visits[self.step][1]

    @property
    def rest(self) -> list[int]:
        """Slices still to be done, the next one first."""
        return [index for index, _, _ in self._visits[self.step :]]

    def forget(self, reach: int | None) -> None:
        """Drop the memories that no slice to come can read: those farther behind it than memories are read from."""
        if reach is None:
            return
        coming = self._visits[self.step + 1 :]
        for index in list(self.seen):
            is_read = any(0 < (visit - index) * direction <= reach for visit, direction, _ in coming)
            if not is_read and index not in self.anchors:
                del self.seen[index]

    def fork(self) -> LaneState:
        """Another course from here, with memories of its own."""
        other = copy.copy(self)
        other.seen, other.told = dict(self.seen), list(self.told)
        return other

    def keep_anchor(self, rule: AnchorRule, score: Score) -> None:
        """Make the present slice an anchor where the rule admits it."""
        starts = [index - step for index, step, is_first in self._visits[: self.step + 1] if is_first]
        areas = [seen.score.area for seen in self.seen.values() if seen.score is not None]
        last = self.anchors[-1] if self.anchors else starts[-1]
        if rule.admits(score, areas, abs(self.index - last)):
            self.anchors = (*self.anchors, self.index)[-rule.most :]

    def stop(self) -> None:
        """Leave the remaining slices alone."""
        self.step = len(self._visits)

    def advance(self) -> None:
        """Go on to the next slice; a new leg begins in the view of the keys."""
        self.step += 1
        if self.rest and self._visits[self.step][2]:
            self.view = self.home


Taken = tuple[LaneState, Outcome, Told | None]
"""A lane, what was decoded on its slice, and the same in the slice's size where that is known already."""

PromptOutcomes = dict[tuple[int, bytes], Outcome]
"""(slice, bytes of the mask) -> what was decoded from a box or points, in the view of the whole slice."""


@dataclass(frozen=True)
class Objects:
    """What the user gave.

    Args:
        key_masks: see `propagator.KeyMasks`.
        choose_appearance: how an object's pixels become channels.
        prompted: outcomes to be remembered for key slices instead of their masks.
    """

    key_masks: KeyMasks
    choose_appearance: ChooseAppearance
    prompted: PromptOutcomes


class Propagation:
    """Carries masks along lanes once.

    Args:
        opened: stack and network.
        finder: chooses views.
        policy: what is read from memory.
        settings: of the run.
        objects: the masks to be carried.
    """

    def __init__(
        self,
        opened: OpenStack,
        finder: ViewFinder,
        policy: MemoryPolicy,
        settings: PropagationSettings,
        objects: Objects,
    ) -> None:
        self._opened = opened
        self._finder = finder
        self._policy = policy
        self._settings = settings
        self._objects = objects
        self._keys: dict[tuple[int, int, View, Appearance], SliceMemory] = {}
        self._lanes: list[LaneState] = []

    def run(self, lanes: Sequence[Lane], encodes_beside: bool = False) -> Generator[SliceUpdate, None, None]:
        """Yield one update per slice of every lane.

        Args:
            lanes: where to go.
            encodes_beside: encode the slices that come next in a thread of its own.
        """
        with self._opened.encoding_beside() if encodes_beside else nullcontext():
            self._lanes = [self._start(lane) for lane in lanes if lane.slices]
            while self._lanes:
                taken = self._step(self._lanes)
                found = [(state, update) for (state, *_), update in zip(taken, self._updates(taken), strict=True)]
                for _, group in groupby(found, key=lambda pair: id(pair[0].lane)):
                    yield from self._finish(list(group))
                self._lanes = [state for state, *_ in taken if state.rest]

    def get_ahead(self, lanes: Sequence[Lane]) -> Iterator[None]:
        """Encode what `run` looks at first, in the views in which it begins."""
        return self._opened.encode_ahead(self._first_looks([self._start(lane) for lane in lanes if lane.slices]))

    def _first_looks(self, states: Sequence[LaneState]) -> Iterator[tuple[int, View, Appearance]]:
        """Slice, view and appearance of what lanes look at as long as their views stay; the key slices first."""
        drawn = [state for state in states if self._finder.factor is None or self._everywhere(state.lane).any()]
        for state in drawn:
            masks = self._objects.key_masks[state.lane.object_id]
            for key in state.lane.keys:
                yield key, self._finder.for_memory(state.home, masks[key]), state.appearance
        for step in zip_longest(*(state.rest for state in drawn)):
            for state, index in zip(drawn, step, strict=True):
                if index is not None:
                    yield index, state.home, state.appearance

    def _everywhere(self, lane: Lane) -> NDArray[np.bool_]:
        """Where the object is on any of a lane's key slices."""
        masks = self._objects.key_masks[lane.object_id]
        return np.logical_or.reduce([masks[key] for key in lane.keys])

    def leave(self, lane: Lane) -> None:
        """Spare a lane the rest of its slices."""
        for state in self._lanes:
            if state.lane == lane:
                state.stop()

    def _start(self, lane: Lane) -> LaneState:
        masks = self._objects.key_masks[lane.object_id]
        view = self._finder.around(self._everywhere(lane))
        key = min(lane.keys, key=lambda key: abs(key - lane.slices[0]))
        size = self._opened.tracker.image_size
        return LaneState(lane, view, self._objects.choose_appearance(self._opened.stack, key, view, masks[key], size))

    def _step(self, states: list[LaneState]) -> list[Taken]:
        """Segment the next slice of every lane, and remember it where something follows.

        Returns lanes with their outcomes; the pathways of one lane beside each other, the best first.
        """
        places = [[(index, state.view, state.appearance) for index in state.rest[:2]] for state in states]
        self._opened.begin(place for step in zip_longest(*places) for place in step if place is not None)
        outcomes = dict(zip(map(id, states), self._look(states), strict=True))
        told: dict[int, Told | None] = {}
        waiting = states if self._finder.factor is not None else []
        for _ in range(VIEW_CORRECTIONS):
            said = self._opened.tell([(outcomes[id(state)], state.view) for state in waiting])
            told.update(zip(map(id, waiting), said, strict=True))
            waiting = [state for state, found in zip(waiting, said, strict=True) if self._follow(state, found)]
            outcomes.update(zip(map(id, waiting), self._look(waiting), strict=True))
            told.update(dict.fromkeys(map(id, waiting)))
        taken = [(state, outcomes[id(state)], told.get(id(state))) for state in states]
        if self._policy.pathways > 1:
            taken = [way for _, group in groupby(taken, key=lambda way: id(way[0].lane)) for way in self._fork(group)]
        going_on = [(state, outcome) for state, outcome, _ in taken if len(state.rest) > 1]
        self._lanes = [state for state, *_ in taken]
        for (state, outcome), memory in zip(going_on, self._remember(going_on), strict=True):
            score = self._score(state, outcome) if self._policy.judges else None
            if self._policy.anchors is not None and score is not None:
                state.keep_anchor(self._policy.anchors, score)
            state.seen[state.index] = Seen(memory, state.view, state.view, score)
            state.forget(self._policy.reach)
        views = {(state.lane.object_id, state.view) for state in states}
        self._keys = {name: memory for name, memory in self._keys.items() if (name[0], name[2]) in views}
        return taken

    def _fork(self, pathways: Iterable[Taken]) -> list[Taken]:
        """The best ways to go on, of all pathways of a lane and all masks that each has decoded."""
        ways = [(state, way) for state, outcome, _ in pathways for way in (outcome, *outcome.unchosen)]
        courses = []
        for state, way in ways:
            iou = float(way.predicted_iou)
            courses.append(Course(id(state), merit_after(state.merit, iou), float(way.presence), iou))
        chosen = best_courses(courses, self._policy.pathways)
        forked: list[Taken] = [
            (ways[number][0].fork(), replace(ways[number][1], unchosen=()), None) for number in chosen
        ]
        for number, (state, *_) in zip(chosen, forked, strict=True):
            state.merit = courses[number].merit
        return forked

    def _score(self, state: LaneState, outcome: Outcome) -> Score:
        mask = self._mask(outcome, state.view)
        rivals = [self._mask(other, state.view) for other in outcome.unchosen]
        rival = 1.0 if self._policy.anchors is None else rival_overlap(mask, rivals)
        return Score(float(outcome.presence), float(outcome.predicted_iou), int(np.count_nonzero(mask)), rival)

    def _look(self, states: Sequence[LaneState]) -> list[Outcome]:
        groups: dict[tuple, list[int]] = {}
        for position, state in enumerate(states):
            reads = self._reads(state)
            alike = tuple((len(bank.spatial), len(bank.pointers)) for bank in reads)
            groups.setdefault(alike, []).append(position)
        outcomes: dict[int, Outcome] = {}
        for positions in groups.values():
            found = self._opened.in_batches(self._look_at_once, [states[at] for at in positions], self._move)
            outcomes.update(zip(positions, found, strict=True))
        return [outcomes[position] for position in range(len(states))]

    def _look_at_once(self, states: Sequence[LaneState]) -> list[Outcome]:
        looks = []
        for state in states:
            reads = self._reads(state)
            attended = {index for bank in reads for index, _ in bank.spatial}
            pointed = {index for bank in reads for index, _ in bank.pointers} - attended  # in whatever view
            memories = {index: state.seen[index].memory for index in pointed - set(state.lane.keys)}
            memories |= {index: self._recall(state, index) for index in attended | (pointed & set(state.lane.keys))}
            features = self._opened.features(state.index, state.view, state.appearance)
            looks.append(Look(features, reads, memories, self._policy.wants_rivals, self._settings.looks_twice))
            for index in state.seen.keys() - attended:
                state.seen[index].memory.keys = None
        outcomes = self._opened.tracker.look(looks, len(self._opened.stack))
        if len(self._lanes) * MEMORY_SLOTS * self._opened.tracker.key_bytes > KEPT_KEYS_MB * 2**20:
            for seen in (seen for state in states for seen in state.seen.values()):
                seen.memory.keys = None
        return outcomes

    def _remember(self, pairs: Sequence[tuple[LaneState, Outcome]]) -> list[SliceMemory]:
        def work(pairs: Sequence[tuple[LaneState, Outcome]]) -> list[SliceMemory]:
            features = [self._opened.features(state.index, state.view, state.appearance) for state, _ in pairs]
            device = self._opened.tracker.device
            outcomes = [replace(outcome, unchosen=()).to(device) for _, outcome in pairs]
            return self._opened.tracker.remember(features, outcomes, given=False)

        return self._opened.in_batches(work, pairs, self._move)

    def _reads(self, state: LaneState) -> tuple[Reads, ...]:
        keys = state.lane.keys
        filled = state.seen.keys() - set(keys)
        scores = {index: seen.score for index, seen in state.seen.items() if seen.score is not None}
        remembered = Remembered(keys, filled, scores, state.anchors)
        slices = len(self._opened.stack)
        return tuple(select_from(bank, state.index, state.direction, remembered, slices) for bank in self._policy.banks)

    def _recall(self, state: LaneState, index: int) -> SliceMemory:
        """What the lane remembers of a slice, in its present view."""
        if index in state.lane.keys:
            return self._recall_key(state, index)
        seen = state.seen[index]
        if seen.asked_from != state.view:
            view = self._finder.for_memory(state.view, self._mask(seen.memory.outcome, seen.view))
            memory = seen.memory
            if view != seen.view:
                outcome = self._opened.change_view(memory.outcome, seen.view, view)
                memory = self._opened.remember(index, view, state.appearance, outcome, given=False)
            seen = state.seen[index] = replace(seen, memory=memory, view=view, asked_from=state.view)
        return seen.memory

    def _recall_key(self, state: LaneState, key: int) -> SliceMemory:
        name = (state.lane.object_id, key, state.view, state.appearance)
        if name not in self._keys:
            mask = self._objects.key_masks[state.lane.object_id][key]
            view = self._finder.for_memory(state.view, mask)
            outcome = self._objects.prompted.get((key, mask.tobytes()))
            if outcome is None or view != self._finder.whole:
                outcome = self._opened.take_mask(key, view, state.appearance, mask)
            self._keys[name] = self._opened.remember(key, view, state.appearance, outcome, given=True)
        return self._keys[name]

    def _follow(self, state: LaneState, told: Told) -> bool:
        """Move the lane's view where the object came near its edge; return whether it was moved."""
        view = self._finder.follow(state.view, told.logits.above(0))
        moved = view != state.view
        state.view = view
        return moved

    def _mask(self, outcome: Outcome, view: View) -> NDArray[np.bool_]:
        return self._opened.tell([(outcome, view)])[0].logits.above(0)

    def _finish(self, pathways: Sequence[tuple[LaneState, SliceUpdate]]) -> Iterator[SliceUpdate]:
        """Go on to the next slice and report this one; of several pathways nothing before the best is known."""
        best = pathways[0][0]
        limit = self._settings.stop_after_empty
        for state, update in pathways:
            state.empty_run = 0 if update.mask.any() else state.empty_run + 1
            if self._policy.pathways > 1:
                state.told.append(update)
            else:
                yield update
            state.advance()
        if limit is not None and best.empty_run >= limit:
            for state, _ in pathways:
                state.stop()
        if not best.rest:
            yield from best.told

    def _updates(self, taken: Sequence[Taken]) -> list[SliceUpdate]:
        """What was found of each lane; what has not been brought over yet is so at once."""
        rest = iter(self._opened.tell([(outcome, state.view) for state, outcome, told in taken if told is None]))
        said = [(state, told or next(rest)) for state, _, told in taken]
        return [
            SliceUpdate(state.lane.object_id, state.index, told.logits.above(0), told.presence, told.iou, told.logits)
            for state, told in said
        ]

    def _move(self) -> None:
        """Bring the memories to the network's device."""
        device = self._opened.tracker.device
        for state in self._lanes:
            state.seen = {index: replace(seen, memory=seen.memory.to(device)) for index, seen in state.seen.items()}
        self._keys = {name: memory.to(device) for name, memory in self._keys.items()}
