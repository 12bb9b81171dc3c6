"""`segment-propagate propagate`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from SegmentPropagateLib.cli.console import progress_bar, speaker
from SegmentPropagateLib.cli.request import Request, read_request
from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import Outputs, check_writable, identity_of, is_there
from SegmentPropagateLib.formats.reading import read_volume
from SegmentPropagateLib.formats.writing import check_output, write_segmentation
from SegmentPropagateLib.models import download, registry
from SegmentPropagateLib.models.loading import load_model
from SegmentPropagateLib.process import peak_memory_mib
from SegmentPropagateLib.propagation.propagator import PropagationSettings, Propagator
from SegmentPropagateLib.propagation.session import Session
from SegmentPropagateLib.reports.overlay import write_overlay
from SegmentPropagateLib.reports.report import Masks, describe_run, write_report


def run(arguments: argparse.Namespace) -> None:
    """Read, check, propagate, write."""
    started = time.perf_counter()
    say = speaker(arguments.quiet)
    _check_outputs(arguments)
    if not is_there(arguments.model):
        registry.find(arguments.model)  # a mistyped name is told before a large volume is read
    volume = read_volume(arguments.image)
    if volume.note:
        say(volume.note)
    request = read_request(arguments, volume)
    for note in request.notes:
        say(note)
    model = _open_model(arguments, say)
    settings = PropagationSettings(arguments.roi, arguments.pass_mode, arguments.short_slices)
    session = Session(model, volume, plane=arguments.plane, intensity=arguments.intensity, settings=settings)
    if session.gray.note:
        say(session.gray.note)
    ready = time.perf_counter()
    _propagate(session, request, arguments)
    done = time.perf_counter()
    for note in model.info.get("notes", ()):
        say(note)
    masks = session.masks()
    report = {
        **describe_run(session, volume, request.segments, masks),
        "output": Path(arguments.output).name,
        "range": [request.first, request.last],
        "model": dict(model.info),
        "seconds": {"prepare": round(ready - started, 3), "propagate": round(done - ready, 3)},
        "peak_memory_mib": peak_memory_mib(),
    }
    _write(arguments, session, request, masks, report)
    what = "1 object" if len(request.segments) == 1 else f"{len(request.segments)} objects"
    say(
        f"Wrote {arguments.output}: {what}, slices {request.first} to {request.last}, model {arguments.model}, "
        f"{time.perf_counter() - started:.1f} s."
    )


def _open_model(arguments: argparse.Namespace, say: Callable[[str], None]) -> Propagator:
    """Fetch the model's file if it has a name and is not at hand, then load it."""
    model = registry.REGISTRY.get(arguments.model)
    if model is not None and arguments.accept_licence:
        model.accept_licence()
    if model is not None and not model.is_ready:
        with progress_bar(arguments.quiet, unit="B", unit_scale=True, desc=model.name) as bar:

            def show(done: int, total: int | None) -> None:
                bar.total = total
                bar.update(done - bar.n)

            download.fetch(model, notify=say, progress=show)
    return load_model(arguments.model, device=arguments.device, precision=arguments.precision, notify=say)


def _check_outputs(arguments: argparse.Namespace) -> None:
    check_output(arguments.output)
    named = {"--output": arguments.output, "--overlay": arguments.overlay, "--report": arguments.report}
    for option, ending in (("--overlay", ".png"), ("--report", ".json")):
        path = named[option]
        if path is not None:
            if not path.lower().endswith(ending):
                raise InputError(f"Cannot write '{path}': the name for {option} must end in {ending}.")
            check_writable(path)
    seen = {identity_of(arguments.image): "IMAGE"}
    if arguments.mask is not None:
        seen[identity_of(arguments.mask)] = "--mask"
    for option, path in named.items():
        if path is not None:
            other = seen.setdefault(identity_of(path), option)
            if other != option:
                raise InputError(f"'{path}' is given for {other} and for {option}: choose another name for {option}.")


def _propagate(session: Session, request: Request, arguments: argparse.Namespace) -> None:
    for object_id, prompts in request.prompts.items():
        for key, prompt in prompts.items():
            session.add_key(object_id, key, prompt)
    ends = arguments.range or (None, None)  # where none is given, the model decides where an object ends
    total = sum(len(lane.slices) for lane in session.plan(*ends))
    with progress_bar(arguments.quiet, total=total, unit="slice") as bar:
        for _update in session.propagate(*ends):
            bar.update()


def _write(
    arguments: argparse.Namespace, session: Session, request: Request, masks: Masks, report: dict[str, Any]
) -> None:
    """Write all files that were asked for, or none."""
    with Outputs() as outputs:
        write_segmentation(arguments.output, masks, session.geometry, request.segments, outputs)
        if arguments.overlay is not None:
            write_overlay(arguments.overlay, session, request.segments, outputs)
        if arguments.report is not None:
            write_report(arguments.report, report, outputs)
