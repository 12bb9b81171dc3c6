"""`segment-propagate propagate`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from SegmentPropagateLib.cli.console import progress_bar, speaker
from SegmentPropagateLib.cli.request import Request, read_request
from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import Outputs, check_writable, identity_of, is_there
from SegmentPropagateLib.formats.cases import find_cases
from SegmentPropagateLib.formats.kinds import listed
from SegmentPropagateLib.formats.reading import read_volume
from SegmentPropagateLib.formats.writing import check_output, check_source, write_segmentation
from SegmentPropagateLib.models import download, registry
from SegmentPropagateLib.models.loading import import_ahead, load_model
from SegmentPropagateLib.process import peak_memory_mib
from SegmentPropagateLib.propagation.propagator import PropagationSettings, Propagator
from SegmentPropagateLib.propagation.session import Session
from SegmentPropagateLib.reports.overlay import write_overlay
from SegmentPropagateLib.reports.report import Masks, describe_run, write_report
from SegmentPropagateLib.volumes.volume import Volume

_MOST_TOLD = 6  # key slices that are told one by one


class Propagated(NamedTuple):
    """A finished run of which nothing is written yet.

    Args:
        session: with its results.
        request: what was asked for.
        masks: what is to be written.
        report: see `report.describe_run`.
    """

    session: Session
    request: Request
    masks: Masks
    report: dict[str, Any]


def run(arguments: argparse.Namespace) -> None:
    """Read, check, propagate, write."""
    started = time.perf_counter()
    say = speaker(arguments.quiet)
    check_outputs(arguments)
    if not is_there(arguments.model):
        registry.find(arguments.model)  # a mistyped name is told before a large volume is read
    if is_there(arguments.image):
        import_ahead(arguments.model)

    def open_model() -> Propagator:
        fetch_model(arguments, say)
        return load_model(arguments.model, device=arguments.device, precision=arguments.precision, notify=say)

    done = carry_out(arguments, open_model, say)
    for note in write(arguments, done):
        say(note)
    seconds = time.perf_counter() - started
    say(f"Wrote {arguments.output}: {_summary(done.request)}, model {arguments.model}, {seconds:.1f} s.")


def carry_out(
    arguments: argparse.Namespace, open_model: Callable[[], Propagator], say: Callable[[str], None]
) -> Propagated:
    """Read, check and propagate.

    Args:
        arguments: of the command.
        open_model: called when the prompts are known to be right.
        say: takes what the user should know, a sentence at a time.

    Raises:
        InputError: for whatever cannot be done.
    """
    started = time.perf_counter()
    volume = read_volume(arguments.image)
    if volume.note:
        say(volume.note)
    check_source(arguments.output, arguments.image)
    request = read_request(arguments, volume)
    for note in request.notes:
        say(note)
    model = open_model()
    session = _open_session(model, volume, request, arguments)
    if session.gray.note:
        say(session.gray.note)
    ready = time.perf_counter()
    _propagate(session, request, arguments, say)
    done = time.perf_counter()
    for note in model.info.get("notes", ()):
        say(note)
    masks = session.masks()
    report = {
        **describe_run(session, volume, request.segments, masks),
        "output": Path(arguments.output).name,
        "range": [request.first, request.last],
        **({} if arguments.keep_out is None else {"keep_out": Path(arguments.keep_out).name}),
        **({"proposals": [draft.facts for draft in request.drafts]} if request.drafts else {}),
        **({"adaptation": _lessons(session, request)} if session.lessons else {}),
        "model": dict(model.info),
        "seconds": {"prepare": round(ready - started, 3), "propagate": round(done - ready, 3)},
        "peak_memory_mib": peak_memory_mib(),
    }
    return Propagated(session, request, masks, report)


def _open_session(model: Propagator, volume: Volume, request: Request, arguments: argparse.Namespace) -> Session:
    return Session(
        model,
        volume,
        plane=arguments.plane,
        intensity=arguments.intensity,
        settings=PropagationSettings(
            arguments.roi, arguments.pass_mode, arguments.short_slices, memory=arguments.memory
        ),
        keep_out=request.keep_out,
    )


def _summary(request: Request) -> str:
    count = len(request.segments)
    keys = sorted({key for prompts in request.prompts.values() for key in prompts})
    plural = "s" * (count > 1)
    places = f"key slice{'s' * (len(keys) > 1)} {listed(map(str, keys), 'and')}"
    if len(keys) > _MOST_TOLD:
        places = f"{len(keys)} key slices ({keys[0]} to {keys[-1]})"
    return f"{count} object{plural} from {places}, slices {request.first} to {request.last}"


def _lessons(session: Session, request: Request) -> list[dict[str, Any]]:
    """What came of learning, for the report."""
    return [{"label": it.value, "name": it.name, **session.lessons[it.value].facts} for it in request.segments]


def fetch_model(arguments: argparse.Namespace, say: Callable[[str], None]) -> None:
    """Fetch the model's file if it has a name and is not at hand."""
    model = registry.REGISTRY.get(arguments.model)
    if model is not None and arguments.accept_licence:
        model.accept_licence()
    if model is not None and not model.is_ready:
        with progress_bar(arguments.quiet, unit="B", unit_scale=True, desc=model.name) as bar:

            def show(done: int, total: int | None) -> None:
                bar.total = total
                bar.update(done - bar.n)

            download.fetch(model, notify=say, progress=show)


def check_outputs(arguments: argparse.Namespace) -> None:
    """Raise InputError unless every output can be made, and none of them is an input or another output."""
    check_output(arguments.output)
    named = {"--output": arguments.output, "--overlay": arguments.overlay, "--report": arguments.report}
    for option, ending in (("--overlay", ".png"), ("--report", ".json")):
        path = named[option]
        if path is not None:
            if not path.lower().endswith(ending):
                raise InputError(f"Cannot write '{path}': the name for {option} must end in {ending}.")
            check_writable(path)
    seen = _inputs_of(arguments)
    for option, path in named.items():
        if path is not None:
            other = seen.setdefault(identity_of(path), option)
            other = seen.get((identity_of(Path(path).parent), "files"), other)
            if other != option:
                raise InputError(f"'{path}' is given for {other} and for {option}: choose another name for {option}.")


def _inputs_of(arguments: argparse.Namespace) -> dict[object, str]:
    """Identity of each input -> what it is for; of folders whose files are inputs, with the word "files" beside it.

    Raises:
        InputError: the image is given for its labels too, or there are no finished cases.
    """
    seen: dict[object, str] = {identity_of(arguments.image): "IMAGE"}
    for option in ("--mask", "--draft", "--support", "--keep-out"):
        path = getattr(arguments, option[2:].replace("-", "_"), None)
        if path is not None:
            other = seen.setdefault(identity_of(path), option)
            if other == "IMAGE" and not path.lower().endswith(".npz"):  # which holds an image and its labels
                raise InputError(f"'{path}' is given for IMAGE and for {option}: give {option} the labels.")
    support = getattr(arguments, "support", None)
    for case in () if support is None else find_cases(support):
        for file in (case.image, case.labels):
            seen.setdefault((identity_of(file), "files") if file.is_dir() else identity_of(file), "a case of --support")
    return seen


def _propagate(session: Session, request: Request, arguments: argparse.Namespace, say: Callable[[str], None]) -> None:
    for object_id, prompts in request.prompts.items():
        for key, prompt in prompts.items():
            session.add_key(object_id, key, prompt)
    first, last = arguments.range or (None, None)  # where none is given, the model decides where an object ends
    if arguments.adapt == "stack":
        _learn(session, request, arguments, say)
    total = sum(len(lane.slices) for lane in session.plan(first, last, request.ranges))
    with progress_bar(arguments.quiet, total=total, unit="slice") as bar:
        for _update in session.propagate(first, last, request.ranges):
            bar.update()


def _learn(session: Session, request: Request, arguments: argparse.Namespace, say: Callable[[str], None]) -> None:
    """Learn from the key slices, and say what came of it."""
    with progress_bar(arguments.quiet, unit="step", desc="learning") as bar:
        for done, total in session.learn():
            bar.total = total
            bar.update(done - bar.n)
    for segment in request.segments:
        named = f"{segment.name}: " if len(request.segments) > 1 else ""
        say(named + session.lessons[segment.value].sentence)


def write(arguments: argparse.Namespace, done: Propagated) -> Sequence[str]:
    """Write all files that were asked for, or none, and return what is to be said of them."""
    with Outputs() as outputs:
        notes = write_segmentation(
            arguments.output, done.masks, done.session.geometry, done.request.segments, outputs, arguments.image
        )
        if arguments.overlay is not None:
            write_overlay(arguments.overlay, done.session, done.request.segments, outputs)
        if arguments.report is not None:
            write_report(arguments.report, done.report, outputs)
    return notes
