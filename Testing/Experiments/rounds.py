"""Do rounds make cases cheaper? Runs PLAN_ROUNDS.md.

    python Testing/Experiments/rounds.py [--work build/rounds] [--minutes N]

Every project goes on where it was stopped, by its own ledger.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from adaptation_report import interval

from SegmentPropagateLib.cli import main as segment_propagate
from SegmentPropagateLib.formats.writing import write_segmentation, write_volume
from SegmentPropagateLib.phantoms.bodies import make_body
from SegmentPropagateLib.project.annotator import cost
from SegmentPropagateLib.project.folder import Project
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.labels import default_segment
from SegmentPropagateLib.volumes.volume import Volume

ROOT = Path(__file__).resolve().parents[2]
ORGANS: Mapping[int, tuple[int, ...]] = {0: (12, 13)}
BODIES, ROUNDS, PER_ROUND = 6, 3, 2
MM, MARGIN = 6.0, (4, 14)
FIGURES = ("slices", "slices_edited", "voxels_changed", "added_path_mm")


def main() -> None:
    """Run what has not been run, and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "rounds")
    parser.add_argument("--minutes", type=float, default=1e9, help="after which no further round is begun")
    arguments = parser.parse_args()
    until = time.monotonic() + 60 * arguments.minutes
    torch.set_num_threads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    rows: list[dict[str, Any]] = []
    for family in ORGANS:
        folder = drawn(arguments.work / f"family-{family}", family)
        for turn in range(ROUNDS):
            rows += rounds_of(folder, family, turn, until)
            (arguments.work / "results.json").write_text(json.dumps(summary(rows), indent=1), encoding="utf-8")
    print(json.dumps(summary(rows)["drawn"], indent=1))  # noqa: T201 - the result


def drawn(folder: Path, family: int) -> Path:
    """The bodies of a family and their organs."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [replace(default_segment(value), name=f"organ {value}") for value in ORGANS[family]]
    for seed in range(BODIES):
        phantom = make_body(seed, family, MM, cropped=False).phantom
        chance = np.random.default_rng([family, seed])
        there = np.flatnonzero(np.isin(phantom.labels, ORGANS[family]).any((1, 2)))
        low, high = (int(margin) for margin in chance.integers(*MARGIN, 2, endpoint=True))
        part = slice(max(int(there[0]) - low, 0), int(there[-1]) + high + 1)
        labels = phantom.labels[part]
        geometry = Geometry(labels.shape, np.diag([-MM, -MM, MM, 1.0]))
        write_volume(folder / f"{seed}.nii.gz", Volume(phantom.values[part], geometry))
        masks = {value: labels == value for value in ORGANS[family]}
        write_segmentation(folder / f"{seed}-labels.seg.nrrd", masks, geometry, names)
    return folder


def rounds_of(folder: Path, family: int, turn: int, until: float) -> list[dict[str, Any]]:
    """What each case of a project has cost; the pairs of bodies come in turn."""
    order = [(place + turn * PER_ROUND) % BODIES for place in range(BODIES)]
    listed = folder / f"turn-{turn}.json"
    cases = [
        {"name": f"{place}-body-{seed}", "image": f"{seed}.nii.gz", "label": f"{seed}-labels.seg.nrrd"}
        for place, seed in enumerate(order)
    ]
    listed.write_text(json.dumps(cases), encoding="utf-8")
    project = folder / f"turn-{turn}"
    if not (project / "project.json").exists():
        names = [f"organ {value}" for value in ORGANS[family]]
        _type("project", "init", project, listed, "--label", *names, "--quiet")
    for number in range(1, ROUNDS + 1):
        if time.monotonic() < until:
            _type("project", "simulate", project, listed, "--rounds", number, "--cases", PER_ROUND)
    accepted = Project(project).state().accepted
    return [
        {
            "family": family,
            "turn": turn,
            "round": 1 + place // PER_ROUND,
            "body": f"{family}-{entry['case'].split('-')[-1]}",
            "from": entry["prompts"]["kind"],
            "cost": cost(entry),
            **{name: entry[name] for name in FIGURES},
        }
        for place, entry in enumerate(accepted)
    ]


def _type(*words: object) -> None:
    if segment_propagate([str(word) for word in words]):
        raise SystemExit(f"{words} failed")


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means of the rounds, and differences to the first, within bodies."""
    found: dict[int, dict[str, float]] = {}
    for row in rows:
        found.setdefault(row["round"], {})[row["body"]] = row["cost"]
    told: dict[str, Any] = {"mean_cost": {number: float(np.mean(list(of.values()))) for number, of in found.items()}}
    for number in sorted(found)[1:]:
        bodies = sorted(found[1].keys() & found[number].keys())
        if bodies:
            told[f"round {number} - round 1"] = interval(found[number][body] - found[1][body] for body in bodies)
    edited = {
        number: float(np.mean([row["slices_edited"] / row["slices"] for row in rows if row["round"] == number]))
        for number in sorted(found)
    }
    return {"drawn": {**told, "share_of_slices_edited": edited, "cases": len(rows)}, "rows": list(rows)}


if __name__ == "__main__":
    main()
