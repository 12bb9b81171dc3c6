"""Learning from the accepted cases, and what the ledger is told of it."""

from __future__ import annotations

import hashlib
import json
import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from SegmentPropagateLib.files import file_sha256, writing
from SegmentPropagateLib.project.folder import FINISHED, MODELS, Project
from SegmentPropagateLib.project.schedule import EPOCHS, RATE, held_out
from SegmentPropagateLib.project.state import State
from SegmentPropagateLib.training.finetune import Conduct, finetune
from SegmentPropagateLib.training.settings import FinetuneSettings

_WORKSHOP = "unfinished-"
PATIENCE_S = 600.0
"""How long what was learned waits for somebody who holds the project; what accepts a case does so for seconds."""
_SHOWN = (".pt", ".log.json", ".curve.png")


def settings_of(recipe: FinetuneSettings, project: Project, state: State) -> FinetuneSettings:
    """The schedule of the present round.

    Args:
        recipe: of the model in use.
        project: whose plane and seed count.
        state: of the project.
    """
    rates = replace(recipe.rates, encoder=RATE * recipe.rates.encoder, rest=RATE * recipe.rates.rest)
    epochs = EPOCHS[min(state.round, len(EPOCHS)) - 1]
    plane, seed = project.settings.plane, project.settings.seed
    aside = tuple(held_out(state.usable))
    return replace(recipe, rates=rates, epochs=epochs, steps=None, validation=aside, plane=plane, seed=seed)


def learn(project: Project, recipe: FinetuneSettings, conduct: Conduct, *, is_held: bool = False) -> dict[str, Any]:
    """Learn from the accepted cases and tell the ledger.

    The project is held at the begin and at the end only: others are accepted while it learns. A run that was cut off is
    gone on with, unless other cases were accepted since.

    Args:
        project: with cases enough.
        recipe: of the model in use.
        conduct: see there; `resume` is decided here.
        is_held: whether the caller holds the project.

    Returns:
        Facts of the run, see `finetune`.

    Raises:
        InputError: an accepted file was changed or cannot be used, or a file cannot be written.
    """
    hold = (lambda _patience_s: nullcontext()) if is_held else project.held
    with hold(0.0):
        state = project.state()
        for name in state.usable:
            project.kept(state.case(name).accepted or {})
        workshop = _workshop(project, state)
        dataset = project.write_finished(state, path=workshop / FINISHED)
    settings, aside = settings_of(recipe, project, state), held_out(state.usable)
    output = workshop / f"round-{state.round}.pt"
    resumes = output.with_suffix(".state.pt").exists()
    facts = finetune(dataset, project.model_path(state.model), output, settings, replace(conduct, resume=resumes))
    model = project.folder / MODELS / output.name
    for ending in _SHOWN:  # copied: until the ledger tells of them, the run may have to be gone on with
        with output.with_suffix(ending).open("rb") as file, writing(model.with_suffix(ending)) as copy:
            shutil.copyfileobj(file, copy)
    with hold(PATIENCE_S):
        project.append(
            "learned",
            model=project.place(model),
            sha256=file_sha256(model),
            training=[name for name in state.usable if name not in aside],
            held_out=aside,
            dsc=facts["validation_dsc"],
            start_dsc=facts["start_dsc"],
            kept_start=facts["kept_start"],
            steps=facts["steps"],
        )
    shutil.rmtree(workshop)
    return facts


def _workshop(project: Project, state: State) -> Path:
    """The folder of this run; those of others that were cut off and cannot be gone on with are removed."""
    models = project.folder / MODELS
    workshop = models / f"{_WORKSHOP}{_digest([state.model, project.supporting(state), state.round])}"
    for other in models.glob(f"{_WORKSHOP}*"):
        if other != workshop:
            shutil.rmtree(other)
    workshop.mkdir(exist_ok=True)
    return workshop


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]
