"""From a model's name or file to a propagator, on the device and in the precision that suit this computer."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from SegmentPropagateLib.errors import CheckpointError, InputError
from SegmentPropagateLib.models import download, registry
from SegmentPropagateLib.models.devices import choose_device, choose_precision, one_core_less
from SegmentPropagateLib.networks.families import Family, find_family
from SegmentPropagateLib.process import importing_for_good
from SegmentPropagateLib.propagation.propagator import Propagator
from SegmentPropagateLib.propagators.classical.engine import ClassicalPropagator
from SegmentPropagateLib.propagators.finishing import OF_CLASSICAL, FinishingPropagator
from SegmentPropagateLib.propagators.partner import PartnerPropagator
from SegmentPropagateLib.propagators.prompted.grays import BINS, Grays
from SegmentPropagateLib.propagators.stacking.engine import Seeing, StackingPropagator

if TYPE_CHECKING:
    from torch import nn

log = logging.getLogger(__name__)

CLASSICAL_EXCESS = 0.25
"""By how much logits of the classical propagator, and of its mean with a network, are too high (see `finishing`).
Fitted by Testing/Experiments/fit_finishing.py."""


def load_model(
    name_or_path: str | Path,
    device: str = "auto",
    precision: str = "auto",
    image_size: int | None = None,
    notify: Callable[[str], None] = log.warning,
    partner: bool | None = None,
) -> Propagator:
    """Load a model.

    Args:
        name_or_path: a name of `registry.REGISTRY` (downloaded when it is not at hand) or a model file; see
            `registry.resolve`.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        precision: `exact` is float32, `bf16` is quicker on hardware made for it, `auto` chooses by device.
        image_size: side of the square that the network is to see, in pixels; None takes the file's own.
        notify: is told about a download before it starts.
        partner: average the network with the classical propagator; None does so where its family gains from it, which
            is the starter's, under its name and as a file.

    Raises:
        InputError: there is no such model, file, device or precision, or PyTorch is missing.
        CheckpointError: the file is damaged, unsafe or of another kind.
    """
    name = str(name_or_path)
    if name == "classical":
        return FinishingPropagator(ClassicalPropagator(), CLASSICAL_EXCESS, OF_CLASSICAL)
    found = registry.resolve(name)
    try:
        from SegmentPropagateLib.networks import checkpoints
        from SegmentPropagateLib.propagators.tracking import engine
    except (ImportError, OSError) as error:  # OSError: a library that torch needs
        if (getattr(error, "name", None) or "").startswith("SegmentPropagateLib"):
            raise
        raise InputError(
            f"The model '{name}' needs PyTorch and sam2, which cannot be imported here ({error}): install torch and "
            "sam2, or choose the model 'classical'."
        ) from error
    chosen = choose_device(device)
    choose_precision(precision, chosen)  # refuses before a long download
    path = found if isinstance(found, Path) else download.fetch(found, notify)
    network, card = checkpoints.load_network(path, image_size, registry.model_folders())
    family = find_family(card.family)
    propagator = engine.NetworkPropagator(network, card, chosen, choose_precision(precision, chosen, family))
    has_partner = family.partner if partner is None else partner
    return as_run(propagator, family, ClassicalPropagator(grays_of(network, path)) if has_partner else None)


def grays_of(network: nn.Module, origin: str | Path) -> Grays | None:
    """What a network's file knows of the gray values of the object that boxes and points are to mean, if anything.

    Args:
        network: from a file.
        origin: what to call the file in messages.

    Raises:
        CheckpointError: it was written by another version of this library, or is damaged.
    """
    from SegmentPropagateLib.networks.prompt_grays import prompt_grays_of

    kept = prompt_grays_of(network)
    if kept is None:
        return None
    low, high, share = (float(number) for number in (*kept.ends, *kept.share))
    if len(kept.ratio) != BINS or not low < high or not 0 <= share <= 1:
        raise CheckpointError(
            f"{origin} has gray values of an object that cannot be read here: tune its prompts again."
        )
    return Grays(kept.ratio.float().cpu().numpy(), low, high, share)


def import_ahead(name_or_path: str | Path) -> None:
    """Import what a model needs in a thread, in a process of our own: the caller can read a volume in that second.

    Args:
        name_or_path: as for `load_model`, which then says what is missing, if anything is.
    """
    if str(name_or_path) != "classical":
        Thread(target=_import_networks).start()


def _import_networks() -> None:
    with suppress(ImportError, OSError), importing_for_good():
        import SegmentPropagateLib.networks.checkpoints
        import SegmentPropagateLib.propagators.tracking.engine  # noqa: F401


def as_run(network: Seeing, family: Family, partner: Propagator | None) -> Propagator:
    """A network as users run it: averaged with a partner where there is one, and finished where its family is.

    With a partner it can learn from the key slices of a case; of networks alone that is not measured.
    """
    if partner is not None:
        return StackingPropagator(network, partner, _pair)
    return FinishingPropagator(network) if family.finishing else network


def _pair(network: Propagator, partner: Propagator) -> Propagator:
    return FinishingPropagator(PartnerPropagator(network, partner, one_core_less), CLASSICAL_EXCESS)
