"""The one seam between sessions and whatever carries a mask from slice to slice.

A propagator may be a network (`tracking`), registration and region growing (`classical`), or a test double.
It knows slices and lanes; volumes, ranges, key bookkeeping and undo are the session's business.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.propagation.prompts import NOTHING_KNOWN, BoxPrompt, Known, PointsPrompt
from SegmentPropagateLib.volumes.cropped import Cropped
from SegmentPropagateLib.volumes.stack import ImageStack

KeyMasks = Mapping[int, Mapping[int, NDArray[np.bool_]]]
"""object id -> key slice -> bool mask of shape (rows, columns)."""


MemoryName = Literal["sam2", "sam2-stride", "sam2-near-keys", "sam3", "samurai", "dam4sam", "sam2long"]
"""Rules of `networks.memory_rules`, which says what they do; the first is what networks were trained with."""


@dataclass(frozen=True)
class PropagationSettings:
    """What a user may change about a run without choosing another model.

    Args:
        roi: `auto` crops around the object and follows it; `off` shows the network whole slices, as the papers do.
        pass_mode: `independent` starts both directions from the key slices alone; `coupled` runs forward and then
            in reverse within one memory, as the released SLM-SAM2 script does.
        short_slices: length of the short memory bank; None takes the checkpoint's card.
        stop_after_empty: a lane ends after so many empty slices in a row; None never ends early.
        memory: which remembered slices a network reads.
        looks_twice: let a network that has mask attention answer from its own first answer; it has learned to from
            slices of finished cases in memory, and from nothing else.
    """

    roi: Literal["auto", "off"] = "auto"
    pass_mode: Literal["independent", "coupled"] = "independent"
    short_slices: int | None = None
    stop_after_empty: int | None = None
    memory: MemoryName = "sam2"
    looks_twice: bool = False


@dataclass(frozen=True)
class Lane:
    """One object on its way through the stack.

    Args:
        object_id: which object.
        keys: key slices that condition the lane, in ascending order; `start` is one of them.
        legs: runs of slices in the order of visit. An independent lane has one leg; a coupled lane has a forward leg
            and then a reverse leg that still sees the memories of the first.
        given_ends: those of its slices that the user named as the first or the last one with the object.
    """

    object_id: int
    keys: tuple[int, ...]
    legs: tuple[range, ...]
    given_ends: tuple[int, ...] = ()

    @property
    def slices(self) -> tuple[int, ...]:
        """All slices that the lane fills, in order; never a key slice."""
        return tuple(index for leg in self.legs for index in leg)


@dataclass(frozen=True)
class SliceUpdate:
    """The result for one object on one slice.

    Args:
        object_id: which object.
        slice_index: which slice.
        mask: bool, `(rows, columns)`; empty where the object is held to be absent.
        presence: object score as a logit; <= 0 means absent.
        predicted_iou: the network's own guess of the mask's IoU in 0..1; NaN where there is none.
        part: logits (> 0 = object), used to resolve overlaps; None where there are none.
    """

    object_id: int
    slice_index: int
    mask: NDArray[np.bool_]
    presence: float
    predicted_iou: float
    part: Cropped | None = field(default=None, repr=False)

    @property
    def logits(self) -> NDArray[np.float32] | None:
        """The logits of the whole slice, float32 of the mask's shape, a copy; None where there are none."""
        return None if self.part is None else self.part.whole


class Propagator(Protocol):
    """Carries masks from key slices through a stack of slices."""

    @property
    def info(self) -> Mapping[str, Any]:
        """JSON-able facts for reports: model name, family, checkpoint sha256, device, precision, ..."""

    def open(self, stack: ImageStack, settings: PropagationSettings) -> None:
        """Forget the previous stack and take a new one."""

    def segment(
        self, slice_index: int, prompt: BoxPrompt | PointsPrompt, known: Known = NOTHING_KNOWN
    ) -> NDArray[np.bool_]:
        """Turn a box or points on a slice into a mask of shape (rows, columns).

        What is known of the object beside its prompt may be of use, or not be heard.
        """

    def get_ahead(self, lanes: Sequence[Lane], key_masks: KeyMasks) -> Iterator[None]:
        """Compute and keep, a step at a time, what `run` would be quicker with; no result depends on it.

        Closing the iterator ends it, and so does the next `open` or `run`. A key mask may be empty: not drawn yet.
        """

    def run(self, lanes: Sequence[Lane], key_masks: KeyMasks) -> Generator[SliceUpdate, None, None]:
        """Carry the masks along the lanes, which take turns; closing the generator cancels the run.

        Yields one update for every slice of every lane, in the lane's order, as soon as it is known: no lane waits for
        another. A lane that ends early (`stop_after_empty`) yields nothing for the rest of its slices, which are then
        empty.
        """
