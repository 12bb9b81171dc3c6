"""How the tensors of a file compare with those that a network needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

NAMED_AT_MOST = 5
STORED_AS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
"""Kinds of number that weights may be stored as."""


@dataclass(frozen=True)
class Fit:
    """What keeps tensors from being a network's weights.

    Args:
        missing: tensors that the network needs and the file lacks.
        unexpected: tensors that the network has no place for.
        misshaped: tensors of another shape or kind, each with `name (file shape, needed shape)`.
        non_finite: tensors that hold NaN or infinity.
    """

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshaped: tuple[str, ...]
    non_finite: tuple[str, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """What keeps the file from being used, one phrase each; empty for a good file."""
        lists = {
            "missing": self.missing,
            "unexpected": self.unexpected,
            "of another shape or kind": self.misshaped,
            "with NaN or infinite values": self.non_finite,
        }
        return tuple(f"{len(names)} {what} ({_first(names)})" for what, names in lists.items() if names)


def fit_of(state: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]]) -> Fit:
    """Compare a state dict with the shapes of a network's own."""
    return Fit(
        missing=tuple(name for name in expected if name not in state),
        unexpected=tuple(name for name in state if name not in expected),
        misshaped=tuple(_misfits(state, expected)),
        non_finite=tuple(name for name, tensor in state.items() if not _is_finite(tensor)),
    )


def _misfits(state: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]]) -> list[str]:
    misfits = []
    for name, tensor in state.items():
        shape = expected.get(name, tuple(tensor.shape))
        if tuple(tensor.shape) != shape:
            misfits.append(f"{name} {list(tensor.shape)} instead of {list(shape)}")
        elif tensor.dtype not in STORED_AS:
            misfits.append(f"{name} of {tensor.dtype} instead of plain floating-point numbers")
    return misfits


def _is_finite(tensor: Tensor) -> bool:
    if tensor.dtype not in STORED_AS:  # told as a misfit
        return True
    # The sum is several times as quick as looking at every number, and NaN and infinity do not vanish in it.
    # What float32 cannot hold becomes infinite when the file is loaded.
    return bool(tensor.sum(dtype=torch.float32).isfinite()) or bool(tensor.to(torch.float32).isfinite().all())


def _first(names: tuple[str, ...]) -> str:
    more = len(names) - NAMED_AT_MOST
    return ", ".join(names[:NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
