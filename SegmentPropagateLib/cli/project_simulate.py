"""`segment-propagate project simulate`: rounds without a person, to learn what they would cost her."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from SegmentPropagateLib.cli.project_learning import Telling, learn_in
from SegmentPropagateLib.cli.project_proposals import Given, Proposer, propose
from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.cases import find_labels
from SegmentPropagateLib.formats.reading import read_volume
from SegmentPropagateLib.formats.writing import write_segmentation
from SegmentPropagateLib.project.accepting import accept
from SegmentPropagateLib.project.annotator import cost, key_slices, repaired
from SegmentPropagateLib.project.choosing import open_cases
from SegmentPropagateLib.project.folder import Project
from SegmentPropagateLib.project.labels import read_stacks
from SegmentPropagateLib.reports.effort import Stack
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.stack import array_of
from SegmentPropagateLib.wording import counted

Say = Callable[[str], None]


def simulate(arguments: argparse.Namespace, say: Say) -> None:
    """Do so many rounds of so many open cases, in the project's order; goes on where it was stopped."""
    project = Project(arguments.folder, say)
    references = find_labels(arguments.references)
    missing = [name for name in project.images if name not in references]
    if missing:
        raise InputError(f"'{arguments.references}' has no labels named '{missing[0]}', which is a case.")
    with project.held():
        for number in range(1, arguments.rounds + 1):
            wanted = number * arguments.cases - len(project.state().done)
            for name in open_cases(project, project.state())[: max(wanted, 0)]:
                proposer = Proposer(project, project.state().model, arguments.device, lambda _sentence: None)
                _annotate(proposer, name, references[name], fresh=number == 1)
                entry = project.state().case(name).accepted or {}
                say(f"Round {number}, {name}: {counted(entry['slices_edited'], 'slice')}, cost {cost(entry):.0f}.")
            if arguments.learn and number < arguments.rounds and len(project.state().learned) < number:
                learn_in(project, arguments.device, Telling(say, arguments.quiet), at_once=True, is_held=True)


def _annotate(proposer: Proposer, name: str, reference: Path, *, fresh: bool) -> None:
    """One case, as a person would do it: look, mend a key slice where that saves work, repair the rest, accept."""
    project = proposer.project
    geometry = read_volume(project.image(name)).geometry
    truth = _stacks(project, reference, geometry)
    proposal: Mapping[int, Stack] = {}
    keys: dict[int, list[int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        if not fresh:
            propose(proposer, name, Given())
            proposal, keys = _proposed(project, name, geometry)
        outlined = key_slices(proposal, truth, keys)
        if outlined:
            mask = Path(folder) / "keys.seg.nrrd"
            _write(project, mask, outlined, geometry)
            numbers = sorted({int(np.flatnonzero(stack.any((1, 2)))[0]) for stack in outlined.values()})
            propose(proposer, name, Given(mask=str(mask), key_slice=numbers))
            proposal, keys = _proposed(project, name, geometry)
        result = Path(folder) / "result.seg.nrrd"
        _write(project, result, repaired(proposal, truth), geometry)
        accept(project, name, result)


def _stacks(project: Project, path: Path, geometry: Geometry) -> dict[int, Stack]:
    return read_stacks(path, geometry, project.settings.segments, project.settings.plane)


def _proposed(project: Project, name: str, geometry: Geometry) -> tuple[dict[int, Stack], dict[int, list[int]]]:
    """The latest proposal of a case, and its key slices."""
    entry = project.state().case(name).proposal or {}
    keys = {int(label): list(slices) for label, slices in entry["prompts"]["keys"].items()}
    return _stacks(project, project.kept(entry), geometry), keys


def _write(project: Project, path: Path, stacks: Mapping[int, Stack], geometry: Geometry) -> None:
    axis = geometry.plane_axis(project.settings.plane)
    masks = {label: array_of(stack, axis) for label, stack in stacks.items()}
    write_segmentation(path, masks, geometry, project.settings.segments)
