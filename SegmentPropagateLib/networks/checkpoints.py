"""Model files: what is in one, whether it is complete, loading it as a network, and writing one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from SegmentPropagateLib.errors import CheckpointError
from SegmentPropagateLib.files import Outputs, file_sha256, writing
from SegmentPropagateLib.networks.adapters.delta import completed, find_base
from SegmentPropagateLib.networks.build import fill_network, shapes_of, unfilled_network
from SegmentPropagateLib.networks.card import Card
from SegmentPropagateLib.networks.families import FAMILIES, Family, NetworkConfig, prefix_of, recognize, refuse_foreign
from SegmentPropagateLib.networks.fit import Fit, fit_of
from SegmentPropagateLib.networks.safe_load import read_weights
from SegmentPropagateLib.networks.sam2 import Network, new_fuser


@dataclass(frozen=True)
class CheckpointSummary(Fit):
    """What `inspect_checkpoint` found in a model file, beside how it fits the network.

    Args:
        path: the file.
        sha256: of the whole file.
        config: the network that its tensors belong to.
        image_size_from: `user`, `card`, `file name` or `default`.
        card: the file's own card, or one made from the above.
        has_card: whether the file had one.
        parameters: how many numbers the weights are, those of the base included where the file is a delta.
        own_parameters: how many of them the file itself holds.
        dtypes: kinds of number they are stored as.
    """

    path: Path
    sha256: str
    config: NetworkConfig
    image_size_from: str
    card: Card
    has_card: bool
    parameters: int
    own_parameters: int
    dtypes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            "path": str(self.path),
            "sha256": self.sha256,
            "family": self.config.family,
            "variant": self.config.variant,
            "image_size": self.config.image_size,
            "image_size_from": self.image_size_from,
            "parameters": self.parameters,
            "dtypes": list(self.dtypes),
            "missing": list(self.missing),
            "unexpected": list(self.unexpected),
            "misshaped": list(self.misshaped),
            "non_finite": list(self.non_finite),
            "card": self.card.to_dict() if self.has_card else None,
        }


def inspect_checkpoint(
    path: str | Path, image_size: int | None = None, bases: Iterable[Path] = ()
) -> CheckpointSummary:
    """Say what is in a model file, without running anything in it.

    Args:
        path: the file.
        image_size: what the user says about the image size; goes before the card and the file name.
        bases: folders in which to look for the base of a delta, after the one in which it lies.

    Raises:
        CheckpointError: the file is no model file, of a network that cannot run here, or a delta without its base.
    """
    return _examine(Path(path), image_size, bases)[0]


def load_network(path: str | Path, image_size: int | None = None, bases: Iterable[Path] = ()) -> tuple[Network, Card]:
    """Load a model file as a network on the CPU in float32, in evaluation mode, without gradients.

    Args:
        path: the file.
        image_size: as for `inspect_checkpoint`.
        bases: as for `inspect_checkpoint`.

    Returns:
        the network, and the file's card (made up from the weights where the file has none).

    Raises:
        CheckpointError: the file cannot be used as it is; tensors that are missing, unexpected, of another shape or
            not finite are named.
    """
    summary, state, network = _examine(Path(path), image_size, bases)
    if summary.problems:
        raise CheckpointError(
            f"{path} does not fit a {summary.config.family} ({summary.config.variant}) network: tensors "
            f"{'; '.join(summary.problems)}; get the file again or export it anew."
        )
    # One tensor at a time, so that there is never a second copy of the whole (`state` maps the file).
    own = {}
    for name in list(state):
        own[name] = state.pop(name).to(torch.float32, copy=True)
    return fill_network(network, own), summary.card


def save_checkpoint(
    path: str | Path,
    state_dict: Mapping[str, Tensor],
    card: Card,
    dtype: torch.dtype = torch.float32,
    outputs: Outputs | None = None,
) -> None:
    """Write weights and card; a file that was there before is replaced only when the new one is complete.

    Args:
        path: where to; its folder must exist.
        state_dict: weights by name.
        card: what to say about them.
        dtype: how to store floating-point tensors: float32, or a half precision for a small file.
        outputs: the set of files that it belongs to.

    Raises:
        CheckpointError: the card holds what could not be read again.
        InputError: the disk is full or the folder is not writable.
    """
    Card.from_dict(card.to_dict(), origin=str(path))
    state = {
        name: tensor.detach().to("cpu", dtype if tensor.is_floating_point() else tensor.dtype, copy=True).contiguous()
        for name, tensor in state_dict.items()
    }
    # torch writes the name of a path into the archive, but not that of a stream: equal weights give equal files.
    with writing(path, outputs) as file:
        torch.save({"model": state, "card": card.to_dict()}, file)


def seed_slm_from_sam21(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Make a state dict from which SLM-SAM 2 is fine-tuned out of one of SAM 2.1 or MedSAM2.

    The short memory attention starts as a copy of the long one, the fuser with fresh random weights (nearly the
    identity); the result is for training, not for use as it is.
    """
    prefix = "memory_attention."
    seeded = dict(state_dict)
    for name, tensor in state_dict.items():
        if name.startswith(prefix):
            seeded["recent_" + name] = tensor.clone()
    for name, tensor in new_fuser().state_dict().items():
        seeded["recent_memory_fuser." + name] = tensor
    for name, like in FAMILIES["slm-sam2"].unread.items():
        seeded[name] = torch.zeros_like(state_dict[like])
    return seeded


def _examine(
    path: Path, image_size: int | None, bases: Iterable[Path]
) -> tuple[CheckpointSummary, dict[str, Tensor], Network]:
    """Compare a file with the network that it belongs to, given unfilled; the tensors may be views of the file."""
    state, raw_card = _read(path)
    card = None if raw_card is None else Card.from_dict(raw_card, origin=str(path))
    own_parameters = _count(state)
    if card is not None and card.base:
        state = completed(state, _read(find_base(card, path, bases))[0], origin=str(path))
    parameters = _count(state)
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    config = recognize(shapes, image_size, origin=str(path))
    source = "user"
    if image_size is None:
        size, source = _image_size(path, config.record, card)
        config = replace(config, image_size=size)
    for name, like in config.record.unread.items():
        if name not in state and like in state:
            state[name], shapes[name] = torch.zeros(shapes[like]), shapes[like]
    network = _network_of(path, config)
    sha256 = file_sha256(path)
    summary = CheckpointSummary(
        path=path,
        sha256=sha256,
        config=config,
        image_size_from=source,
        card=_complete(card, config, path, sha256),
        has_card=card is not None,
        parameters=parameters,
        own_parameters=own_parameters,
        dtypes=tuple(sorted({str(tensor.dtype).removeprefix("torch.") for tensor in state.values()})),
        **vars(fit_of(state, shapes_of(network))),
    )
    return summary, state, network


def _read(path: Path) -> tuple[dict[str, Tensor], Any]:
    """State dict by the network's own names, and the card as it is stored."""
    state, card = read_weights(path)
    prefix = prefix_of(state)
    own = {name[len(prefix) :]: tensor for name, tensor in state.items()}
    refuse_foreign(own, str(path))  # before its card, which is another kind's too
    return own, card


def _count(state: Mapping[str, Tensor]) -> int:
    return sum(tensor.numel() for tensor in state.values())


def _network_of(path: Path, config: NetworkConfig) -> Network:
    try:
        return unfilled_network(config)
    except (ValueError, RuntimeError, AssertionError, ArithmeticError, TypeError, LookupError) as error:
        sizes = ", ".join(f"{name} {size}" for name, size in vars(config.starter).items())
        told = f" ({sizes})" if config.family == "starter" else ""
        raise CheckpointError(f"{path} has tensors of sizes that no network can have{told}: get it again.") from error


def _image_size(path: Path, family: Family, card: Card | None) -> tuple[int, str]:
    """Image size and where it is known from."""
    if card is not None:
        return card.image_size, "card"
    named = family.image_size_of(path.name)
    return (family.image_size, "default") if named is None else (named, "file name")


def _complete(card: Card | None, config: NetworkConfig, path: Path, sha256: str) -> Card:
    """The card with what the weights themselves say; those win."""
    if card is None:
        roi, factor = config.record.roi, config.record.roi_factor
        card = Card(config.family, config.variant, config.image_size, name=path.stem, roi=roi, roi_factor=factor)
    return replace(
        card,
        family=config.family,
        variant=config.variant,
        image_size=config.image_size,
        name=card.name or path.stem,
        sha256=sha256,
    )
