"""Files of localizers: written beside their card, and read with the care that every model file is read with."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from SegmentPropagateLib.errors import CheckpointError
from SegmentPropagateLib.files import Outputs, file_sha256, writing
from SegmentPropagateLib.networks.bounds import check_plain
from SegmentPropagateLib.networks.card import ENTRIES, Entry
from SegmentPropagateLib.networks.fit import fit_of
from SegmentPropagateLib.networks.localizer import Localizer
from SegmentPropagateLib.networks.safe_load import read_weights

FAMILY = "localizer"
WIDTHS = (4, 64)
"""Channels of the first stage, from and to: a forged file must not ask for gigabytes."""
STEPS = (1, 4)
"""Points of the 3 mm lattice per voxel, from and to: 3 mm, as the paper has them, to 12 mm."""

_AGAIN = "give a file that 'segment-propagate train-localizer' wrote"


@dataclass(frozen=True)
class LocalizerCard:
    """What a localizer's weights do not show.

    Args:
        step: points of the lattice (`prompting.atlas.grid.MM` apart) per voxel of its images.
        modality: `CT`, or `other` for all images whose gray values are no Hounsfield units.
        family: `FAMILY`.
        name: what to call it.
        recipe: how it was trained.
        training_cases: names of the images.
        metrics: what it reached on them.
        sha256: of the file that the card was read with; not stored.
    """

    step: int
    modality: str
    family: str = FAMILY
    name: str = ""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    training_cases: tuple[str, ...] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)
    sha256: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-able entries as they are stored."""
        entries = asdict(self)
        del entries["sha256"]
        return {**entries, "training_cases": list(self.training_cases)}


LOCALIZER_ENTRIES: Mapping[str, Entry] = {
    "step": Entry(f"a number from {STEPS[0]} to {STEPS[1]}", (int,), lambda value: STEPS[0] <= value <= STEPS[1]),
    "modality": Entry("CT or other", (str,), lambda value: value in ("CT", "other")),
    "family": Entry(FAMILY, (str,), lambda value: value == FAMILY),
    **{name: ENTRIES[name] for name in ("name", "recipe", "training_cases", "metrics")},
}


def save_localizer(
    path: str | Path, state: Mapping[str, Tensor], card: LocalizerCard, outputs: Outputs | None = None
) -> None:
    """Write weights and card; a file that was there before is replaced only when the new one is complete.

    Raises:
        InputError: the disk is full or the folder is not writable.
    """
    plain = {name: tensor.detach().to("cpu", torch.float32, copy=True) for name, tensor in state.items()}
    with writing(path, outputs) as file:
        torch.save({"model": plain, "card": card.to_dict()}, file)


def load_localizer(path: str | Path) -> tuple[Localizer, LocalizerCard]:
    """The network on the CPU in evaluation mode, without gradients, and its card.

    Raises:
        CheckpointError: the file is no localizer's, or it is damaged; the message is one sentence.
    """
    path = Path(path)
    state, entries = read_weights(path)
    if not any(name.startswith("rdr.") for name in state):
        raise CheckpointError(f"{path} holds no localizer but another network: {_AGAIN}.")
    card = _card_of(entries, path)
    network = _empty(state, path)
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    problems = fit_of(state, expected).problems
    if problems:
        raise CheckpointError(f"{path} does not fit a localizer: tensors {'; '.join(problems)}; {_AGAIN}.")
    own = {name: tensor.to(torch.float32, copy=True) for name, tensor in state.items()}
    network.load_state_dict(own, assign=True)
    return network.eval().requires_grad_(False), card


def _empty(state: Mapping[str, Tensor], path: Path) -> Localizer:
    """The network of the sizes that the tensors have, without memory for its weights."""
    sizes = [tuple(state[name].shape) for name in ("trunk.0.0.weight", "mss.head.0.weight") if name in state]
    width, channels = (shape[0] if shape else 0 for shape in sizes) if len(sizes) == 2 else (0, 0)
    if not all(WIDTHS[0] <= size <= WIDTHS[1] for size in (width, channels)) or width % 4:
        raise CheckpointError(f"{path} has tensors of sizes that no localizer has: {_AGAIN}.")
    with torch.device("meta"):
        return Localizer(width, channels)


def _card_of(entries: Any, path: Path) -> LocalizerCard:
    try:
        check_plain(entries)
    except ValueError as reason:
        raise CheckpointError(f"The card in {path} cannot be used, as {reason}: {_AGAIN}.") from reason
    if not isinstance(entries, Mapping):
        raise CheckpointError(f"{path} is a localizer without its card: {_AGAIN}.")
    for name, entry in LOCALIZER_ENTRIES.items():
        if name not in entries or not entry.takes(entries[name]):
            shown = reprlib.repr(entries.get(name))
            raise CheckpointError(f"The card in {path} has {shown} as {name!r} instead of {entry.wanted}: {_AGAIN}.")
    known = {item.name: entries[item.name] for item in fields(LocalizerCard) if item.name in LOCALIZER_ENTRIES}
    return LocalizerCard(**{**known, "training_cases": tuple(known["training_cases"])}, sha256=file_sha256(path))
