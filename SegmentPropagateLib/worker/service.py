"""What the worker can be asked to do; knows neither pipes nor threads.

A request describes everything it needs (model, session settings, all keys), and the service keeps what it can of the
request before: the loaded model, the volume, the session with its results. So a worker that was killed and started
again needs no replay, only the volume once more.
"""

from __future__ import annotations

import importlib.util
import math
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib import __version__
from SegmentPropagateLib.errors import CancelledError, InputError
from SegmentPropagateLib.models import download, registry
from SegmentPropagateLib.process import peak_memory_mib
from SegmentPropagateLib.propagation.prompts import BoxPrompt, MaskPrompt, PointsPrompt
from SegmentPropagateLib.propagation.propagator import PropagationSettings, Propagator
from SegmentPropagateLib.propagation.session import Session
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.volume import Volume
from SegmentPropagateLib.worker.messages import Message

Send = Callable[[Message], None]
Cancelled = Callable[[], bool]
LoadModel = Callable[..., Propagator]


class Service:
    """One volume, one model and one session at a time.

    Args:
        load_model: `loading.load_model`, or a double: `(name_or_path, device=, precision=, image_size=) -> Propagator`.
    """

    def __init__(self, load_model: LoadModel) -> None:
        self._load_model = load_model
        self._model: tuple[tuple[Any, ...], Propagator] | None = None
        self._voxels: tuple[str, NDArray[Any]] | None = None
        self._session: tuple[tuple[Any, ...], Session] | None = None
        self.commands: Mapping[str, Callable[[Message, Send, Cancelled], None]] = {
            "hello": self.hello,
            "volume": self.volume,
            "inspect": self.inspect,
            "segment": self.segment,
            "propagate": self.propagate,
        }

    def hello(self, _request: Message, send: Send, _cancelled: Cancelled) -> None:
        """Say who this is; imports nothing heavy."""
        missing = [name for name in ("torch", "sam2") if importlib.util.find_spec(name) is None]
        send(Message({"type": "hello", "pid": os.getpid(), "version": __version__, "missing": missing}))

    def volume(self, request: Message, send: Send, _cancelled: Cancelled) -> None:
        """Take the voxels, `(k, j, i)`; they stay until the next ones."""
        if request.array is None or request.array.ndim != 3:
            raise InputError("A volume must have three axes.")
        self._session = None
        self._voxels = str(request.header["volume"]), request.array
        send(Message({"type": "volume", "volume": self._voxels[0]}))

    def inspect(self, request: Message, send: Send, _cancelled: Cancelled) -> None:
        """Say what a checkpoint file is, and what keeps it from being used; runs nothing in it."""
        from SegmentPropagateLib.networks.checkpoints import inspect_checkpoint  # torch

        found = inspect_checkpoint(request.header["path"], request.header.get("image_size"))
        summary = found.to_dict() | {"problems": list(found.problems), "card": found.card.to_dict()}
        send(Message({"type": "inspect", "summary": summary}))

    def segment(self, request: Message, send: Send, cancelled: Cancelled) -> None:
        """Turn a box or points on a slice into a mask; no key is made."""
        session = self._open_session(request.header, send, cancelled)
        header, index = request.header, int(request.header["slice"])
        box = BoxPrompt(tuple(header["box_ij"])) if header.get("box_ij") else None
        if header.get("points_ij"):
            prompt: BoxPrompt | PointsPrompt = PointsPrompt(
                np.array(header["points_ij"], float), np.array(header["positive"], bool), box
            )
        elif box is not None:
            prompt = box
        else:
            raise InputError("A box or at least one point is needed.")
        mask = session.preview(index, prompt)
        send(_slice_message("segment", int(header["object"]), index, mask, {}))

    def propagate(self, request: Message, send: Send, cancelled: Cancelled) -> None:
        """Fill a range; sends every slice that has a result, and `done` or `cancelled` at the end."""
        header, began = request.header, time.monotonic()
        session = self._open_session(header, send, cancelled)
        masks = request.array if request.array is not None else np.zeros((0, 1, 1), bool)
        set_keys(
            session, {(int(o), int(s)): mask.astype(bool) for (o, s), mask in zip(header["keys"], masks, strict=True)}
        )
        asked = header.get("first"), header.get("last")
        first, last = session.ends(*asked)
        stale = {(lane.object_id, index) for lane in session.plan(*asked) for index in lane.slices}
        sent: dict[tuple[int, int], NDArray[np.bool_]] = {}
        send(
            Message({"type": "started", "total": len(stale), "note": session.gray.note, "preset": session.gray.preset})
        )

        def send_slice(object_id: int, index: int, mask: NDArray[np.bool_], scores: dict[str, Any]) -> None:
            sent[object_id, index] = mask
            send(_slice_message("slice", object_id, index, mask, scores))

        for object_id in session.object_ids:
            for index, result in session.results(object_id).items():
                if first <= index <= last and result.source != "key" and (object_id, index) not in stale:
                    send_slice(object_id, index, result.mask, _scores(result.presence, result.predicted_iou))
        updates, computed = session.propagate(*asked), 0
        try:
            for update in updates:
                if cancelled():
                    break
                computed += 1
                scores = _scores(update.presence, update.predicted_iou) | {"done": computed}
                send_slice(update.object_id, update.slice_index, update.mask, scores)
        finally:
            updates.close()  # type: ignore[attr-defined]
        if cancelled():
            send(Message({"type": "cancelled"}))
            return
        _send_final(session, range(first, last + 1), sent, send, bool(header.get("resolve_overlaps", True)))
        facts = {"seconds": time.monotonic() - began, "peak_mib": peak_memory_mib(), "info": dict(self._info())}
        send(Message({"type": "done", "computed": computed, **facts}))

    def forget(self) -> None:
        """Drop model and session, which after an out-of-memory may hold what is missing; the voxels stay."""
        self._session = self._model = None

    def _info(self) -> Mapping[str, Any]:
        return self._model[1].info if self._model else {}

    def _propagator(
        self, wanted: Mapping[str, Any], send: Send, cancelled: Cancelled
    ) -> tuple[tuple[Any, ...], Propagator]:
        identity = (*sorted(wanted.items()), _state_of_file(wanted["name"]))
        if self._model is None or self._model[0] != identity:
            self._session = self._model = None  # before the new one is loaded: both might not fit
            fetch_named(wanted["name"], send, cancelled)
            send(Message({"type": "stage", "stage": "model"}))
            options = {key: wanted[key] for key in ("device", "precision", "image_size")}
            self._model = identity, self._load_model(wanted["name"], **options)
        return self._model

    def _open_session(self, header: Mapping[str, Any], send: Send, cancelled: Cancelled) -> Session:
        if self._voxels is None or self._voxels[0] != header["volume"]:
            raise InputError("The worker does not have this volume: send it first.")
        model_identity, propagator = self._propagator(header["model"], send, cancelled)
        wanted, affine = header["session"], header["ijk_to_ras"]
        identity = (header["volume"], *affine, *sorted(wanted.items()), model_identity)
        if self._session is None or self._session[0] != identity:
            self._session = None
            send(Message({"type": "stage", "stage": "session"}))
            voxels = self._voxels[1]
            k, j, i = voxels.shape
            geometry = Geometry((k, j, i), np.array(affine, float).reshape(4, 4))
            volume = Volume(voxels, geometry, modality=header.get("modality"))
            settings = PropagationSettings(
                **{key: wanted[key] for key in ("roi", "pass_mode", "short_slices", "stop_after_empty")}
            )
            session = Session(
                propagator, volume, plane=wanted["plane"], intensity=wanted["intensity"], settings=settings
            )
            self._session = identity, session
        return self._session[1]


def set_keys(session: Session, wanted: Mapping[tuple[int, int], NDArray[np.bool_]]) -> None:
    """Give the session exactly these keys, `(object id, slice) -> mask`; one that has not changed costs nothing."""
    for object_id in session.object_ids:
        for index in session.keys(object_id):
            if (object_id, index) not in wanted:
                session.remove_key(object_id, index)
    for (object_id, index), mask in wanted.items():
        session.add_key(object_id, index, MaskPrompt(mask))


def _send_final(
    session: Session,
    indices: range,
    sent: Mapping[tuple[int, int], NDArray[np.bool_]],
    send: Send,
    resolve_overlaps: bool,
) -> None:
    """Send what differs from what was sent: pixels lost to another object, slices after a lane's early end."""
    for index in indices:
        resolved = session.resolved(index) if resolve_overlaps else {}
        for object_id in session.object_ids:
            result = session.results(object_id).get(index)
            if result is None or result.source == "key":
                continue
            mask, before = resolved.get(object_id, result.mask), sent.get((object_id, index))
            if before is None or not np.array_equal(before, mask):
                scores = _scores(result.presence, result.predicted_iou)
                send(_slice_message("slice", object_id, index, mask, scores))


def _slice_message(
    kind: str, object_id: int, index: int, mask: NDArray[np.bool_], scores: Mapping[str, Any]
) -> Message:
    """Only the object's bounding box travels; `origin` is its first row and column."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    header = {"type": kind, "object": object_id, "slice": index, "shape": list(mask.shape), **scores}
    if not len(rows):
        return Message(header)
    r, c = int(rows[0]), int(columns[0])
    return Message({**header, "origin": [r, c]}, mask[r : rows[-1] + 1, c : columns[-1] + 1])


def _scores(presence: float, predicted_iou: float) -> dict[str, float | None]:
    """Finite numbers or None, which JSON can say."""
    return {
        "presence": presence if math.isfinite(presence) else None,
        "predicted_iou": predicted_iou if math.isfinite(predicted_iou) else None,
    }


def fetch_named(name: str, send: Send, cancelled: Cancelled) -> None:
    """Fetch a named model that is not at hand, telling every percent; what has arrived survives a cancellation."""
    model = registry.REGISTRY.get(name)
    if model is None or model.is_ready:
        return
    told = -1

    def progress(done: int, total: int | None) -> None:
        nonlocal told
        if cancelled():
            raise CancelledError(f"The download of {name} was cancelled.")
        percent = 100 * done // total if total else done >> 20
        if percent != told:
            told = percent
            send(Message({"type": "stage", "stage": "download", "bytes": done, "total": total}))

    download.fetch(model, progress=progress)


def _state_of_file(name: str) -> tuple[int, int] | None:
    """Size and time of a checkpoint file, so that a file replaced or deleted between runs is noticed."""
    try:
        status = Path(name).stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
