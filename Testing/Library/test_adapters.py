"""Low-rank additions are exact, and files with only what differs open like whole ones, or say what is missing."""

import copy
import re
from dataclasses import replace

import pytest
import torch
from tiny_training import CARD, save_tiny, tiny_network

from SegmentPropagateLib.cli import main
from SegmentPropagateLib.errors import CheckpointError, InputError
from SegmentPropagateLib.models.loading import load_model
from SegmentPropagateLib.networks.adapters.delta import base_of, completed, differences
from SegmentPropagateLib.networks.adapters.lora import LowRank, add_lora, lora_parts, merge_lora, with_lora
from SegmentPropagateLib.networks.build import build_network
from SegmentPropagateLib.networks.checkpoints import inspect_checkpoint, load_network, save_checkpoint
from SegmentPropagateLib.networks.families import NetworkConfig
from SegmentPropagateLib.networks.mask_attention import add_mask_attention
from SegmentPropagateLib.training.settings import METHODS


@pytest.fixture(scope="module")
def hiera():
    torch.manual_seed(0)
    return build_network(NetworkConfig("sam2.1", "t", 64))


@pytest.fixture(scope="module")
def image():
    return torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def features(network, image):
    return network.forward_image(image)["backbone_fpn"]


def disturb(network):
    """Let the additions differ from nothing."""
    generator = torch.Generator().manual_seed(2)
    for module in network.modules():
        if isinstance(module, LowRank):
            for factor in module.parameters():
                factor.data = torch.randn(factor.shape, generator=generator) * 0.02
    return network


@pytest.mark.parametrize(("rank", "count"), [(4, 69_888), (8, 139_776), (16, 279_552)])
def test_additions_have_as_many_numbers_as_queries_and_values_of_all_blocks_ask_for(hiera, rank, count):
    network = copy.deepcopy(hiera)
    add_lora(network, rank)
    assert sum(part.numel() for part in lora_parts(network).values()) == count


def test_additions_change_nothing_at_first_and_all_of_them_learn_from_the_first_step(hiera, image):
    network = copy.deepcopy(hiera)
    add_lora(network)
    assert all(map(torch.equal, features(hiera, image), features(network, image)))
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(".parametrizations.weight.0." in name)
    network.forward_image(image)["backbone_fpn"][-1].square().mean().backward()
    learning = [module for module in network.modules() if isinstance(module, LowRank)]
    assert len(learning) == 12
    assert all(module.b_q.grad.any() and module.b_v.grad.any() for module in learning)
    assert all(parameter.grad is None for name, parameter in network.named_parameters() if "parametri" not in name)


def test_sam2_sgp_trains_the_additions_and_all_that_follows_the_trunk(hiera):
    network = copy.deepcopy(hiera)
    add_lora(network, 16)
    add_mask_attention(network)
    names = [name for name, _ in network.named_parameters()]
    trained = {name for name in names if re.match(METHODS["sgp"], name)}
    in_trunk = {name for name in names if name.startswith("image_encoder.trunk.")}
    assert trained & in_trunk == {name for name in names if ".parametrizations.weight.0." in name} != set()
    assert trained - in_trunk == set(names) - in_trunk
    assert sum(part.numel() for name, part in network.named_parameters() if "mask_attention" in name) == 197_376


def test_merged_says_what_unmerged_says_and_the_base_comes_back_bit_for_bit(hiera, image):
    network = copy.deepcopy(hiera)
    add_lora(network)
    unmerged = features(disturb(network), image)
    base = hiera.state_dict()
    delta = differences(network, base)
    assert delta.keys() == lora_parts(network).keys()
    merged = copy.deepcopy(network)
    merge_lora(merged)
    assert merged.state_dict().keys() == base.keys()
    assert all(map(torch.equal, unmerged, features(merged, image)))
    assert not torch.equal(unmerged[-1], features(hiera, image)[-1])
    state = completed(delta, base, "m.pt")
    assert all(torch.equal(state[name], tensor) for name, tensor in merged.state_dict().items())
    keys = slice(96, 192)  # of the first block's queries, keys and values
    name = "image_encoder.trunk.blocks.0.attn.qkv.weight"
    assert torch.equal(state[name][keys], base[name][keys])
    assert not torch.equal(state[name], base[name])


def test_products_that_do_not_fit_are_told(hiera):
    parts = {f"a.qkv.lora_{part}": torch.zeros(2, 2) for part in ("a_q", "b_q", "a_v")}
    for state, reason in (({}, "lacks a part"), ({"a.qkv.weight": torch.zeros(12, 5)}, "do not fit")):
        whole = {**parts, "a.qkv.lora_b_v": torch.zeros(2, 2)} if state else parts
        with pytest.raises(ValueError, match=reason):
            with_lora(state, whole)
    with pytest.raises(InputError, match="choose the method"):
        add_lora(tiny_network())


@pytest.fixture
def delta(tmp_path):
    """A delta of a tiny starter whose decoder differs, beside its base."""
    base = save_tiny(tmp_path / "tiny.pt")
    network = tiny_network()
    network.sam_mask_decoder.mask_tokens.weight.data += 1
    state = differences(network, load_network(base)[0].state_dict())
    save_checkpoint(tmp_path / "mine.pt", state, replace(CARD, name="mine", base=base_of(base)))
    return tmp_path / "mine.pt"


def test_a_delta_opens_by_its_path_with_all_that_its_family_has(delta, capsys):
    network, _ = load_network(delta)
    wanted = tiny_network().state_dict()
    wanted["sam_mask_decoder.mask_tokens.weight"] += 1
    assert all(torch.equal(network.state_dict()[name], tensor) for name, tensor in wanted.items())
    assert load_model(delta, device="cpu").info["partner"] == "classical"
    assert delta.stat().st_size < 0.1 * delta.with_name("tiny.pt").stat().st_size
    assert main(["inspect", str(delta)]) == 0
    shown = capsys.readouterr().out
    assert f"delta       {4 * 32:,} numbers here, all others of tiny.pt" in shown
    assert "This file can be used." in shown


@pytest.mark.parametrize("how", ["gone", "another"])
def test_a_delta_without_its_base_says_which_file_it_needs(delta, how):
    base = delta.with_name("tiny.pt")
    digest = inspect_checkpoint(base).sha256
    base.unlink()
    if how == "another":
        save_checkpoint(base, tiny_network(seed=1).state_dict(), CARD)
    with pytest.raises(CheckpointError, match=rf"mine\.pt holds only what differs from .*'tiny\.pt'.*{digest}"):
        load_model(delta, device="cpu")


def test_a_base_is_found_among_the_models_at_hand(delta, tmp_path, monkeypatch):
    (tmp_path / "cache").mkdir()
    monkeypatch.setenv("SEGMENTPROPAGATE_HOME", str(tmp_path / "cache"))
    delta.with_name("tiny.pt").rename(tmp_path / "cache" / "tiny.pt")
    assert load_model(delta, device="cpu").info["model"] == "mine"


def test_a_card_cannot_lead_to_a_base_in_another_folder(delta, tmp_path):
    state, card = torch.load(delta, weights_only=True).values()
    (tmp_path / "in").mkdir()
    card["base"]["name"] = "../tiny.pt"
    torch.save({"model": state, "card": card}, tmp_path / "in" / "mine.pt")
    with pytest.raises(CheckpointError, match="not at hand"):
        load_network(tmp_path / "in" / "mine.pt")
