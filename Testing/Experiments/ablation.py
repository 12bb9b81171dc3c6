"""Which memory bank does what: the experiments of PLAN.md and PLAN_ABLATION_2.md (`make ablation PLAN=1`, `PLAN=2`)."""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ablation_report import CONTROL, EQUAL_SIZE, TREATED, summarize, write_figure
from sam2.modeling.memory_encoder import CXBlock, Fuser
from sam2.modeling.sam2_base import SAM2Base

from SegmentPropagateLib.models.devices import choose_device
from SegmentPropagateLib.networks.build import build_network
from SegmentPropagateLib.networks.checkpoints import inspect_checkpoint, load_network
from SegmentPropagateLib.networks.families import NetworkConfig, StarterShape
from SegmentPropagateLib.networks.memory import MemoryPolicy, long_bank, short_bank
from SegmentPropagateLib.networks.safe_load import read_weights
from SegmentPropagateLib.phantoms.phantom import make_phantom
from SegmentPropagateLib.propagators.tracking.appearance import WindowsAppearance
from SegmentPropagateLib.reports.metrics import dice
from SegmentPropagateLib.training.clips import Augmentation, ClipSettings, Target, TrainingVolume, draw_clip, try_clip
from SegmentPropagateLib.training.forward import ClipForward, ClipPrompt, Teacher
from SegmentPropagateLib.training.losses import LossWeights
from SegmentPropagateLib.training.optimizer import Rates
from SegmentPropagateLib.training.resume import read_trainer
from SegmentPropagateLib.training.starter.targets import as_volume, draw_target
from SegmentPropagateLib.training.trainer import Trainer, TrainerSettings
from SegmentPropagateLib.volumes.stack import ImageStack

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SHAPE = StarterShape((16, 32, 64, 96), (1, 1, 1, 1), 64, 16, 2, 128, 128, 32)
BASE_FAMILIES = ("organs", "twins", "reappearing", "branching", "nested", "soup")
BASE_SEEDS, ADAPT_SEEDS, TEST_SEEDS = 30_000_000, 40_000_000, 50_000_000
POLICIES: Mapping[str, MemoryPolicy] = {
    "base": MemoryPolicy((long_bank(),)),
    "M_O": MemoryPolicy((long_bank(),)),
    "M_R=7": MemoryPolicy((short_bank(7),)),
    "M_R=1": MemoryPolicy((short_bank(1),)),
    "M_O+M_R=7": MemoryPolicy((long_bank(), short_bank(7))),
    "M_O+M_R=1": MemoryPolicy((long_bank(), short_bank(1))),
    "M_O+M_O": MemoryPolicy((long_bank(), long_bank())),
}
# The bar's two arms first, then their control of equal size: each stage answers something if the next is never run.
STAGES: Sequence[tuple[int, Sequence[str]]] = (
    (5, (CONTROL, TREATED)),
    (5, ("base", EQUAL_SIZE)),
    (1, (CONTROL, TREATED)),
    (5, ("M_R=7", "M_R=1", "M_O+M_R=7")),
    (1, ("base", EQUAL_SIZE, "M_R=7", "M_R=1", "M_O+M_R=7")),
)
AUGMENTATION = Augmentation(rotation_deg=15, shear_deg=5, stretch=0.05, gamma=0.2, noise=0.03, slice_jitter=0.03)


@dataclass(frozen=True)
class Scale:
    """Sizes of an experiment; its plan fixes the full ones.

    Args:
        plan: file of the plan, beside this one.
        results: name of the files of the results, without an ending.
        init: file of the weights that phase 1 begins with, in the tree; None begins with random ones.
        size: side of the network's input, and of the part that is kept of a phantom's slices.
        volume: voxels of a phantom.
        base_steps: of phase 1.
        base_batch: clips a step of phase 1.
        base_rate: learning rate of phase 1.
        adapt_five: steps of phase 2 on five volumes.
        adapt_one: steps of phase 2 on one volume.
        seeds: how many.
        volumes: to measure on.
        draws: of the bootstrap.
        device: where networks are trained and run.
    """

    plan: str = "PLAN.md"
    results: str = "results"
    init: str | None = None
    size: int = 64
    volume: tuple[int, int, int] = (28, 96, 96)
    base_steps: int = 3000
    base_batch: int = 6
    base_rate: float = 1e-3
    adapt_five: int = 300
    adapt_one: int = 100
    seeds: int = 5
    volumes: int = 200
    draws: int = 10_000
    device: str = "cpu"

    def steps(self, regime: int) -> int:
        """Adaptation steps with so many volumes."""
        return {5: self.adapt_five, 1: self.adapt_one}[regime]

    @property
    def network(self) -> NetworkConfig:
        """What is trained."""
        if self.init is None:
            return NetworkConfig("starter", "conv", self.size, SHAPE)
        return inspect_checkpoint(ROOT / self.init, self.size).config


FIRST = Scale()
SECOND = Scale(
    plan="PLAN_ABLATION_2.md",
    results="results_2",
    init="SegmentPropagateLib/bundled/starter.pt",
    size=96,
    volume=(28, 128, 128),
    base_steps=2000,
    base_batch=4,
    base_rate=2e-4,
    adapt_five=600,
    adapt_one=200,
    seeds=6,
)
PLANS: Mapping[str, Scale] = {"1": FIRST, "2": SECOND}
NOTHING = {"base_steps": 12, "base_batch": 2, "adapt_five": 3, "adapt_one": 2, "seeds": 2, "volumes": 3, "draws": 200}
QUICK = replace(FIRST, **NOTHING)


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run what has not been run before; summarize after each stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plan", choices=tuple(PLANS), default="1", help="of PLAN.md, or of PLAN_ABLATION_2.md")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--quick", action="store_true", help="every part at a size that shows nothing but that it runs")
    parser.add_argument("--work", type=Path, default=ROOT / ".cache" / "ablation", help="for what is already done")
    parser.add_argument("--out", type=Path, default=HERE, help="for the results, JSON and PNG")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    scale = replace(PLANS[arguments.plan], device=str(choose_device(arguments.device)))
    if arguments.quick:
        scale = replace(scale, **NOTHING)
    code = code_hash(scale.plan)
    work = arguments.work / f"{'quick' if arguments.quick else 'full'}-{code[:12]}"
    work.mkdir(parents=True, exist_ok=True)
    base = base_weights(work / "base.pt", scale)
    runs: list[dict[str, Any]] = []
    arguments.out.mkdir(parents=True, exist_ok=True)
    for regime, arms in STAGES:
        for seed in range(scale.seeds):
            for arm in arms:
                runs.append(run_arm(work, base, arm, regime, seed, scale))
                print(f"{regime} volume(s), seed {seed}, {arm}: done", flush=True)  # noqa: T201
        results = {"code_sha256": code, "scale": vars(scale), **summarize(runs, list(POLICIES), scale.draws)}
        (arguments.out / f"{scale.results}.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
        write_figure(arguments.out / f"{scale.results}.png", results)
    return results


def code_hash(plan: str = FIRST.plan) -> str:
    """Of everything that the results depend on."""
    library = ROOT / "SegmentPropagateLib"
    files = [*HERE.glob("ablation*.py"), HERE / plan, *(library / "training").glob("*.py")]
    files += [library / "propagators" / "tracking" / "appearance.py", library / "reports" / "metrics.py"]
    files += [library / "networks" / f"{name}.py" for name in ("build", "families", "memory", "sam2", "starter")]
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


# ------------------------------------------------------------------------------------------------------------ training


def base_weights(path: Path, scale: Scale) -> dict[str, torch.Tensor]:
    """Phase 1: a network with the long bank alone, trained from nothing or on from `init`; kept in a file."""
    if path.exists():
        return read_weights(path)[0]
    torch.manual_seed(0)
    network = build_network(scale.network) if scale.init is None else load_network(ROOT / scale.init, scale.size)[0]
    rates = Rates(scale.base_rate, scale.base_rate, final=0.02, layer_decay=1.0, weight_decay=0.05, warm_up=60)
    loss = LossWeights(cross_entropy=1.0, iou=0.1, presence=0.7, absent_masks=0.3)
    trainer = Trainer(
        network,
        POLICIES["base"],
        TrainerSettings(scale.base_steps, rates, loss, clip_norm=1.0),
        torch.device(scale.device),
    )
    unfinished = path.with_suffix(".state.pt")
    if unfinished.exists():
        trainer.load_state_dict(read_trainer(unfinished, trainer.state_like())["trainer"])
    for step in range(trainer.step_count, scale.base_steps):
        if step % 250 == 249:
            torch.save({"trainer": trainer.state_dict()}, unfinished)
            print(f"base: step {step} of {scale.base_steps}", flush=True)  # noqa: T201
        share = step / scale.base_steps if scale.init is None else 1.0  # what is trained already learns whole clips
        length = 3 if share < 0.15 else 4 if share < 0.3 else 6 if share < 0.6 else 8
        rng = np.random.default_rng([1, step])
        clips = []
        while len(clips) < scale.base_batch:
            number = step + int(rng.integers(64))
            drawn = draw_target(base_volume(number, scale.volume), length, rng)
            settings = clip_settings(scale.size, length, reverse=0.0, roi=(1.7, 3.0))
            clip = None if drawn is None else try_clip(*drawn, settings, rng)
            if clip is not None:
                clips.append(clip)
        masks = torch.stack([clip.masks for clip in clips], 1)
        stands_in = torch.from_numpy(rng.random((length, len(clips))) < max(0.05, 0.6 - 1.5 * share))
        trainer.step(clips, mask_prompt(clips), Teacher(masks, stands_in))
    state = {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
    torch.save(state, path)
    return state


@functools.lru_cache(maxsize=80)
def base_volume(number: int, shape: tuple[int, int, int]) -> TrainingVolume:
    """A phantom of phase 1; a step draws from the 64 that begin with its own."""
    family = BASE_FAMILIES[number % len(BASE_FAMILIES)]
    return as_volume(make_phantom(BASE_SEEDS + number, family, shape))


def adapt(base: Mapping[str, torch.Tensor], arm: str, regime: int, seed: int, scale: Scale) -> SAM2Base:
    """Phase 2: one arm on so many volumes of `contact`."""
    state = {name: tensor.clone() for name, tensor in base.items()}
    for name in base:
        if name.startswith("memory_attention."):
            state[f"recent_{name}"] = base[name].clone()
    torch.manual_seed(seed)
    width = len(base["no_mem_embed"].flatten())
    fuser = Fuser(CXBlock(width, layer_scale_init_value=1e-6), num_layers=2)
    state |= {f"recent_memory_fuser.{name}": tensor for name, tensor in fuser.state_dict().items()}
    network = build_network(scale.network, state)
    if arm == "base":
        return network
    steps = scale.steps(regime)
    rates = Rates(2e-4, 2e-4, final=0.1, layer_decay=1.0, weight_decay=0.1)
    trainer = Trainer(network, POLICIES[arm], TrainerSettings(steps, rates, seed=seed), torch.device(scale.device))
    volumes = [contact_volume(ADAPT_SEEDS + 100 * seed + number, scale) for number in range(regime)]
    for step in range(steps):
        rng = np.random.default_rng([2, seed, step])
        volume = volumes[step % regime]
        present = np.flatnonzero(volume.masks((1,)).sum((1, 2)) >= 12)
        settings = clip_settings(scale.size, 8, reverse=0.5)
        clip = draw_clip(volume, Target((1,), tuple(present.tolist())), settings, rng)
        trainer.step([clip], mask_prompt([clip]))
    return network.eval().requires_grad_(False)


def clip_settings(size: int, length: int, reverse: float, roi: tuple[float, float] | None = None) -> ClipSettings:
    """Windows around objects for the base, whole slices for the volumes of `contact`."""
    return ClipSettings(size, windows=True, slices=length, reverse=reverse, roi_factor=roi, augmentation=AUGMENTATION)


def mask_prompt(clips: Sequence[Any]) -> ClipPrompt:
    """The first slices' masks."""
    return ClipPrompt(masks=torch.stack([clip.prompt_mask for clip in clips]))


def contact_volume(seed: int, scale: Scale) -> TrainingVolume:
    """A phantom in which a look-alike takes over where the target, label 1, ends."""
    phantom = make_phantom(seed, "contact", scale.volume, hardness=1.0)
    bounds = [np.flatnonzero((phantom.labels == 1).any(axis)) for axis in ((0, 2), (0, 1))]
    starts = [
        int(np.clip((places[0] + places[-1] + 1 - scale.size) // 2, 0, side - scale.size))
        for places, side in zip(bounds, scale.volume[1:], strict=True)
    ]
    window = (slice(None), *(slice(start, start + scale.size) for start in starts))
    values = np.ascontiguousarray(phantom.values[window])
    stack = ImageStack(values, np.zeros(values.shape, np.uint8), phantom.spacing_kji_mm)
    return TrainingVolume(str(seed), stack, (np.ascontiguousarray(phantom.labels[window]),))


# ----------------------------------------------------------------------------------------------------------- measuring


def run_arm(
    work: Path, base: Mapping[str, torch.Tensor], arm: str, regime: int, seed: int, scale: Scale
) -> dict[str, Any]:
    """Adapt and measure one arm, or read what was measured before."""
    # The base is not adapted: it is measured once for all regimes and seeds.
    path = work / ("base.json" if arm == "base" else f"{arm}-{regime}-{seed}.json")
    if not path.exists():
        network = adapt(base, arm, regime, seed, scale).to(scale.device)
        forward = ClipForward(network, POLICIES[arm])
        figures = [figure for numbers in batches(scale.volumes) for figure in measure(forward, numbers, scale)]
        path.write_text(json.dumps(figures), encoding="utf-8")
    figures = json.loads(path.read_text(encoding="utf-8"))
    return {"arm": arm, "regime": regime, "seed": seed, "figures": figures}


def batches(volumes: int) -> list[Sequence[int]]:
    """Test volumes that are propagated side by side, 10 at a time, in 0.72 of the time that they take one by one."""
    return [range(first, min(first + 10, volumes)) for first in range(0, volumes, 10)]


def measure(forward: ClipForward, numbers: Sequence[int], scale: Scale) -> list[dict[str, Any]]:
    """Figures of test volumes, in their order."""
    volumes = [unseen_volume(number, scale) for number in numbers]
    truths = [volume.masks((1,)) for volume in volumes]
    keys = [key_slice(truth) for truth in truths]
    key_masks = [truth[key] for truth, key in zip(truths, keys, strict=True)]
    last = scale.volume[0] - 1
    results = [np.zeros_like(truth) for truth in truths]
    for step, end in ((1, last), (-1, 0)):
        # In lockstep; a volume whose end is reached repeats its last slice, and what comes of that is dropped.
        lengths = [abs(end - key) + 1 for key in keys]
        steps = np.arange(max(lengths))
        indices = [key + step * np.minimum(steps, length - 1) for key, length in zip(keys, lengths, strict=True)]
        masks = propagate(forward, volumes, key_masks, indices, torch.device(scale.device))
        for row, (result, length) in enumerate(zip(results, lengths, strict=True)):
            result[indices[row][:length]] = masks[:length, row]
    return [
        figures_of(result, truth, volume.masks((2,)), key)
        for result, truth, volume, key in zip(results, truths, volumes, keys, strict=True)
    ]


@functools.cache
def unseen_volume(number: int, scale: Scale) -> TrainingVolume:
    """A volume never trained on."""
    return contact_volume(TEST_SEEDS + number, scale)


def key_slice(truth: np.ndarray) -> int:
    """The middle one of the target's slices."""
    present = np.flatnonzero(truth.any((1, 2)))
    return int(present[len(present) // 2])


def figures_of(result: np.ndarray, truth: np.ndarray, twin: np.ndarray, key: int) -> dict[str, Any]:
    """Means over kinds of slices, and absent-slice DSC by distance from the target's end."""
    present = np.flatnonzero(truth.any((1, 2)))
    scores: dict[str, list[float]] = {"absent": [], "contested": [], "present": []}
    beyond_end: dict[str, float] = {}
    for index in range(len(truth)):
        score = dice(result[index], truth[index])
        if index == key:
            continue
        if truth[index].any():
            scores["present"].append(score)
            continue
        scores["absent"].append(score)
        if twin[index].any():
            scores["contested"].append(score)
        if index > present[-1]:
            beyond_end[str(index - int(present[-1]))] = score
    means = {name: float(np.mean(values)) if values else None for name, values in scores.items()}
    return {**means, "volume": dice(result, truth), "beyond_end": beyond_end}


@torch.no_grad()
def propagate(
    forward: ClipForward,
    volumes: Sequence[TrainingVolume],
    key_masks: Sequence[np.ndarray],
    indices: list[np.ndarray],
    device: torch.device,
) -> np.ndarray:
    """Masks `(T, B, H, W)` of the slices given per volume, all equally many; the first is the key slice."""
    prompts = [torch.from_numpy(mask) for mask in key_masks]
    images = []
    for volume, prompt, slices in zip(volumes, prompts, indices, strict=True):
        values = torch.from_numpy(volume.stack.values[slices].astype(np.float32))
        images.append(WindowsAppearance.from_key(values[0], prompt).apply(values))
    masks = [np.stack(key_masks)]
    rows, size = torch.arange(len(volumes)), key_masks[0].shape
    for _, answer in forward(torch.stack(images, 1).to(device), ClipPrompt(masks=torch.stack(prompts)).to(device)):
        best = answer.logits[rows, answer.ious.argmax(1)][:, None]
        resized = torch.nn.functional.interpolate(best, size, mode="bilinear", align_corners=False)[:, 0]
        masks.append(((resized > 0) & (answer.presence > 0)[..., None]).cpu().numpy())
    return np.stack(masks)


if __name__ == "__main__":
    main()
