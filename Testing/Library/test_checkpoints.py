"""Model files: recognized, checked by name, loaded, saved; anything else is refused in one sentence."""

import contextlib
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from small_models import CARD, random_weights, refusal, write_safetensors

from SegmentPropagateLib.errors import CheckpointError, InputError
from SegmentPropagateLib.models import registry
from SegmentPropagateLib.networks.build import build_network, expected_shapes
from SegmentPropagateLib.networks.card import Card
from SegmentPropagateLib.networks.checkpoints import (
    inspect_checkpoint,
    load_network,
    save_checkpoint,
    seed_slm_from_sam21,
)
from SegmentPropagateLib.networks.families import NetworkConfig
from SegmentPropagateLib.networks.safe_load import read_weights

SHARED = Path(__file__).resolve().parents[3] / "shared"
PROTOTYPE = SHARED / "examples" / "starter" / "prototype_fp16.pt"


def constant_weights(family, variant="t"):
    """A full state dict that takes four bytes per tensor, in memory and on disk."""
    return {
        name: torch.tensor(0.01).expand(shape)
        for name, shape in expected_shapes(NetworkConfig(family, variant)).items()
    }


@pytest.fixture
def saved(tmp_path):
    """Save something as a model file and return its path."""

    def save(content, name="model.pt", **options):
        torch.save(content, tmp_path / name, **options)
        return tmp_path / name

    return save


# What is taken


@pytest.mark.parametrize("family", ["sam2", "sam2.1", "slm-sam2"])
def test_a_released_file_is_recognized(saved, family):
    summary = inspect_checkpoint(saved({"model": constant_weights(family)}))
    assert (summary.config.family, summary.config.variant, summary.config.image_size) == (family, "t", 1024)
    assert summary.problems == ()
    assert not summary.has_card


def test_a_plain_sam_2_1_file_runs_as_sam_2_1_and_not_as_slm(saved):
    network, card = load_network(saved({"model": constant_weights("sam2.1")}), image_size=256)
    assert card.family == "sam2.1"
    assert not hasattr(network, "recent_memory_attention")


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("MedSAM2_latest.pt", 512),
        ("medsam2_mine.pt", 512),
        ("sam2.1_hiera_t512.pt", 512),
        ("tiny_512.pt", 512),
        ("sam2.1_hiera_tiny.pt", 1024),
        ("run5120.pt", 1024),
    ],
)
def test_the_image_size_may_come_from_the_file_name(saved, name, size):
    summary = inspect_checkpoint(saved(constant_weights("sam2.1"), name))
    assert summary.config.image_size == summary.card.image_size == size
    assert summary.image_size_from == ("file name" if size == 512 else "default")


def test_the_user_s_image_size_goes_before_the_file_name(saved):
    summary = inspect_checkpoint(saved(constant_weights("sam2.1"), "MedSAM2.pt"), image_size=768)
    assert (summary.config.image_size, summary.image_size_from) == (768, "user")


def test_the_card_s_image_size_goes_before_the_file_name(tmp_path):
    save_checkpoint(tmp_path / "x_512.pt", random_weights(), Card("starter", "conv", 96))
    summary = inspect_checkpoint(tmp_path / "x_512.pt")
    assert (summary.config.image_size, summary.image_size_from) == (96, "card")


def test_a_starter_without_a_card_sees_what_the_bundled_one_sees(saved):
    path = saved(random_weights(), "starter_512.pt")
    summary = inspect_checkpoint(path)
    bundled = inspect_checkpoint(registry.REGISTRY["starter"].path).config
    assert (summary.config.image_size, summary.image_size_from) == (bundled.image_size, "default")
    assert (summary.card.image_size, summary.card.roi) == (bundled.image_size, "auto")


def test_an_impossible_image_size_is_refused(saved):
    path = saved(random_weights())
    with pytest.raises(InputError, match="multiple of 32"):
        load_network(path, image_size=100)
    with pytest.raises(InputError, match="multiple of 32"):
        load_network(path, image_size=0)


@pytest.mark.parametrize("wrap", ["bare", "model", "training", "parallel", "legacy"])
def test_every_usual_way_of_saving_is_read(saved, wrap):
    weights = random_weights()
    content, options = weights, {}
    if wrap == "model":
        content = {"model": weights}
    elif wrap == "training":
        weight = torch.nn.Parameter(torch.rand(3))
        optimizer = torch.optim.AdamW([weight])
        weight.sum().backward()
        optimizer.step()
        content = {
            "model": weights,
            "optimizer": optimizer.state_dict(),
            "epoch": 100,
            "loss": {"core": 0.5},
            "steps": {"train": 500, "val": 0},
            "time_elapsed": 12.5,
            "best_meter_values": {},
            "scaler": {"scale": 65536.0},
        }
    elif wrap == "parallel":
        content = {"model": {"module." + name: tensor for name, tensor in weights.items()}}
    elif wrap == "legacy":
        options = {"_use_new_zipfile_serialization": False}
    network, _ = load_network(saved(content, **options), image_size=96)
    own = network.state_dict()
    assert own.keys() == weights.keys()
    assert all(torch.equal(own[name], weights[name]) for name in weights)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_files_become_float32_networks(saved, dtype):
    weights = {name: tensor.to(dtype) for name, tensor in random_weights().items()}
    path = saved({"model": weights})
    network, _ = load_network(path, image_size=96)
    own = network.state_dict()
    assert all(torch.equal(own[name], weights[name].float()) for name in weights)
    assert {tensor.dtype for tensor in own.values()} == {torch.float32}
    assert inspect_checkpoint(path).dtypes == (str(dtype).removeprefix("torch."),)


def test_the_dead_parameter_of_slm_may_be_there_or_not(saved):
    weights = constant_weights("slm-sam2")
    assert inspect_checkpoint(saved({"model": weights})).problems == ()
    del weights["rec_maskmem_tpos_enc"]
    network, _ = load_network(saved({"model": weights}), image_size=256)
    assert network.rec_maskmem_tpos_enc.shape == (7, 1, 1, 64)
    assert not network.rec_maskmem_tpos_enc.any()


def test_a_loaded_network_does_not_depend_on_its_file(saved):
    weights = random_weights()
    path = saved(weights)
    network, _ = load_network(path, image_size=96)
    with path.open("r+b") as file:
        file.write(b"\0" * path.stat().st_size)
    assert all(torch.equal(network.state_dict()[name], weights[name]) for name in weights)


@pytest.mark.skipif(not PROTOTYPE.is_file(), reason="the folder of examples is absent")
def test_the_prototype_of_the_starter_loads():
    assert inspect_checkpoint(PROTOTYPE).parameters == 1_766_450
    network, card = load_network(PROTOTYPE, image_size=128)
    assert (card.family, card.variant, card.image_size, card.roi) == ("starter", "conv", 128, "auto")
    assert torch.isfinite(network.image_encoder(torch.zeros(1, 3, 128, 128))["vision_features"]).all()


# What is wrong is named


def test_missing_unexpected_and_misshaped_tensors_are_named(saved):
    weights = random_weights()
    del weights["obj_ptr_tpos_proj.bias"]
    weights["extra.weight"] = torch.zeros(3)
    weights["no_obj_ptr"] = torch.zeros(1, 33)
    path = saved(weights)
    summary = inspect_checkpoint(path)
    assert summary.missing == ("obj_ptr_tpos_proj.bias",)
    assert summary.unexpected == ("extra.weight",)
    assert summary.misshaped == ("no_obj_ptr [1, 33] instead of [1, 32]",)
    with pytest.raises(CheckpointError) as caught:
        load_network(path)
    for part in ("1 missing (obj_ptr_tpos_proj.bias)", "1 unexpected (extra.weight)", "no_obj_ptr [1, 33] instead"):
        assert part in str(caught.value)


def test_of_many_missing_tensors_the_first_are_named_and_the_rest_counted(saved):
    weights = {name: t for name, t in constant_weights("sam2.1").items() if not name.startswith("memory_attention.")}
    with pytest.raises(
        CheckpointError, match=r"106 missing \((memory_attention\S+, ){4}memory_attention\S+ and 101 more\)"
    ):
        load_network(saved({"model": weights}))


def test_half_an_slm_file_is_not_taken_for_sam_2_1(saved):
    weights = {
        name: tensor
        for name, tensor in constant_weights("slm-sam2").items()
        if not name.startswith("recent_memory_fuser")
    }
    summary = inspect_checkpoint(saved({"model": weights}))
    assert summary.config.family == "slm-sam2"
    assert len(summary.missing) == 18


def test_tensors_that_are_not_finite_are_named(saved):
    weights = random_weights()
    weights["no_obj_ptr"][0, 3] = float("nan")
    weights["no_mem_embed"][0, 0, 1] = float("inf")
    path = saved(weights)
    assert inspect_checkpoint(path).non_finite == ("no_mem_embed", "no_obj_ptr")
    with pytest.raises(CheckpointError, match=r"2 with NaN or infinite values \(no_mem_embed, no_obj_ptr\)"):
        load_network(path)


def test_whole_numbers_in_place_of_weights_are_named(saved):
    weights = random_weights()
    weights["no_obj_ptr"] = weights["no_obj_ptr"].to(torch.int8)
    with pytest.raises(CheckpointError, match=r"no_obj_ptr of torch\.int8"):
        load_network(saved(weights))


# What is refused


def test_a_file_that_would_run_code_is_refused_and_its_code_does_not_run(tmp_path):
    ran = tmp_path / "ran"

    class Hostile:
        def __reduce__(self):
            return (open, (str(ran), "w"))

    content = {"model": {"a": torch.zeros(1), "b": Hostile()}}
    torch.save(content, tmp_path / "zip.pt")
    torch.save(content, tmp_path / "legacy.pt", _use_new_zipfile_serialization=False)
    (tmp_path / "pickle.pt").write_bytes(pickle.dumps(Hostile()))
    for name in ("zip.pt", "legacy.pt", "pickle.pt"):
        assert "asks to run code" in refusal(tmp_path / name)
        assert not ran.exists()


def test_the_trap_of_the_test_above_does_run_when_trusted(tmp_path):
    ran = tmp_path / "ran"

    class Hostile:
        def __reduce__(self):
            return (open, (str(ran), "w"))

    torch.save({"model": Hostile()}, tmp_path / "zip.pt")
    torch.load(tmp_path / "zip.pt", weights_only=False)
    assert ran.exists()


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(saved, legacy, share):
    path = saved({"model": random_weights()}, _use_new_zipfile_serialization=not legacy)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert "damaged" in refusal(path)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_with_changed_bytes_raises_nothing_but_one_sentence(saved, legacy):
    content = {"model": {"a": torch.ones(20), "b": torch.zeros(3, 3)}, "card": {"x": [1, 2.5]}}
    path = saved(content, _use_new_zipfile_serialization=not legacy)
    data = np.frombuffer(path.read_bytes(), np.uint8)
    generator = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        changed = data.copy()
        changed[generator.integers(0, len(data), 3)] = generator.integers(0, 256, 3)
        path.write_bytes(changed.tobytes())
        with contextlib.suppress(CheckpointError):
            read_weights(path)
            refused -= 1
        refused += 1
    assert refused > 100


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
        (lambda path: torch.save({"model": {"a": 1}}, path), "holds a int at 'a'"),
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


def test_a_file_that_cannot_be_completed_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "mine.pt"
    save_checkpoint(path, random_weights(), CARD)
    before = path.read_bytes()

    def disk_full(content, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", disk_full)
    with pytest.raises(InputError, match="No space left"):
        save_checkpoint(path, random_weights(), CARD)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_card_that_is_not_json_is_not_written(tmp_path):
    with pytest.raises(TypeError):
        save_checkpoint(tmp_path / "x.pt", random_weights(), Card("starter", "conv", 96, recipe={"a": object()}))
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
