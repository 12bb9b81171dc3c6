"""Delta files: of a fine-tuned model only what differs from the file that it was made from, its base."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from SegmentPropagateLib.errors import CheckpointError
from SegmentPropagateLib.files import file_sha256
from SegmentPropagateLib.networks.adapters.lora import MARK, lora_parts, with_lora
from SegmentPropagateLib.networks.card import Card

_COMPUTED = ".parametrizations."


def base_of(path: Path) -> dict[str, str]:
    """What a card says of its base."""
    return {"name": path.name, "sha256": file_sha256(path)}


def differences(network: nn.Module, base: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a network that its base lacks or has with other numbers, low-rank products as their factors."""
    state = {
        name.replace(f"{_COMPUTED}weight.original", ".weight"): tensor
        for name, tensor in network.state_dict().items()
        if _COMPUTED not in name or name.endswith(".original")
    }
    changed = {
        name: tensor for name, tensor in state.items() if name not in base or not torch.equal(tensor.cpu(), base[name])
    }
    return {**changed, **lora_parts(network)}


def completed(delta: Mapping[str, Tensor], base: Mapping[str, Tensor], origin: str) -> dict[str, Tensor]:
    """The weights of the whole network; what is not in the delta is the base's own, bit for bit.

    Raises:
        CheckpointError: low-rank products are not whole or do not fit.
    """
    parts = {name: tensor for name, tensor in delta.items() if MARK in name}
    state = {**base, **{name: tensor for name, tensor in delta.items() if name not in parts}}
    try:
        return with_lora(state, parts)
    except ValueError as reason:
        raise CheckpointError(f"{origin} cannot be used, as {reason}: get the file again.") from reason


def find_base(card: Card, path: Path, folders: Iterable[Path]) -> Path:
    """The file that a delta was made from, told by its name and digest.

    Args:
        card: of the delta.
        path: of the delta; its folder is looked at first.
        folders: where else to look.

    Raises:
        CheckpointError: it is not there; the message says which file is needed.
    """
    name, sha256 = card.base.get("name", ""), card.base.get("sha256", "")
    for folder in (path.parent, *folders):
        candidate = folder / Path(name).name  # a name from a file leads nowhere else
        if name and candidate.is_file() and file_sha256(candidate) == sha256:
            return candidate
    raise CheckpointError(
        f"{path} holds only what differs from the model '{name}' (SHA-256 {sha256}), which is not at hand: put that "
        "file beside it."
    )
