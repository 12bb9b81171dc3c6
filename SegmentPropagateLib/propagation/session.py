"""Keys, ranges and results of one volume; what to compute again after a correction."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.process import give_memory_back
from SegmentPropagateLib.propagation.lanes import plan_lanes
from SegmentPropagateLib.propagation.learning import FEWEST, Learner, Lesson
from SegmentPropagateLib.propagation.overlaps import claim_strength, resolve_overlaps
from SegmentPropagateLib.propagation.prompts import NOTHING_KNOWN, Known, LinePrompt, MaskPrompt, Prompt
from SegmentPropagateLib.propagation.propagator import (
    KeyMasks,
    Lane,
    PropagationSettings,
    Propagator,
    SliceUpdate,
)
from SegmentPropagateLib.propagation.results import SliceResult
from SegmentPropagateLib.volumes.geometry import Plane
from SegmentPropagateLib.volumes.stack import make_stack, stack_of
from SegmentPropagateLib.volumes.volume import Volume

TIDIES_EVERY = 50
"""Slices after which freed memory is given back, which takes about 10 ms: planes come and go between results that stay.
Peaks fell from 696 to 657 MiB with one object of 100 slices, from 1033 to 934 with four that fill 449."""

Ranges = Mapping[int, tuple[int | None, int | None]]
"""Object id -> its first and last slice; None leaves open where it begins or ends."""


class _Done(NamedTuple):
    """A lane that was computed, and a digest of the key masks it was conditioned by.

    A lane is taken for done only over the very same slices: propagators may use that a range ends where the user says
    that the object does.
    """

    lane: Lane
    keys_digest: str


class _Learned(NamedTuple):
    """What came of learning, and a digest of the key slices and masks that it was learned from."""

    lesson: Lesson
    digest: str


class Session:
    """One volume, cut along one plane, with its objects.

    Args:
        propagator: what carries masks from slice to slice.
        volume: the image; never modified.
        plane: `axial`, `coronal` or `sagittal`.
        intensity: one of `presets.PRESETS`; `auto` is the one the model was trained with, or suits the volume.
        settings: see `PropagationSettings`.
        keep_out: voxels that results must not enter, bool `(k, j, i)`; masks that the user drew keep theirs.

    Raises:
        InputError: for an unknown plane or preset, or a memory rule with a model that has no memory.
    """

    def __init__(
        self,
        propagator: Propagator,
        volume: Volume,
        *,
        plane: Plane | str = Plane.AXIAL,
        intensity: str = "auto",
        settings: PropagationSettings | None = None,
        keep_out: NDArray[np.bool_] | None = None,
    ) -> None:
        self.settings = settings or PropagationSettings()
        self.plane = Plane.parse(plane)
        self.axis = volume.geometry.plane_axis(self.plane)
        preset = propagator.info.get("intensity", "auto") if intensity == "auto" else intensity
        self.stack, self.gray = make_stack(volume, self.plane, preset)
        self.geometry = volume.geometry
        self._propagator = propagator
        self._keep_out = None if keep_out is None else stack_of(keep_out, self.axis)
        self._keys: dict[int, dict[int, NDArray[np.bool_]]] = {}
        self._results: dict[int, dict[int, SliceResult]] = {}
        self._done: dict[int, list[_Done]] = {}
        self._lessons: dict[int, _Learned] = {}
        self._absent = SliceResult.of_mask(np.zeros(self.stack.slice_shape, dtype=bool), "empty", -np.inf, np.nan)
        propagator.open(self.stack, self.settings)
        if self.settings.memory != PropagationSettings.memory and "memory" not in propagator.info:
            raise InputError(
                f"The model '{propagator.info.get('model')}' remembers no slices: the memory rule "
                f"'{self.settings.memory}' is for networks. Leave it out or choose another model."
            )

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Objects that have a key, in the order in which they were added."""
        return tuple(self._keys)

    def keys(self, object_id: int) -> tuple[int, ...]:
        """Key slices of an object, ascending."""
        return tuple(sorted(self._keys.get(object_id, {})))

    def add_key(self, object_id: int, slice_index: int, prompt: Prompt) -> NDArray[np.bool_]:
        """Make a slice a key slice of the object and return its mask, bool `(rows, columns)`.

        A mask is taken as it is; a box, points or a line are turned into a mask by the propagator. A key on a slice
        that has one replaces it; the object's other keys help. Nothing is propagated yet.

        Raises:
            InputError: slice outside the volume, prompt outside the slice, or no object found in the box.
        """
        mask = self.preview(slice_index, prompt, Known(dict(self._keys.get(object_id, {}))))
        self._keys.setdefault(object_id, {})[slice_index] = mask
        self._results.setdefault(object_id, {})[slice_index] = SliceResult.of_mask(mask, "key", np.inf, 1.0)
        return mask

    def preview(self, slice_index: int, prompt: Prompt, known: Known = NOTHING_KNOWN) -> NDArray[np.bool_]:
        """The mask that `add_key` would take for this prompt, bool `(rows, columns)`; nothing is kept.

        Args:
            slice_index: on which slice.
            prompt: what names the object.
            known: what else is known of it.

        Raises:
            InputError: slice outside the volume, prompt outside the slice, or no object found in the box.
        """
        self._check_slice(slice_index, "key slice")
        prompt.check_inside(self.stack.slice_shape)
        if isinstance(prompt, LinePrompt):
            prompt = prompt.as_points(self.stack.spacing_mm[1:], self.stack.slice_shape)
        if isinstance(prompt, MaskPrompt):
            return prompt.mask
        if self._keep_out is not None:
            known = replace(known, others=(*known.others, self._keep_out[slice_index]))
        mask = self._outside(self._propagator.segment(slice_index, prompt, known), slice_index)
        if not mask.any():
            raise InputError(
                f"The model found no object at the prompt on slice {slice_index}: move it or outline the object."
            )
        return mask

    def confirm(self, object_id: int, slice_index: int) -> None:
        """Make the present result of a slice a key: it conditions its neighbors and is never changed again."""
        result = self._results.get(object_id, {}).get(slice_index)
        if result is None or not result.mask.any():
            raise InputError(f"Slice {slice_index} has no mask of object {object_id} to confirm.")
        self.add_key(object_id, slice_index, MaskPrompt(self._outside(result.mask, slice_index)))

    def remove_key(self, object_id: int, slice_index: int) -> None:
        """Take a key back; its slice has no result until the next propagation."""
        if slice_index not in self._keys.get(object_id, {}):
            raise InputError(f"Slice {slice_index} is no key slice of object {object_id}.")
        del self._keys[object_id][slice_index]
        del self._results[object_id][slice_index]
        self._done[object_id] = [done for done in self._done.get(object_id, []) if slice_index not in done.lane.keys]
        if not self._keys[object_id]:
            del self._keys[object_id], self._results[object_id]

    def ends(self, first: int | None = None, last: int | None = None) -> tuple[int, int]:
        """The first and the last slice of a range; None is the volume's first or last one.

        Raises:
            InputError: range reversed or beyond the volume.
        """
        from_slice, to_slice = 0 if first is None else first, len(self.stack) - 1 if last is None else last
        self._check_slice(from_slice, "first slice")
        self._check_slice(to_slice, "last slice")
        if from_slice > to_slice:
            raise InputError(
                f"The range {from_slice}:{to_slice} is reversed: the first slice must not come after the last."
            )
        return from_slice, to_slice

    def plan(self, first: int | None = None, last: int | None = None, own: Ranges | None = None) -> list[Lane]:
        """Lanes that `propagate(first, last, own)` would compute: those whose keys or slices have changed.

        Raises:
            InputError: range reversed or beyond the volume, no key at all, or none of an object's keys in the range.
        """
        self.ends(first, last)
        if not self._keys:
            raise InputError("There is no key slice yet: outline or box the object on one slice first.")
        return self._plan(self._keys, (first, last), own or {})

    def get_ahead(self, keys: KeyMasks, first: int | None = None, last: int | None = None) -> Iterator[None]:
        """Let the propagator compute, a step at a time, what `propagate(first, last)` would begin with.

        Neither keys nor results change; closing the iterator ends it.

        Args:
            keys: what the keys are going to be; a mask may be empty, not drawn yet.
            first: as in `propagate`.
            last: as in `propagate`.

        Raises:
            InputError: range reversed or beyond the volume, or none of an object's keys in the range.
        """
        return self._propagator.get_ahead(self._plan(keys, (first, last), {}), keys)

    def _plan(self, keys: KeyMasks, shared_ends: tuple[int | None, int | None], own: Ranges) -> list[Lane]:
        lanes: list[Lane] = []
        for object_id, masks in keys.items():
            ends = own.get(object_id, shared_ends)
            # Objects that share a range end on slices of their own. Relying on ends shared with one other organ cost
            # the starter a DSC of .026, the mean of 23 organs of the evaluation's volumes.
            shared = len(keys) > 1 and object_id not in own
            given = {index for index in ends if index is not None and not shared}
            lanes += self._stale(object_id, masks, self.ends(*ends), given)
        return lanes

    def propagate(
        self, first: int | None = None, last: int | None = None, own: Ranges | None = None
    ) -> Generator[SliceUpdate, None, None]:
        """Fill the range `first..last` (inclusive) and yield each new slice once.

        For a single object a number says that it begins or ends on that slice, which propagators may rely on; several
        objects need not all do so there. None leaves open where they do, and goes on to the end of the volume.

        Key slices and slices outside the range are never changed. The results are taken over when the generator is
        exhausted; closing it before leaves everything as it was.
        """
        lanes = self.plan(first, last, own)  # at once, so that a mistake does not wait for the first step
        return self._run(lanes)

    def learn(self) -> Generator[tuple[int, int], None, None]:
        """Let the model learn from the key slices of every object that has enough, for all runs until `unlearn`.

        What it has learned counts only where it would have helped on key slices left out; see `lessons`. Yields the
        steps done and how many there are; closing the generator leaves everything as it was.

        Raises:
            InputError: the model cannot learn, or no object has enough key slices.
        """
        learner = self._propagator
        if not isinstance(learner, Learner):
            name = learner.info["model"]
            raise InputError(
                f"The model '{name}' cannot learn from key slices: choose 'starter' or one made from it, or do without."
            )
        if max(map(len, self._keys.values()), default=0) < FEWEST:
            raise InputError(f"Learning takes {FEWEST} key slices of an object or more: outline or name another slice.")
        return self._learn(learner)

    def unlearn(self) -> None:
        """Forget what was learned; results stay until the next run."""
        self._lessons.clear()
        if isinstance(self._propagator, Learner):
            self._propagator.unlearn()

    @property
    def lessons(self) -> dict[int, Lesson]:
        """Object id -> what came of learning from its key slices."""
        return {object_id: it.lesson for object_id, it in self._lessons.items() if object_id in self._keys}

    def results(self, object_id: int) -> dict[int, SliceResult]:
        """Slice index -> result, ascending, of every slice that has one."""
        return dict(sorted(self._results.get(object_id, {}).items()))

    def mask(self, object_id: int) -> NDArray[np.bool_]:
        """The object in the whole volume: bool `(k, j, i)`."""
        volume = np.zeros(self.geometry.shape_kji, dtype=bool)
        for index, result in self.results(object_id).items():
            stack_of(volume, self.axis)[index] = result.mask
        return volume

    def masks(self) -> dict[int, NDArray[np.bool_]]:
        """All objects in the whole volume, bool `(k, j, i)` each: contested voxels go to one, kept-out ones to none."""
        volumes = {object_id: np.zeros(self.geometry.shape_kji, dtype=bool) for object_id in self._keys}
        for index in sorted({index for results in self._results.values() for index in results}):
            for object_id, mask in self.resolved(index).items():
                if mask.any():  # memory that nothing was written to is not taken
                    stack_of(volumes[object_id], self.axis)[index] = mask
        return volumes

    def resolved(self, slice_index: int) -> dict[int, NDArray[np.bool_]]:
        """Object id -> bool `(rows, columns)` on one slice, contested pixels to one object, kept-out ones to none."""
        present = {key: results[slice_index] for key, results in self._results.items() if slice_index in results}
        masks = {key: result.mask for key, result in present.items()}
        settled = resolve_overlaps(masks, lambda key: self._strength(key, slice_index, present[key]))
        return {
            key: mask if present[key].source == "key" else self._outside(mask, slice_index)
            for key, mask in settled.items()
        }

    def _outside(self, mask: NDArray[np.bool_], slice_index: int) -> NDArray[np.bool_]:
        """The mask of a slice, bool `(rows, columns)`, without what is to be kept out of."""
        return mask if self._keep_out is None else mask & ~self._keep_out[slice_index]

    def _learn(self, learner: Learner) -> Generator[tuple[int, int], None, None]:
        digests = {object_id: self._digest(masks, sorted(masks)) for object_id, masks in self._keys.items()}
        known = {object_id for object_id, it in self._lessons.items() if it.digest == digests.get(object_id)}
        new = {object_id: dict(masks) for object_id, masks in self._keys.items() if object_id not in known}
        lessons = yield from learner.learn(new)
        self._lessons |= {object_id: _Learned(lesson, digests[object_id]) for object_id, lesson in lessons.items()}

    def _run(self, lanes: list[Lane]) -> Generator[SliceUpdate, None, None]:
        if not lanes:
            return
        digests = [self._keys_digest(lane, self._keys[lane.object_id]) for lane in lanes]
        pending: list[tuple[int, int, SliceResult]] = []  # not the updates: 200 slices' logits would take 200 MiB
        key_masks = {object_id: dict(masks) for object_id, masks in self._keys.items()}
        with closing(self._propagator.run(lanes, key_masks)) as updates:
            for number, update in enumerate(updates, start=1):
                pending.append((update.object_id, update.slice_index, SliceResult.of(update)))
                yield update
                if number % TIDIES_EVERY == 0:
                    give_memory_back()
        for lane in lanes:  # a lane that ended early leaves the rest of its slices empty
            for index in lane.slices:
                self._results[lane.object_id][index] = self._absent
        for object_id, index, result in pending:
            self._results[object_id][index] = result
        for lane, digest in zip(lanes, digests, strict=True):
            self._remember(_Done(lane, digest))

    def _remember(self, done: _Done) -> None:
        filled = set(done.lane.slices)
        others = [old for old in self._done.get(done.lane.object_id, []) if not filled & set(old.lane.slices)]
        self._done[done.lane.object_id] = [*others, done]

    def _stale(
        self, object_id: int, masks: Mapping[int, NDArray[np.bool_]], ends: tuple[int, int], given_ends: set[int]
    ) -> list[Lane]:
        first, last = ends
        lanes = plan_lanes(object_id, masks, first, last, self.settings.pass_mode, given_ends)
        if not any(first <= key <= last for key in masks):
            named = ", ".join(map(str, sorted(masks)))
            raise InputError(
                f"The range {first}:{last} leaves out the key slice of object {object_id} ({named}): widen the range."
            )
        done = self._done.get(object_id, [])
        return [lane for lane in lanes if _Done(lane, self._keys_digest(lane, masks)) not in done]

    def _keys_digest(self, lane: Lane, masks: Mapping[int, NDArray[np.bool_]]) -> str:
        learned = self._lessons.get(lane.object_id)
        lesson = learned.digest if learned is not None and learned.lesson.weight else ""
        return self._digest(masks, lane.keys) + lesson

    @staticmethod
    def _digest(masks: Mapping[int, NDArray[np.bool_]], keys: Iterable[int]) -> str:
        digest = hashlib.sha256()
        for key in keys:
            digest.update(key.to_bytes(8, "little"))
            digest.update(np.packbits(masks[key]).tobytes())
        return digest.hexdigest()

    def _strength(self, object_id: int, slice_index: int, result: SliceResult) -> NDArray[np.floating]:
        if result.source == "key":
            return np.full(self.stack.slice_shape, np.inf, dtype=np.float32)
        logits = np.zeros(self.stack.slice_shape, dtype=np.float32)
        if result.claim is not None:
            logits[result.claim.rows, result.claim.columns] = result.claim.logits
        nearest = min(abs(key - slice_index) for key in self._keys[object_id])
        return claim_strength(logits, max(result.area, 1), nearest)

    def _check_slice(self, index: int, name: str) -> None:
        if not 0 <= index < len(self.stack):
            raise InputError(
                f"The {name} {index} is outside the volume: "
                f"{self.plane.value} slices run from 0 to {len(self.stack) - 1}."
            )
