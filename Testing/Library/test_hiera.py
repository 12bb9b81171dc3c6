"""The image encoder against the one of `sam2`."""

import pytest
import torch

from SegmentPropagateLib.hiera import HieraEncoder
from SegmentPropagateLib.network import build_network
from SegmentPropagateLib.network_config import NetworkConfig


@pytest.mark.parametrize(
    ("variant", "size"),
    [
        ("t", 256),  # windows reach beyond the map in two stages
        ("t", 224),  # and do so nowhere
        ("s", 96),
        ("b+", 160),  # two heads
        pytest.param("l", 192, marks=pytest.mark.slow),
        pytest.param("t", 1024, marks=pytest.mark.slow),
    ],
)
def test_features_are_those_of_sam2_whatever_the_trunk_and_size(variant, size):
    torch.manual_seed(1)
    network = build_network(NetworkConfig("sam2.1", variant, size))
    image = torch.randn(1, 3, size, size)
    with torch.inference_mode():
        fine0, fine1, tokens = HieraEncoder(network, torch.float32)(image)
        expected = network.forward_image(image)["backbone_fpn"]
    for found, wanted in zip((fine0, fine1, tokens.transpose(1, 2).view_as(expected[2])), expected, strict=True):
        assert (found - wanted).abs().max() <= 1e-5 * wanted.abs().max()
