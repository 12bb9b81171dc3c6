"""SAP-Net: its parts against numpy, and drafts of slices from a few outlined ones."""

import numpy as np
import pytest
import torch

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.prompting.sap_net import (
    ALPHA,
    biased_dice,
    fit,
    largest_components,
    prototypes,
    scores,
)
from SegmentPropagateLib.prompting.source import Support, find_source
from SegmentPropagateLib.propagators.tracking.places import fourier
from SegmentPropagateLib.reports.metrics import dice
from SegmentPropagateLib.volumes.geometry import Geometry, Plane
from SegmentPropagateLib.volumes.labels import Labels
from SegmentPropagateLib.volumes.volume import Volume

RNG = np.random.default_rng(0)


def test_places_are_told_by_cosines_and_sines_of_random_directions():
    seen = fourier(6, 4, 1.5, seed=3).numpy()
    directions = 1.5 * torch.randn(4, 2, generator=torch.Generator().manual_seed(3)).numpy()
    for row in range(6):
        for column in range(6):
            place = np.array([(column + 0.5) / 6, (row + 0.5) / 6])
            angles = 2 * np.pi * directions @ place
            assert np.allclose(seen[:, row, column], np.concatenate([np.cos(angles), np.sin(angles)]), atol=1e-5)


def test_prototypes_are_means_over_background_and_object():
    features, masks = RNG.normal(size=(2, 3, 4, 5)), RNG.random((2, 4, 5))
    found = prototypes(torch.tensor(features), torch.tensor(masks)).numpy()
    for which, weights in enumerate((1 - masks, masks)):
        for channel in range(3):
            assert found[which, channel] == pytest.approx(np.average(features[:, channel], weights=weights))


def test_scores_are_cosines():
    features, means = RNG.normal(size=(1, 3, 2, 2)), RNG.normal(size=(2, 3))
    found = scores(torch.tensor(features), torch.tensor(means)).numpy()
    for which in range(2):
        pixel = features[0, :, 1, 0]
        cosine = pixel @ means[which] / np.linalg.norm(pixel) / np.linalg.norm(means[which])
        assert found[0, which, 1, 0] == pytest.approx(ALPHA * cosine)


def test_the_biased_dice_is_that_of_the_paper_and_false_positives_weigh_more():
    soft, truth = RNG.random((4, 5)), RNG.random((4, 5)) > 0.5
    hit, excess, missed = (soft * truth).sum(), (soft * ~truth).sum(), ((1 - soft) * truth).sum()
    for beta in (1.0, 2.0, 5.0):
        found = biased_dice(torch.tensor(soft), torch.tensor(truth).double(), beta)
        assert float(found) == pytest.approx(1 - 2 * hit / (2 * hit + beta * excess + missed))
    half = torch.full((4, 4), 0.5, requires_grad=True)
    there = torch.zeros(4, 4)
    there[:2] = 1
    biased_dice(half, there, 2.0).backward()
    assert half.grad[3, 0] > 0 > half.grad[0, 0]


def test_the_largest_components_are_kept():
    mask = np.zeros((6, 6), bool)
    mask[0, 0] = mask[2:4, 2:4] = mask[5, 3:6] = True
    assert [int(largest_components(mask, count).sum()) for count in (1, 2, 3, 9)] == [4, 7, 8, 8]


def test_twins_are_told_apart_by_their_place():
    """Two organs that look the same, one of them outlined: what looks decide cannot tell them."""
    features = torch.zeros(3, 2, 16, 16)
    masks = torch.zeros(3, 16, 16)
    for number in range(3):
        features[number, 0, 3 + number : 8 + number, 2:6] = features[number, 0, 3 + number : 8 + number, 10:14] = 1
        masks[number, 3 + number : 8 + number, 2:6] = 1
    network = fit(features[:2], masks[:2])
    assert not network.training
    with torch.no_grad():
        logits = scores(network(features[2:]), prototypes(network(features[:2]), masks[:2]))[0]
    found = (logits[1] > logits[0]).numpy()
    assert dice(found, masks[2].numpy() > 0) > 0.7  # by looks alone at most .67


def test_slices_without_neighbors_get_a_draft():
    rows, columns = np.mgrid[:48, :48]
    disks = np.stack([(rows - 20 - shift) ** 2 + (columns - 24) ** 2 <= 100 for shift in (0, 2, 1, -1)])
    values = (100 * disks + RNG.normal(0, 5, disks.shape)).astype(np.int16)
    geometry = Geometry(disks.shape, np.eye(4))
    few = disks.astype(np.uint8)
    few[3] = 0
    volume, labels = Volume(values, geometry), Labels((few,), geometry)
    (proposal,) = find_source("prototypes").propose(volume, [1], Support(labels), Plane.AXIAL)
    assert list(proposal.prompts) == [0, 1, 2]
    assert dice(proposal.slices[3].mask, disks[3]) > 0.8
    few[1:] = 0
    with pytest.raises(InputError, match="needs 2 or more"):
        find_source("prototypes").propose(volume, [1], Support(Labels((few,), geometry)), Plane.AXIAL)
