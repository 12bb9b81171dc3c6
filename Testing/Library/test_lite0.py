"""The pretrained trunk beside the starter's own: published weights, and a start from what the starter said before."""

import hashlib
import zipfile
from dataclasses import replace

import pytest
import torch
from small_models import SMALL, random_weights
from torch import nn
from torch.nn import functional

from SegmentPropagateLib.errors import CheckpointError
from SegmentPropagateLib.models import registry
from SegmentPropagateLib.networks.build import build_network
from SegmentPropagateLib.networks.checkpoints import inspect_checkpoint
from SegmentPropagateLib.networks.lite0 import ROWS, Lite0
from SegmentPropagateLib.training.starter import batches, pretrained, run, targets
from SegmentPropagateLib.training.starter.batches import Stage, StarterSettings
from SegmentPropagateLib.training.starter.pretrained import lite0_weights, with_lite0
from SegmentPropagateLib.training.starter.run import StarterRun

BESIDE = replace(SMALL, variant="conv+lite0")


def published(generator):
    """Random weights by the published names, among them some of later layers."""
    state = {"_fc.bias": torch.zeros(1000)}

    def layer(convolution, norm, shape):
        state[f"{convolution}.weight"] = torch.randn(shape, generator=generator) * (2 / shape[1:].numel()) ** 0.5
        for name in ("weight", "bias", "running_mean", "running_var"):
            state[f"{norm}.{name}"] = 0.5 + torch.rand(shape[0], generator=generator)

    layer("_conv_stem", "_bn0", torch.Size([32, 3, 3, 3]))
    number = 0
    for row in ROWS:
        for before in (row.before, *(row.blocks - 1) * [row.width]):
            name, inner = f"_blocks.{number}", before * row.expansion
            if row.expansion > 1:
                layer(f"{name}._expand_conv", f"{name}._bn0", torch.Size([inner, before, 1, 1]))
            layer(f"{name}._depthwise_conv", f"{name}._bn1", torch.Size([inner, 1, row.kernel, row.kernel]))
            layer(f"{name}._project_conv", f"{name}._bn2", torch.Size([row.width, inner, 1, 1]))
            number += 1
    return state


def as_published(state, image):
    """Feature maps of strides 2, 4, 8 and 16, with batch normalization as it was trained."""

    def layer(x, convolution, norm, stride=1):
        weight = state[f"{convolution}.weight"]
        groups = len(weight) if weight.shape[1] == 1 else 1
        x = functional.conv2d(x, weight, None, stride, weight.shape[-1] // 2, groups=groups)
        mean, variance, scale, shift = (
            state[f"{norm}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")
        )
        return functional.batch_norm(x, mean, variance, scale, shift, eps=1e-3)

    x, maps, number = functional.relu6(layer(image, "_conv_stem", "_bn0", 2)), {}, 0
    for row in ROWS:
        for place in range(row.blocks):
            name, y = f"_blocks.{number}", x
            if row.expansion > 1:
                y = functional.relu6(layer(y, f"{name}._expand_conv", f"{name}._bn0"))
            y = functional.relu6(layer(y, f"{name}._depthwise_conv", f"{name}._bn1", 1 if place else row.stride))
            y = layer(y, f"{name}._project_conv", f"{name}._bn2")
            x, number = (x + y if place else y), number + 1
        maps[image.shape[-1] // x.shape[-1]] = x
    return list(maps.values())


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A file that stands for the published one, which is not needed here."""
    path = tmp_path / pretrained.SOURCE
    torch.save(published(torch.Generator().manual_seed(5)), path)
    monkeypatch.setattr(pretrained, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    return path


@pytest.fixture
def image():
    return torch.rand((2, 3, 96, 96), generator=torch.Generator().manual_seed(2)) * 2 - 1


def maps_of(network, image):
    with torch.inference_mode():
        return network.forward_image(image)["backbone_fpn"]


def test_published_weights_give_the_features_that_they_were_trained_to_give(weights, image):
    trunk = Lite0().eval()
    trunk.load_state_dict(lite0_weights(weights), strict=True)
    with torch.inference_mode():
        found, wanted = trunk(image), as_published(torch.load(weights, weights_only=True), image)
    assert [tuple(map_.shape[1:]) for map_ in found] == [(16, 48, 48), (24, 24, 24), (40, 12, 12), (112, 6, 6)]
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3 * float(other.std()))


def test_the_wheel_will_do_in_place_of_the_file_within(weights, tmp_path):
    wheel = tmp_path / "some.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(weights, f"package/models/{pretrained.SOURCE}")
    inside, outside = lite0_weights(wheel), lite0_weights(weights)
    assert all(torch.equal(inside[name], outside[name]) for name in outside)


@pytest.mark.parametrize("content", [None, b"something else"])
def test_other_weights_are_refused_in_a_sentence(content, tmp_path):
    path = tmp_path / "other.pth"
    if content:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"other\.pth (cannot be read|holds other weights).*wheel"):
        lite0_weights(path)


def test_a_starter_that_gains_the_trunk_says_exactly_what_it_said_before(weights, image):
    before = build_network(SMALL, random_weights())
    after = with_lite0(before, BESIDE, weights)
    for one, other in zip(maps_of(before, image), maps_of(after, image), strict=True):
        assert torch.equal(one, other)


def test_the_trunk_is_heard_at_every_stride_once_its_projections_are_trained(weights, image):
    network = with_lite0(build_network(SMALL, random_weights()), BESIDE, weights)
    plain = network.image_encoder.trunk(image)
    for projection in network.image_encoder.trunk.join:
        nn.init.constant_(projection.weight, 0.1)
    assert not any(torch.equal(*pair) for pair in zip(plain, network.image_encoder.trunk(image), strict=True))


def test_training_changes_all_but_the_published_weights(weights, tmp_path, monkeypatch):
    monkeypatch.setattr(targets, "VOLUME_SHAPES", ((16, 48, 48),))
    monkeypatch.setattr(batches, "POOL", 2)
    monkeypatch.setattr(run, "measure", lambda *arguments: {"dsc": 0.5})
    settings = StarterSettings(steps=1, rate=1e-3, stages=(Stage(1.0, 2, 1, 0.0),))
    training = StarterRun(
        settings, tmp_path / "new.pt", registry.bundled_folder() / "starter.pt", torch.device("cpu"), weights
    )
    training.go(100, measure_every=100)
    stored = torch.load(tmp_path / "new.state.pt", weights_only=True)["trainer"]["network"]
    card = inspect_checkpoint(tmp_path / "new.pt").card
    wanted = lite0_weights(weights)
    assert all(torch.equal(stored[pretrained.LITE0 + name], wanted[name]) for name in wanted)
    assert all(stored[f"image_encoder.trunk.join.{stage}.weight"].any() for stage in range(4))
    assert (card.variant, len(card.parents[pretrained.SOURCE])) == ("conv+lite0", 64)
    assert "Apache-2.0" in card.recipe["trunk"]
