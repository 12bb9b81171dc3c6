"""`segment-propagate models`."""

from __future__ import annotations

import argparse

from SegmentPropagateLib.models.registry import REGISTRY, NamedModel, cache_folder
from SegmentPropagateLib.networks.memory_rules import RULES


def run(arguments: argparse.Namespace) -> None:
    """Print what can be asked for by name."""
    del arguments
    rows = [("NAME", "STATE", "SIZE", "SEES", "SHA-256", "WHAT IT IS"), *map(_row, REGISTRY.values())]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    lines = [
        "  ".join([*(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    ]
    licences: dict[str, list[str]] = {}
    for model in REGISTRY.values():
        forbidden = f", not {model.forbids} (--accept-licence confirms it once), see {model.licence_url}"
        licences.setdefault(model.licence + (forbidden if model.forbids else ""), []).append(model.name)
    lines += ["", "Licences of the weights:"]
    lines += [f"  {', '.join(names)}: {licence}" for licence, names in licences.items()]
    lines += [
        "",
        f"Downloads are kept in {cache_folder()} (SEGMENTPROPAGATE_HOME sets another folder);",
        "a file of the same name that is put there by hand is taken as well. Any model file can be given by its path.",
        "SHA-256 'first use': the publisher's is not known to us; the first download's is recorded and then held to.",
    ]
    lines += [
        "",
        "Memory rules (--memory NAME of propagate and batch), what networks read on the way, and whose they are:",
    ]
    widest = max(map(len, RULES))
    lines += [f"  {name:<{widest}}  {rule.about} ({rule.source})" for name, rule in RULES.items()]
    print("\n".join(lines))  # noqa: T201 - this command's output


def _row(model: NamedModel) -> tuple[str, ...]:
    if model.url is None:
        state, checked = "ready" if model.is_ready else "not in this copy", "-"
    else:
        state, checked = "downloaded" if model.is_ready else "to download", "first use"
    size_bytes = model.path.stat().st_size if model.path and model.is_ready else model.size_bytes
    size = f"{size_bytes / 1e6:.0f} MB" if size_bytes else "-"
    sees = f"{model.image_size} px" if model.image_size else "-"
    return model.name, state, size, sees, f"{model.sha256[:12]}..." if model.sha256 else checked, model.about
