"""Weights as other programs save them: under a key of theirs, or as a part of a larger module."""

import pytest
import torch
from small_models import CARD, random_weights, refusal

from SegmentPropagateLib.networks.checkpoints import load_network
from SegmentPropagateLib.networks.safe_load import WEIGHTS_UNDER

WEIGHTS = random_weights()


def part(prefix):
    return {prefix + name: tensor for name, tensor in WEIGHTS.items()}


@pytest.mark.parametrize(
    "content",
    [
        *({key: WEIGHTS, "epoch": 3} for key in WEIGHTS_UNDER),
        {"model_state_dict": WEIGHTS, "optimizer_state_dict": {"state": {0: {"step": torch.tensor(1.0)}}}},
        {"state_dict": WEIGHTS, "model": {"width": 96}, "epoch": torch.tensor(3)},
        {"checkpoint": {"state_dict": WEIGHTS}},
        {"state_dict": part("model."), "pytorch-lightning_version": "2.0", "global_step": 5},
        {"model": WEIGHTS, "ema": {}},
        *(part(prefix) for prefix in ("sam2.", "module.", "_orig_mod.", "module._orig_mod.", "a.b.c.d.", "net/x.")),
    ],
    ids=lambda content: "-".join([*content][:2]),
)
def test_the_weights_are_found_where_another_program_put_them(tmp_path, content):
    torch.save(content, tmp_path / "x.pt")
    own = load_network(tmp_path / "x.pt")[0].state_dict()
    assert own.keys() == WEIGHTS.keys()
    assert all(torch.equal(own[name], WEIGHTS[name]) for name in WEIGHTS)


def test_a_wrapped_file_keeps_its_card(tmp_path):
    torch.save({"checkpoint": {"model": WEIGHTS}, "card": CARD.to_dict()}, tmp_path / "x.pt")
    assert load_network(tmp_path / "x.pt")[1].name == CARD.name


def test_weights_under_two_names_that_are_the_same_are_one(tmp_path):
    torch.save({"model": WEIGHTS, "ema": WEIGHTS}, tmp_path / "x.pt")
    load_network(tmp_path / "x.pt")


def test_of_two_sets_of_weights_none_is_chosen(tmp_path):
    torch.save({"model": WEIGHTS, "model_ema": random_weights()}, tmp_path / "x.pt")
    assert "holds weights under 'model' and 'model_ema'" in refusal(tmp_path / "x.pt")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({**part("model."), **part("ema.")}, "under 'ema.' and 'model.' beside other tensors"),
        ({**part("model."), "loss.weight": torch.ones(1)}, "under 'model.' beside other tensors"),
    ],
)
def test_a_network_beside_other_tensors_is_not_picked_out(tmp_path, content, sentence):
    torch.save(content, tmp_path / "x.pt")
    assert sentence in refusal(tmp_path / "x.pt")


def test_another_kind_of_network_is_known_behind_a_prefix(tmp_path):
    names = ("image_encoder.pos_embed", "image_encoder.blocks.0.attn.qkv.weight", "mask_decoder.iou_token.weight")
    torch.save({f"module.{name}": torch.zeros(2, 2) for name in names}, tmp_path / "x.pt")
    assert "SAM 1" in refusal(tmp_path / "x.pt")
