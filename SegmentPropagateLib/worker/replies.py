"""Everything that the worker answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.volumes.boxes import bounding_box
from SegmentPropagateLib.volumes.presets import PRESETS
from SegmentPropagateLib.worker.fields import (
    Amount,
    Bytes,
    Content,
    Count,
    Index,
    Line,
    Sentence,
    Share,
    Text,
    array_of,
    kinds_of,
    one_of,
    reject,
)

OnSlice = TypeVar("OnSlice", bound="SliceReply")


class Reply(Content):
    """Base of the replies.

    Attributes:
        final: whether nothing more comes for the request.
    """

    final: ClassVar[bool] = False


@dataclass(frozen=True)
class Welcome(Reply):
    """The answer to `Hello`.

    Args:
        protocol: version of the requests and replies that the worker speaks.
        version: of the library.
        pid: of the process that computes, which a launcher may hide.
        missing: packages without which networks do not run.
    """

    word = "welcome"
    final = True
    protocol: Count
    version: Sentence
    pid: Count
    missing: tuple[Sentence, ...]


@dataclass(frozen=True)
class VolumeTaken(Reply):
    """The voxels have arrived."""

    word = "volume_taken"
    final = True
    volume: Text


@dataclass(frozen=True)
class Inspected(Reply):
    """What a model file is.

    Args:
        path: the file.
        family: of networks.
        variant: size of the network.
        image_size: side of the square that it sees, pixels.
        short_slices: length of the short memory.
        intensity: preset that it was trained with, or `auto`.
        problems: what keeps it from being used, one phrase each.
    """

    word = "inspected"
    final = True
    path: Text
    family: Sentence
    variant: Sentence
    image_size: Count
    short_slices: Index
    intensity: Sentence
    problems: tuple[Sentence, ...]


@dataclass(frozen=True)
class Downloading(Reply):
    """How far the download of the model is; `bytes_total` is None where the server does not say."""

    word = "downloading"
    bytes_done: Bytes
    bytes_total: Bytes | None


@dataclass(frozen=True)
class Preparing(Reply):
    """What happens first: the model is loaded, the session's slices are made, the finished cases are looked through,
    the model learns from key slices."""

    word = "preparing"
    what: Literal["model", "session", "support", "lesson"]


@dataclass(frozen=True)
class Remote(Reply):
    """How it stands with a request that another computer fulfils; may come at any time before the final reply.

    Args:
        state: `queued` behind others, the connection is `lost` and being made again, or it has `resumed`.
        ahead: how many requests of others come first; 0 unless queued.
    """

    word = "remote"
    state: Literal["queued", "lost", "resumed"]
    ahead: Index


@dataclass(frozen=True)
class Started(Reply):
    """Slices follow.

    Args:
        total: how many are computed; those known from before are sent besides.
        preset: intensity preset that was applied.
        note: a sentence about the voxels, or empty.
    """

    word = "started"
    total: Index
    preset: Annotated[str, one_of(PRESETS)]
    note: Line


@dataclass(frozen=True, eq=False)
class SliceReply(Reply):
    """A mask on a slice.

    Args:
        object_id: whose.
        slice_index: where.
        shape: `(rows, columns)` of the slice.
        origin: first row and column of `box`.
        box: bool, the mask within its bounding box, the only part that travels; 0 x 0 for an empty mask.
    """

    object_id: Count
    slice_index: Index
    shape: tuple[Count, Count]
    origin: tuple[Index, Index]
    box: Annotated[NDArray[np.bool_], array_of("b", 2, "a bool array (rows, columns)")]

    def check(self) -> None:
        """The box lies within the slice."""
        for start, size, whole in zip(self.origin, self.box.shape, self.shape, strict=True):
            if start + size > whole:
                reject(f"{self.word}.box", f"within the slice {self.shape} from {self.origin}", self.box)

    @classmethod
    def of_mask(cls: type[OnSlice], object_id: int, slice_index: int, mask: NDArray[np.bool_], **more: Any) -> OnSlice:
        """The reply for a whole mask, bool `(rows, columns)`; `more` are the other fields."""
        rows, columns = bounding_box(mask) or (slice(0, 0), slice(0, 0))
        origin, box = (rows.start, columns.start), mask[rows, columns]
        return cls(object_id, slice_index, (mask.shape[0], mask.shape[1]), origin, box, **more)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The whole mask, bool `(rows, columns)`."""
        mask = np.zeros(self.shape, dtype=bool)
        (r, c), (rows, columns) = self.origin, self.box.shape
        mask[r : r + rows, c : c + columns] = self.box
        return mask


@dataclass(frozen=True, eq=False)
class Outlined(SliceReply):
    """The mask that the model makes of a box or points."""

    word = "outlined"
    final = True


@dataclass(frozen=True, eq=False)
class SliceDone(SliceReply):
    """A slice of a run; the last one that is sent for a slice counts.

    Args:
        presence: object score as a logit; None where it is infinite or there is none.
        predicted_iou: the model's own guess of the mask's IoU; None where it has none.
        done: how many slices have been computed, this one included; None for one known from before.
    """

    word = "slice_done"
    presence: float | None
    predicted_iou: Share | None
    done: Index | None = None


@dataclass(frozen=True)
class Done(Reply):
    """A run has ended well.

    Args:
        computed: number of slices.
        seconds: how long it took.
        peak_mib: largest memory of the worker so far, MiB; None where the system does not say.
        info: facts about the model, JSON-able.
        lessons: `(object id, sentence)`, what came of learning from its key slices; none where that was not asked for.
    """

    word = "done"
    final = True
    computed: Index
    seconds: Amount
    peak_mib: Amount | None
    info: Mapping[str, Any]
    lessons: tuple[tuple[Count, Sentence], ...] = ()


@dataclass(frozen=True)
class Noted(Reply):
    """It will be done when there is nothing else to do, and nothing more is said of it."""

    word = "noted"
    final = True


@dataclass(frozen=True)
class Trusted(Reply):
    """Which slices of a mask can be trusted.

    Args:
        trusted: those that the image and their neighbors bear out, ascending.
        doubtful: the others with something on them.
    """

    word = "trusted"
    final = True
    trusted: tuple[Index, ...]
    doubtful: tuple[Index, ...]


@dataclass(frozen=True)
class Suggesting(Reply):
    """How many steps are done of laying the finished cases over the image."""

    word = "suggesting"
    done: Index
    total: Count

    def check(self) -> None:
        """No more than all are done."""
        if self.done > self.total:
            reject(f"{self.word}.done", f"at most {self.total}, the steps there are", self.done)


@dataclass(frozen=True, eq=False)
class Suggested(SliceReply):
    """A draft for one label: its outline on the key slice, on the surest where there are several.

    Args:
        object_id: place of the label in the request, from 1; where that names none, any number of its own.
        slice_index: the key slice; 0 where the object is not here.
        box: as in every mask; empty where the object is not here.
        name: of the label.
        color_rgb: red, green, blue that the finished cases give it.
        status: `unsure` is shown and never run unasked.
        first: first slice with the object; None leaves open where it begins.
        last: last slice with it, inclusive; None leaves open where it ends.
        confidence: how sure the source is.
        reason: one sentence, for what is unsure or not here; may be empty else.
    """

    word = "suggested"
    name: Sentence
    color_rgb: tuple[Share, Share, Share]
    status: Literal["found", "unsure", "not here"]
    first: Index | None
    last: Index | None
    confidence: Share
    reason: Line

    def check(self) -> None:
        """What is here has an outline, within its range; what is not has a reason instead."""
        super().check()
        here = self.status != "not here"
        if self.box.any() != here:
            reject(f"{self.word}.box", "an outline" if here else "empty for what is not here", self.box)
        if not here and not self.reason.strip():
            reject(f"{self.word}.reason", "a text that is not empty", self.reason)
        for name, wrong in (
            ("first", self.first is not None and (not here or self.first > self.slice_index)),
            ("last", self.last is not None and (not here or self.last < self.slice_index)),
        ):
            if wrong:
                wanted = f"on this side of the key slice {self.slice_index}" if here else "none for what is not here"
                reject(f"{self.word}.{name}", wanted, getattr(self, name))


@dataclass(frozen=True, eq=False)
class SuggestedKey(SliceReply):
    """A further key slice of a draft that was sent, with its outline."""

    word = "suggested_key"

    def check(self) -> None:
        """It has an outline."""
        super().check()
        if not self.box.any():
            reject(f"{self.word}.box", "an outline", self.box)


@dataclass(frozen=True)
class SuggestionsDone(Reply):
    """All drafts have been sent.

    Args:
        count: how many.
        seconds: how long it took.
        peak_mib: largest memory of the worker so far, MiB; None where the system does not say.
    """

    word = "suggestions_done"
    final = True
    count: Index
    seconds: Amount
    peak_mib: Amount | None


@dataclass(frozen=True)
class Cancelled(Reply):
    """The request was cancelled; nothing of it is kept."""

    word = "cancelled"
    final = True


@dataclass(frozen=True)
class Failed(Reply):
    """The request was not fulfilled.

    Args:
        kind: `input` is the user's to mend, `protocol` a wrong request, `memory` too little of it, `internal` a bug;
            `died` is said in place of a worker that no longer answers.
        sentence: what is wrong and what to do.
    """

    word = "failed"
    final = True
    kind: Literal["input", "protocol", "memory", "internal", "died"]
    sentence: Sentence


REPLIES = kinds_of(Reply)
"""`word` -> class of every reply."""
