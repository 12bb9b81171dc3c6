"""Mask attention: equation 7 of SAM2-SGP, nothing at first, and a second look that an empty first answer never gets."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_training import CARD, CONFIG, tiny_network

from SegmentPropagateLib.cli import main
from SegmentPropagateLib.errors import CheckpointError
from SegmentPropagateLib.networks.adapters.delta import base_of, differences
from SegmentPropagateLib.networks.build import build_network
from SegmentPropagateLib.networks.checkpoints import inspect_checkpoint, load_network, save_checkpoint
from SegmentPropagateLib.networks.mask_attention import MaskAttention, add_mask_attention, boxes_of, second_look
from SegmentPropagateLib.networks.steps import Decoded
from SegmentPropagateLib.propagation.propagator import Lane, PropagationSettings
from SegmentPropagateLib.propagators.tracking.engine import NetworkPropagator
from SegmentPropagateLib.volumes.stack import ImageStack

WIDTH, SIDE = 6, 4


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def trained(width=WIDTH):
    torch.manual_seed(3)
    attention = MaskAttention(width)
    torch.nn.init.normal_(attention.values.weight)
    torch.nn.init.normal_(attention.values.bias)
    return attention


def equation_7(features, mask, weights):
    """What the paper writes, one image and one pixel after the other."""
    results = []
    for maps, shares in zip(features, mask, strict=True):
        tokens = maps.reshape(maps.shape[0], -1).T
        queries, keys, values = (tokens @ weight.T + bias for weight, bias in weights)
        result = np.empty_like(tokens)
        for pixel, query in enumerate(queries):
            scores = np.array([query @ key for key in keys]) / np.sqrt(len(query))
            softmax = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
            seen = sum(weight * value for weight, value in zip(softmax, values, strict=True))
            result[pixel] = shares.ravel()[pixel] * seen + tokens[pixel]
        results.append(result.T.reshape(maps.shape))
    return np.stack(results)


def test_it_is_equation_7():
    attention, features = trained(), drawn(2, WIDTH, SIDE, SIDE)
    mask = drawn(2, 1, SIDE, SIDE, seed=1).sigmoid()
    parts = (attention.queries, attention.keys, attention.values)
    weights = [(part.weight.detach().numpy(), part.bias.detach().numpy()) for part in parts]
    expected = equation_7(features.numpy(), mask.numpy(), weights)
    assert np.allclose(attention(features, mask).detach().numpy(), expected, atol=1e-5)


def test_it_has_197_thousand_numbers_at_256_channels():
    assert sum(part.numel() for part in MaskAttention(256).parameters()) == 197_376


def test_features_stay_what_they_are_until_it_is_trained_and_where_the_mask_is_empty():
    features = drawn(2, WIDTH, SIDE, SIDE)
    assert torch.equal(MaskAttention(WIDTH)(features, torch.ones(2, 1, 16, 16)), features)
    assert torch.equal(trained()(features, torch.zeros(2, 1, 16, 16)), features)
    assert not torch.equal(trained()(features, torch.ones(2, 1, 16, 16)), features)


def test_a_box_has_the_corners_of_its_mask_and_an_empty_mask_has_none():
    logits = torch.full((2, 8, 8), -9.0)
    logits[0, 2:4, 3:7] = 9.0
    (corners, labels), is_there = boxes_of(logits, 8)
    assert corners[0].tolist() == [[3, 2], [6, 3]]
    assert labels.tolist() == [[2, 3], [-1, -1]]
    assert is_there.tolist() == [True, False]


@pytest.fixture(scope="module")
def network():
    network = tiny_network()
    add_mask_attention(network)
    torch.nn.init.normal_(network.mask_attention.values.weight, std=0.5)
    return network.eval()


@torch.no_grad()
def test_an_empty_first_answer_stays_the_answer_whatever_the_others_are(network):
    maps, fine = drawn(2, 32, 8, 8), [drawn(2, 4, 32, 32, seed=1), drawn(2, 8, 16, 16, seed=2)]
    logits = torch.full((2, 3, 32, 32), 5.0)
    logits[:, 1] = -5.0  # the best of three is empty in both
    ious = torch.tensor([[0.1, 0.9, 0.2]]).expand(2, -1)
    first = Decoded(logits, ious, drawn(2, 3, 32), torch.tensor([[3.0], [3.0]]))
    second = second_look(network, maps, fine, first)
    assert torch.equal(second.logits[:, 0], logits[:, 1])
    assert torch.equal(second.presence, first.presence)
    logits[0, 1, 8:20, 8:20] = 5.0  # now one of them is not
    second = second_look(network, maps, fine, first)
    assert not torch.equal(second.logits[0, 0], logits[0, 1])
    assert torch.equal(second.logits[1, 0], logits[1, 1])


def masks_of(network, looks_twice):
    values = np.random.default_rng(0).normal(60, 20, (4, 64, 64)).astype(np.float32)
    values[:, 20:40, 20:44] += 80
    key = np.zeros((64, 64), bool)
    key[20:40, 20:44] = True
    propagator = NetworkPropagator(network, CARD)
    propagator.open(
        ImageStack(values, values.clip(0, 255).astype(np.uint8), (1.0, 1.0, 1.0)),
        PropagationSettings(looks_twice=looks_twice),
    )
    return np.stack([update.logits for update in propagator.run([Lane(1, (0,), (range(1, 4),))], {1: {0: key}})])


def test_propagation_does_not_look_twice_unless_it_is_asked_to(network):
    plain = tiny_network()
    assert np.array_equal(masks_of(plain, False), masks_of(network, False))
    assert np.array_equal(masks_of(plain, True), masks_of(plain, False))  # it has no mask attention
    assert not np.array_equal(masks_of(network, True), masks_of(network, False))


def test_a_file_with_mask_attention_opens_whole_and_as_a_delta_and_says_so(network, tmp_path, capsys):
    base = tiny_network()
    save_checkpoint(tmp_path / "base.pt", base.state_dict(), CARD)
    save_checkpoint(tmp_path / "whole.pt", network.state_dict(), CARD)
    delta = replace(CARD, base=base_of(tmp_path / "base.pt"))
    save_checkpoint(tmp_path / "delta.pt", differences(network, base.state_dict()), delta)
    assert inspect_checkpoint(tmp_path / "delta.pt").own_parameters == 3 * (32 * 32 + 32)
    for name in ("whole.pt", "delta.pt"):
        loaded, _card = load_network(tmp_path / name)
        assert all(torch.equal(weight, loaded.state_dict()[key]) for key, weight in network.state_dict().items())
    assert main(["inspect", str(tmp_path / "delta.pt")]) == 0
    assert "with mask attention" in capsys.readouterr().out


def test_mask_attention_of_another_width_or_without_a_part_is_refused(network, tmp_path):
    state = dict(network.state_dict())
    state["mask_attention.keys.weight"] = torch.zeros(8, 8)
    del state["mask_attention.queries.bias"]
    save_checkpoint(tmp_path / "odd.pt", state, CARD)
    with pytest.raises(CheckpointError) as caught:
        load_network(tmp_path / "odd.pt")
    assert "1 missing (mask_attention.queries.bias)" in str(caught.value)
    assert "mask_attention.keys.weight [8, 8] instead of [32, 32]" in str(caught.value)


def test_a_network_is_built_with_it_where_its_configuration_says_so():
    assert not hasattr(build_network(CONFIG), "mask_attention")
    assert build_network(replace(CONFIG, mask_attention=True)).mask_attention.queries.weight.shape == (32, 32)
