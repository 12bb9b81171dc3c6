"""What the worker does when it is asked for drafts from finished cases."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from SegmentPropagateLib.errors import CancelledError
from SegmentPropagateLib.formats.cases import Case, find_cases
from SegmentPropagateLib.process import peak_memory_mib
from SegmentPropagateLib.prompting.finished import finished_cases
from SegmentPropagateLib.prompting.source import READERS, Proposal, Support, best_source, find_source
from SegmentPropagateLib.propagation.prompts import MaskPrompt
from SegmentPropagateLib.volumes.geometry import Plane
from SegmentPropagateLib.volumes.labels import SegmentInfo, default_segment
from SegmentPropagateLib.volumes.volume import Volume
from SegmentPropagateLib.worker.messages import printable
from SegmentPropagateLib.worker.replies import Preparing, Reply, Suggested, SuggestedKey, Suggesting, SuggestionsDone
from SegmentPropagateLib.worker.requests import Suggest


def suggest(request: Suggest, volume: Volume, send: Callable[[Reply], None], cancelled: Callable[[], bool]) -> None:
    """Send a draft for every label; one case after another is read, and what is cancelled leaves nothing.

    Raises:
        CancelledError: it was cancelled.
        InputError: the finished cases cannot be read.
    """
    began = time.monotonic()

    def check() -> None:
        if cancelled():
            raise CancelledError("The suggestion was cancelled.")

    def cases() -> Iterator[Case]:
        for case in _cases_of(request):
            check()
            yield case

    def tick(done: int, total: int) -> None:
        check()
        send(Suggesting(done, total))

    send(Preparing("support"))
    finished = finished_cases(cases(), " and ".join(f"'{folder}'" for folder in request.folders) or "the list")
    wanted = _numbered(request.labels, finished.segments)
    values = [segment.value for segment in wanted if segment in finished.segments]
    plane, name = Plane.parse(request.setup.session.plane), best_source()
    support = Support(cases=finished.cases, model=_reader(request.setup.model.name) if name in READERS else None)
    proposals = find_source(name).propose(volume, values, support, plane, tick) if values else []
    drafts = {proposal.label: proposal for proposal in proposals}
    for number, segment in enumerate(wanted, start=1):
        check()
        send(_reply(number, segment, drafts.get(segment.value), request))
    for number, segment in enumerate(wanted, start=1):
        for key in _further_keys(number, drafts.get(segment.value)):
            check()
            send(key)
    send(SuggestionsDone(len(wanted), time.monotonic() - began, peak_memory_mib()))


def _reader(model: str) -> str | None:
    from SegmentPropagateLib.prompting.recall import taught_to_read  # loads networks, which `atlas` does without

    return taught_to_read(model)


def _further_keys(number: int, proposal: Proposal | None) -> Iterator[SuggestedKey]:
    if proposal is None:
        return
    for index, prompt in proposal.prompts.items():
        if index != proposal.key_slice and isinstance(prompt, MaskPrompt):
            yield SuggestedKey.of_mask(number, index, prompt.mask)


def _cases_of(request: Suggest) -> Iterator[Case]:
    for folder in request.folders:
        yield from find_cases(folder)
    for image, labels in request.cases:
        yield Case(Path(image).name, Path(image), Path(labels))


def _numbered(names: tuple[str, ...], segments: tuple[SegmentInfo, ...]) -> list[SegmentInfo]:
    """The labels of those names, all without any; one that the finished cases do not have gets a number of its own."""
    known = {segment.name.casefold(): segment for segment in segments}
    unknown = max((segment.value for segment in segments), default=0) + 1
    color = default_segment(unknown).color_rgb
    return [known.get(name.casefold(), SegmentInfo(unknown, name, color)) for name in names] or list(segments)


def _reply(number: int, segment: SegmentInfo, proposal: Proposal | None, request: Suggest) -> Suggested:
    if proposal is None:
        proposal = Proposal(segment.value, "not here", reason=f"No finished case has a label '{segment.name}'.")
    empty = np.zeros(request.setup.stack_shape[1:], dtype=bool)
    red, green, blue = (min(max(float(part), 0.0), 1.0) for part in segment.color_rgb)
    return Suggested.of_mask(
        number,
        proposal.key_slice or 0,
        empty if proposal.mask is None else proposal.mask,
        name=printable(segment.name.strip()) or default_segment(segment.value).name,
        color_rgb=(red, green, blue),
        status=proposal.status,
        first=proposal.first,
        last=proposal.last,
        confidence=proposal.confidence,
        reason=printable(proposal.reason),
    )
