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

from SegmentPropagateLib.files import Outputs
from SegmentPropagateLib.formats.cases import check_apart, find_cases
from SegmentPropagateLib.models import download, registry
from SegmentPropagateLib.models.devices import choose_device, choose_precision
from SegmentPropagateLib.networks.adapters.delta import base_of
from SegmentPropagateLib.networks.adapters.lora import add_lora, has_lora_layers
from SegmentPropagateLib.networks.build import build_network
from SegmentPropagateLib.networks.card import Card
from SegmentPropagateLib.networks.checkpoints import load_network, seed_slm_from_sam21
from SegmentPropagateLib.networks.families import NetworkConfig, find_family
from SegmentPropagateLib.networks.mask_attention import add_mask_attention, has_mask_attention
from SegmentPropagateLib.networks.sam2 import Network
from SegmentPropagateLib.training.data import Example, gather, split
from SegmentPropagateLib.training.forward import policy_of
from SegmentPropagateLib.training.lessons import Lessons, Sequences
from SegmentPropagateLib.training.ranks import Workers, join, local_device
from SegmentPropagateLib.training.resume import read_state
from SegmentPropagateLib.training.run_files import RunFiles
from SegmentPropagateLib.training.settings import METHODS, FinetuneSettings
from SegmentPropagateLib.training.supports.lessons import SupportLessons
from SegmentPropagateLib.training.trainer import Trainer, TrainerSettings
from SegmentPropagateLib.training.validation import Ranking, Score

log = logging.getLogger(__name__)

LESSONS: Mapping[str, Callable[[FinetuneSettings, Callable[[str], None]], Lessons]] = {
    "sequences": Sequences,
    "supports": SupportLessons,
}

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
        tick: is called after every step with its record and the number of steps in all; before the first one with the
            figures of the starting point, where they are measured, as step 0.
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
        output: `MODEL.pt`; the best model by validation, which may be the starting point itself, or the last weights
            where nothing is set aside.
        settings: what the result depends on.
        conduct: what it does not depend on.

    Returns:
        Facts about the run: steps, cases, the last loss; of the validation the DSC, that of the starting point, and
        whether the result is the starting point.
    """
    device = local_device(choose_device(conduct.device))
    workers = join(device)
    files = RunFiles(Path(output))
    if workers.is_first:
        files.check(conduct.resume)
    lessons = LESSONS[settings.lessons](settings, conduct.say)
    cases = [case for case in find_cases(dataset) if case.name not in settings.left_out]
    examples, skipped = gather(cases, lessons, conduct.skip_bad, conduct.say)
    if not settings.left_out:  # it may be the case left out that has a label
        lessons.check_labels()
    training, validating = split(examples, settings.validation, settings.seed)
    start = _file_of(init)
    network, card = starting_network(start, settings)
    card = replace(
        card, name=Path(output).stem, training_cases=tuple(sorted({example.case.name for example in training}))
    )
    _grow(network, settings)
    folders = {Path(output).resolve().parent, *(folder.resolve() for folder in registry.model_folders())}
    if card.base and start.resolve().parent not in folders:
        conduct.say(f"The result holds only what differs from '{start}': keep a copy of that file beside it.")
    run = _Run(settings, conduct, lessons, training, validating, workers, device, files)
    return {**run.go(start, network, card), "skipped_cases": skipped}


def _grow(network: Network, settings: FinetuneSettings) -> None:
    """Add what the method trains and the network lacks; it says the same as before, bit for bit."""
    torch.manual_seed(settings.seed)  # the first weights
    # A trunk without attention has no place for low-rank products: then it stays as it is.
    if settings.method == "lora" or (settings.method == "sgp" and has_lora_layers(network)):
        add_lora(network, settings.rank)
    if settings.lessons == "supports":
        add_mask_attention(network)


def _file_of(init: str | Path) -> Path:
    found = registry.resolve(init)
    return found if isinstance(found, Path) else download.fetch(found)


def _load(path: Path, *bases: Path) -> tuple[Network, Card]:
    """A network as its file has it, whole."""
    return load_network(path, bases=(*bases, *registry.model_folders()))  # type: ignore[return-value]


def starting_network(init: str | Path, settings: FinetuneSettings) -> tuple[Network, Card]:
    """The network that training starts from, and the card of what will come of it."""
    path = _file_of(init)
    network, card = load_network(path, settings.image_size, registry.model_folders())
    parents = {card.name or path.name: card.sha256}
    longer = find_family(card.family).with_short_memory
    if longer and settings.short_memory:
        torch.manual_seed(settings.seed)  # the fuser's first weights
        config = NetworkConfig(longer, card.variant, card.image_size, mask_attention=has_mask_attention(network))
        network = build_network(config, seed_slm_from_sam21(network.state_dict()))
        card = replace(card, family=longer)
    short = settings.short_slices or card.short_slices
    card = replace(card, short_slices=short, roi=settings.roi, intensity=settings.intensity, parents=parents)
    # A delta of a delta would need two files: it is written whole.
    is_delta = settings.method != "full" and not card.base
    card = replace(card, base=base_of(path) if is_delta else {}, metrics={}, sha256="")
    return network, card


def _learns(settings: FinetuneSettings) -> str:
    """Pattern of what is trained; mask attention always is where it is used, as it begins with nothing."""
    pattern = METHODS[settings.method]
    return rf"mask_attention\.|{pattern}" if settings.lessons == "supports" and pattern else pattern


class _Run:
    """The loop, between what it reads and what it writes."""

    def __init__(  # noqa: PLR0913 - all of them are made by `finetune` and used here alone
        self,
        settings: FinetuneSettings,
        conduct: Conduct,
        lessons: Lessons,
        training: Sequence[Example],
        validating: Sequence[Example],
        workers: Workers,
        device: torch.device,
        files: RunFiles,
    ) -> None:
        self._settings, self._conduct, self._validating = settings, conduct, validating
        self._steps_per_epoch = math.ceil(len(training) / (settings.batch * workers.count))
        self._workers, self._device, self._files = workers, device, files
        self._per_step = settings.batch * workers.count
        self._steps = settings.steps or settings.epochs * self._steps_per_epoch
        self._validate_every = max(1, self._steps // settings.validations)
        self._trainer = lessons.trainer
        self._batches = lessons.batches(training, conduct.say)
        self._exam = lessons.exam(training, validating, device)

    def go(self, start: Path, network: Network, card: Card) -> dict[str, Any]:
        """Train to the last step, or until nothing gets better."""
        trainer = self._trainer(
            network, policy_of(network, card.short_slices), self._trainer_settings(card), self._device, self._workers
        )
        head = self._head(card)
        records: list[dict[str, Any]] = []
        if self._conduct.resume:
            state = read_state(self._files.state, trainer.state_like(), _digest(head))
            trainer.load_state_dict(state.trainer)
            records, ranking = list(state.records), Ranking(state.start)
            for earlier in records:
                ranking.add(Score.of_record(earlier))
        else:
            ranking = Ranking(self._measure(*_load(start)) if self._validating else None)
            if ranking.start is not None:
                self._conduct.tick({"step": 0, **ranking.start.to_record()}, self._steps)
        saved_at = time.monotonic()
        while not self._is_over(trainer, ranking):
            record: dict[str, Any] = {"step": trainer.step_count + 1, **self._step(trainer, card)}
            is_last = trainer.step_count == self._steps
            if self._validating and (trainer.step_count % self._validate_every == 0 or is_last):
                record |= self._measure(trainer.network, card).to_record()
            records.append(record)
            is_best = ranking.add(Score.of_record(record))
            is_due = time.monotonic() - saved_at >= self._conduct.save_seconds
            if self._workers.is_first and (is_due or is_last or "validation_dsc" in record):
                described = self._described(card, records, ranking)
                with Outputs() as outputs:
                    self._files.write_model(trainer.network, described, start, is_best, outputs)
                    self._files.write_log(head, records, ranking.start, outputs)
                    # Last, so that a run whose machine fails in between resumes from the save before.
                    now = {"trainer": trainer.state_dict(), "records": records, "start": ranking.start}
                    self._files.write_state({**now, "run": _digest(head)}, outputs)
                saved_at = time.monotonic()
            self._conduct.tick(record, self._steps)
        self._workers.wait()
        return {**head, "steps": trainer.step_count, "loss": records[-1]["loss"], **ranking.facts()}

    def _is_over(self, trainer: Trainer, ranking: Ranking) -> bool:
        return trainer.step_count >= self._steps or ranking.in_vain >= self._settings.patience

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
            learns=_learns(self._settings),
            support_weights=self._settings.support_weights,
        )

    def _step(self, trainer: Trainer, card: Card) -> dict[str, float]:
        epoch, place = divmod(trainer.step_count, self._steps_per_epoch)
        places = range(place * self._per_step, (place + 1) * self._per_step)
        return trainer.step(*self._batches.batch(trainer.step_count, epoch, self._workers.share(list(places)), card))

    def _measure(self, network: Network, card: Card) -> Score:
        """Figures of the cases set aside; computed by the first process, for all."""
        score = self._exam.score(network, card) if self._workers.is_first else Score(0.0, 0.0, 0.0)
        means = self._workers.mean(score, self._device)
        return Score(*(mean * self._workers.count for mean in means))

    def _head(self, card: Card) -> dict[str, Any]:
        """What identifies the run; a run is only resumed by one with the same head."""
        recipe = asdict(self._settings)
        del recipe["checkpointing"]  # changes what is kept in memory, not what is learned
        return {
            "parents": dict(card.parents),
            "recipe": {
                **recipe,
                "labels": list(recipe["labels"] or []),
                "steps": self._steps,
                "slices": self._batches.length,
            },
            "clips_per_step": self._per_step,
            "training_cases": list(card.training_cases),
            "validation_cases": sorted({example.case.name for example in self._validating}),
        }

    def _described(self, card: Card, records: Sequence[Mapping[str, Any]], ranking: Ranking) -> Card:
        recipe = {"steps_done": records[-1]["step"], **self._head(card)["recipe"]}
        metrics: dict[str, Any] = {"training_loss": round(float(np.mean([r["loss"] for r in records[-20:]])), 4)}
        if ranking.last is not None:
            cases = sorted({example.case.name for example in self._validating})
            metrics["validation"] = {**ranking.metrics(), "cases": cases}
        return replace(card, recipe=recipe, metrics=metrics)


def leave_one_out(
    dataset: str | Path, init: str | Path, output: str | Path, settings: FinetuneSettings, conduct: Conduct = Conduct()
) -> dict[str, tuple[Score, Score]]:
    """Train once per case, each time without it, and measure on it: case -> before, after.

    The case has no part in choosing the model either. The models are written as `MODEL.without-CASE.pt`. Where runs are
    resumed, those that have not begun yet begin.

    Raises:
        InputError: as `finetune`; what can be told of the files is told before the first training.
    """
    output, start = Path(output), _file_of(init)
    cases = {case.name: case for case in find_cases(dataset)}
    check_apart(Path(dataset), cases)
    models = {name: output.with_suffix(f".without-{_in_file_name(name)}.pt") for name in cases}
    begun = {name: conduct.resume and RunFiles(model).state.exists() for name, model in models.items()}
    for name, model in models.items():
        RunFiles(model).check(begun[name] or (conduct.resume and not any(begun.values())))
    device = choose_device(conduct.device)
    for name, model in models.items():
        conduct.say(f"Training without '{name}'.")
        resumed = replace(conduct, resume=begun[name])
        finetune(dataset, init, model, replace(settings, left_out=(name,)), resumed)
    lessons = LESSONS[settings.lessons](settings, conduct.say)
    examples, _ = gather(list(cases.values()), lessons, conduct.skip_bad, conduct.say)
    scores = {}
    for name, model in models.items():
        aside = [example for example in examples if example.case.name == name]
        exam = lessons.exam([example for example in examples if example.case.name != name], aside, device)
        before, after = (exam.score(*_load(path, start.parent)) for path in (start, model))
        scores[name] = before, after
    return scores


def _in_file_name(name: str) -> str:
    """A name as part of a file's, different for different ones.

    Signs that some disks do not take become numbers, and so does the dot of "a.last" and "a.state": the run without
    "a" has files of these names.
    """
    signs = r'[%/\\:*?"<>|\0]|\.(?=(?:last|state)$)'
    return re.sub(signs, lambda sign: f"%{ord(sign[0]):02X}", name, flags=re.IGNORECASE)


def _digest(head: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(head, sort_keys=True).encode()).hexdigest()
