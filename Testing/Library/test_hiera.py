"""The quick image encoder gives what the encoder of `sam2` gives."""

from types import SimpleNamespace

import pytest
import torch
from sam2.modeling.backbones.hieradet import Hiera
from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
from sam2.modeling.position_encoding import PositionEmbeddingSine
from torch import nn

from SegmentPropagateLib.networks.build import build_network
from SegmentPropagateLib.networks.families import NetworkConfig
from SegmentPropagateLib.propagators.tracking import hiera
from SegmentPropagateLib.propagators.tracking.hiera import HieraEncoder, Layout


def small_network(size, heads=1, windows=(8, 4, 14, 7)):
    """An image encoder with all that those of SAM 2 have, but narrow, and its part of the mask decoder."""
    torch.manual_seed(0)
    trunk = Hiera(16, heads, stages=(1, 2, 4, 2), global_att_blocks=(5,), window_spec=windows)
    neck = FpnNeck(
        PositionEmbeddingSine(32), 32, trunk.channel_list, fpn_top_down_levels=[2, 3], fpn_interp_model="nearest"
    )
    encoder = ImageEncoder(trunk, neck, scalp=1)
    fine = nn.ModuleList([nn.Conv2d(32, 4, 1), nn.Conv2d(32, 8, 1)])
    for parameter in (*encoder.parameters(), *fine.parameters()):  # as if trained: biases, norms and tables matter
        parameter.requires_grad_(False).add_(torch.randn_like(parameter), alpha=0.3)

    def forward_image(image):
        maps = encoder(image)["backbone_fpn"]
        return {"backbone_fpn": [fine[0](maps[0]), fine[1](maps[1]), maps[2]]}

    return SimpleNamespace(
        image_encoder=encoder,
        sam_mask_decoder=SimpleNamespace(conv_s0=fine[0], conv_s1=fine[1]),
        image_size=size,
        forward_image=forward_image,
    )


@torch.inference_mode()
def relative_errors(network, dtype=torch.float32):
    """Largest difference over largest value, for the two fine maps and the tokens."""
    image = torch.randn(1, 3, network.image_size, network.image_size)
    fine0, fine1, top = network.forward_image(image)["backbone_fpn"]
    theirs = (fine0, fine1, top.flatten(2).transpose(1, 2))
    ours = HieraEncoder(network, dtype)(image)
    assert [x.shape for x in ours] == [x.shape for x in theirs]
    return [float((a.float() - b).abs().max() / b.abs().max()) for a, b in zip(ours, theirs, strict=True)]


# 64: windows larger than the map; 96: an odd last stage; 224: windows that fit; 256: windows of four sizes.
@pytest.mark.parametrize("size", [64, 96, 224, 256])
@pytest.mark.parametrize(("heads", "windows"), [(1, (8, 4, 14, 7)), (2, (8, 4, 16, 8))])
def test_the_quick_encoder_equals_that_of_sam2(size, heads, windows):
    assert max(relative_errors(small_network(size, heads, windows))) < 1e-5


@pytest.mark.parametrize(
    ("variant", "size"),
    [
        ("t", 96),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in (("s", 96), ("b+", 160), ("l", 192), ("t", 1024))),
    ],
)
def test_the_quick_encoder_equals_that_of_sam2_in_full_size(variant, size):
    torch.manual_seed(0)
    assert max(relative_errors(build_network(NetworkConfig("sam2.1", variant, size)))) < 1e-5


def test_a_few_windows_at_a_time_give_the_same(monkeypatch):
    monkeypatch.setattr(hiera, "PART", 200)  # 576 tokens in windows of 64
    assert max(relative_errors(small_network(96))) < 1e-5


def test_padding_is_part_of_the_result(monkeypatch):
    monkeypatch.setattr(hiera, "log", lambda padding: -100.0)  # as if windows were not padded
    assert max(relative_errors(small_network(96))) > 1e-3


def test_bf16_stays_close():
    assert max(relative_errors(small_network(64), torch.bfloat16)) < 0.05


def test_float32_shares_the_weights_of_the_network():
    network, image = small_network(64), torch.randn(1, 3, 64, 64)
    encoder = HieraEncoder(network, torch.float32)
    before = encoder(image)
    network.image_encoder.trunk.blocks[5].attn.qkv.weight.mul_(2)
    assert not torch.equal(encoder(image)[2], before[2])


def test_a_layout_keeps_windows_and_cells_together():
    layout = Layout.of(side=6, window=4)
    assert sorted(layout.order.tolist()) == list(range(36))
    assert [(run.windows, run.tokens, run.padding) for run in layout.runs] == [(1, 16, 0), (2, 8, 8), (1, 4, 12)]
    assert layout.order[:8].tolist() == [0, 1, 6, 7, 2, 3, 8, 9]
    pooled = layout.pooled()
    assert pooled.order.tolist() == [0, 1, 3, 4, 2, 5, 6, 7, 8]
    assert [(run.windows, run.tokens, run.padding) for run in pooled.runs] == [(1, 4, 0), (2, 2, 2), (1, 1, 3)]
    assert layout.order[layout.inverse()].tolist() == list(range(36))
