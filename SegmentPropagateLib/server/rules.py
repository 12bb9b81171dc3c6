"""What a server lets pass to its workers."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.server.settings import Settings
from SegmentPropagateLib.worker.messages import Message, MessageError, read_description, shown
from SegmentPropagateLib.worker.remote.packing import unpack
from SegmentPropagateLib.worker.requests import (
    FromKeys,
    GetAhead,
    Hello,
    Inspect,
    Propagate,
    Request,
    Segment,
    read_request,
)

ALLOWED = (Hello, Segment, Propagate, Inspect, GetAhead)
"""Requests that are answered; volumes are offered first, and `cancel` and `quit` are heeded here."""


@dataclass(frozen=True)
class Offer:
    """A volume that a user could send.

    Args:
        volume: by which other requests name it.
        sha256: of its voxels.
    """

    volume: str
    sha256: str


def admit(message: Message, settings: Settings) -> Request:
    """The request that a message is.

    Raises:
        SegmentPropagateError: it is wrong, or one that this server does not fulfil.
    """
    if message.type not in {kind.word for kind in ALLOWED}:
        raise MessageError(f"This server does not take the request {shown(message.header.get('type'))}.")
    request = read_request(unpack(message, settings.mask_bytes))
    if isinstance(request, Inspect):
        _check_model(request.path, settings)
    if isinstance(request, Segment | FromKeys):
        _check_model(request.setup.model.name, settings)
        model = replace(request.setup.model, device=settings.device)  # a panel knows the devices of its own computer
        return replace(request, setup=replace(request.setup, model=model))
    return request


def admit_offer(message: Message, settings: Settings) -> Offer:
    """The volume that a message offers.

    Raises:
        SegmentPropagateError: it is wrong, or too large for this server.
    """
    volume, sha256 = message.header.get("volume"), message.header.get("sha256")
    if not isinstance(volume, str) or not isinstance(sha256, str):
        raise MessageError("A volume was offered without its name or its SHA-256.")
    dtype, shape = read_description(message.header.get("unpacked"))
    size = math.prod(shape) * dtype.itemsize
    if size > settings.volume_bytes:
        raise InputError(
            f"The volume has {size >> 20} MiB, and this server takes up to {settings.volume_bytes >> 20} MiB: crop it."
        )
    return Offer(volume, sha256)


def _check_model(name: str, settings: Settings) -> None:
    if name not in settings.models:
        raise InputError(f"This server has no model {shown(name)}: choose {', '.join(settings.models)}.")
