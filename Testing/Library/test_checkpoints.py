"""Model files: recognized, checked by name, loaded, saved; anything else is refused in one sentence."""

import contextlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from small_models import constant_weights, random_weights, refusal

from SegmentPropagateLib.errors import CheckpointError, InputError
from SegmentPropagateLib.models import registry
from SegmentPropagateLib.networks.card import Card
from SegmentPropagateLib.networks.checkpoints import (
    inspect_checkpoint,
    load_network,
    save_checkpoint,
)
from SegmentPropagateLib.networks.families import find_family
from SegmentPropagateLib.networks.safe_load import read_weights

SHARED = Path(__file__).resolve().parents[3] / "shared"
PROTOTYPE = SHARED / "examples" / "starter" / "prototype_fp16.pt"


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
def test_the_image_size_may_come_from_the_file_name(name, size):
    family = find_family("sam2.1")
    assert (family.image_size_of(name) or family.image_size) == size


def test_a_file_says_where_its_image_size_is_known_from(saved):
    summary = inspect_checkpoint(saved(constant_weights("sam2.1"), "MedSAM2_latest.pt"))
    assert summary.config.image_size == summary.card.image_size == 512
    assert summary.image_size_from == "file name"


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


def test_numbers_that_are_too_large_once_loaded_are_named(saved):
    weights = {name: tensor.double() for name, tensor in random_weights().items()}
    weights["no_obj_ptr"][0, 3] = 1e300
    assert inspect_checkpoint(saved(weights)).non_finite == ("no_obj_ptr",)


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
