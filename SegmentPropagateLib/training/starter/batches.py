"""What the starter model sees in each step: clips of phantoms, drawn here or in processes of their own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from SegmentPropagateLib.files import writing
from SegmentPropagateLib.networks.families import FAMILIES
from SegmentPropagateLib.training.clips import Augmentation, Clip, ClipSettings, TrainingVolume, try_clip
from SegmentPropagateLib.training.forward import Teacher
from SegmentPropagateLib.training.starter.targets import PhantomPool, draw_target
from SegmentPropagateLib.volumes.stack import ImageStack

FAMILY = FAMILIES["starter"]
TRAINING_SEEDS = 10_000_000  # phantoms with seeds from here on are trained on, those below never are
THINNED = 0.35
"""Share of the clips from every other slice."""
POOL = 48
"""Phantoms that a step's clips are drawn from; the pool moves on by one phantom for every eight clips."""

KEPT = 512
"""For so many phantoms back processes share them: the slowest one may be a few batches behind."""


@dataclass(frozen=True)
class Stage:
    """A part of the curriculum.

    Args:
        until: share of all steps at which it ends.
        slices: length of the clips.
        batch: clips per step.
        taught: share of the memories that are written from true masks.
    """

    until: float
    slices: int
    batch: int
    taught: float


FROM_NOTHING = (
    Stage(0.15, 3, 8, 0.6),
    Stage(0.30, 4, 6, 0.4),
    Stage(0.60, 6, 4, 0.15),
    Stage(0.85, 8, 4, 0.05),
    Stage(1.00, 12, 3, 0.05),
)
FROM_TRAINED = (Stage(0.30, 6, 4, 0.05), Stage(0.70, 8, 3, 0.05), Stage(1.00, 12, 2, 0.05))

CLIPS = ClipSettings(
    image_size=FAMILY.image_size,
    windows=FAMILY.appearance == "windows",
    reverse=0.0,
    roi_factor=(1.7, 3.0),
    augmentation=Augmentation(
        quarter_turns=True,
        rotation_deg=35,
        shear_deg=5,
        stretch=0.08,
        brightness=0.0,
        slice_jitter=0.03,
        gamma=0.3,
        invert=0.3,
        noise=0.05,
        mask_jitter=0.6,
        drift=0.5,
    ),
)


@dataclass(frozen=True)
class StarterSettings:
    """A run.

    Args:
        steps: optimizer steps.
        rate: highest learning rate.
        stages: curriculum.
        averaging: of the weights that are kept (exponential, per step).
        seed: of everything random.
    """

    steps: int
    rate: float
    stages: tuple[Stage, ...]
    averaging: float = 0.995
    seed: int = 1

    def stage(self, step: int) -> Stage:
        """The stage that a step belongs to."""
        return next(stage for stage in self.stages if step < stage.until * self.steps or stage is self.stages[-1])


class Phantoms(Protocol):
    """Phantoms by their seeds."""

    def get(self, seed: int) -> TrainingVolume:
        """The phantom of a seed."""


def draw_batch(pool: Phantoms, settings: StarterSettings, step: int) -> tuple[list[Clip], Teacher]:
    """The clips of a step and which of their memories are written from true masks; depends on seed and step alone."""
    stage = settings.stage(step)
    clip_settings = replace(CLIPS, slices=stage.slices)
    clips: list[Clip] = []
    rng = np.random.default_rng([settings.seed, step])
    first = _first_seed(settings, step)
    while len(clips) < stage.batch:
        volume = pool.get(first + int(rng.integers(POOL)))
        drawn = draw_target(volume, stage.slices, rng, THINNED)
        clip = None if drawn is None else try_clip(*drawn, clip_settings, rng)
        if clip is not None:
            clips.append(clip)
    masks = torch.stack([clip.masks for clip in clips], 1)
    stands_in = torch.from_numpy(rng.random((stage.slices, stage.batch)) < stage.taught)
    return clips, Teacher(masks, stands_in)


def _first_seed(settings: StarterSettings, step: int) -> int:
    return TRAINING_SEEDS + settings.seed * 1_000_000 + step * settings.stage(step).batch // 8


def draw_batches(
    settings: StarterSettings, first: int, workers: int, folder: Path
) -> Iterator[tuple[list[Clip], Teacher]]:
    """The batches of all steps from `first` on.

    Args:
        settings: of the run.
        first: step to begin with.
        workers: processes that draw ahead; 0 draws here, when a batch is asked for.
        folder: where processes keep the phantoms that they share, some 1.6 MB each, as long as they are drawn from.
    """
    if workers == 0:
        pool = PhantomPool(2 * POOL)
        yield from (draw_batch(pool, settings, step) for step in range(first, settings.steps))
        return
    folder.mkdir(parents=True, exist_ok=True)
    # By names, as descriptors of so many tensors are more than a process may have.
    torch.multiprocessing.set_sharing_strategy("file_system")
    steps = range(first, settings.steps)
    yield from DataLoader(
        _Batches(settings, folder),
        batch_size=None,
        sampler=steps,  # type: ignore[arg-type]
        num_workers=workers,
        prefetch_factor=2,
        collate_fn=_as_it_is,
    )


def _as_it_is(batch: Any) -> Any:
    return batch


class _Batches(Dataset[tuple[list[Clip], Teacher]]):
    """Batches by their steps, each drawn in whichever process has to."""

    def __init__(self, settings: StarterSettings, folder: Path) -> None:
        self._settings, self._folder = settings, folder
        self._pool: _SharedPhantoms | None = None

    def __getitem__(self, step: int) -> tuple[list[Clip], Teacher]:
        worker = get_worker_info()
        if self._pool is None:
            place = (0, 1) if worker is None else (worker.id, worker.num_workers)
            self._pool = _SharedPhantoms(self._folder, *place)
        self._pool.move_to(_first_seed(self._settings, step))
        return draw_batch(self._pool, self._settings, step)


class _SharedPhantoms:
    """Phantoms that several processes draw, each its share of them, and all read.

    Args:
        folder: where they are kept.
        number: of this process.
        count: of all processes.
    """

    PATIENCE_S = 10.0
    """How long a phantom of another process is waited for before it is drawn here, too."""

    def __init__(self, folder: Path, number: int, count: int) -> None:
        self._folder, self._number, self._count = folder, number, count
        self._pool = PhantomPool(2 * POOL, self._read)
        self._drawn: list[int] = []

    def move_to(self, first: int) -> None:
        """Draw this process's share of what is needed from here on, and delete what no process needs any longer."""
        for seed in range(first, first + 2 * POOL):
            if seed % self._count == self._number and seed not in self._drawn:
                self._drawn.append(seed)
                self._write(seed)
        while self._drawn and self._drawn[0] < first - KEPT:
            self._path(self._drawn.pop(0)).unlink(missing_ok=True)

    def get(self, seed: int) -> TrainingVolume:
        """The phantom of a seed."""
        return self._pool.get(seed)

    def _read(self, seed: int) -> TrainingVolume:
        end = time.monotonic() + self.PATIENCE_S
        while not self._path(seed).exists() and time.monotonic() < end:
            time.sleep(0.05)
        try:
            with np.load(self._path(seed), allow_pickle=False) as file:
                values, parts, (k, j, i) = file["values"], file["parts"], file["spacing"].tolist()
        except FileNotFoundError:
            return PhantomPool.make(seed)
        return TrainingVolume("phantom", ImageStack(values, np.zeros(values.shape, np.uint8), (k, j, i)), (parts,))

    def _write(self, seed: int) -> None:
        if self._path(seed).exists():
            return
        volume = PhantomPool.make(seed)
        with writing(self._path(seed)) as file:
            np.savez(file, values=volume.stack.values, parts=volume.layers[0], spacing=volume.stack.spacing_mm)

    def _path(self, seed: int) -> Path:
        return self._folder / f"{seed}.npz"
