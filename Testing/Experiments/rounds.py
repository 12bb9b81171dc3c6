"""Do rounds make cases cheaper? Runs PLAN_ROUNDS.md.

    python Testing/Experiments/rounds.py [--work build/rounds] [--minutes N]
    python Testing/Experiments/rounds.py --real FOLDER      # groups of real volumes instead, each left out in turn

Every project goes on where it was stopped, by its own ledger.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
from SegmentPropagateLib.volumes.stack import array_of
from SegmentPropagateLib.volumes.volume import Volume

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "Testing" / "Benchmarks"))
from evaluation_targets import PLANE, Target, read_targets  # noqa: E402 - the evaluation lies in the next folder

ORGANS: Mapping[int, tuple[int, ...]] = {0: (12, 13)}
BODIES, ROUNDS, PER_ROUND = 6, 3, 2
MM, MARGIN = 6.0, (4, 14)
NOT_ORGANS = ("target", "lesion")
FIGURES = ("slices", "slices_edited", "voxels_changed", "added_path_mm")


def main(words: Sequence[str] | None = None) -> None:
    """Run what has not been run, and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "rounds")
    parser.add_argument("--minutes", type=float, default=1e9, help="after which no further round is begun")
    parser.add_argument("--real", type=Path, metavar="FOLDER", help="of the evaluation's volumes, with TARGETS.json")
    arguments = parser.parse_args(words)
    until = time.monotonic() + 60 * arguments.minutes
    torch.set_num_threads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    if arguments.real is not None:
        groups, kind = real_groups(arguments.work, arguments.real), "real"
    else:
        groups = [drawn(arguments.work / f"family-{family}", family) for family in ORGANS]
        kind = "drawn"
    rows: list[dict[str, Any]] = []
    for group in groups:
        for turn in range(group.turns):
            rows += rounds_of(group, turn, until)
            path = arguments.work / ("results.json" if kind == "drawn" else "real.json")
            path.write_text(json.dumps(summary(rows, kind), indent=1), encoding="utf-8")
    print(json.dumps(summary(rows, kind).get(kind), indent=1))  # noqa: T201 - the result


@dataclass(frozen=True)
class Group:
    """Volumes of the same organs: `NAME.nii.gz` and `NAME-labels.seg.nrrd` in a folder.

    Args:
        folder: of the files; projects are made there, too.
        names: of the volumes.
        labels: names of the organs.
        per_round: cases of a round.
        turns: how many projects are done, each beginning with other volumes.
    """

    folder: Path
    names: tuple[str, ...]
    labels: tuple[str, ...]
    per_round: int
    turns: int

    @property
    def rounds(self) -> int:
        """Of a project."""
        return len(self.names) // self.per_round


def drawn(folder: Path, family: int) -> Group:
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
    bodies = tuple(str(seed) for seed in range(BODIES))
    return Group(folder, bodies, tuple(name.name for name in names), PER_ROUND, ROUNDS)


def real_groups(work: Path, data: Path) -> list[Group]:
    """Volumes of a modality that share organs by name, whole; each comes first once, so that each is left out, too.

    Lesions have a name in common and nothing else that could suggest anything.
    """
    found: dict[str, dict[str, list[Target]]] = {}
    for target in read_targets(data):
        if target.name not in NOT_ORGANS:
            found.setdefault(target.case.split("_")[0], {}).setdefault(target.case, []).append(target)
    groups = []
    for modality, cases in found.items():
        counts = Counter(target.name for targets in cases.values() for target in targets)
        shared = tuple(sorted(name for name, count in counts.items() if count > 1))
        folder = work / f"real-{modality}"
        folder.mkdir(parents=True, exist_ok=True)
        names = []
        for case, targets in cases.items():
            kept = {1 + shared.index(target.name): target for target in targets if target.name in shared}
            if kept:
                names.append(case)
                _write_real(folder, case, kept)
        if len(names) > 1:
            groups.append(Group(folder, tuple(names), shared, 1, len(names)))
    return groups


def _write_real(folder: Path, case: str, targets: Mapping[int, Target]) -> None:
    volume = next(iter(targets.values())).volume
    axis = volume.geometry.plane_axis(PLANE)
    masks = {value: array_of(target.truth, axis) for value, target in targets.items()}
    infos = [replace(default_segment(value), name=target.name) for value, target in targets.items()]
    write_volume(folder / f"{case}.nii.gz", volume)
    write_segmentation(folder / f"{case}-labels.seg.nrrd", masks, volume.geometry, infos)


def rounds_of(group: Group, turn: int, until: float) -> list[dict[str, Any]]:
    """What each case of a project has cost; the volumes of a round come in turn."""
    start = turn * group.per_round
    order = [*group.names[start:], *group.names[:start]]
    listed = group.folder / f"turn-{turn}.json"
    cases = [
        {"name": f"{place}-{name}", "image": f"{name}.nii.gz", "label": f"{name}-labels.seg.nrrd"}
        for place, name in enumerate(order)
    ]
    listed.write_text(json.dumps(cases), encoding="utf-8")
    project = group.folder / f"turn-{turn}"
    if not (project / "project.json").exists():
        _type("project", "init", project, listed, "--label", *group.labels, "--quiet")
    for number in range(1, group.rounds + 1):
        if time.monotonic() < until:
            _type("project", "simulate", project, listed, "--rounds", number, "--cases", group.per_round)
    accepted = Project(project).state().accepted
    return [
        {
            "group": group.folder.name,
            "turn": turn,
            "round": 1 + place // group.per_round,
            "body": f"{group.folder.name}/{entry['case'].partition('-')[2]}",
            "from": entry["prompts"]["kind"],
            "cost": cost(entry),
            **{name: entry[name] for name in FIGURES},
        }
        for place, entry in enumerate(accepted)
    ]


def _type(*words: object) -> None:
    if segment_propagate([str(word) for word in words]):
        raise SystemExit(f"{words} failed")


def summary(rows: Sequence[Mapping[str, Any]], kind: str) -> dict[str, Any]:
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
    return {kind: {**told, "share_of_slices_edited": edited, "cases": len(rows)}, "rows": list(rows)}


if __name__ == "__main__":
    main()
