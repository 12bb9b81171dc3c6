"""From a model's name or file to a propagator, on the device and in the precision that suit this computer."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.models import registry
from SegmentPropagateLib.propagation.propagator import Propagator
from SegmentPropagateLib.propagators.classical.engine import ClassicalPropagator
from SegmentPropagateLib.propagators.finishing import FinishingPropagator
from SegmentPropagateLib.propagators.partner import PartnerPropagator

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

CLASSICAL_EXCESS = 0.25
"""By how much logits of the classical propagator, and of its mean with a network, are too high (see `finishing`)."""


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
        name_or_path: a name of `registry.REGISTRY` (downloaded when it is not at hand) or a model file.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        precision: `exact` is float32, `bf16` is quicker on hardware made for it, `auto` chooses by device.
        image_size: side of the square that the network is to see, in pixels; None takes the file's own.
        notify: is told about a download before it starts.
        partner: average the network with the classical propagator; None does so for the bundled `starter` only.

    Raises:
        InputError: there is no such model, file, device or precision, or PyTorch is missing.
        CheckpointError: the file is damaged, unsafe or of another kind.
    """
    name = str(name_or_path)
    if name == "classical":
        return FinishingPropagator(ClassicalPropagator(), CLASSICAL_EXCESS)
    if name not in registry.REGISTRY and not Path(name).exists():
        registry.find(name)  # raises, naming what there is
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
    path = registry.fetch(registry.find(name), notify) if name in registry.REGISTRY else Path(name)
    network, card = checkpoints.load_network(path, image_size)
    propagator = engine.NetworkPropagator(network, card, chosen, choose_precision(precision, chosen, card.family))
    if partner or (partner is None and name == "starter"):
        return FinishingPropagator(PartnerPropagator(propagator, ClassicalPropagator()), CLASSICAL_EXCESS)
    return FinishingPropagator(propagator) if card.family == "starter" else propagator  # others: as upstream, exactly


def choose_device(device: str) -> torch.device:
    """The device of that name, if this computer has it; `auto` prefers a GPU."""
    import torch

    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device):
        raise InputError(f"There is no device {device!r}: choose auto, cpu, cuda, cuda:N or mps.")
    has_mps = torch.backends.mps.is_available()
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if has_mps else "cpu"
    if device == "mps" and not has_mps:
        raise InputError("This computer has no Apple GPU that PyTorch can use: choose auto or cpu.")
    if device.startswith("cuda"):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if count == 0:
            raise InputError("This computer has no CUDA GPU that PyTorch can use: choose auto or cpu.")
        index = int(device.partition(":")[2] or 0)
        if index >= count:
            raise InputError(f"This computer has no GPU {device}: the last one is cuda:{count - 1}.")
    return torch.device(device)


def choose_precision(precision: str, device: torch.device, family: str = "") -> Literal["exact", "bf16"]:
    """`exact` or `bf16`; `auto` takes bf16 where the device has units for it and the family of networks gains from it.

    On a CPU the starter family does not: 10 ms per slice either way on one with AVX512-BF16, where the large networks
    take half the time. Exact, it gives the same masks on every computer.
    """
    if precision not in ("auto", "exact", "bf16"):
        raise InputError(f"There is no precision {precision!r}: choose auto, exact or bf16.")
    if precision == "exact" or (precision == "auto" and family == "starter" and device.type == "cpu"):
        return "exact"
    is_quick = _is_quick_at_bf16(device)
    if precision == "bf16" and not is_quick:
        # Emulated bf16 was measured 400 times slower than float32 on a CPU with AVX2 alone.
        raise InputError(f"This computer's {device.type} has no bf16 units and would take hours: choose auto or exact.")
    return "bf16" if is_quick else "exact"


def _is_quick_at_bf16(device: torch.device) -> bool:
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)  # Ampere and later; before, bf16 is emulated
    if device.type == "cpu":  # private names, not in every torch
        checks = (getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
        return any(check() for check in checks if check is not None)
    return False
