"""`segment-propagate batch`."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from SegmentPropagateLib import __version__
from SegmentPropagateLib.batch import ray_engine
from SegmentPropagateLib.batch.case import Computed
from SegmentPropagateLib.batch.driver import LOCK, Plan, do_task, opened, run_batch
from SegmentPropagateLib.batch.jobs import Job, find_jobs
from SegmentPropagateLib.batch.pool import CarryOut, Crew, carry_out, environments
from SegmentPropagateLib.batch.records import OUTPUTS, prints_of
from SegmentPropagateLib.batch.tables import PAGE
from SegmentPropagateLib.cli import propagate
from SegmentPropagateLib.cli.arguments import propagate_words
from SegmentPropagateLib.cli.console import progress_bar, speaker
from SegmentPropagateLib.cli.drafts import NothingFoundError, check_reader
from SegmentPropagateLib.errors import InputError, SegmentPropagateError
from SegmentPropagateLib.files import file_sha256, identity_of
from SegmentPropagateLib.models import registry
from SegmentPropagateLib.models.devices import count_gpus
from SegmentPropagateLib.models.loading import load_model
from SegmentPropagateLib.prompting.finished import read_finished
from SegmentPropagateLib.propagation.propagator import Propagator
from SegmentPropagateLib.volumes.labels import find_segment
from SegmentPropagateLib.wording import are, counted

RUNNER = f"{__name__}:start"
_SETTINGS = (
    *("label", "key_slice", "plane", "model", "intensity", "short_slices"),
    *("memory", "pass_mode", "device", "precision", "roi", "accept_licence"),
)
_NOT_OF_RESULTS = ("model", "device", "accept_licence")  # of the model its digest counts, whatever its file is called


def run(arguments: argparse.Namespace, runner: str = RUNNER) -> None:
    """Do what is not done, tell of what fails, and sum up, also when interrupted."""
    out = Path(arguments.output)
    say = speaker(arguments.quiet)
    _check_engine(arguments)
    jobs, settled = _cases(arguments, say)
    if arguments.support_model is not None:
        words = argparse.Namespace(**{**vars(arguments), "model": arguments.support_model})
        settled["support_model"] = model_digest(words, say)
    settings = {name: getattr(arguments, name) for name in _SETTINGS}
    digest = model_digest(arguments, say)
    settled |= {name: value for name, value in settings.items() if name not in _NOT_OF_RESULTS}
    plan = Plan(jobs, out, json.dumps({**settled, "model": digest}, sort_keys=True))
    with opened(out, jobs, [arguments.support] if arguments.support else []):
        left = plan.left()
        suggested = {name: getattr(arguments, name) for name in ("support", "unsure", "support_model")}
        told = {**settings, **suggested, "out": str(out), "settled": plan.settled}
        with _engine(arguments, len(left), Crew(runner, told, ()), out / LOCK) as engine:
            _follow(plan, left, engine, arguments)


def _cases(arguments: argparse.Namespace, say: Callable[[str], None]) -> tuple[list[Job], dict[str, Any]]:
    """The cases, and what their results depend on beside their own files and the settings of all."""
    if arguments.support is None:
        if arguments.unsure:
            raise InputError("--unsure belongs to --support: nothing is suggested without finished cases.")
        if arguments.support_model is not None:
            raise InputError("--support-model belongs to --support: nothing else has finished cases to be read.")
        keys = None if arguments.keys == "auto" else arguments.keys
        return find_jobs(arguments.cases, keys), {}
    if arguments.support_model is not None:
        check_reader(arguments.support_model)
    finished = read_finished(arguments.support)
    for word in arguments.label or ():
        if word != "all":
            find_segment(finished, word, arguments.support)  # a mistyped name is told once, and now
    known = [it.case for it in finished.cases]
    prints = [
        prints_of(Job(case.name, {"image": str(case.image), "mask": str(case.labels)}), None, read=True) or {}
        for case in known
    ]
    content = sorted([found["sha256"] for found in each.values()] for each in prints)
    images = {identity_of(case.image) for case in known}
    found = find_jobs(arguments.cases, drawn=False)
    jobs = [job for job in found if identity_of(job.inputs["image"]) not in images]
    if not jobs:
        raise InputError(f"All cases of '{arguments.cases}' are finished ones of --support: there is nothing to do.")
    if less := len(found) - len(jobs):
        say(f"{less} of {counted(len(found), 'case')} {are(less)} left out, being finished in --support.")
    return jobs, {"support": content, "unsure": arguments.unsure}


def _check_engine(arguments: argparse.Namespace) -> None:
    if arguments.engine == "ray":
        ray_engine.check_usable(arguments.address)
    elif arguments.address is not None:
        raise InputError("--address belongs to --engine ray: processes of this computer have none.")


class _Engine(NamedTuple):
    """What carries out tasks, so many at once."""

    carry_out: CarryOut
    processes: int


@contextmanager
def _engine(arguments: argparse.Namespace, tasks: int, crew: Crew, sign: Path) -> Iterator[_Engine]:
    """The processes that were asked for; a cluster is not troubled where nothing is to be done."""
    by_network, device = arguments.model != "classical", arguments.device
    if arguments.engine == "ray" and tasks:
        with ray_engine.joined(arguments.address):
            on_gpus = by_network and device in ("auto", "cuda")
            share = ray_engine.share_out(arguments.processes, tasks, on_gpus=on_gpus)
            yield _Engine(partial(ray_engine.carry_out, crew=crew, share=share, sign=sign), share.processes)
        return
    gpus = count_gpus(device) if by_network and tasks else 0
    crew = crew._replace(environments=environments(arguments.processes, tasks, gpus))
    yield _Engine(partial(carry_out, crew=crew), len(crew.environments))


def _follow(plan: Plan, left: list[Job], engine: _Engine, arguments: argparse.Namespace) -> None:
    """Show how far the batch is, and what became of it."""
    counts = Counter(done=len(plan.jobs) - len(left))
    aloud, say = speaker(quiet=False), speaker(arguments.quiet)
    try:
        with (
            progress_bar(arguments.quiet, total=len(left), unit="case", smoothing=0.05) as bar,
            closing(run_batch(plan, left, engine.carry_out)) as answers,
        ):
            for number, (name, answer) in enumerate(answers):
                if number == 0:  # now it is known that the model can be used
                    say(f"{len(left)} of {counted(len(plan.jobs), 'case')} to do, {engine.processes} at once.")
                counts[answer["status"]] += 1
                if answer["status"] != "done":
                    aloud(f"{name} {'failed' if answer['status'] == 'failed' else 'was lost'}: {answer['sentence']}")
                elif answer.get("sentence"):
                    say(f"{name} has no result: {answer['sentence']}")
                bar.update()
    except KeyboardInterrupt:
        say(f"{_summary(counts, plan)} The same command goes on from here.")
        raise
    summary = f"{_summary(counts, plan)} See {plan.out / PAGE}."
    if counts["done"] < len(plan.jobs):
        raise SegmentPropagateError(summary)
    say(summary)


def _summary(counts: Counter[str], plan: Plan) -> str:
    missing = len(plan.jobs) - counts.total()
    parts = [f"{counts['done']} of {counted(len(plan.jobs), 'case')} {are(counts['done'])} done"]
    parts += [f"{counts[status]} {word}" for status, word in (("failed", "failed"), ("lost", "lost")) if counts[status]]
    parts += [f"{missing} left"] if missing else []
    return f"{', '.join(parts)}."


def model_digest(arguments: argparse.Namespace, say: Callable[[str], None]) -> str:
    """What tells a model from all others; its file is fetched once, before many processes want it."""
    found = registry.resolve(arguments.model)
    if isinstance(found, Path):
        return file_sha256(found) if found.is_file() else str(found)
    propagate.fetch_model(arguments, say)
    return f"{found.name} {__version__}" if found.path is None else file_sha256(found.path)


def start(
    settings: Mapping[str, Any], load_model: Callable[..., Propagator] = load_model
) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """What does a case, in a process of its own that keeps the model; see `child.main`."""
    notes: list[str] = []
    model = load_model(
        settings["model"], device=settings["device"], precision=settings["precision"], notify=notes.append
    )

    def compute(job: Job, folder: Path) -> Computed:
        said = list(notes)
        arguments = _arguments(settings, job, folder)
        propagate.check_outputs(arguments)
        try:
            done = propagate.carry_out(arguments, lambda: model, said.append)
        except NothingFoundError as error:
            return Computed({"objects": []}, said, lambda: None, str(error))
        return Computed(done.report, said, lambda: propagate.write(arguments, done))

    return lambda task: do_task(task, Path(settings["out"]), settings["settled"], compute)


def _arguments(settings: Mapping[str, Any], job: Job, folder: Path) -> argparse.Namespace:
    """What `propagate` would be told for a case."""
    files = {name: str(folder / OUTPUTS[name]) for name in ("overlay", "report")}
    own = {"quiet": True, **files, **job.inputs, **job.options, "output": str(folder / OUTPUTS["segmentation"])}
    words = propagate_words(**{**settings, **own})
    if words.box:
        words.label = None  # they number the objects of label files
    return words
