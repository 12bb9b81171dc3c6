"""The state of a run that goes on: read, and checked against the run that it is to go on with."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from SegmentPropagateLib.errors import CheckpointError, InputError
from SegmentPropagateLib.networks.safe_load import read_content


@dataclass(frozen=True)
class RunState:
    """What a run needs to go on.

    Args:
        trainer: as `Trainer.state_dict` gave it.
        records: of the steps so far.
        best: highest validation DSC so far, minus infinity where there is none.
        run: digest of the settings, cases and starting weights.
    """

    trainer: Mapping[str, Any]
    records: list[dict[str, Any]]
    best: float
    run: str


def read_state(path: Path, like: Mapping[str, Any], run: str) -> RunState:
    """Read a state and check all of it.

    Args:
        path: of the file that `RunFiles.write_state` wrote.
        like: `Trainer.state_like` of the run that is to go on.
        run: digest of that run.

    Raises:
        InputError: the file is damaged or belongs to another run; the message names it and says what to do.
    """
    try:
        content = read_content(path)
        _check_sums(path)
        for name, kind in _KINDS.items():
            if not isinstance(content, Mapping) or not isinstance(content.get(name), kind):
                raise ValueError(f"it has no {name}")
        if content["run"] != run:
            raise InputError(
                f"'{path}' belongs to a run with other settings, cases or starting weights: resume it as it was "
                "started, or choose another name."
            )
        _check_trainer(content["trainer"], like)
        _check_records(content["records"], content["trainer"]["step"])
        if math.isnan(content["best"]):
            raise ValueError("its best validation DSC is no number")
    except (CheckpointError, *_DAMAGE) as reason:
        raise InputError(
            f"'{path}' is damaged, as {str(reason).rstrip('.')}: start the run anew under another name."
        ) from reason
    return RunState(**{name: content[name] for name in _KINDS})


_KINDS: Mapping[str, Any] = {"trainer": Mapping, "records": list, "best": (int, float), "run": str}

_DAMAGE = (ValueError, zipfile.BadZipFile, EOFError, NotImplementedError, OSError, RuntimeError, ArithmeticError)
"""What was found wrong here, and what `zipfile` raises."""


def _check_sums(path: Path) -> None:
    """PyTorch writes a checksum of every part, and does not look at it."""
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"its part {damaged} has changed")


def _check_trainer(found: Mapping[str, Any], like: Mapping[str, Any]) -> None:
    """Compare with what the run's own trainer may become."""
    _check_like({**found, "optimizer": None}, {**like, "optimizer": None}, "trainer")
    optimizer = found["optimizer"]
    if not isinstance(optimizer, Mapping) or not isinstance(optimizer.get("state"), Mapping):
        raise ValueError("it has no optimizer")
    moments, wanted = optimizer["state"], like["optimizer"]["state"]
    # A weight that no loss has reached yet has none.
    _check_like(moments, {key: wanted[key] for key in wanted if key in moments}, "optimizer")
    groups, own = optimizer.get("param_groups"), like["optimizer"]["param_groups"]
    if not isinstance(groups, list) or len(groups) != len(own):
        raise ValueError("its optimizer has other groups")
    for group, mine in zip(groups, own, strict=True):
        fits = isinstance(group, Mapping) and all(group.get(name) == mine[name] for name in _FIXED)
        if not fits or not isinstance(group.get("lr"), float) or not 0 <= group["lr"] <= mine["lr_start"]:
            raise ValueError("its optimizer has other groups")


_FIXED = ("params", "lr_start", "weight_decay", "betas", "eps")
"""Of a group of the optimizer: all but the rate, and what a later PyTorch may add."""


def _check_like(found: Any, like: Any, where: str) -> None:
    """Raise ValueError unless names, kinds, shapes and types of numbers are the same."""
    if isinstance(like, Mapping):
        if not isinstance(found, Mapping) or found.keys() != like.keys():
            raise ValueError(f"its {where} has other entries")
        for name, value in like.items():
            _check_like(found[name], value, f"{where} {name}")
    elif type(found) is not type(like) and not (isinstance(found, Tensor) and isinstance(like, Tensor)):
        raise ValueError(f"its {where} is a {type(found).__name__}")
    elif isinstance(like, Tensor) and (found.shape, found.dtype, found.layout) != (like.shape, like.dtype, like.layout):
        raise ValueError(f"its {where} has the shape {list(found.shape)} instead of {list(like.shape)}")


def _check_records(records: list[Any], step: int) -> None:
    if step < 1 or len(records) != step:
        raise ValueError(f"it has {len(records)} records of {step} steps")
    for number, record in enumerate(records, 1):
        fits = isinstance(record, dict) and record.get("step") == number and "loss" in record
        if not fits or not all(isinstance(value, (int, float)) and math.isfinite(value) for value in record.values()):
            raise ValueError(f"its record of step {number} is none")
