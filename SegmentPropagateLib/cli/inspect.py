"""`segment-propagate inspect`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from SegmentPropagateLib.cli.console import printable
from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.models import registry


def run(arguments: argparse.Namespace) -> None:
    """Print what a model file is, its card, and every tensor that does not fit."""
    path = _file_of(arguments.checkpoint)
    from SegmentPropagateLib.networks.checkpoints import (
        inspect_checkpoint,  # torch, which a mistyped name need not wait for
    )

    summary = inspect_checkpoint(path, bases=registry.model_folders())
    config = summary.config
    lines = [
        f"file        {summary.path}",
        f"sha256      {summary.sha256}",
        f"family      {config.family}, variant {config.variant}{', with mask attention' * config.mask_attention}",
        f"image size  {config.image_size} (from: {summary.image_size_from})",
        f"weights     {summary.parameters:,} numbers, {', '.join(summary.dtypes)}",
    ]
    if base := summary.card.base:
        lines.append(f"delta       {summary.own_parameters:,} numbers here, all others of {base['name']}")
    for title, names in (
        ("missing", summary.missing),
        ("unexpected", summary.unexpected),
        ("misshaped", summary.misshaped),
        ("not finite", summary.non_finite),
    ):
        lines.append(f"{title:<11} {len(names) or 'none'}")
        lines += [f"    {name}" for name in names]
    lines.append(f"card        {'of the file' if summary.has_card else 'none; taken for granted:'}")
    lines += [f"    {line}" for line in json.dumps(_without_past(summary.card.to_dict()), indent=2).splitlines()[1:-1]]
    lines.append("This file cannot be used as it is." if summary.problems else "This file can be used.")
    print("\n".join(map(printable, lines)))  # noqa: T201 - this command's output


def _without_past(entry: Any) -> Any:
    """A card without how the models before it were trained, and those before these: of the starter three pages."""
    if not isinstance(entry, dict):
        return entry
    return {name: "..." if name == "parent" else _without_past(value) for name, value in entry.items()}


def _file_of(name: str) -> Path:
    found = registry.resolve(name)
    if isinstance(found, Path):
        return found
    if found.path is None:
        raise InputError(f"The model '{name}' has no file to inspect.")
    if not found.is_ready:
        raise InputError(f"The model '{name}' is not downloaded yet: use it once with --model, or give a file.")
    return found.path
