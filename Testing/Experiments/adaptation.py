"""Which recipe adapts the starter without harm; planned in PLAN_ADAPTATION.md.

python Testing/Experiments/adaptation.py [--work build/adaptation] [--data DIR]

Every run is kept in a file of its own, so that it goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from adaptation_report import report
from numpy.typing import NDArray

from SegmentPropagateLib.formats.cases import Case, find_cases
from SegmentPropagateLib.models import registry
from SegmentPropagateLib.networks.checkpoints import load_network
from SegmentPropagateLib.phantoms.phantom import make_phantom
from SegmentPropagateLib.training.data import Library
from SegmentPropagateLib.training.finetune import Conduct, finetune
from SegmentPropagateLib.training.optimizer import Rates
from SegmentPropagateLib.training.settings import RECIPES, FinetuneSettings
from SegmentPropagateLib.training.validation import Examiner, Score

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "Testing" / "Benchmarks"))
from evaluation_targets import read_targets  # noqa: E402 - the evaluation lies in the next folder

START = registry.bundled_folder() / "starter.pt"
FAMILY, SHAPE, FIRST_SEED = "contact", (28, 96, 96), 7_000
ADAPTED_TO, TESTED_ON = 5, 6
MARGIN, TARGETS = 6, 2
LOSS = RECIPES["starter"].weights
COMMON = FinetuneSettings(
    **{
        **vars(RECIPES["starter"]),
        "steps": 40,
        "batch": 2,
        "slices": 4,
        "validation": 0.2,
        "validations": 4,
        "patience": 4,
        "seed": 1,
    }
)


def _rates(encoder: float, rest: float) -> Rates:
    return Rates(encoder, rest, final=0.02, layer_decay=1.0, weight_decay=0.05, warm_up=10)


CANDIDATES: Mapping[str, FinetuneSettings] = {
    "today": replace(COMMON, rates=_rates(2e-4, 3e-4), drawn=0.0),
    "gentle": replace(COMMON, rates=_rates(2e-5, 3e-5), drawn=0.0),
    "mixed": replace(COMMON, rates=_rates(1e-4, 1.5e-4), drawn=0.5),
    "decoder": replace(COMMON, rates=_rates(1.5e-4, 1.5e-4), drawn=0.0, method="decoder"),
}


def main() -> None:
    """Run what has not been run, and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "adaptation")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="real volumes, if any")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    work = arguments.work
    folder = drawn_cases(work / "data" / "drawn")
    names = [case.name for case in find_cases(folder)]
    tests, learned = names[ADAPTED_TO:], names[:ADAPTED_TO]
    rows = [run(work, recipe, "drawn", folder, learned, tests) for recipe in CANDIDATES]
    chosen = max(CANDIDATES, key=lambda recipe: gain(rows, recipe))  # the first of equals
    rows.append(run(work, chosen, "drawn", folder, learned[:1], tests))
    groups = ("ct", "mr") if (arguments.data / "TARGETS.json").exists() else ()
    folders = {group: real_cases(work / "data" / group, arguments.data, group) for group in groups}
    names = {group: [case.name for case in find_cases(folder)] for group, folder in folders.items()}
    held_out = [(group, name) for group in groups for name in names[group]]
    for group, name in sorted(held_out, key=lambda pair: names[pair[0]].index(pair[1])):  # in turn
        number = names[group].index(name)
        others = np.random.default_rng(number).permutation([other for other in names[group] if other != name])
        for count in (4, 1):
            rows.append(run(work, chosen, group, folders[group], others[:count].tolist(), [name]))
            report(work / "results.json", rows, chosen)
    report(work / "results.json", rows, chosen)


def gain(rows: Sequence[Mapping[str, Any]], recipe: str) -> float:
    """Mean change by the last model, after adapting to all volumes."""
    row = next(row for row in rows if row["recipe"] == recipe and len(row["learned"]) == ADAPTED_TO)
    return float(np.mean([dsc(target["last"]) - dsc(target["start"]) for target in row["targets"]]))


def dsc(figures: Sequence[float]) -> float:
    """What models are ranked by."""
    return Score(*figures).dsc


def run(
    work: Path, recipe: str, group: str, folder: Path, learned: Sequence[str], tests: Sequence[str]
) -> dict[str, Any]:
    """Adapt to some cases of a group and measure on others, or read what was measured before."""
    name = f"{group}-{recipe}-{len(learned)}" + ("" if group == "drawn" else f"-{tests[0]}")
    path = work / "runs" / f"{name}.json"
    if not path.exists():
        left_out = tuple(case.name for case in find_cases(folder) if case.name not in learned)
        settings = replace(CANDIDATES[recipe], left_out=left_out)
        if len(learned) == 1:  # refused otherwise, since these very runs: what is kept is the last one
            settings = replace(settings, validation=0.0)
        model = path.with_suffix(".pt")
        path.parent.mkdir(parents=True, exist_ok=True)
        for old in path.parent.glob(f"{name}.*"):  # of a run that was cut off
            old.unlink()
        facts = finetune(folder, START, model, settings, Conduct(device="cpu", save_seconds=1e9))
        targets = [figures for test in tests for figures in measured(folder, test, model)]
        keys = ("validation_dsc", "start_dsc", "kept_start", "steps")
        row = {"recipe": recipe, "group": group, "learned": list(learned), **{key: facts[key] for key in keys}}
        path.write_text(json.dumps({**row, "targets": targets}, indent=1), encoding="utf-8")
        print(f"{name}: {targets}", flush=True)  # noqa: T201 - a long run
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def measured(folder: Path, test: str, model: Path) -> list[dict[str, Any]]:
    """Figures of a case's targets by the starting point, the model kept and the last one."""
    rows = []
    for label, examiner in examiners(folder, test):
        start = start_score(folder, test, label)
        kept = start if model.read_bytes() == START.read_bytes() else examiner.score(*load_network(model))
        last = examiner.score(*load_network(model.with_suffix(".last.pt")))
        rows.append({"case": test, "label": label, "start": start, "kept": kept, "last": last})
    return rows


@cache
def examiners(folder: Path, test: str) -> list[tuple[int, Examiner]]:
    """One for each target of a case; they remember what the partner says."""
    library = Library()
    case = next(case for case in find_cases(folder) if case.name == test)
    return [
        (example.target.values[0], Examiner([(partial(library.load, case), example.target)], torch.device("cpu")))
        for example in library.examples(case)
    ]


@cache
def start_score(folder: Path, test: str, label: int) -> Score:
    """Figures of the starting point, which are the same for all runs."""
    return dict(examiners(folder, test))[label].score(*load_network(START))


# ------------------------------------------------------------------------------------------------------------- volumes


def drawn_cases(folder: Path) -> Path:
    """Phantoms of a family as a dataset: those to adapt to first, then the others."""

    def write(case: Case, seed: int) -> None:
        phantom = make_phantom(seed, FAMILY, SHAPE)
        write_case(case, phantom.values, (phantom.labels == 1).astype(np.uint8), phantom.spacing_kji_mm)

    return _written(folder, {f"{number:02d}": partial(write, seed=FIRST_SEED + number) for number in range(11)})


def real_cases(folder: Path, data: Path, group: str) -> Path:
    """The evaluation's volumes of a modality as a dataset of their first targets, cut to where these are."""
    if not folder.exists():
        targets: dict[str, list[Any]] = {}
        for target in read_targets(data, group):
            if target.case.startswith(f"{group}_"):
                targets.setdefault(target.case, []).append(target)

        def write(case: Case, found: Sequence[Any]) -> None:
            labels = np.zeros(found[0].truth.shape, np.uint8)
            for number, target in enumerate(found[:TARGETS], 1):
                labels[target.truth] = number
            present = np.flatnonzero(labels.any((1, 2)))
            cut = slice(max(int(present[0]) - MARGIN, 0), int(present[-1]) + MARGIN + 1)
            geometry = found[0].volume.geometry
            axis = geometry.plane_axis("axial")
            order = (axis, *(other for other in range(3) if other != axis))
            values = np.moveaxis(found[0].volume.array_kji, axis, 0)
            write_case(case, values[cut], labels[cut], [geometry.spacing_kji_mm[place] for place in order])

        _written(folder, {name: partial(write, found=found) for name, found in targets.items()})
    return folder


def _written(folder: Path, cases: Mapping[str, Callable[[Case], None]]) -> Path:
    if not folder.exists():
        part = folder.with_name(f"{folder.name}.part")
        for name, write in cases.items():
            (part / name).mkdir(parents=True, exist_ok=True)
            write(Case(name, part / name / "image.nrrd", part / name / "labels.nrrd"))
        part.rename(folder)
    return folder


def write_case(case: Case, values: NDArray[Any], labels: NDArray[np.uint8], spacing_kji_mm: Sequence[float]) -> None:
    """Write a stack of slices and its labels, `(slices, rows, columns)`, as a case."""
    for path, array in ((case.image, values), (case.labels, labels)):
        image = sitk.GetImageFromArray(np.ascontiguousarray(array))
        image.SetSpacing([float(mm) for mm in spacing_kji_mm[::-1]])
        sitk.WriteImage(image, str(path), True)


if __name__ == "__main__":
    main()
