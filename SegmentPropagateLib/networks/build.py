"""The networks, built in code from `sam2` modules: SAM 2, SAM 2.1, MedSAM2, SLM-SAM 2 and the small starter network.

State-dict keys are exactly those of the released files. `sam2` and `starter` beside this file know the architectures,
`families` what else tells them apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from sam2.modeling.sam.transformer import RoPEAttention
from torch import Tensor
from torch.overrides import TorchFunctionMode

from SegmentPropagateLib.networks.families import NetworkConfig
from SegmentPropagateLib.networks.mask_attention import add_mask_attention
from SegmentPropagateLib.networks.prompt_grays import NAME, PromptGrays
from SegmentPropagateLib.networks.sam2 import Network, sam2_network, sam21_network, slm_sam2_network
from SegmentPropagateLib.networks.starter import starter_network

BUILDERS: Mapping[str, Callable[[NetworkConfig], Network]] = {
    "sam2": sam2_network,
    "sam2.1": sam21_network,
    "slm-sam2": slm_sam2_network,
    "starter": starter_network,
}
"""Family -> what assembles its network with random weights."""


def build_network(config: NetworkConfig, state_dict: Mapping[str, Tensor] | None = None) -> Network:
    """Build a network on the CPU in evaluation mode, without gradients.

    Args:
        config: which network.
        state_dict: float32 weights with exactly the network's keys; they become the network's own tensors and are
            not copied. None draws random weights, for training from scratch.
    """
    return _ready(_assembled(config)) if state_dict is None else fill_network(unfilled_network(config), state_dict)


def unfilled_network(config: NetworkConfig) -> Network:
    """A network whose parameters have names and shapes and take no memory: for `shapes_of` and `fill_network`."""
    with _Unfilled():
        return _assembled(config)


def fill_network(network: Network, state_dict: Mapping[str, Tensor]) -> Network:
    """Give an unfilled network its weights, as `build_network` does; it is returned."""
    network.load_state_dict(state_dict, strict=True, assign=True)
    return _ready(network)


def _ready(network: Network) -> Network:
    _share_rotations(network)
    return network.eval().requires_grad_(False)


def _assembled(config: NetworkConfig) -> Network:
    network = BUILDERS[config.family](config)
    if config.mask_attention:
        add_mask_attention(network)
    if config.prompt_grays:
        setattr(network, NAME, PromptGrays(config.prompt_grays))
    return network


def _share_rotations(network: Network) -> None:
    """Let all memory attention layers use one table: at 1024 pixels each of their 16 tables takes 4 MB."""
    layers = [module for module in network.modules() if isinstance(module, RoPEAttention)]
    for layer in layers:
        layer.freqs_cis = layers[0].freqs_cis


def expected_shapes(config: NetworkConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors in the state dict of a network that is not needed itself."""
    return shapes_of(unfilled_network(config))


def shapes_of(network: Network) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors in a network's state dict."""
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


class _Unfilled(TorchFunctionMode):
    """Builds modules whose parameters take neither memory nor time, to be replaced by those of a state dict.

    `torch.device("meta")` would do so for every tensor, but Hiera reads some values while it is built.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        kwargs = kwargs or {}
        if func is torch.empty:  # what torch.nn makes parameters from
            return func(*args, **{**kwargs, "device": "meta"})
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)
