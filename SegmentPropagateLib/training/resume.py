"""The state of a run that goes on: read, and checked against the run that it is to go on with."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from SegmentPropagateLib.errors import CheckpointError, InputError
from SegmentPropagateLib.networks.safe_load import read_content
from SegmentPropagateLib.training.validation import Score


@dataclass(frozen=True)
class RunState:
    """What a run needs to go on.

    Args:
        trainer: as `Trainer.state_dict` gave it.
        records: of the steps so far.
        start: figures of the starting point; None where nothing is measured.
        run: digest of the settings, cases and starting weights.
    """

    trainer: Mapping[str, Any]
    records: list[dict[str, Any]]
    start: Score | None
    run: str


def as_bytes(records: list[dict[str, Any]]) -> Tensor:
    """Records as a state holds them, uint8: in the pickle each would be dozens of pieces, and those are counted."""
    return torch.frombuffer(bytearray(json.dumps(records).encode()), dtype=torch.uint8)


def read_state(path: Path, like: Mapping[str, Any], run: str) -> RunState:
    """Read a state and check all of it.

    Args:
        path: of the file that `RunFiles.write_state` wrote.
        like: `Trainer.state_like` of the run that is to go on.
        run: digest of that run.

    Raises:
        InputError: the file is damaged or belongs to another run; the message names it and says what to do.
    """
    with _telling(path):
        content = _read(path, {"trainer": Mapping, "records": Tensor, "start": Tensor, "run": str})
        if content["run"] != run:
            raise InputError(
                f"'{path}' belongs to a run with other settings, cases or starting weights: resume it as it was "
                "started, or choose another name."
            )
        _check_trainer(content["trainer"], like)
        records = json.loads(content["records"].numpy().tobytes())
        _check_records(records, content["trainer"]["step"])
        start = content["start"].tolist()
        if content["start"].shape not in ((0,), (len(Score._fields),)) or not all(map(math.isfinite, start)):
            raise ValueError("its starting point has no figures")
    return RunState(content["trainer"], records, Score(*start) if start else None, content["run"])


def read_trainer(path: Path, like: Mapping[str, Any], **others: type) -> Mapping[str, Any]:
    """Read a state of a trainer, and whatever else a script of ours keeps with it.

    Args:
        path: of the file: a dict with the state under `trainer`.
        like: `Trainer.state_like` of the run that is to go on.
        others: further entries and their kinds; one that is a Mapping called `average` holds weights as the network's.

    Raises:
        InputError: the file is damaged or of another run; the message names it and says what to do.
    """
    with _telling(path):
        content = _read(path, {"trainer": Mapping, **others})
        _check_trainer(content["trainer"], like)
        if "average" in others:
            _check_like(content["average"], like["network"], "average")
    return content


@contextmanager
def _telling(path: Path) -> Iterator[None]:
    try:
        yield
    except (CheckpointError, *_DAMAGE) as reason:
        raise InputError(
            f"'{path}' is damaged, as {str(reason).rstrip('.')}: start the run anew under another name."
        ) from reason


def _read(path: Path, kinds: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a file holds; ValueError where one of the entries lacks or is of another kind."""
    content = read_content(path)
    _check_sums(path)
    for name, kind in kinds.items():
        if not isinstance(content, Mapping) or not isinstance(content.get(name), kind):
            raise ValueError(f"it has no {name}")
    return content


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


def _check_records(records: Any, step: int) -> None:
    if not isinstance(records, list):
        raise ValueError("it has no records")
    if step < 1 or len(records) != step:
        raise ValueError(f"it has {len(records)} records of {step} steps")
    for number, record in enumerate(records, 1):
        fits = isinstance(record, dict) and record.get("step") == number and "loss" in record
        if not fits or not all(isinstance(value, (int, float)) and math.isfinite(value) for value in record.values()):
            raise ValueError(f"its record of step {number} is none")
