"""What training the network on a case's own key slices is worth; planned in PLAN_SEQUENCE.md.

python Testing/Experiments/sequence.py [--resume] [--minutes 9] [--keys 3] [--data DIR] [--out build/sequence.json]

Every row is kept at once, so that it goes on where it was stopped; the smallest objects come first.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stack import MARGIN, Measure, Rows, Task, cut, interval, propagated, run

from SegmentPropagateLib.models import registry
from SegmentPropagateLib.models.loading import as_run
from SegmentPropagateLib.networks.card import Card
from SegmentPropagateLib.networks.checkpoints import load_network
from SegmentPropagateLib.networks.families import FAMILIES
from SegmentPropagateLib.networks.sam2 import Network
from SegmentPropagateLib.propagation.prompts import MaskPrompt
from SegmentPropagateLib.propagation.session import Session
from SegmentPropagateLib.propagators.classical.engine import ClassicalPropagator
from SegmentPropagateLib.propagators.stacking.gate import gain_of, weight_of
from SegmentPropagateLib.reports.metrics import dice
from SegmentPropagateLib.training.clips import Augmentation, ClipSettings, Target, TrainingVolume, draw_clip
from SegmentPropagateLib.training.forward import ClipPrompt, policy_of
from SegmentPropagateLib.training.losses import LossWeights
from SegmentPropagateLib.training.optimizer import Rates
from SegmentPropagateLib.training.trainer import Trainer, TrainerSettings
from SegmentPropagateLib.training.validation import RememberedRun, frozen_propagator
from SegmentPropagateLib.volumes.stack import ImageStack

FAMILY = FAMILIES["starter"]
STEPS, BATCH, SLICES = 24, 2, 3
RATES = Rates(1e-4, 1e-4, final=0.1, layer_decay=1.0, weight_decay=0.0, warm_up=5)
LOSS = LossWeights(cross_entropy=1.0, iou=0.0, presence=0.0)
LEARNS = r"(memory_attention|recent_memory|sam_mask_decoder(?!.*(obj_score|iou_prediction)))"
AUGMENTATION = Augmentation(
    flip=0.0,
    rotation_deg=8,
    shear_deg=4,
    stretch=0.05,
    brightness=0.0,
    slice_jitter=0.02,
    gamma=0.1,
    noise=0.02,
    mask_jitter=0.3,
    drift=0.8,
)


def main() -> None:
    """Measure what is not measured yet, and report."""

    def prepared() -> Measure:
        network, card = load_network(registry.REGISTRY["starter"].path, FAMILY.image_size)
        return lambda task: measured(task, network, card)  # type: ignore[arg-type]

    run(__doc__.splitlines()[0], "sequence.json", [3], prepared, report)


def measured(task: Task, network: Network, card: Card) -> dict[str, Any]:
    """The row of one object."""
    first, last = task.target.extent
    first, last = max(0, first - MARGIN), min(len(task.target.truth), last + 1 + MARGIN)
    volume, axis = cut(task.target.volume, first, last)
    truth, keys = task.target.truth[first:last], [key - first for key in task.keys]

    def carried(by: Network, partner: RememberedRun, known: Sequence[int]) -> NDArray[np.bool_]:
        alone = frozen_propagator(by, card, torch.device("cpu"))
        session = Session(as_run(alone, FAMILY, partner), volume, plane="axial")
        for key in known:
            session.add_key(1, key, MaskPrompt(truth[key]))
        return propagated(session, axis)

    stack = Session(ClassicalPropagator(), volume, plane="axial").stack
    began = time.process_time()
    differences = []
    for key in keys:
        known, partner = [other for other in keys if other != key], RememberedRun(ClassicalPropagator)
        without = carried(network, partner, known)[key]
        learned = carried(trained(network, card, stack, truth, known), partner, known)[key]
        differences.append(dice(learned, truth[key]) - dice(without, truth[key]))
    judging = time.process_time() - began
    is_used = weight_of({1.0: gain_of(differences)}) > 0
    rest, partner = np.setdiff1d(np.arange(len(truth)), keys), RememberedRun(ClassicalPropagator)
    before = carried(network, partner, keys)
    began = time.process_time()
    after_all = trained(network, card, stack, truth, keys)
    training = time.process_time() - began
    after = carried(after_all, partner, keys)
    absent = ~truth.any(axis=(1, 2))
    return {
        "patient": task.target.group,
        "keys": list(task.keys),
        "slices": len(rest),
        "before": round(dice(before[rest], truth[rest]), 5),
        "ungated": round(dice(after[rest], truth[rest]), 5),
        "gained": [round(difference, 5) for difference in differences],
        "is_used": is_used,
        "absent_filled": [int(masks[absent].any(axis=(1, 2)).sum()) for masks in (before, after)],
        "cpu_s": [round(training, 1), round(judging, 1)],
    }


def trained(network: Network, card: Card, stack: ImageStack, truth: NDArray[np.bool_], keys: Sequence[int]) -> Network:
    """A copy of the network after `STEPS` steps on key slices, taken as the slices of one volume."""
    slices = sorted(keys)
    own = ImageStack(stack.values[slices], stack.gray[slices], stack.spacing_mm)
    volume = TrainingVolume("case", own, (truth[slices].astype(np.uint8),))
    settings = ClipSettings(card.image_size, True, min(SLICES, len(slices)), 0.5, (1.8, 2.4), augmentation=AUGMENTATION)
    learner = copy.deepcopy(network)
    trainer = Trainer(
        learner,
        policy_of(learner, card.short_slices),
        TrainerSettings(STEPS, RATES, LOSS, clip_norm=1.0, learns=LEARNS),
        torch.device("cpu"),
    )
    target, rng = Target((1,), tuple(range(len(slices)))), np.random.default_rng(0)
    for _ in range(STEPS):
        clips = [draw_clip(volume, target, settings, rng) for _ in range(BATCH)]
        trainer.step(clips, ClipPrompt(masks=torch.stack([clip.prompt_mask for clip in clips])))
    return learner


def report(rows: Rows) -> None:
    """Print a line for each side."""
    for side in ("targets", "others", ""):
        some = [row for name, row in rows.items() if name.startswith(side)]
        if some:
            print(f"{side or 'all'}: {len(some)} objects, DSC {np.mean([row['before'] for row in some]):.4f}")  # noqa: T201
            for name, gate in (("with the gate", True), ("without", False)):
                print(f"  {name} {_line(some, gate)}")  # noqa: T201


def _line(rows: list[dict[str, Any]], gate: bool) -> str:
    gains = np.array([(row["ungated"] - row["before"]) * (row["is_used"] or not gate) for row in rows])
    low, high = interval(gains, [row["patient"] for row in rows])
    better, worse = int((gains > 0.002).sum()), int((gains < -0.002).sum())
    used = sum(row["is_used"] for row in rows) if gate else len(rows)
    return (
        f"{gains.mean():+.4f} [{low:+.4f} {high:+.4f}], used for {used}, better {better}, worse {worse}, "
        f"lowest {gains.min():+.4f}, highest {gains.max():+.4f}"
    )


if __name__ == "__main__":
    main()
