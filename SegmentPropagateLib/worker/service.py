"""What the worker does when it is asked; knows neither pipes nor threads.

The service keeps what it can of the request before: the loaded model, the volume, the session with its results.
"""

from __future__ import annotations

import importlib.util
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib import __version__
from SegmentPropagateLib.errors import CancelledError, InputError
from SegmentPropagateLib.models import download, registry
from SegmentPropagateLib.process import peak_memory_mib
from SegmentPropagateLib.propagation.prompts import Known, MaskPrompt
from SegmentPropagateLib.propagation.propagator import Propagator, SliceUpdate
from SegmentPropagateLib.propagation.results import SliceResult
from SegmentPropagateLib.propagation.session import Session
from SegmentPropagateLib.volumes.stack import make_stack
from SegmentPropagateLib.volumes.volume import Volume
from SegmentPropagateLib.worker.messages import printable
from SegmentPropagateLib.worker.protocol import PROTOCOL
from SegmentPropagateLib.worker.replies import (
    Done,
    Downloading,
    Inspected,
    Noted,
    Outlined,
    Preparing,
    Reply,
    SliceDone,
    Started,
    Trusted,
    VolumeTaken,
    Welcome,
)
from SegmentPropagateLib.worker.requests import (
    GetAhead,
    Hello,
    Inspect,
    Propagate,
    Request,
    Segment,
    Suggest,
    TakeVolume,
    Trust,
)
from SegmentPropagateLib.worker.setup import ModelChoice, Setup

Send = Callable[[Reply], None]
Cancelled = Callable[[], bool]
LoadModel = Callable[..., Propagator]


@dataclass(frozen=True)
class _Loaded:
    """A model, and what it was loaded from: a file that was replaced meanwhile is another model."""

    choice: ModelChoice
    file: tuple[int, int] | None
    propagator: Propagator


class Service:
    """One volume, one model and one session at a time.

    Args:
        load_model: `loading.load_model`, or a double: `(name_or_path, device=, precision=, image_size=) -> Propagator`.
    """

    def __init__(self, load_model: LoadModel) -> None:
        self._load_model = load_model
        self._model: _Loaded | None = None
        self._volume: TakeVolume | None = None
        self._session: tuple[Setup, Session] | None = None
        self._ahead: GetAhead | None = None
        self._handlers: Mapping[type[Request], Callable[[Any, Send, Cancelled], None]] = {
            Hello: self.hello,
            TakeVolume: self.take_volume,
            Inspect: self.inspect,
            Segment: self.segment,
            Propagate: self.propagate,
            GetAhead: self.note_ahead,
            Trust: self.trust,
            Suggest: self.suggest,
        }

    def answer(self, request: Request, send: Send, cancelled: Cancelled) -> None:
        """Do what is asked, and send the replies.

        Raises:
            CancelledError: it was cancelled; nothing of it is kept.
            SegmentPropagateError: it cannot be done.
        """
        self._ahead = None
        self._handlers[type(request)](request, send, cancelled)

    def hello(self, _request: Hello, send: Send, _cancelled: Cancelled) -> None:
        """Say who this is; imports nothing heavy."""
        missing = tuple(name for name in ("torch", "sam2") if importlib.util.find_spec(name) is None)
        send(Welcome(PROTOCOL, __version__, os.getpid(), missing))

    def take_volume(self, request: TakeVolume, send: Send, _cancelled: Cancelled) -> None:
        """Take the voxels; they stay until the next ones."""
        self._session, self._volume = None, request
        send(VolumeTaken(request.volume))

    def inspect(self, request: Inspect, send: Send, _cancelled: Cancelled) -> None:
        """Say what a checkpoint file is, and what keeps it from being used; runs nothing in it."""
        from SegmentPropagateLib.networks.checkpoints import inspect_checkpoint  # torch

        found = inspect_checkpoint(request.path, request.image_size, registry.model_folders())
        config, card = found.config, found.card
        send(
            Inspected(
                path=request.path,
                family=config.family,
                variant=config.variant,
                image_size=config.image_size,
                short_slices=card.short_slices,
                intensity=card.intensity,
                problems=tuple(printable(problem) for problem in found.problems),
            )
        )

    def segment(self, request: Segment, send: Send, cancelled: Cancelled) -> None:
        """Turn a box or points on a slice into a mask; no key is made."""
        prompt, count = request.prompt, len(request.outlined)
        known = Known(dict(zip(request.outlined, request.masks, strict=False)), tuple(request.masks[count:]))
        mask = self._open_session(request.setup, send, cancelled).preview(request.slice_index, prompt, known)
        send(Outlined.of_mask(request.object_id, request.slice_index, mask))

    def propagate(self, request: Propagate, send: Send, cancelled: Cancelled) -> None:
        """Fill a range; sends every slice that has a result, and `Done` at the end."""
        began = time.monotonic()
        session = self._open_session(request.setup, send, cancelled)
        set_keys(session, dict(zip(request.keys, request.masks, strict=True)))
        _adapt(session, request, send, cancelled)
        stale = {(lane.object_id, index) for lane in session.plan(request.first, request.last) for index in lane.slices}
        send(Started(len(stale), session.gray.preset, printable(session.gray.note)))
        slices = _Slices(session, request.slices, send)
        slices.send_known(stale)
        with closing(session.propagate(request.first, request.last)) as updates:
            for update in updates:
                if cancelled():
                    break
                slices.send_new(update.object_id, update.slice_index, update.mask, _scores(update))
        if cancelled():
            raise CancelledError("The run was cancelled.")
        slices.send_changed(request.resolve_overlaps)
        info = dict(self._model.propagator.info) if self._model else {}
        lessons = tuple((object_id, lesson.sentence) for object_id, lesson in session.lessons.items())
        send(Done(slices.computed, time.monotonic() - began, peak_memory_mib(), info, lessons))

    def note_ahead(self, request: GetAhead, send: Send, _cancelled: Cancelled) -> None:
        """Keep in mind what could be computed ahead, until something else is asked."""
        self._ahead = request
        send(Noted())

    def get_ahead(self) -> Iterator[None] | None:
        """Load what was last noted, and say how to go on: each step of the iterator computes a slice; None: nothing.

        Raises:
            SegmentPropagateError: it cannot be done; that is said to whoever asks for it in earnest.
        """
        request, self._ahead = self._ahead, None
        if request is None or _is_to_be_fetched(request.setup.model.name):
            return None
        session = self._open_session(request.setup, lambda _reply: None, lambda: False)
        outlines: dict[int, dict[int, NDArray[np.bool_]]] = {}
        for (object_id, index), mask in zip(request.keys, request.masks, strict=True):
            outlines.setdefault(object_id, {})[index] = mask
        return session.get_ahead(outlines, request.first, request.last)

    def trust(self, request: Trust, send: Send, cancelled: Cancelled) -> None:
        """Say which slices of a mask can be trusted; no model is loaded, and no key made."""
        from SegmentPropagateLib.prompting.trust import TRUSTED, trust_of  # scipy and SimpleITK

        plane = request.setup.session.plane

        def tick() -> None:
            if cancelled():
                raise CancelledError("The check of the mask was cancelled.")

        stack, _ = make_stack(self._volume_of(request.setup), plane)
        trust = trust_of(stack, request.whole, tick)
        trusted = tuple(index for index, value in trust.items() if value >= TRUSTED)
        send(Trusted(trusted, tuple(index for index in trust if index not in trusted)))

    def suggest(self, request: Suggest, send: Send, cancelled: Cancelled) -> None:
        """Draft key slices from finished cases; model and session stay as they are."""
        from SegmentPropagateLib.worker.suggesting import suggest  # scipy's filters, and readers of files

        suggest(request, self._volume_of(request.setup), send, cancelled)

    def forget(self) -> None:
        """Drop model and session, which after an out-of-memory may hold what is missing; the voxels stay."""
        self._session = self._model = None

    def _propagator(self, choice: ModelChoice, send: Send, cancelled: Cancelled) -> Propagator:
        file = _state_of_file(choice.name)
        if self._model is None or (self._model.choice, self._model.file) != (choice, file):
            self.forget()  # before the new one is loaded: both might not fit
            fetch_named(choice.name, send, cancelled)
            send(Preparing("model"))
            options = {"device": choice.device, "precision": choice.precision, "image_size": choice.image_size}
            self._model = _Loaded(choice, file, self._load_model(choice.name, **options))
        return self._model.propagator

    def _volume_of(self, setup: Setup) -> Volume:
        taken = self._volume
        if taken is None or (taken.volume, taken.voxels.shape) != (setup.volume, setup.shape_kji):
            raise InputError("The worker does not have this volume: send it first.")
        return Volume(taken.voxels, setup.geometry, "the image", setup.modality)

    def _open_session(self, setup: Setup, send: Send, cancelled: Cancelled) -> Session:
        """The session of that setup: the one from before, or a new one; a new model leaves no session."""
        volume = self._volume_of(setup)
        propagator = self._propagator(setup.model, send, cancelled)
        if self._session is None or self._session[0] != setup:
            self._session = None
            send(Preparing("session"))
            choice = setup.session
            session = Session(
                propagator, volume, plane=choice.plane, intensity=choice.intensity, settings=choice.settings
            )
            self._session = setup, session
        return self._session[1]


class _Slices:
    """The slices of one run on their way to the other side.

    Attributes:
        computed: how many were new.
    """

    def __init__(self, session: Session, indices: range, send: Send) -> None:
        self.computed = 0
        self._session, self._indices, self._send = session, indices, send
        self._sent: dict[tuple[int, int], NDArray[np.bool_]] = {}

    def send_known(self, stale: set[tuple[int, int]]) -> None:
        """Send what is known from before and need not be computed again."""
        for object_id in self._session.object_ids:
            for index, result in self._session.results(object_id).items():
                if index in self._indices and result.source != "key" and (object_id, index) not in stale:
                    self._send_slice(object_id, index, result.mask, _scores(result))

    def send_new(self, object_id: int, index: int, mask: NDArray[np.bool_], scores: Mapping[str, float | None]) -> None:
        """Send a slice that was computed."""
        self.computed += 1
        self._send_slice(object_id, index, mask, {**scores, "done": self.computed})

    def send_changed(self, resolve_overlaps: bool) -> None:
        """Send what differs from what was sent: pixels lost to another object, slices after a lane's early end."""
        known = {object_id: self._session.results(object_id) for object_id in self._session.object_ids}
        for index in self._indices:
            resolved = self._session.resolved(index) if resolve_overlaps else {}
            for object_id, results in known.items():
                result = results.get(index)
                if result is None or result.source == "key":
                    continue
                mask, before = resolved.get(object_id, result.mask), self._sent.get((object_id, index))
                if before is None or not np.array_equal(before, mask):
                    self._send_slice(object_id, index, mask, _scores(result))

    def _send_slice(self, object_id: int, index: int, mask: NDArray[np.bool_], more: Mapping[str, Any]) -> None:
        self._sent[object_id, index] = mask
        self._send(SliceDone.of_mask(object_id, index, mask, **more))


def set_keys(session: Session, wanted: Mapping[tuple[int, int], NDArray[np.bool_]]) -> None:
    """Give the session exactly these keys, `(object id, slice) -> mask`; one that has not changed costs nothing."""
    for object_id in session.object_ids:
        for index in session.keys(object_id):
            if (object_id, index) not in wanted:
                session.remove_key(object_id, index)
    for (object_id, index), mask in wanted.items():
        session.add_key(object_id, index, MaskPrompt(mask))


def _adapt(session: Session, request: Propagate, send: Send, cancelled: Cancelled) -> None:
    """Let the session learn from its keys, or forget what it has learned, as the request has it."""
    if request.adapt == "off":
        session.unlearn()
        return
    send(Preparing("lesson"))
    with closing(session.learn()) as steps:
        for _ in steps:
            if cancelled():
                raise CancelledError("Learning from the key slices was cancelled.")


def _scores(result: SliceUpdate | SliceResult) -> dict[str, float | None]:
    """Presence and predicted IoU as the other side takes them: finite and within 0..1, or None."""
    presence, iou = float(result.presence), float(result.predicted_iou)
    return {
        "presence": presence if math.isfinite(presence) else None,
        "predicted_iou": min(max(iou, 0.0), 1.0) if math.isfinite(iou) else None,
    }


def fetch_named(name: str, send: Send, cancelled: Cancelled) -> None:
    """Fetch a named model that is not at hand, telling every percent; what has arrived survives a cancellation."""
    if not _is_to_be_fetched(name):
        return
    model, told = registry.REGISTRY[name], -1

    def progress(done: int, total: int | None) -> None:
        nonlocal told
        if cancelled():
            raise CancelledError(f"The download of {name} was cancelled.")
        percent = 100 * done // total if total else done >> 20
        if percent != told:
            told = percent
            send(Downloading(done, total))

    download.fetch(model, progress=progress)


def _is_to_be_fetched(name: str) -> bool:
    model = registry.REGISTRY.get(name)
    return model is not None and not model.is_ready


def _state_of_file(name: str) -> tuple[int, int] | None:
    """Size and time of a checkpoint file, so that a file replaced or deleted between runs is noticed."""
    try:
        status = Path(name).stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
