"""Files that are no model, or not one that can run here, and what is said of them."""

import json
import zipfile

import numpy as np
import pytest
import torch
from failing_disk import files_end_at
from small_models import CARD, constant_weights, random_weights, refusal, write_safetensors

from SegmentPropagateLib.errors import CheckpointError, InputError
from SegmentPropagateLib.networks.build import build_network, expected_shapes
from SegmentPropagateLib.networks.card import Card
from SegmentPropagateLib.networks.checkpoints import (
    inspect_checkpoint,
    load_network,
    save_checkpoint,
    seed_slm_from_sam21,
)
from SegmentPropagateLib.networks.families import NetworkConfig


def write_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "no model")


def write_nnunet(path):
    torch.save(
        {"network_weights": {"encoder.stages.0.0.weight": torch.zeros(3)}, "trainer_name": "nnUNetTrainer"}, path
    )


def write_real_nnunet(path):
    """nnU-Net keeps numpy scalars beside the weights, which alone would be refused as code."""
    torch.save({"network_weights": {"a": torch.zeros(3)}, "logging": {"dice": np.float64(0.5)}}, path)


def write_sam1(path):
    names = ("image_encoder.pos_embed", "image_encoder.blocks.0.attn.qkv.weight", "mask_decoder.iou_token.weight")
    torch.save({name: torch.zeros(2, 2) for name in names}, path)


def write_efficient(path):
    weights = dict(constant_weights("sam2.1"))
    weights["image_encoder.trunk.pos_embed"] = torch.zeros(1, 1025, 192)
    torch.save({"model": weights}, path)


def write_program(path):
    with zipfile.ZipFile(path, "w") as archive:  # as torch.jit.save writes it
        for name in ("data.pkl", "code/__torch__.py", "constants.pkl"):
            archive.writestr(f"net/{name}", "")


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        (write_zip, "is a zip archive, not a model file"),
        (write_nnunet, "is an nnU-Net model"),
        (write_real_nnunet, "is an nnU-Net model"),
        (write_sam1, "SAM 1"),
        (write_efficient, "EfficientTAM or EfficientMedSAM"),
        (write_program, "TorchScript"),
        (write_safetensors, "holds no SAM 2 network"),
        (lambda path: write_safetensors(path, "{}"), "damaged"),
        (lambda path: path.write_bytes(b"\n<!DOCTYPE html><html>404</html>"), "web page"),
        (lambda path: path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n"), "Git LFS"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_bytes(b"hello"), "no model file"),
        (lambda path: path.write_bytes(b"\x80\x02hello"), "damaged"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: None, "does not exist"),
        (lambda path: torch.save([1, 2], path), "holds a list instead of weights"),
        (lambda path: torch.save({}, path), "no weights"),
        (lambda path: torch.save({"model": None}, path), "no weights"),
        (lambda path: torch.save({"model": {"a": 1}}, path), "no weights"),
        (lambda path: torch.save({"model": {"a": torch.ones(1), "b": 1}}, path), "holds a int at 'b'"),
        (lambda path: torch.save({"a": torch.zeros(1)}, path), "holds no SAM 2 network"),
        (lambda path: torch.save({"vision_encoder.x": torch.zeros(1)}, path), "transformers"),
    ],
)
def test_another_kind_of_file_is_refused_in_one_sentence(tmp_path, write, sentence):
    path = tmp_path / "model.pt"
    write(path)
    assert sentence in refusal(path)


# Our own files


def test_a_saved_card_and_its_weights_come_back(tmp_path):
    weights = random_weights()
    save_checkpoint(tmp_path / "mine.pt", weights, CARD)
    network, card = load_network(tmp_path / "mine.pt")
    assert card.to_dict() == CARD.to_dict()
    assert len(card.sha256) == 64
    assert network.image_size == 96
    assert all(torch.equal(network.state_dict()[name], weights[name]) for name in weights)


def test_a_tensor_that_sizes_are_read_from_is_named_alone_where_it_is_wrong_or_missing(tmp_path):
    names = [
        *(
            "image_encoder.trunk.st.0.0.weight",
            "image_encoder.trunk.st.2.1.bias",
            "image_encoder.trunk.st.3.2.c1.weight",
        ),
        *("no_mem_embed", "image_encoder.neck.convs.1.conv.bias", "maskmem_tpos_enc", "no_obj_embed_spatial"),
        *("memory_attention.layers.0.linear1.weight", "recent_memory_attention.layers.0.linear1.bias"),
        "sam_mask_decoder.transformer.layers.0.mlp.layers.0.weight",
        *(f"sam_mask_decoder.iou_prediction_head.layers.{layer}.weight" for layer in (0, 1)),
    ]
    for name in names:
        whole = random_weights()
        for shape in ([size + 1 for size in whole[name].shape], []):
            torch.save({"model": {**whole, name: torch.zeros(shape)}}, tmp_path / "x.pt")
            wrong = f"{name} {shape} instead of {list(whole[name].shape)}"
            assert inspect_checkpoint(tmp_path / "x.pt").problems == (f"1 of another shape or kind ({wrong})",)
        del whole[name]
        torch.save({"model": whole}, tmp_path / "x.pt")
        assert inspect_checkpoint(tmp_path / "x.pt").problems == (f"1 missing ({name})",)
    with pytest.raises(CheckpointError, match=rf"tensors 1 missing \({name}\)"):
        load_network(tmp_path / "x.pt")


def test_a_starter_without_anything_that_tells_a_size_is_refused(tmp_path):
    weights = {name: tensor for name, tensor in random_weights().items() if ".mlp.layers.0." not in name}
    torch.save({"model": weights}, tmp_path / "x.pt")
    assert "without any tensor of its decoder mlp" in refusal(tmp_path / "x.pt")


def test_a_wrong_first_tensor_of_a_large_network_is_named(tmp_path):
    weights = dict(constant_weights("sam2.1"))
    weights["image_encoder.trunk.patch_embed.proj.weight"] = torch.zeros(97, 3, 7, 7)
    torch.save({"model": weights}, tmp_path / "x.pt")
    (problem,) = inspect_checkpoint(tmp_path / "x.pt").problems
    assert problem.startswith("1 of another shape or kind (image_encoder.trunk.patch_embed.proj.weight [97, 3, 7, 7] ")


def test_a_card_is_json(tmp_path):
    assert Card.from_dict(json.loads(json.dumps(CARD.to_dict())), "x") == CARD
    save_checkpoint(tmp_path / "mine.pt", random_weights(), CARD)
    assert json.loads(json.dumps(inspect_checkpoint(tmp_path / "mine.pt").to_dict()))["card"]["name"] == "mine"


def test_entries_of_a_later_version_are_kept():
    entries = {**CARD.to_dict(), "planes": ["axial"], "license": "CC0"}
    card = Card.from_dict(entries, "x")
    assert card.to_dict() == entries
    assert card.more == {"planes": ["axial"], "license": "CC0"}


@pytest.mark.parametrize("entries", [{"image_size": "big"}, {"image_size": True}, {"parents": 3}, {"name": None}])
def test_an_unusable_card_is_refused_by_entry(tmp_path, entries):
    torch.save({"model": random_weights(), "card": {**CARD.to_dict(), **entries}}, tmp_path / "x.pt")
    assert f"unusable entry {next(iter(entries))!r}" in refusal(tmp_path / "x.pt")


def test_a_card_without_image_size_is_refused(tmp_path):
    entries = CARD.to_dict()
    del entries["image_size"]
    torch.save({"model": random_weights(), "card": entries}, tmp_path / "x.pt")
    assert "has no entry 'image_size'" in refusal(tmp_path / "x.pt")


def test_the_weights_win_over_a_card_that_says_something_else(tmp_path):
    save_checkpoint(tmp_path / "x.pt", random_weights(), Card("sam2.1", "t", 96))
    assert load_network(tmp_path / "x.pt")[1].family == "starter"


def test_a_half_precision_file_is_half_as_large(tmp_path):
    weights = random_weights()
    save_checkpoint(tmp_path / "a.pt", weights, CARD)
    save_checkpoint(tmp_path / "b.pt", weights, CARD, torch.float16)
    tensors = sum(tensor.nbytes for tensor in weights.values())
    assert (tmp_path / "a.pt").stat().st_size - (tmp_path / "b.pt").stat().st_size == pytest.approx(
        tensors / 2, rel=0.1
    )
    network, _ = load_network(tmp_path / "b.pt")
    assert torch.equal(network.no_obj_ptr, weights["no_obj_ptr"].half().float())


def test_equal_weights_make_equal_files(tmp_path):
    for name in ("a.pt", "b.pt"):
        save_checkpoint(tmp_path / name, random_weights(), CARD)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


def test_a_file_that_cannot_be_completed_leaves_the_old_one(tmp_path):
    path = tmp_path / "mine.pt"
    save_checkpoint(path, random_weights(), CARD)
    before = path.read_bytes()
    with files_end_at(len(before) // 2), pytest.raises(InputError, match=r"Cannot write .*File too large"):
        save_checkpoint(path, random_weights(), CARD)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("recipe", [{"a": object()}, {"a": float("nan")}, {1: 2}])
def test_a_card_that_could_not_be_read_again_is_not_written(tmp_path, recipe):
    with pytest.raises(CheckpointError, match="The card in"):
        save_checkpoint(tmp_path / "x.pt", random_weights(), Card("starter", "conv", 96, recipe=recipe))
    assert list(tmp_path.iterdir()) == []


def test_sam_2_1_seeds_a_short_memory_for_fine_tuning():
    config = NetworkConfig("sam2.1", "t", 256)
    weights = random_weights(config)
    seeded = seed_slm_from_sam21(weights)
    assert {name: tuple(t.shape) for name, t in seeded.items()} == expected_shapes(NetworkConfig("slm-sam2", "t", 256))
    network = build_network(NetworkConfig("slm-sam2", "t", 256), seeded)
    long, short = network.memory_attention.state_dict(), network.recent_memory_attention.state_dict()
    assert all(torch.equal(long[name], short[name]) for name in long)
    assert all(long[name].data_ptr() != short[name].data_ptr() for name in long)  # or training one would train both
    assert all(torch.equal(seeded[name], weights[name]) for name in weights)
    features = torch.rand(1, 256, 8, 8)
    assert torch.allclose(network.recent_memory_fuser(features), features, atol=1e-4)  # layer scale 1e-6
