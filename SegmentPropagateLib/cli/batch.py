"""`segment-propagate batch`."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from SegmentPropagateLib import __version__
from SegmentPropagateLib.batch.case import Computed
from SegmentPropagateLib.batch.driver import Plan, do_task, opened, run_batch
from SegmentPropagateLib.batch.jobs import Job, find_jobs
from SegmentPropagateLib.batch.pool import Crew, environments
from SegmentPropagateLib.batch.records import OUTPUTS
from SegmentPropagateLib.batch.tables import PAGE
from SegmentPropagateLib.cli import propagate
from SegmentPropagateLib.cli.console import progress_bar, speaker
from SegmentPropagateLib.errors import SegmentPropagateError
from SegmentPropagateLib.files import file_sha256
from SegmentPropagateLib.models import registry
from SegmentPropagateLib.models.devices import count_gpus
from SegmentPropagateLib.models.loading import load_model
from SegmentPropagateLib.propagation.propagator import Propagator

RUNNER = f"{__name__}:start"
_SETTINGS = (
    *("label", "key_slice", "plane", "model", "intensity", "short_slices"),
    *("pass_mode", "device", "precision", "roi", "accept_licence"),
)
_NOT_OF_RESULTS = ("model", "device", "accept_licence")  # of the model its digest counts, whatever its file is called


def run(arguments: argparse.Namespace, runner: str = RUNNER) -> None:
    """Do what is not done, tell of what fails, and sum up, also when interrupted."""
    out = Path(arguments.output)
    say = speaker(arguments.quiet)
    jobs = find_jobs(arguments.cases)
    settings = {name: getattr(arguments, name) for name in _SETTINGS}
    digest = _model_digest(arguments, say)
    settled = {name: value for name, value in settings.items() if name not in _NOT_OF_RESULTS}
    plan = Plan(jobs, out, json.dumps({**settled, "model": digest}, sort_keys=True))
    with opened(out, jobs):
        left = plan.left()
        gpus = 0 if arguments.model == "classical" or not left else count_gpus(arguments.device)
        told = {**settings, "out": str(out), "settled": plan.settled}
        crew = Crew(runner, told, environments(arguments.processes, len(left), gpus))
        _follow(plan, left, crew, arguments)


def _follow(plan: Plan, left: list[Job], crew: Crew, arguments: argparse.Namespace) -> None:
    """Show how far the batch is, and what became of it."""
    counts = Counter(done=len(plan.jobs) - len(left))
    aloud, say = speaker(quiet=False), speaker(arguments.quiet)
    try:
        with (
            progress_bar(arguments.quiet, total=len(left), unit="case", smoothing=0.05) as bar,
            closing(run_batch(plan, left, crew)) as answers,
        ):
            for number, (name, answer) in enumerate(answers):
                if number == 0:  # now it is known that the model can be used
                    say(f"{len(left)} of {len(plan.jobs)} cases to do, {len(crew.environments)} at once.")
                counts[answer["status"]] += 1
                if answer["status"] != "done":
                    aloud(f"{name} {'failed' if answer['status'] == 'failed' else 'was lost'}: {answer['sentence']}")
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
    parts = [f"{counts['done']} of {len(plan.jobs)} cases are done"]
    parts += [f"{counts[status]} {word}" for status, word in (("failed", "failed"), ("lost", "lost")) if counts[status]]
    parts += [f"{missing} left"] if missing else []
    return f"{', '.join(parts)}."


def _model_digest(arguments: argparse.Namespace, say: Callable[[str], None]) -> str:
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
        done = propagate.carry_out(arguments, lambda: model, said.append)
        return Computed(done.report, said, lambda: propagate.write(arguments, done))

    return lambda task: do_task(task, Path(settings["out"]), settings["settled"], compute)


def _arguments(settings: Mapping[str, Any], job: Job, folder: Path) -> argparse.Namespace:
    """What `propagate` would be told for a case."""
    own: dict[str, Any] = {"mask": None, "box": None, "points": None, "line": None, "name": None, "range": None}
    own |= {"support": None, "draft": None, "source": None, "unsure": False, "quiet": True}
    own |= {name: str(folder / OUTPUTS[name]) for name in ("overlay", "report")}
    words = {**settings, **own, **job.inputs, **job.options, "output": str(folder / OUTPUTS["segmentation"])}
    if words["box"]:
        words["label"] = None  # they number the objects of label files
    return argparse.Namespace(**words)
