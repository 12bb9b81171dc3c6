"""Everything that the worker can be asked, and what may come back; knows nothing of what carries it.

A request describes all that it needs (volume, model, settings, keys), never a step: a worker that was killed and
started again needs no replay. All slice numbers and shapes are checked against the volume that the request names.
A new one is a class here, its answer one in `replies`, how a method of `service.Service`; `PROTOCOL` is counted up.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.propagation.prompts import BoxPrompt, PointsPrompt
from SegmentPropagateLib.worker.fields import Content, Count, Index, Rule, Text, array_of, kinds_of, reject
from SegmentPropagateLib.worker.messages import Message, MessageError, shown
from SegmentPropagateLib.worker.protocol import PROTOCOL, check_protocol
from SegmentPropagateLib.worker.replies import (
    REPLIES,
    Cancelled,
    Done,
    Downloading,
    Failed,
    Inspected,
    Noted,
    Outlined,
    Preparing,
    Remote,
    Reply,
    SliceDone,
    SliceReply,
    Started,
    Suggested,
    SuggestedKey,
    Suggesting,
    SuggestionsDone,
    Trusted,
    VolumeTaken,
    Welcome,
)
from SegmentPropagateLib.worker.setup import Setup


class Request(Content):
    """Base of the requests.

    Attributes:
        answers: replies that may come back, besides `Cancelled` and `Failed`, in this order; `Remote` at any time.
    """

    answers: ClassVar[tuple[type[Reply], ...]] = ()

    def read_reply(self, message: Message) -> Reply:
        """What the worker answers to this request.

        Raises:
            MessageError: the message is no reply, is wrong by itself, or is no answer to this.
        """
        kind = REPLIES.get(message.type)
        if kind not in (*self.answers, Cancelled, Failed) or kind is None:
            word = shown(message.header.get("type"))
            raise MessageError(f"The message {word} is no answer to the request '{self.word}'.")
        reply = kind.from_message(message)
        self.check_reply(reply)
        return reply

    def check_reply(self, reply: Reply) -> None:
        """Raise MessageError for a reply that does not fit what was asked."""


@dataclass(frozen=True)
class Hello(Request):
    """The first request of a connection: is this a worker, and does it speak the same protocol?"""

    word = "hello"
    answers = (Welcome,)
    protocol: Count = PROTOCOL

    def read_reply(self, message: Message) -> Reply:
        """The same, but another protocol is named as such before any field is looked at."""
        if message.type == Welcome.word:
            check_protocol(self.protocol, message.header.get("protocol"))
        return super().read_reply(message)

    def check_reply(self, reply: Reply) -> None:
        """The worker is another process: it is what is killed when it does not obey."""
        if isinstance(reply, Welcome) and reply.pid in (1, os.getpid(), os.getppid()):
            reject(f"{reply.word}.pid", "of a process that was started for it", reply.pid)


@dataclass(frozen=True, eq=False)
class TakeVolume(Request):
    """Hand over the voxels, `(k, j, i)`; they stay until the next ones.

    Args:
        volume: identity, by which other requests name them.
        voxels: bool, integers or floats.
    """

    word = "take_volume"
    answers = (VolumeTaken,)
    volume: Text
    voxels: Annotated[
        NDArray[Any],
        array_of("biuf", 3, "an array of real numbers (k, j, i)"),
        Rule(lambda voxels: voxels.size > 0, "an array that is not empty"),
    ]

    def check_reply(self, reply: Reply) -> None:
        """It is this volume that was taken."""
        if isinstance(reply, VolumeTaken) and reply.volume != self.volume:
            reject(f"{reply.word}.volume", f"'{self.volume}'", reply.volume)


@dataclass(frozen=True)
class Inspect(Request):
    """What is this model file? Nothing in it is run."""

    word = "inspect"
    answers = (Inspected,)
    path: Text
    image_size: Count | None

    def check_reply(self, reply: Reply) -> None:
        """It is this file that was looked at."""
        if isinstance(reply, Inspected) and reply.path != self.path:
            reject(f"{reply.word}.path", shown(self.path), reply.path)


@dataclass(frozen=True, eq=False)
class Segment(Request):
    """Turn a box or points on a slice into a mask; no key is made.

    Args:
        setup: of the session.
        object_id: comes back with the answer.
        slice_index: on which slice.
        box_ij: first and last column and row, `(i0, j0, i1, j1)`; None without a box.
        points_ij: column and row of each point.
        positive: for each point, whether it is on the object.
        outlined: slices on which the object is outlined already.
        masks: these outlines, then other finished objects' on the prompt's slice, bool `(n, rows, columns)`.
    """

    word = "segment"
    answers = (Remote, Downloading, Preparing, Outlined)
    setup: Setup
    object_id: Count
    slice_index: Index
    box_ij: tuple[float, float, float, float] | None
    points_ij: tuple[tuple[float, float], ...]
    positive: tuple[bool, ...]
    outlined: tuple[Index, ...]
    masks: Annotated[NDArray[np.bool_], array_of("b", 3, "a bool array (outlines, rows, columns)")]

    def check(self) -> None:
        """The slice exists, and there is a prompt with a flag for every point."""
        self.setup.check(f"{self.word}.setup")
        self.setup.check_slice(f"{self.word}.slice_index", self.slice_index)
        if len(self.positive) != len(self.points_ij):
            reject(f"{self.word}.positive", f"one flag for each of {len(self.points_ij)} points", self.positive)
        if self.box_ij is None and not self.points_ij:
            reject(f"{self.word}.points_ij", "at least one point where there is no box", self.points_ij)
        self.setup.check_slice(f"{self.word}.outlined", max(self.outlined, default=None))
        if len(self.masks) < len(self.outlined) or self.masks.shape[1:] != self.setup.stack_shape[1:]:
            reject(f"{self.word}.masks", "outlines of the slices' shape, one or more for each slice", self.masks)

    @property
    def prompt(self) -> BoxPrompt | PointsPrompt:
        """The box, or the points with the box.

        Raises:
            InputError: a box without an inside, or no point on the object.
        """
        box = BoxPrompt(self.box_ij) if self.box_ij is not None else None
        if box is not None and not self.points_ij:
            return box
        return PointsPrompt(np.array(self.points_ij, dtype=float), np.array(self.positive, dtype=bool), box)

    def check_reply(self, reply: Reply) -> None:
        """The outline is of the object, on the slice, and of its shape."""
        if isinstance(reply, Outlined):
            _check_place(reply, (self.object_id,), range(self.slice_index, self.slice_index + 1), self.setup)


@dataclass(frozen=True, eq=False)
class FromKeys(Request):
    """Base of the requests that start from key slices.

    Args:
        setup: of the session.
        keys: `(object id, slice)` of every key there is; those of an earlier request are forgotten.
        masks: their outlines, bool `(keys, rows, columns)`.
        first: first slice with the object; None leaves open where it begins.
        last: last slice with it, inclusive; None leaves open where it ends.
    """

    setup: Setup
    keys: tuple[tuple[Count, Index], ...]
    masks: Annotated[NDArray[np.bool_], array_of("b", 3, "a bool array (keys, rows, columns)")]
    first: Index | None
    last: Index | None

    def check(self) -> None:
        """Keys and ends lie in the volume, and every key has an outline of the slices' shape."""
        self.setup.check(f"{self.word}.setup")
        for name in ("first", "last"):
            self.setup.check_slice(f"{self.word}.{name}", getattr(self, name))
        if not self.slices:
            reject(f"{self.word}.last", f"not before the first slice {self.first}", self.last)
        if not self.keys or len(set(self.keys)) != len(self.keys):
            reject(f"{self.word}.keys", "a list of different places, at least one", self.keys)
        for number, (_object_id, index) in enumerate(self.keys):
            self.setup.check_slice(f"{self.word}.keys[{number}][1]", index)
        wanted = (len(self.keys), *self.setup.stack_shape[1:])
        if self.masks.shape != wanted:
            reject(f"{self.word}.masks", f"of shape {wanted}, (keys, rows, columns)", self.masks)

    @cached_property
    def slices(self) -> range:
        """The range; what is left open ends with the volume."""
        first = 0 if self.first is None else self.first
        return range(first, self.setup.stack_shape[0] if self.last is None else self.last + 1)


@dataclass(frozen=True, eq=False)
class GetAhead(FromKeys):
    """Until the next request, do what a propagation from these keys would begin with; a mask may still be empty.

    It downloads nothing, changes no result, and fails without a word.
    """

    word = "get_ahead"
    answers = (Noted,)


@dataclass(frozen=True, eq=False)
class Propagate(FromKeys):
    """Fill a range of slices from key slices.

    Args:
        resolve_overlaps: give contested pixels to one of the objects.
        adapt: `stack` learns from the key slices of objects that have enough; see `Session.learn`.
    """

    word = "propagate"
    answers = (Remote, Downloading, Preparing, Started, SliceDone, Done)
    resolve_overlaps: bool
    adapt: Literal["off", "stack"] = "off"

    @cached_property
    def object_ids(self) -> frozenset[int]:
        """The objects that have a key."""
        return frozenset(object_id for object_id, _index in self.keys)

    @cached_property
    def places(self) -> frozenset[tuple[int, int]]:
        """`(object id, slice)` of every slice that is to be filled."""
        every = frozenset((object_id, index) for object_id in self.object_ids for index in self.slices)
        return every.difference(self.keys)

    def check_reply(self, reply: Reply) -> None:
        """A slice is one of the range, no key, of its shape, and as a lesson of an object that was asked for."""
        most = len(self.places)
        for name in ("total", "done", "computed"):
            if (getattr(reply, name, None) or 0) > most:
                reject(f"{reply.word}.{name}", f"at most {most}, the slices to fill", getattr(reply, name))
        if isinstance(reply, SliceDone):
            _check_place(reply, self.object_ids, self.slices, self.setup)
            if (reply.object_id, reply.slice_index) in self.keys:
                reject(f"{reply.word}.slice_index", "no key slice", reply.slice_index)
        if isinstance(reply, Done):
            learned = self.object_ids if self.adapt == "stack" else ()
            for number, (object_id, _sentence) in enumerate(reply.lessons):
                if object_id not in learned:
                    reject(f"{reply.word}.lessons[{number}][0]", "an object that was to be learned", object_id)


@dataclass(frozen=True, eq=False)
class Trust(Request):
    """Which slices of a mask that somebody else made can be trusted? See `prompting.trust`.

    Args:
        setup: of the session; its model is not needed.
        origin: first slice, row and column of `masks`.
        masks: the object within a box around it, bool `(slices, rows, columns)`.
    """

    word = "trust"
    answers = (Trusted,)
    setup: Setup
    origin: tuple[Index, Index, Index]
    masks: Annotated[NDArray[np.bool_], array_of("b", 3, "a bool array (slices, rows, columns)")]

    def check(self) -> None:
        """The box lies within the volume."""
        self.setup.check(f"{self.word}.setup")
        whole = self.setup.stack_shape
        if any(start + size > most for start, size, most in zip(self.origin, self.masks.shape, whole, strict=True)):
            reject(f"{self.word}.masks", f"within the volume's slices {whole} from {self.origin}", self.masks)

    @property
    def whole(self) -> NDArray[np.bool_]:
        """The masks of all slices, bool `(slices, rows, columns)`."""
        whole = np.zeros(self.setup.stack_shape, dtype=bool)
        box = tuple(slice(start, start + size) for start, size in zip(self.origin, self.masks.shape, strict=True))
        whole[box] = self.masks
        return whole

    def check_reply(self, reply: Reply) -> None:
        """The slices are some of those that were asked about."""
        if isinstance(reply, Trusted):
            asked = range(self.origin[0], self.origin[0] + len(self.masks))
            for name in ("trusted", "doubtful"):
                beyond = [index for index in getattr(reply, name) if index not in asked]
                if beyond:
                    reject(f"{reply.word}.{name}", f"slices from {asked.start} to {asked.stop - 1}", beyond[0])


@dataclass(frozen=True)
class Suggest(Request):
    """Draft key slices and ranges from finished cases, whose files the worker reads.

    Args:
        setup: of the session; its model reads the finished cases if it was taught to, else the bundled one does.
        labels: names of what is to be found; none of them stands for all that the finished cases have.
        folders: folders or lists of finished cases, in the layouts of `formats.cases`.
        cases: files of finished cases, `(image, labels)`.
    """

    word = "suggest"
    answers = (Preparing, Suggesting, Suggested, SuggestedKey, SuggestionsDone)
    setup: Setup
    labels: tuple[Text, ...]
    folders: tuple[Text, ...]
    cases: tuple[tuple[Text, Text], ...]

    def check(self) -> None:
        """There are finished cases, and no label is asked for twice."""
        self.setup.check(f"{self.word}.setup")
        if len({name.casefold() for name in self.labels}) != len(self.labels):
            reject(f"{self.word}.labels", "a list of different names", self.labels)
        if not self.folders and not self.cases:
            reject(f"{self.word}.cases", "at least one where there is no folder", self.cases)

    def check_reply(self, reply: Reply) -> None:
        """A draft lies in the volume, and is for a label that was asked for."""
        asked = len(self.labels)
        if isinstance(reply, Suggested | SuggestedKey):
            _check_place(reply, range(1, asked + 1) or (reply.object_id,), range(self.setup.stack_shape[0]), self.setup)
        if isinstance(reply, Suggested):
            self.setup.check_slice(f"{reply.word}.last", reply.last)
        if isinstance(reply, SuggestionsDone) and asked and reply.count != asked:
            reject(f"{reply.word}.count", f"{asked}, the labels that were asked for", reply.count)


@dataclass(frozen=True)
class Cancel(Request):
    """End the request whose id this carries; it is that one which is answered."""

    word = "cancel"


@dataclass(frozen=True)
class Quit(Request):
    """End the worker."""

    word = "quit"


REQUESTS: Mapping[str, type[Request]] = kinds_of(Request)
"""`word` -> class of every request."""


def read_request(message: Message) -> Request:
    """What the worker is asked.

    Raises:
        MessageError: it is no request, a wrong one, or one of another protocol.
    """
    kind = REQUESTS.get(message.type)
    if kind is None:
        raise MessageError(f"The worker does not know the request {shown(message.header.get('type'))}.")
    if kind is Hello:
        check_protocol(message.header.get("protocol"), PROTOCOL)
    return kind.from_message(message)


def _check_place(reply: SliceReply, object_ids: Collection[int], slices: range, setup: Setup) -> None:
    if reply.object_id not in object_ids:
        reject(f"{reply.word}.object_id", f"one of {', '.join(map(str, sorted(object_ids)))}", reply.object_id)
    if reply.slice_index not in slices:
        reject(f"{reply.word}.slice_index", f"from {slices.start} to {slices.stop - 1}", reply.slice_index)
    if reply.shape != setup.stack_shape[1:]:
        reject(f"{reply.word}.shape", f"{setup.stack_shape[1:]}", reply.shape)
