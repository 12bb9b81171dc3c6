"""`segment-propagate project`."""

from __future__ import annotations

import argparse
import shlex
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from SegmentPropagateLib.cli.console import printable, speaker
from SegmentPropagateLib.cli.drafts import check_file, check_reader
from SegmentPropagateLib.cli.project_learning import Telling, learn_in
from SegmentPropagateLib.cli.project_proposals import Given, Proposer, agreements_of, propose, rank
from SegmentPropagateLib.cli.project_simulate import simulate
from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import is_there
from SegmentPropagateLib.formats.templates import read_template, template_of_names
from SegmentPropagateLib.formats.worklist import DONE, STATES
from SegmentPropagateLib.models import registry
from SegmentPropagateLib.process import lower_priority
from SegmentPropagateLib.project.accepting import accept
from SegmentPropagateLib.project.choosing import choose_by_chance, in_work, least_agreed, open_cases
from SegmentPropagateLib.project.collecting import Desk, collect
from SegmentPropagateLib.project.folder import LEAST_TO_LEARN, Project, ProjectSettings
from SegmentPropagateLib.project.notes import note_files
from SegmentPropagateLib.project.report import write_rounds
from SegmentPropagateLib.wording import are, counted

Say = Callable[[str], None]


def run(arguments: argparse.Namespace) -> None:
    """Carry out an action."""
    _ACTIONS[arguments.action](arguments, speaker(arguments.quiet))


def _init(arguments: argparse.Namespace, say: Say) -> None:
    found = registry.resolve(arguments.model)
    check_file(found)
    if not isinstance(found, Path) and arguments.accept_licence:
        found.accept_licence()
    if arguments.learn_after < LEAST_TO_LEARN:
        raise InputError(f"--learn-after must be {LEAST_TO_LEARN} or more: two to learn from, two to be measured on.")
    segments = read_template(arguments.template) if arguments.template else template_of_names(arguments.label)
    if arguments.support_model is not None:
        check_reader(arguments.support_model)
    settings = ProjectSettings(
        segments, arguments.by, arguments.learn_after, arguments.plane, arguments.seed, arguments.support_model
    )
    project = Project.begin(arguments.folder, arguments.images, arguments.model, settings)
    names = ", ".join(segment.name for segment in segments)
    say(f"Began '{arguments.folder}': {counted(len(project.images), 'case')}, labels {names}, model {arguments.model}.")


def _status(arguments: argparse.Namespace, say: Say) -> None:
    project = Project(arguments.folder, say)
    state = project.state()
    counts = Counter(state.case(name).state for name in project.images)
    told = ", ".join(f"{counts[word]} {word}" for word in reversed(STATES))
    lines = [f"Round {state.round}, model {state.model}: {told}."]
    for name in project.images:
        case = state.case(name)
        words = [name, case.state]
        if case.state == DONE and case.accepted is not None:
            words.append(_told(case.accepted))
        elif case.work:
            words.append(str(project.folder / case.work))
        lines.append("  ".join(words))
    if note_files(project.folder):
        lines.append(f"Slicer's panel has left notes: `project collect {_typed(project.folder)}` takes them.")
    print("\n".join(map(printable, lines)))  # noqa: T201 - this command's output


def _told(entry: Mapping[str, Any]) -> str:
    """What a case has cost, in words."""
    seconds = "" if entry["seconds"] is None else f"{entry['seconds']:g} s, "
    return (
        f"{seconds}{entry['slices_edited']} of {counted(entry['slices'], 'slice')} edited, "
        f"{counted(entry['voxels_changed'], 'voxel')} changed, {entry['added_path_mm']:g} mm drawn"
    )


def _typed(word: object) -> str:
    """A word of a command as a shell takes it."""
    return shlex.quote(str(word))


def _next(arguments: argparse.Namespace, say: Say) -> None:
    project = Project(arguments.folder, say)
    given = Given(arguments.mask, arguments.box, arguments.key_slice, arguments.label)
    with project.held():
        proposer = Proposer(project, project.state().model, arguments.device, say, arguments.quiet)
        name = arguments.case or _chosen(proposer, arguments.by or project.settings.by, say)
        work = propose(proposer, name, given)
    image = project.image(name).resolve()
    say(f"{name}: edit {work} over the image {image}, then `project accept {_typed(project.folder)} {_typed(name)}`.")


def _chosen(proposer: Proposer, by: str, say: Say) -> str:
    project = proposer.project
    state = project.state()
    names = open_cases(project, state)
    if not names:
        busy = in_work(project, state)
        if busy:
            raise InputError(f"All cases are done or in work ({', '.join(busy)}): accept one, or name it by --case.")
        raise InputError("All cases are done: see `project report`.")
    if by == "random":
        return choose_by_chance(names, state, project.settings.seed)
    if by == "disagreement" and state.usable:
        agreements = agreements_of(proposer, state, names, say)
        return least_agreed(agreements)
    return names[0]  # in order, or nothing is accepted yet that could suggest anything


def _rank(arguments: argparse.Namespace, say: Say) -> None:
    project = Project(arguments.folder, say)
    state = project.state()
    if not state.usable:
        raise InputError("Nothing is accepted yet that could suggest anything: accept a case first.")
    if arguments.background:
        lower_priority()
    rank(Proposer(project, state.model, arguments.device, say, arguments.quiet), say)


def _accept(arguments: argparse.Namespace, say: Say) -> None:
    project = Project(arguments.folder, say)
    with project.held():
        known = project.state().case(arguments.case)
        project.image(arguments.case)
        if arguments.mask is None and not known.work:
            raise InputError(f"'{arguments.case}' was not given out by `project next`: name the label file as MASK.")
        mask = Path(arguments.mask or project.folder / known.work)
        if not is_there(mask):
            raise InputError(f"'{mask}' does not exist: name the label file as MASK.")
        measured = {"seconds": arguments.seconds}
        effort = accept(project, arguments.case, mask, measured, again=arguments.again, notify=say)
        state = project.state()
    say(f"Accepted {arguments.case}: {_told({**effort._asdict(), **measured})}.")
    new = state.since_learning
    if new >= project.settings.learn_after:
        due = f"`project learn {_typed(project.folder)}` is due"
        say(f"{counted(new, 'case')} {are(new)} accepted in this round: {due}.")


def _learn(arguments: argparse.Namespace, say: Say) -> None:
    project = Project(arguments.folder, say)
    telling = Telling(say, arguments.quiet, arguments.background)
    with project.learning():
        learn_in(project, arguments.device, telling, at_once=arguments.now)


def _collect(arguments: argparse.Namespace, say: Say) -> None:
    project = Project(arguments.folder, say)
    with project.held(arguments.patience):
        desk = Desk(project, lambda model: Proposer(project, model, "auto", say).sha256, say)
        for entry in collect(desk):
            say(f"Accepted {entry['case']}: {_told(entry)}.")


def _use(arguments: argparse.Namespace, say: Say) -> None:
    project = Project(arguments.folder, say)
    inside = project.folder / arguments.model
    model = str(inside) if arguments.model not in registry.REGISTRY and is_there(inside) else arguments.model
    found = registry.resolve(model)
    check_file(found)
    if not isinstance(found, Path) and arguments.accept_licence:
        found.accept_licence()
    with project.held():
        place = project.place(model)
        sha256 = Proposer(project, place, "auto", say).sha256
        project.append("using", model=place, sha256=sha256)
    say(f"{place} proposes from now on.")


def _report(arguments: argparse.Namespace, say: Say) -> None:
    project = Project(arguments.folder, say)
    if not arguments.output.lower().endswith(".html"):
        raise InputError(f"Cannot write '{arguments.output}': the name of a page must end in .html.")
    write_rounds(Path(arguments.output), project.folder.resolve().name, project.state(), len(project.images))
    say(f"Wrote {arguments.output}.")


_ACTIONS: Mapping[str, Callable[[argparse.Namespace, Say], None]] = MappingProxyType(
    {
        "init": _init,
        "status": _status,
        "next": _next,
        "rank": _rank,
        "accept": _accept,
        "collect": _collect,
        "learn": _learn,
        "use": _use,
        "report": _report,
        "simulate": simulate,
    }
)
