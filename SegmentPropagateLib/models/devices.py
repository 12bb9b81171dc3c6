"""The device and the precision that suit this computer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from SegmentPropagateLib.errors import InputError

if TYPE_CHECKING:
    import torch

    from SegmentPropagateLib.networks.families import Family


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


@contextmanager
def one_core_less() -> Iterator[None]:
    """Let PyTorch compute in one thread less than otherwise, if it has several, while somebody else needs a core.

    Threads of which one has to wait for its core keep all others waiting: on two cores the pair then took a seventh
    more processor time.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads - 1))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def count_gpus(device: str) -> int:
    """How many CUDA GPUs processes that are given this device could share; 0 without PyTorch."""
    if device not in ("auto", "cuda"):
        return 0
    try:
        import torch
    except (ImportError, OSError):  # OSError: a library that torch needs
        return 0
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def choose_precision(precision: str, device: torch.device, family: Family | None = None) -> Literal["exact", "bf16"]:
    """`exact` or `bf16`; `auto` takes bf16 where the device has units for it and the family gains from them."""
    if precision not in ("auto", "exact", "bf16"):
        raise InputError(f"There is no precision {precision!r}: choose auto, exact or bf16.")
    stays_exact = precision == "auto" and family is not None and family.exact_on_cpu and device.type == "cpu"
    if precision == "exact" or stays_exact:
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
