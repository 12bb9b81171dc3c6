"""Fine-tuning a model on annotated volumes: `segment-propagate finetune`.

One clip per target and epoch, memories empty at its start, the losses of its slices summed, one backward pass through
all memories (Algorithm 1 of Chen et al. 2025). What is random is drawn anew for every step from the seed and the step's
number, so that a run that was killed goes on to exactly the weights it would have had.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import Outputs
from SegmentPropagateLib.formats.cases import find_cases
from SegmentPropagateLib.models import download, registry
from SegmentPropagateLib.models.devices import choose_device, choose_precision
from SegmentPropagateLib.networks.build import build_network
from SegmentPropagateLib.networks.card import Card
from SegmentPropagateLib.networks.checkpoints import load_network, seed_slm_from_sam21
from SegmentPropagateLib.networks.families import NetworkConfig, find_family
from SegmentPropagateLib.networks.sam2 import Network
from SegmentPropagateLib.training.clips import Clip, draw_clip, draw_kind, draw_prompt
from SegmentPropagateLib.training.data import Example, Library, gather, split
from SegmentPropagateLib.training.forward import ClipPrompt, policy_of
from SegmentPropagateLib.training.ranks import Workers, join, local_device
from SegmentPropagateLib.training.resume import read_state
from SegmentPropagateLib.training.run_files import RunFiles
from SegmentPropagateLib.training.settings import FinetuneSettings
from SegmentPropagateLib.training.trainer import Trainer, TrainerSettings
from SegmentPropagateLib.training.validation import mean_dice

log = logging.getLogger(__name__)

NOT_IN_NAMES = r'[/\\:*?"<>|\0]'
"""Characters that names of files cannot have, here or on other systems."""

CHECKPOINTING_FROM = 512
"""Image size from which slices are computed again in the backward pass unless the user says otherwise."""


@dataclass(frozen=True)
class Conduct:
    """How a run is carried out; none of it changes the result.

    Args:
        resume: go on with the run of that name.
        skip_bad: leave out cases that cannot be used.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        precision: `auto`, `exact` or `bf16`.
        save_seconds: longest time between two saves; 0 saves after every step.
        say: takes a sentence for the user.
        tick: is called after every step with its record and the number of steps in all.
    """

    resume: bool = False
    skip_bad: bool = False
    device: str = "auto"
    precision: str = "auto"
    save_seconds: float = 120.0
    say: Callable[[str], None] = log.info
    tick: Callable[[Mapping[str, Any], int], None] = lambda *_: None


def finetune(
    dataset: str | Path, init: str | Path, output: str | Path, settings: FinetuneSettings, conduct: Conduct = Conduct()
) -> dict[str, Any]:
    """Fine-tune a model.

    Args:
        dataset: see `cases.find_cases`.
        init: model file or name to start from.
        output: `MODEL.pt`; the best weights by validation DSC, or the last ones where nothing is set aside.
        settings: what the result depends on.
        conduct: what it does not depend on.

    Returns:
        Facts about the run: steps, cases, the last loss, validation DSC.
    """
    device = local_device(choose_device(conduct.device))
    workers = join(device)
    files = RunFiles(Path(output))
    if workers.is_first:
        files.check(conduct.resume)
    library = Library(settings.plane, settings.intensity, settings.labels, notify=conduct.say)
    examples, skipped = gather(find_cases(dataset), library, conduct.skip_bad, conduct.say)
    training, validating = split(examples, settings.validation, settings.seed)
    network, card = starting_network(init, settings)
    card = replace(
        card, name=Path(output).stem, training_cases=tuple(sorted({example.case.name for example in training}))
    )
    run = _Run(settings, conduct, library, training, validating, workers, device, files)
    return {**run.go(network, card), "skipped_cases": skipped}


def starting_network(init: str | Path, settings: FinetuneSettings) -> tuple[Network, Card]:
    """The network that training starts from, and the card of what will come of it."""
    found = registry.resolve(init)
    path = found if isinstance(found, Path) else download.fetch(found)
    network, card = load_network(path, settings.image_size)
    parents = {card.name or path.name: card.sha256}
    longer = find_family(card.family).with_short_memory
    if longer and settings.short_memory:
        torch.manual_seed(settings.seed)  # the fuser's first weights
        config = NetworkConfig(longer, card.variant, card.image_size)
        network = build_network(config, seed_slm_from_sam21(network.state_dict()))
        card = replace(card, family=longer)
    short = settings.short_slices or card.short_slices
    card = replace(card, short_slices=short, roi=settings.roi, intensity=settings.intensity, parents=parents)
    card = replace(card, metrics={}, sha256="")
    return network, card


class _Run:
    """The loop, between what it reads and what it writes."""

    def __init__(  # noqa: PLR0913 - all of them are made by `finetune` and used here alone
        self,
        settings: FinetuneSettings,
        conduct: Conduct,
        library: Library,
        training: Sequence[Example],
        validating: Sequence[Example],
        workers: Workers,
        device: torch.device,
        files: RunFiles,
    ) -> None:
        self._settings, self._conduct, self._library = settings, conduct, library
        self._training, self._validating = training, validating
        self._workers, self._device, self._files = workers, device, files
        self._per_step = settings.batch * workers.count
        self._steps_per_epoch = math.ceil(len(training) / self._per_step)
        self._steps = settings.steps or settings.epochs * self._steps_per_epoch
        self._validate_every = max(1, self._steps // settings.validations)
        shortest = min(len(library.load(example.case).stack) for example in training)
        self._length = min(settings.slices, shortest)
        if self._length < 2:
            raise InputError("A volume of one slice has nothing to propagate to: leave it out of the dataset.")
        if self._length < settings.slices:
            conduct.say(
                f"The shortest volume has {shortest} slices: clips have {self._length} instead of {settings.slices}."
            )

    def go(self, network: Network, card: Card) -> dict[str, Any]:
        """Train to the last step."""
        trainer = Trainer(
            network, policy_of(network, card.short_slices), self._trainer_settings(card), self._device, self._workers
        )
        head = self._head(card)
        records: list[dict[str, Any]] = []
        best = -math.inf
        if self._conduct.resume:
            state = read_state(self._files.state, trainer.state_like(), _digest(head))
            trainer.load_state_dict(state.trainer)
            records, best = list(state.records), float(state.best)
        saved_at = time.monotonic()
        while trainer.step_count < self._steps:
            record: dict[str, Any] = {"step": trainer.step_count + 1, **self._step(trainer, card)}
            is_last = trainer.step_count == self._steps
            if self._validating and (trainer.step_count % self._validate_every == 0 or is_last):
                record["validation_dsc"] = self._validate(trainer, card)
            records.append(record)
            is_best = not self._validating or record.get("validation_dsc", -math.inf) > best
            best = max(best, record.get("validation_dsc", -math.inf))
            is_due = time.monotonic() - saved_at >= self._conduct.save_seconds
            if self._workers.is_first and (is_due or is_last or "validation_dsc" in record):
                self._save(trainer, self._described(card, records, best), head, records, best, is_best)
                saved_at = time.monotonic()
            self._conduct.tick(record, self._steps)
        self._workers.wait()
        return {
            **head,
            "steps": self._steps,
            "loss": records[-1]["loss"],
            "validation_dsc": best if self._validating else None,
        }

    def _trainer_settings(self, card: Card) -> TrainerSettings:
        checkpointing = self._settings.checkpointing
        if checkpointing is None:
            checkpointing = card.image_size >= CHECKPOINTING_FROM
        return TrainerSettings(
            steps=self._steps,
            rates=self._settings.rates,
            weights=self._settings.weights,
            clip_norm=self._settings.clip_norm,
            checkpointing=checkpointing,
            precision=choose_precision(self._conduct.precision, self._device, find_family(card.family)),
            seed=self._settings.seed,
        )

    def _step(self, trainer: Trainer, card: Card) -> dict[str, float]:
        step = trainer.step_count
        epoch, place = divmod(step, self._steps_per_epoch)
        seed = self._settings.seed
        order = np.random.default_rng([seed, 1, epoch]).permutation(len(self._training))
        places = range(place * self._per_step, (place + 1) * self._per_step)
        mine = self._workers.share(list(places))
        clips, prompt = self._batch(step, [(index, int(order[index % len(order)])) for index in mine], card)
        return trainer.step(clips, prompt)

    def _batch(self, step: int, chosen: Sequence[tuple[int, int]], card: Card) -> tuple[list[Clip], ClipPrompt]:
        """Clips of `(place within the epoch, example)`; their randomness depends on seed, step and place alone."""
        settings = self._settings
        clip_settings = settings.clips_for(card, self._length)
        generators = [np.random.default_rng([settings.seed, 2, step, place]) for place, _ in chosen]
        clips = []
        for (_, index), generator in zip(chosen, generators, strict=True):
            example = self._training[index]
            clips.append(draw_clip(self._library.load(example.case), example.target, clip_settings, generator))
        kind = draw_kind(settings.prompt, np.random.default_rng([settings.seed, 3, step]))
        return clips, draw_prompt(clips, kind, settings.clicks, generators)

    def _validate(self, trainer: Trainer, card: Card) -> float:
        """Mean DSC of the cases set aside; computed by the first process, for all."""
        score = 0.0
        if self._workers.is_first:
            pairs = ((self._library.load(example.case), example.target) for example in self._validating)
            score = mean_dice(trainer.network, card, self._device, pairs)
        return self._workers.mean([score], self._device)[0] * self._workers.count

    def _head(self, card: Card) -> dict[str, Any]:
        """What identifies the run; a run is only resumed by one with the same head."""
        recipe = asdict(self._settings)
        del recipe["checkpointing"]  # changes what is kept in memory, not what is learned
        return {
            "parents": dict(card.parents),
            "recipe": {**recipe, "labels": list(recipe["labels"] or []), "steps": self._steps, "slices": self._length},
            "clips_per_step": self._per_step,
            "training_cases": list(card.training_cases),
            "validation_cases": sorted({example.case.name for example in self._validating}),
        }

    def _described(self, card: Card, records: Sequence[Mapping[str, Any]], best: float) -> Card:
        recipe = {"method": "full", "steps_done": records[-1]["step"], **self._head(card)["recipe"]}
        metrics: dict[str, Any] = {"training_loss": round(float(np.mean([r["loss"] for r in records[-20:]])), 4)}
        scores = [record["validation_dsc"] for record in records if "validation_dsc" in record]
        if scores:
            cases = sorted({example.case.name for example in self._validating})
            metrics["validation"] = {"dsc": round(scores[-1], 4), "best_dsc": round(best, 4), "cases": cases}
        return replace(card, recipe=recipe, metrics=metrics)

    def _save(
        self,
        trainer: Trainer,
        card: Card,
        head: Mapping[str, Any],
        records: Sequence[dict[str, Any]],
        best: float,
        is_best: bool,
    ) -> None:
        state = {"trainer": trainer.state_dict(), "records": list(records), "best": best, "run": _digest(head)}
        with Outputs() as outputs:
            self._files.write_model(trainer.network, card, is_best, outputs)
            self._files.write_log({**head, "steps": self._steps}, records, outputs)
            # Last, so that a run whose machine fails in between resumes from the save before.
            self._files.write_state(state, outputs)


def leave_one_out(
    dataset: str | Path, init: str | Path, output: str | Path, settings: FinetuneSettings, conduct: Conduct = Conduct()
) -> dict[str, float]:
    """Train once per case, each time without it, and measure on it: case -> DSC.

    The models are written as `MODEL.without-CASE.pt`.
    """
    output = Path(output)
    models = {
        case.name: output.with_suffix(f".without-{re.sub(NOT_IN_NAMES, '-', case.name)}.pt")
        for case in find_cases(dataset)
    }
    for model in models.values():  # a name that cannot be written is told before the first training
        RunFiles(model).check_names()
    scores = {}
    for name, model in models.items():
        conduct.say(f"Training without '{name}'.")
        left_out = replace(settings, validation=(name,), validations=1)
        scores[name] = float(finetune(dataset, init, model, left_out, conduct)["validation_dsc"])
    return scores


def _digest(head: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(head, sort_keys=True).encode()).hexdigest()
