"""Learning from the accepted cases, as MedSAM2's rounds did (Ma et al. 2025): half the rates, 6 epochs, later 15.

All accepted cases are replayed in every round. Some are never learned from: the new model proposes from now on only if
it is not worse on these.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import file_sha256
from SegmentPropagateLib.project.folder import LEAST_TO_LEARN, MODELS, Project
from SegmentPropagateLib.project.state import State
from SegmentPropagateLib.training.finetune import Conduct, finetune
from SegmentPropagateLib.training.settings import FinetuneSettings

EPOCHS = (6, 15)
"""Of the first round that learns, and of those after it."""
_RATE = 0.5
_WORKSHOP = "unfinished-"
_SHOWN = (".pt", ".log.json", ".curve.png")


def held_out(names: Sequence[str]) -> list[str]:
    """The accepted cases that are measured on, which stay the same as more are accepted: two of four, then one in five.

    Args:
        names: in the order in which they were accepted first.
    """
    return [name for place, name in enumerate(names) if place == 1 or place % 5 == 3]


def settings_of(recipe: FinetuneSettings, project: Project, state: State) -> FinetuneSettings:
    """The schedule of the present round.

    Args:
        recipe: of the model in use.
        project: whose plane and seed count.
        state: of the project.
    """
    rates = replace(recipe.rates, encoder=_RATE * recipe.rates.encoder, rest=_RATE * recipe.rates.rest)
    epochs = EPOCHS[min(state.round, len(EPOCHS)) - 1]
    plane, seed = project.settings.plane, project.settings.seed
    aside = tuple(held_out(state.done))
    return replace(recipe, rates=rates, epochs=epochs, steps=None, validation=aside, plane=plane, seed=seed)


def check_enough(project: Project, state: State, *, at_once: bool) -> None:
    """Raise InputError unless there are cases enough to learn from and to be measured on.

    Args:
        project: with the number of cases that it waits for.
        state: of the project.
        at_once: whether fewer new ones will do.
    """
    count = len(state.done)
    if count < LEAST_TO_LEARN:
        raise InputError(
            f"Learning needs {LEAST_TO_LEARN} accepted cases, two to learn from and two to be measured on, and there "
            f"{'is' if count == 1 else 'are'} {count}: accept {LEAST_TO_LEARN - count} more."
        )
    new, wanted = state.since_learning, project.settings.learn_after
    if new < (1 if at_once else wanted):
        advice = "accept another case first" if at_once else "accept more, or say --now"
        raise InputError(f"{new} of {wanted} cases are accepted since the model learned last: {advice}.")


def learn(project: Project, recipe: FinetuneSettings, conduct: Conduct) -> dict[str, Any]:
    """Learn from the accepted cases and tell the ledger; the project is to be held.

    A run that was cut off is gone on with, unless other cases were accepted since.

    Args:
        project: with cases enough.
        recipe: of the model in use.
        conduct: see there; `resume` is decided here.

    Returns:
        Facts of the run, see `finetune`.

    Raises:
        InputError: an accepted file was changed or cannot be used, or a file cannot be written.
    """
    state = project.state()
    for name in state.done:
        project.kept(state.case(name).accepted or {})
    settings, aside = settings_of(recipe, project, state), held_out(state.done)
    models = project.folder / MODELS
    workshop = models / f"{_WORKSHOP}{_digest([state.model, project.supporting(state), state.round])}"
    for other in models.glob(f"{_WORKSHOP}*"):
        if other != workshop:
            shutil.rmtree(other)
    workshop.mkdir(exist_ok=True)
    output = workshop / f"round-{state.round}.pt"
    resumes = output.with_suffix(".state.pt").exists()
    dataset = project.write_finished(state)
    facts = finetune(dataset, project.model_path(state.model), output, settings, replace(conduct, resume=resumes))
    for ending in _SHOWN:
        output.with_suffix(ending).replace(models / f"{output.stem}{ending}")
    model = models / output.name
    project.append(
        "learned",
        model=project.place(model),
        sha256=file_sha256(model),
        training=[name for name in state.done if name not in aside],
        held_out=aside,
        dsc=facts["validation_dsc"],
        start_dsc=facts["start_dsc"],
        kept_start=facts["kept_start"],
        steps=facts["steps"],
    )
    shutil.rmtree(workshop)
    return facts


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]
