"""Validation: the network carries one key slice through whole volumes, as in use, and is measured in 3-D."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray

from SegmentPropagateLib.networks.card import Card
from SegmentPropagateLib.networks.sam2 import Network
from SegmentPropagateLib.propagation.propagator import Lane, PropagationSettings, Propagator
from SegmentPropagateLib.propagators.tracking.engine import NetworkPropagator
from SegmentPropagateLib.reports.metrics import dice
from SegmentPropagateLib.training.clips import Target, TrainingVolume


def frozen_propagator(network: Network, card: Card, device: torch.device) -> NetworkPropagator:
    """The network as it is now, as a propagator; training may go on meanwhile."""
    return NetworkPropagator(copy.deepcopy(network).eval().requires_grad_(False), card, device)


def propagate_target(
    propagator: Propagator, volume: TrainingVolume, target: Target, settings: PropagationSettings
) -> tuple[NDArray[np.bool_], int]:
    """Carry the largest slice of a target both ways through the whole stack.

    Returns:
        bool `(slices, rows, columns)`, the key slice being the reference's own, and which slice that is.
    """
    reference = volume.masks(target.values)
    key = int(reference.sum((1, 2)).argmax())
    result = np.zeros_like(reference)
    result[key] = reference[key]
    legs = (range(key + 1, len(reference)), range(key - 1, -1, -1))
    propagator.open(volume.stack, settings)
    lanes = [Lane(1, (key,), (leg,)) for leg in legs if leg]
    for update in propagator.run(lanes, {1: {key: reference[key]}}):
        result[update.slice_index] = update.mask
    return result, key


def mean_dice(
    network: Network, card: Card, device: torch.device, examples: Iterable[tuple[TrainingVolume, Target]]
) -> float:
    """Mean 3-D DSC over targets, open range, key slice included; NaN without targets."""
    propagator = frozen_propagator(network, card, device)
    settings = PropagationSettings(roi="auto" if card.roi == "auto" else "off")
    scores = [
        dice(propagate_target(propagator, volume, target, settings)[0], volume.masks(target.values))
        for volume, target in examples
    ]
    return float(np.mean(scores)) if scores else float("nan")
