"""`segment-propagate project learn`: the accepted cases become a model, if that is not worse."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

from SegmentPropagateLib.cli.console import progress_bar
from SegmentPropagateLib.cli.finetune import recipe_for, tell, teller
from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.models import registry
from SegmentPropagateLib.networks.families import FAMILIES
from SegmentPropagateLib.process import lower_priority
from SegmentPropagateLib.project.folder import Project
from SegmentPropagateLib.project.schedule import check_enough


class Telling(NamedTuple):
    """How to tell how far it is.

    Args:
        say: takes a sentence for the user.
        quiet: no bar.
        background: lines for a program, see `finetune.teller`, and low priority.
    """

    say: Callable[[str], None]
    quiet: bool
    background: bool = False


def learn_in(project: Project, device: str, telling: Telling, *, at_once: bool, is_held: bool = False) -> None:
    """Let the model in use learn, and tell what came of it.

    Args:
        project: the project.
        device: see `load_model`.
        telling: how to tell how far it is.
        at_once: before as many cases are accepted as the project waits for.
        is_held: whether the caller holds the project.
    """
    say = telling.say
    with nullcontext() if is_held else project.held():
        state = project.state()
        path = project.model_path(state.model)
        found = registry.resolve(path)
        if not isinstance(found, Path) and found.family not in FAMILIES:
            raise InputError(f"The model '{state.model}' has nothing to learn: choose a network by `project use`.")
        check_enough(project, state, at_once=at_once)
    if telling.background:
        lower_priority()
        tell({"pid": os.getpid()})  # a launcher may stand between
    from SegmentPropagateLib.project.learning import learn  # torch
    from SegmentPropagateLib.training.finetune import Conduct
    from SegmentPropagateLib.training.settings import RECIPES

    with progress_bar(telling.quiet or telling.background, unit="step") as bar:
        conduct = Conduct(device=device, say=say, tick=teller(bar, say, telling.background))
        facts = learn(project, RECIPES[recipe_for(path)], conduct, is_held=is_held)
    now_used = project.state().model
    figures = f"DSC {facts['validation_dsc']:.3f} on the cases held out, {facts['start_dsc']:.3f} before"
    if facts["kept_start"]:
        say(f"Round {state.round + 1}: nothing better was learned ({figures}), {state.model} stays in use.")
    else:
        say(f"Round {state.round + 1}: {now_used} is in use ({figures}).")
    if telling.background:
        shown = {name: facts[name] for name in ("steps", "validation_dsc", "start_dsc", "kept_start")}
        tell({**shown, "model": project.model_path(now_used)})
