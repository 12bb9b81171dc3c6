"""What a GPU computes is what a CPU computes: `make test-gpu`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from upstream import network_with_fixed_weights

from SegmentPropagateLib.models import registry
from SegmentPropagateLib.networks.card import Card
from SegmentPropagateLib.networks.checkpoints import load_network
from SegmentPropagateLib.networks.families import NetworkConfig
from SegmentPropagateLib.propagation.propagator import Lane, PropagationSettings
from SegmentPropagateLib.propagators.tracking.engine import NetworkPropagator
from SegmentPropagateLib.propagators.tracking.graphs import Recorded
from SegmentPropagateLib.volumes.stack import ImageStack

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="this computer has no CUDA GPU"),
]
SLICES, SIDE, KEY = 23, 96, 11
Masks = dict[tuple[int, int], NDArray[np.bool_]]


@pytest.fixture(scope="module")
def stack() -> ImageStack:
    """Two spheres that drift through noise."""
    rng = np.random.default_rng(4)
    k, j, i = np.indices((SLICES, SIDE, SIDE))
    values = rng.normal(60, 8, (SLICES, SIDE, SIDE))
    for center, radius in ((30, 12), (64, 15)):
        drift = center + (k - KEY) / 3
        values[(k - KEY) ** 2 * 2 + (j - drift) ** 2 + (i - center) ** 2 < radius**2] += 90
    gray = np.clip(values, 0, 255).astype(np.uint8)
    return ImageStack(values.astype(np.int16), gray, (2.0, 1.0, 1.0))


def keys() -> dict[int, dict[int, NDArray[np.bool_]]]:
    j, i = np.indices((SIDE, SIDE))
    disks = (((j - center) ** 2 + (i - center) ** 2 < radius**2) for center, radius in ((30, 12), (64, 15)))
    return {number: {KEY: disk} for number, disk in enumerate(disks, start=1)}


def lanes() -> list[Lane]:
    legs = (range(KEY + 1, SLICES), range(KEY - 1, -1, -1))
    return [Lane(number, (KEY,), (leg,)) for number in (1, 2) for leg in legs]


def propagator_of(family: str, device: str, precision: str) -> NetworkPropagator:
    if family == "starter":
        return NetworkPropagator(*load_network(registry.REGISTRY["starter"].path), device, precision)
    network = network_with_fixed_weights(NetworkConfig(family, "t", 256))
    return NetworkPropagator(network, Card(family, "t", 256), device, precision)


def masks_of(propagator: NetworkPropagator, stack: ImageStack, roi: str, times: int = 1) -> Masks:
    propagator.open(stack, PropagationSettings(roi=roi))
    for _ in range(times):
        updates = list(propagator.run(lanes(), keys()))
    return {(update.object_id, update.slice_index): update.mask for update in updates}


def agreement(one: Masks, other: Masks) -> float:
    assert one.keys() == other.keys()
    return float(np.mean([np.mean(one[name] == other[name]) for name in one]))


@pytest.mark.parametrize(("family", "roi"), [("starter", "auto"), ("sam2.1", "off"), ("slm-sam2", "off")])
def test_masks_of_a_gpu_are_those_of_a_cpu(stack: ImageStack, family: str, roi: str) -> None:
    expected = masks_of(propagator_of(family, "cpu", "exact"), stack, roi)
    on_gpu = propagator_of(family, "cuda", "exact")
    assert agreement(masks_of(on_gpu, stack, roi), expected) >= 0.999
    assert agreement(masks_of(on_gpu, stack, roi, times=2), expected) >= 0.999  # from recordings
    assert 0.005 < np.mean(list(expected.values())) < 0.9


def test_masks_of_the_starter_in_bf16_are_those_of_a_cpu(stack: ImageStack) -> None:
    expected = masks_of(propagator_of("starter", "cpu", "exact"), stack, "auto")
    assert agreement(masks_of(propagator_of("starter", "cuda", "bf16"), stack, "auto", times=2), expected) >= 0.999


@pytest.fixture
def unrecorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    with monkeypatch.context() as patch:
        patch.setattr(Recorded, "__call__", lambda self, plan, tensors: self._function(plan, tensors))
        yield patch


@pytest.mark.parametrize("precision", ["exact", "bf16"])
def test_recorded_runs_give_the_masks_of_runs_that_are_not(
    stack: ImageStack, unrecorded: pytest.MonkeyPatch, precision: str
) -> None:
    plain = masks_of(propagator_of("slm-sam2", "cuda", precision), stack, "off")
    unrecorded.undo()
    recorded = masks_of(propagator_of("slm-sam2", "cuda", precision), stack, "off", times=3)
    assert agreement(recorded, plain) >= 0.999


def test_a_cancelled_run_leaves_the_next_one_right(stack: ImageStack) -> None:
    propagator = propagator_of("starter", "cuda", "bf16")
    expected = masks_of(propagator, stack, "auto")
    run = propagator.run(lanes(), keys())
    for _ in range(9):
        next(run)
    run.close()
    assert agreement(masks_of(propagator, stack, "auto"), expected) >= 0.9999
