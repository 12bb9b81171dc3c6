"""What the fitting scripts share: from a command line to recordings, a sweep of each number and its tables."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import SimpleITK as sitk
import torch
from tuning_cases import ROOT, parse, sides
from tuning_recording import Recording, Shelf, shelve
from tuning_replay import in_code, sweep
from tuning_report import compare, say, write

from SegmentPropagateLib.networks.checkpoints import load_network
from SegmentPropagateLib.propagators.tracking.engine import NetworkPropagator

Grids = Mapping[str, Sequence[float]]


def recorded(arguments: Namespace) -> Mapping[str, Shelf]:
    """Recordings of the bundled network and the classical propagator by side, made where they are missing."""
    torch.set_num_threads(1)  # as in the evaluation
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    network = NetworkPropagator(*load_network(ROOT / "SegmentPropagateLib" / "bundled" / "starter.pt"))
    return {side: shelve(targets, network, arguments.work) for side, targets in sides(arguments).items()}


def fit(script: str, about: str, grids: Grids, ways: Sequence[str], argv: list[str] | None = None) -> None:
    """Sweep each number alone, the others as in the code, on each side; print tables and keep them as JSON."""
    arguments = parse(about, argv)
    results: dict[str, list[dict[str, Any]]] = {}
    for side, cases in recorded(arguments).items():
        for way in ways:
            results[f"{side}, {way}"] = found = fit_numbers(cases, grids, way)
            for result in found:
                say(f"{side}, {way}", result)
    write(arguments.work / f"{script}.json", results)


def fit_numbers(cases: Iterable[Recording], grids: Grids, way: str) -> list[dict[str, Any]]:
    """What `tuning_report.compare` finds of each number, over cases that are read once."""
    settings = [{name: value} for name, values in grids.items() for value in values]
    groups, figures = sweep(cases, settings, way)
    results = []
    for name, values in grids.items():
        places = [place for place, setting in enumerate(settings) if name in setting]
        results.append(compare(name, values, in_code(name), figures[:, places], groups))
    return results
