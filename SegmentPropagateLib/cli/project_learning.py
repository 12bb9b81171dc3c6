"""`segment-propagate project learn`: the accepted cases become a model, if that is not worse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from SegmentPropagateLib.cli.console import progress_bar
from SegmentPropagateLib.cli.finetune import recipe_for, teller
from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.models import registry
from SegmentPropagateLib.networks.families import FAMILIES
from SegmentPropagateLib.project.folder import Project
from SegmentPropagateLib.project.schedule import check_enough

Say = Callable[[str], None]


def learn_in(project: Project, device: str, say: Say, *, at_once: bool, quiet: bool) -> None:
    """Let the model in use learn, and tell what came of it; the project is held."""
    state = project.state()
    path = project.model_path(state.model)
    found = registry.resolve(path)
    if not isinstance(found, Path) and found.family not in FAMILIES:
        raise InputError(f"The model '{state.model}' has nothing to learn: choose a network by `project use`.")
    check_enough(project, state, at_once=at_once)
    from SegmentPropagateLib.project.learning import learn  # torch
    from SegmentPropagateLib.training.finetune import Conduct
    from SegmentPropagateLib.training.settings import RECIPES

    with progress_bar(quiet, unit="step") as bar:
        facts = learn(project, RECIPES[recipe_for(path)], Conduct(device=device, say=say, tick=teller(bar, say)))
    figures = f"DSC {facts['validation_dsc']:.3f} on the cases held out, {facts['start_dsc']:.3f} before"
    if facts["kept_start"]:
        say(f"Round {state.round + 1}: nothing better was learned ({figures}), {state.model} stays in use.")
    else:
        say(f"Round {state.round + 1}: {project.state().model} is in use ({figures}).")
