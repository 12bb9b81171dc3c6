"""`segment-propagate finetune`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from SegmentPropagateLib.cli.console import ProgressLines, progress_bar, speaker
from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import check_writable, is_there
from SegmentPropagateLib.models import registry
from SegmentPropagateLib.networks.families import FAMILIES, find_family
from SegmentPropagateLib.process import lower_priority
from SegmentPropagateLib.wording import counted

if TYPE_CHECKING:  # the help of the command line does without
    from tqdm import tqdm

SETTINGS = (
    *("method", "rank", "epochs", "steps", "batch", "slices", "prompt", "clicks", "roi"),
    *("image_size", "short_slices", "plane", "intensity", "seed"),
)

OF_SEQUENCES = ("slices", "prompt", "clicks", "short_slices", "intensity")
"""Settings that mean nothing where finished cases support slices."""


def run(arguments: argparse.Namespace) -> None:
    """Fine-tune, showing loss, validation DSC and time left."""
    if not arguments.output.endswith(".pt"):
        raise InputError(f"Cannot write '{arguments.output}': the name of the model must end in .pt.")
    check_writable(arguments.output)
    if not is_there(arguments.dataset):
        raise InputError(f"The dataset '{arguments.dataset}' does not exist.")
    init = registry.resolve(arguments.init)
    if not isinstance(init, Path) and init.family not in FAMILIES:
        raise InputError(f"The model '{arguments.init}' has nothing to learn: start from a network.")
    if not isinstance(init, Path) and arguments.accept_licence:
        init.accept_licence()
    quiet = arguments.quiet or os.environ.get("RANK", "0") != "0"  # of several processes the first speaks
    say = speaker(quiet)
    if arguments.background:
        lower_priority()
        tell({"pid": os.getpid()})  # a launcher may stand between
    from SegmentPropagateLib.training.finetune import Conduct, finetune, leave_one_out  # torch

    with progress_bar(quiet or arguments.background, unit="step") as bar:
        conduct = Conduct(
            resume=arguments.resume,
            skip_bad=arguments.skip_bad,
            device=arguments.device,
            precision=arguments.precision,
            say=say,
            tick=teller(bar, say, arguments.background),
        )
        words = (arguments.dataset, arguments.init, arguments.output, _settings(arguments), conduct)
        if arguments.leave_one_out:
            scores = leave_one_out(*words)
            for name, (before, after) in scores.items():
                say(f"{name}: DSC {after.dsc:.3f}, {before.dsc:.3f} before")
            return
        facts = finetune(*words)
    say(_summary(arguments.output, facts))
    if arguments.background:
        tell({name: facts[name] for name in ("steps", "validation_dsc", "start_dsc", "kept_start")})


def teller(bar: tqdm, say: Callable[[str], None], background: bool = False) -> Callable[[Mapping[str, Any], int], None]:
    """What shows how far a run is: lines for a program, else the bar, else lines for people."""
    lines = ProgressLines(say)

    def tick(record: Mapping[str, Any], steps: int) -> None:
        if background:
            tell({**record, "steps": steps, "seconds_left": lines.seconds_left(record["step"], steps)})
            return
        bar.total = steps
        shown = {key: f"{record[key]:.3f}" for key in ("loss", "validation_dsc") if key in record}
        bar.set_postfix(shown, refresh=False)
        bar.update(record["step"] - bar.n)
        if bar.disable:
            words = {"loss": "loss", "validation_dsc": "validation DSC"}
            facts = [f"{words[key]} {value}" for key, value in shown.items()]
            lines.tell(record["step"], steps, facts, at_once="validation_dsc" in record)

    return tick


def tell(facts: Mapping[str, Any]) -> None:
    """A line for the program that has started this one."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def _summary(output: str, facts: Mapping[str, Any]) -> str:
    """What came of a run, in one sentence."""
    if facts["kept_start"]:
        return (
            f"Wrote {output}: it is the starting point itself, as nothing in {counted(facts['steps'], 'step')} was "
            f"clearly better than its validation DSC of {facts['start_dsc']:.3f}."
        )
    start, best = facts["start_dsc"], facts["validation_dsc"]
    measured = "" if best is None else f", validation DSC {best:.3f} ({start:.3f} before)"
    return f"Wrote {output}: {counted(facts['steps'], 'step')}, loss {facts['loss']:.3f}{measured}."


def _settings(arguments: argparse.Namespace) -> Any:
    """The recipe's settings, with what was typed in their place."""
    from SegmentPropagateLib.training.settings import RECIPES

    recipe = RECIPES[arguments.recipe if arguments.recipe != "auto" else recipe_for(arguments.init)]
    typed = {name: getattr(arguments, name) for name in SETTINGS if getattr(arguments, name) is not None}
    if recipe.lessons == "supports" and (odd := [name for name in OF_SEQUENCES if name in typed]):
        option = f"--{odd[0].replace('_', '-')}"
        raise InputError(f"{option} is for sequences of slices, which --recipe sgp does not learn from: leave it out.")
    if arguments.label is not None and "all" not in arguments.label:
        typed["labels"] = tuple(sorted(set(arguments.label), key=lambda word: (isinstance(word, str), word)))
    if arguments.validation is not None:
        typed["validation"] = arguments.validation
    if arguments.checkpointing != "auto":
        typed["checkpointing"] = arguments.checkpointing == "on"
    if arguments.no_short_memory:
        typed["short_memory"] = False
    if arguments.rate is not None:
        if not 0 < arguments.rate < 1:
            raise InputError(f"The learning rate must lie between 0 and 1, got {arguments.rate:g}.")
        encoder = recipe.rates.encoder / recipe.rates.rest * arguments.rate
        typed["rates"] = replace(recipe.rates, encoder=encoder, rest=arguments.rate)
    return replace(recipe, **typed)


def recipe_for(init: str) -> str:
    """The recipe of a model: a starter is trained as one, a MedSAM2 file as its authors do, all else as SLM-SAM 2."""
    from SegmentPropagateLib.networks.checkpoints import inspect_checkpoint

    found = registry.resolve(init)
    if isinstance(found, Path):
        family = inspect_checkpoint(found, bases=registry.model_folders()).config.family
    else:
        family = found.family
    return find_family(family).recipe_of(Path(init).name)
