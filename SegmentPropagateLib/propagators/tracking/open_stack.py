"""An opened stack before a network: cached features, masks between slice and network, memory that may run out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from SegmentPropagateLib.errors import OutOfMemoryError
from SegmentPropagateLib.networks.sam2 import ABSENT_LOGIT
from SegmentPropagateLib.propagators.tracking.appearance import Appearance, resize_mask
from SegmentPropagateLib.propagators.tracking.beside import Beside, Place
from SegmentPropagateLib.propagators.tracking.encoder import FeatureCache, Features
from SegmentPropagateLib.propagators.tracking.tracker import ENCODERS, Outcome, SliceMemory, Tracker
from SegmentPropagateLib.propagators.tracking.views import View
from SegmentPropagateLib.volumes.cropped import Cropped
from SegmentPropagateLib.volumes.stack import ImageStack

log = logging.getLogger(__name__)

SURELY_OUTSIDE = -10.0
"""Logit taken for what lay outside the view in which a slice was segmented: sigmoid(-10) = 0.00005."""

CPU_BATCH_TOKENS = 8192
"""Image tokens in one batch on a CPU, which gains nothing from more: 8 lanes of 512 x 512 pixels."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Told:
    """What was decoded of an object on a slice.

    Args:
        logits: of the view; -1024 outside.
        presence: object score, a logit.
        iou: predicted, 0..1.
    """

    logits: Cropped
    presence: float
    iou: float


class OpenStack:
    """A stack, the network that looks at it, and the features kept of it.

    Args:
        stack: the slices.
        tracker: the network on its device; replaced by one on the CPU when an accelerator's memory is exhausted.
        cache: features kept, also from run to run.
    """

    def __init__(self, stack: ImageStack, tracker: Tracker, cache: FeatureCache) -> None:
        self.stack = stack
        self.tracker = tracker
        self.notes: list[str] = []
        self._cache = cache
        self._beside: Beside | None = None
        self._largest_batch: int | None = None
        if tracker.device.type == "cpu":
            self._largest_batch = max(1, CPU_BATCH_TOKENS // tracker.tokens)

    def features(self, index: int, view: View, appearance: Appearance) -> Features:
        """Features of a slice, seen so."""
        place = index, view, appearance
        take = self._encode if self._beside is None else self._beside.take
        return self._cache.get(place, lambda: take(place))

    def _encode(self, place: Place, thread: int = 0) -> Features:
        index, view, appearance = place
        tracker = self.tracker
        return tracker.encode(appearance.image(self.stack, index, view, tracker.image_size, tracker.device), thread)

    @contextmanager
    def encoding_beside(self) -> Iterator[None]:
        """Meanwhile `begin` has threads of its own."""
        with Beside(self._encode, self.tracker.device, ENCODERS) as self._beside:
            try:
                yield
            finally:
                self._beside = None

    def begin(self, places: Iterable[Place]) -> None:
        """Let slices be encoded beside what comes next, for `features` to take; what was begun else is given up."""
        if self._beside is not None:
            self._beside.begin(place for place in places if place not in self._cache)

    def encode_ahead(self, places: Iterable[Place]) -> Iterator[None]:
        """Encode slices, yielding after each, as long as none of them is pushed out by the next; the first is nearest.

        Where memory runs out it is for those who need it: what was kept is forgotten, and nothing else is done.
        """
        held = 0
        for place in dict.fromkeys(places):
            try:
                features = self.features(*place)
            except torch.OutOfMemoryError:
                self._cache.clear()
                return
            held += features.bytes
            yield
            if held + features.bytes > self._cache.limit:
                return

    def take_mask(self, index: int, view: View, appearance: Appearance, mask: NDArray[np.bool_]) -> Outcome:
        """A mask of the whole slice `(rows, columns)` as the outcome in a view."""
        features = self.features(index, view, appearance)
        return self.tracker.take_mask(features, resize_mask(view.cut(mask), self.tracker.image_size))

    def remember(self, index: int, view: View, appearance: Appearance, outcome: Outcome, given: bool) -> SliceMemory:
        """The memory of one outcome."""
        return self.tracker.remember([self.features(index, view, appearance)], [outcome], given)[0]

    def tell(self, said: Sequence[tuple[Outcome, View]]) -> list[Told]:
        """Bring over what was decoded in these views; all at once, as each time a GPU has to be waited for."""
        if not said:
            return []
        numbers = torch.stack([number for outcome, _ in said for number in (outcome.presence, outcome.predicted_iou)])
        sizes = {(view.rows, view.columns) for _, view in said}
        maps: dict[int, NDArray[np.float32]] = {}
        for size in sizes:
            alike = [number for number, (_, view) in enumerate(said) if (view.rows, view.columns) == size]
            sized = _resized(torch.stack([said[number][0].logits for number in alike]), size).cpu().numpy()
            maps.update(zip(alike, sized, strict=True))
        pairs = numbers.view(-1, 2).tolist()
        return [
            Told(Cropped(maps[number], view.box, self.stack.slice_shape, ABSENT_LOGIT), *pairs[number])
            for number, (_, view) in enumerate(said)
        ]

    def change_view(self, outcome: Outcome, old: View, new: View) -> Outcome:
        """The outcome as it would look in another view."""
        canvas = outcome.logits.new_full(self.stack.slice_shape, SURELY_OUTSIDE)
        old.cut(canvas)[:] = _resized(outcome.logits[None], (old.rows, old.columns))[0]
        pixels = new.cut(canvas)
        logits = functional.interpolate(
            pixels[None, None], size=outcome.logits.shape, mode="bilinear", align_corners=False, antialias=True
        )
        return Outcome(logits[0, 0], outcome.pointer, outcome.presence, outcome.predicted_iou)

    def in_batches(
        self,
        work: Callable[[Sequence[Item]], list[Result]],
        items: Sequence[Item],
        when_moved: Callable[[], None],
    ) -> list[Result]:
        """Do the work on all items, in smaller batches or at last on the CPU where memory does not suffice.

        Args:
            work: takes items, gives one result per item, and changes nothing if it fails.
            items: what to work on.
            when_moved: called after the network has moved to the CPU; moves what else the work needs.

        Raises:
            OutOfMemoryError: a single item is too much for the CPU's memory, too.
        """
        results: list[Result] = []
        while len(results) < len(items):
            rest = items[len(results) :]
            batch = rest[: self._largest_batch]
            try:
                results += work(batch)
            except torch.OutOfMemoryError:
                if self._make_room(len(batch)):
                    when_moved()
                    results = [result.to(self.tracker.device) for result in results]  # type: ignore[attr-defined]
        return results

    def _make_room(self, batch: int) -> bool:
        """Halve the batch, or move to the CPU and return True."""
        self._cache.clear()
        self.begin(())
        self.tracker.forget()
        if batch > 1:
            self._largest_batch = batch // 2
            self._note(f"Memory is short: at most {self._largest_batch} objects and directions at a time.")
            return False
        if self.tracker.device.type == "cpu":
            raise OutOfMemoryError("There is not enough memory for this model: choose a smaller one or close programs.")
        self._note(f"The memory of {self.tracker.device} does not suffice: continuing on the CPU, which is slower.")
        self.tracker = self.tracker.on_cpu()
        return True

    def _note(self, text: str) -> None:
        log.warning(text)
        self.notes.append(text)


def _resized(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps `(B, h, w)` in another size."""
    return functional.interpolate(logits[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
