"""A network of 0.1 M parameters and volumes of a few thousand voxels, for tests of training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch

from SegmentPropagateLib.networks.build import build_network
from SegmentPropagateLib.networks.card import Card
from SegmentPropagateLib.networks.checkpoints import save_checkpoint
from SegmentPropagateLib.networks.families import NetworkConfig, StarterShape
from SegmentPropagateLib.propagation.propagator import KeyMasks, Lane, PropagationSettings, SliceUpdate
from SegmentPropagateLib.training.clips import Target, TrainingVolume
from SegmentPropagateLib.volumes.cropped import Cropped
from SegmentPropagateLib.volumes.stack import ImageStack

SHAPE = StarterShape(
    stage_channels=(8, 16, 16, 24),
    stage_blocks=(1, 1, 1, 1),
    width=32,
    memory_width=16,
    attention_layers=1,
    attention_mlp=32,
    decoder_mlp=32,
    iou_mlp=16,
)
CONFIG = NetworkConfig("starter", "conv", 64, SHAPE)
CARD = Card("starter", "conv", 64, name="tiny", roi="auto")


def tiny_network(seed: int = 0):
    torch.manual_seed(seed)
    return build_network(CONFIG)


def save_tiny(path: Path) -> Path:
    save_checkpoint(path, tiny_network().state_dict(), CARD)
    return path


def ball(count: int = 10, side: int = 48, center: int = 5, radius: float = 4.0) -> tuple[np.ndarray, np.ndarray]:
    """A bright ball in noise, and its mask, `(slices, rows, columns)`."""
    k, j, i = np.ogrid[:count, :side, :side]
    mask = ((k - center) ** 2 * 4 + (j - side / 2) ** 2 + (i - side / 2 + 3) ** 2) <= (2 * radius) ** 2
    noise = np.random.default_rng(0).normal(0, 6, mask.shape)
    return (60 + 120 * mask + noise).clip(0, 255).astype(np.int16), mask


def ball_volume(name: str = "ball", **shape: int) -> tuple[TrainingVolume, Target]:
    values, mask = ball(**shape)
    stack = ImageStack(values, values.astype(np.uint8), (2.0, 1.0, 1.0))
    present = tuple(int(index) for index in np.flatnonzero(mask.any((1, 2))))
    return TrainingVolume(name, stack, (mask.astype(np.uint8),)), Target((1,), present)


class UndecidedPropagator:
    """A partner that has no opinion, and costs no time: the network beside it decides."""

    info: Mapping[str, Any] = {"model": "undecided"}

    def open(self, stack: ImageStack, settings: PropagationSettings) -> None:
        self.shape = stack.slice_shape

    def segment(self, slice_index, prompt, known=None):
        raise NotImplementedError

    def get_ahead(self, lanes: Sequence[Lane], key_masks: KeyMasks) -> Iterator[None]:
        return iter(())

    def run(self, lanes: Sequence[Lane], key_masks: KeyMasks) -> Iterator[SliceUpdate]:
        nothing = np.zeros(self.shape, np.float32)
        for lane in lanes:
            for index in lane.slices:
                yield SliceUpdate(lane.object_id, index, nothing > 0, 1.0, 0.9, Cropped.of(nothing))


def write_pair(folder: Path, name: str, values: np.ndarray, labels: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, array in (("", values), ("_label", labels.astype(np.uint8))):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing((1.0, 1.0, 2.0))
        sitk.WriteImage(image, str(folder / f"{name}{suffix}.nrrd"))
