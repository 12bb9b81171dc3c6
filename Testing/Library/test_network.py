"""The networks have the tensors, settings and behavior of the released ones."""

import hashlib
import importlib.util
import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import upstream
import yaml

from SegmentPropagateLib.errors import CheckpointError, InputError
from SegmentPropagateLib.networks.build import BUILDERS, build_network, expected_shapes
from SegmentPropagateLib.networks.families import (
    FAMILIES,
    HIERA_TRUNKS,
    NetworkConfig,
    StarterShape,
    find_family,
    recognize,
)
from SegmentPropagateLib.propagators.tracking.appearance import CHOOSERS
from SegmentPropagateLib.training.settings import RECIPES

TESTING = Path(__file__).resolve().parents[1]
SHARED = TESTING.parents[1] / "shared"
REFERENCE = SHARED / "reference"
RELEASED = json.loads((TESTING / "Data" / "state_dicts.json").read_text(encoding="utf-8"))
YAML = Path(importlib.util.find_spec("sam2").origin).parent / "configs"

needs_reference = pytest.mark.skipif(not REFERENCE.is_dir(), reason="the folder of reference outputs is absent")


def config_of(name):
    return NetworkConfig(RELEASED[name]["family"], RELEASED[name]["variant"], 256)


def constant_weights(config):
    """A full state dict that needs four bytes per tensor."""
    return {name: torch.tensor(0.01).expand(shape) for name, shape in expected_shapes(config).items()}


@pytest.fixture(scope="module")
def slm():
    """SLM-SAM 2 tiny at 256 pixels with the weights of the reference outputs."""
    spec = importlib.util.spec_from_file_location("deterministic_weights", REFERENCE / "deterministic_weights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = NetworkConfig("slm-sam2", "t", 256)
    return build_network(config, module.make_state_dict(expected_shapes(config)))


@pytest.mark.parametrize("name", RELEASED)
def test_the_tensors_are_those_of_the_released_file(name):
    shapes = expected_shapes(config_of(name))
    lines = "\n".join(f"{key} {list(shape)}" for key, shape in sorted(shapes.items()))
    assert len(shapes) == RELEASED[name]["tensors"]
    assert sum(math.prod(shape) for shape in shapes.values()) == RELEASED[name]["parameters"]
    assert hashlib.sha256(lines.encode()).hexdigest() == RELEASED[name]["sha256"]


@needs_reference
@pytest.mark.parametrize("name", RELEASED)
def test_a_state_dict_of_the_manifest_loads_strictly(name):
    manifest = json.loads((REFERENCE / f"{name}.manifest.json").read_text(encoding="utf-8"))
    build_network(config_of(name), {key: torch.zeros(1).expand(shape) for key, shape in manifest.items()})


@pytest.mark.parametrize("family", ["sam2", "sam2.1"])
@pytest.mark.parametrize("variant", HIERA_TRUNKS)
def test_the_settings_are_those_of_the_installed_configuration(family, variant):
    released = yaml.safe_load((YAML / family / f"{family}_hiera_{variant}.yaml").read_text(encoding="utf-8"))["model"]
    config = NetworkConfig(family, variant)
    network = build_network(config, constant_weights(config))
    numbers = {key: value for key, value in released.items() if isinstance(value, bool | int | float)}
    del numbers["compile_image_encoder"]
    # SAM2Base keeps a parameter where the configuration has a switch.
    assert (network.no_obj_embed_spatial is not None) == numbers.pop("no_obj_embed_spatial", False)
    assert {key: getattr(network, key) for key in numbers} == numbers
    trunk = released["image_encoder"]["trunk"]
    assert {key: list_of(HIERA_TRUNKS[variant][key]) for key in trunk if key != "_target_"} == {
        key: value for key, value in trunk.items() if key != "_target_"
    }
    layer = released["memory_attention"]["layer"]
    ours = network.memory_attention.layers[0]
    assert len(network.memory_attention.layers) == released["memory_attention"]["num_layers"]
    assert ours.dim_feedforward == layer["dim_feedforward"]
    assert ours.dropout_value == layer["dropout"] == ours.cross_attn_image.dropout_p
    assert ours.pos_enc_at_cross_attn_keys == layer["pos_enc_at_cross_attn_keys"]
    assert ours.cross_attn_image.rope_k_repeat
    assert not ours.self_attn.rope_k_repeat


def list_of(value):
    return list(value) if isinstance(value, tuple) else value


def test_the_predictor_s_post_processing_is_on():
    network = build_network(NetworkConfig("slm-sam2", "t", 256), constant_weights(NetworkConfig("slm-sam2", "t", 256)))
    assert network.binarize_mask_from_pts_for_mem_enc
    decoder = network.sam_mask_decoder
    assert decoder.dynamic_multimask_via_stability
    assert decoder.dynamic_multimask_stability_delta == 0.05
    assert decoder.dynamic_multimask_stability_thresh == 0.98


def test_weights_become_the_network_s_own_without_a_copy_and_without_gradients():
    config = NetworkConfig("starter", "conv", 128)
    weights = {name: torch.rand(shape) for name, shape in expected_shapes(config).items()}
    network = build_network(config, weights)
    assert not network.training
    own = network.state_dict()
    assert all(own[name].data_ptr() == tensor.data_ptr() for name, tensor in weights.items())
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_memory_attention_layers_share_their_rotation_table():
    network = build_network(NetworkConfig("starter", "conv", 128))
    tables = [module.freqs_cis for module in network.modules() if hasattr(module, "freqs_cis")]
    assert len(tables) == 4
    assert len({table.data_ptr() for table in tables}) == 1
    assert tables[0].shape == (256, 48)


def test_a_network_without_weights_starts_from_random_ones():
    torch.manual_seed(1)
    network = build_network(NetworkConfig("starter", "conv", 128))
    weight = network.memory_attention.layers[0].linear1.weight
    assert 0.01 < weight.std() < 1
    assert not torch.equal(weight, network.recent_memory_attention.layers[0].linear1.weight)


def test_random_initialization_is_as_before_once_a_network_was_built_from_weights():
    config = NetworkConfig("starter", "conv", 128)
    build_network(config, constant_weights(config))
    assert torch.nn.Linear(64, 64).weight.std() > 0.01


def test_cross_attention_of_a_fresh_starter_looks_at_the_same_place():
    network = build_network(NetworkConfig("starter", "conv", 128))
    attention = network.memory_attention.layers[0].cross_attn_image
    bias = torch.view_as_complex(attention.q_proj.bias.reshape(-1, 2))
    turned = bias * attention.freqs_cis  # (tokens, pairs): queries and keys of equal content, by place
    score = (turned[:, None] * turned[None].conj()).real.sum(-1)
    assert torch.equal(score.argmax(1), torch.arange(256))


@pytest.fixture(scope="module")
def encoded(slm):
    """Slices 6, 7 and 8 of the reference volume as `track_step` wants them."""
    volume = np.load(REFERENCE / "synthetic_volume.npz")["volume"]
    with torch.inference_mode():
        return {
            index: slm._prepare_backbone_features(slm.forward_image(as_input(volume[index])))[1:] for index in (6, 7, 8)
        }


@needs_reference
@pytest.mark.parametrize("short_slices", [1, 7])
def test_tracking_reads_the_long_and_the_short_memory_as_released(slm, encoded, short_slices):
    golden = np.load(REFERENCE / f"slm_sam2_golden_256_mask_recent{short_slices}.npz")["video_logits"]
    mask = np.load(REFERENCE / "synthetic_volume.npz")["mask"]
    for index, ours in track_two_slices(upstream.reading_both(slm, short_slices), encoded, mask).items():
        assert np.abs(ours - golden[index]).max() <= 1e-2


@torch.inference_mode()
def track_two_slices(network, encoded, mask):
    """Mask prompt on slice 6; logits of slices 7 and 8, of the mask's size."""
    outputs = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}
    logits = {}
    for index, (features, positions, sizes) in encoded.items():
        prompt = torch.from_numpy(mask > 0).float()[None, None]
        prompt = torch.nn.functional.interpolate(prompt, (256, 256), mode="bilinear", antialias=True) >= 0.5
        is_key = index == 6
        out = network.track_step(
            index, is_key, features, positions, sizes, None, prompt.float() if is_key else None, outputs, 12
        )
        if is_key:  # the released predictor encodes its prompts once more, from the small mask
            large = torch.nn.functional.interpolate(out["pred_masks"], (256, 256), mode="bilinear")
            score = out["object_score_logits"]
            out["maskmem_features"], _ = network._encode_new_memory(
                features, sizes, large, score, is_mask_from_pts=True
            )
        else:
            low = torch.nn.functional.interpolate(out["pred_masks"], mask.shape, mode="bilinear")
            logits[index] = low[0, 0].numpy()
        out["maskmem_features"] = out["maskmem_features"].to(torch.bfloat16)  # as the predictor keeps them
        outputs["cond_frame_outputs" if is_key else "non_cond_frame_outputs"][index] = out
    return logits


def as_input(gray):
    from PIL import Image

    pixels = np.asarray(Image.fromarray(gray).convert("RGB").resize((256, 256)), dtype=np.float32) / 255
    pixels = (pixels - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    return torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]


@pytest.mark.parametrize("family", ["sam2", "sam2.1", "slm-sam2"])
@pytest.mark.parametrize("variant", HIERA_TRUNKS)
def test_family_and_size_are_read_from_names_and_shapes(family, variant):
    config = NetworkConfig(family, variant, 512)
    assert recognize(expected_shapes(config), 512, "x.pt") == config


@pytest.mark.parametrize("variant", FAMILIES["starter"].variants)
def test_the_sizes_of_a_starter_are_read_from_its_shapes(variant):
    shape = StarterShape((16, 24, 32, 40), (0, 1, 1, 3), 64, 16, 2, 96, 128, 48)
    config = NetworkConfig("starter", variant, 192, shape)
    assert recognize(expected_shapes(config), 192, "x.pt") == config


def test_a_forged_layer_number_asks_for_no_giant_network():
    shapes = dict(expected_shapes(NetworkConfig("starter", "conv", 128)))
    shapes["memory_attention.layers.999999999.x"] = (1,)
    assert recognize(shapes, 128, "x.pt").starter.attention_layers <= len(shapes)


def test_an_unknown_trunk_size_is_refused_in_one_sentence():
    shapes = {
        name: tuple(100 if size == 96 and "trunk" in name else size for size in shape)
        for name, shape in expected_shapes(NetworkConfig("sam2.1", "t")).items()
    }
    with pytest.raises(CheckpointError, match=r"^x\.pt has an image encoder of width 100 with 12 blocks, .*file\.$"):
        recognize(shapes, 512, "x.pt")


def test_an_image_size_that_does_not_fit_the_windows_is_refused():
    with pytest.raises(InputError, match="multiple of 32"):
        NetworkConfig("sam2.1", "t", 500)


def test_every_family_is_built_and_every_name_in_its_record_leads_somewhere():
    assert BUILDERS.keys() == FAMILIES.keys()
    for family in FAMILIES.values():
        assert family.appearance in CHOOSERS
        assert {family.recipe, *family.named_recipes.values()} <= RECIPES.keys()
        assert not family.with_short_memory or family.with_short_memory in FAMILIES


def test_an_unknown_family_is_refused_with_those_there_are():
    with pytest.raises(InputError, match="no family of networks 'sam3'") as caught:
        find_family("sam3")
    assert str(caught.value).endswith(f": there are {', '.join(FAMILIES)}.")
    assert "slm-sam2" in FAMILIES


@pytest.mark.parametrize(("family", "variant"), [("sam3", "t"), ("sam2.1", "xl"), ("starter", "t"), ("sam2", "conv")])
def test_an_unknown_network_is_refused(family, variant):
    with pytest.raises(InputError, match="no network"):
        NetworkConfig(family, variant)


def test_the_starter_is_small_and_gives_one_mask():
    config = NetworkConfig("starter", "conv", 128)
    assert sum(math.prod(shape) for shape in expected_shapes(config).values()) < 2_000_000
    network = build_network(config)
    assert not network.multimask_output_in_sam
    assert not network.sam_mask_decoder.dynamic_multimask_via_stability
    assert replace(config, image_size=192).starter == StarterShape()


def test_no_network_needs_torchvision():
    code = (
        "import sys; sys.modules['torchvision'] = None\n"
        "from SegmentPropagateLib.networks.build import build_network, NetworkConfig\n"
        "build_network(NetworkConfig('starter', 'conv', 128))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=TESTING.parent)
