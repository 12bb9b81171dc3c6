"""What memory rules do on drawn look-alikes: the measurement of PLAN_MEMORY.md."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tuning_cases import ROOT, Target, drawn_target

# isort: split
from stop_figures import FIGURES, stop_figures  # of the evaluation's folder, which the line above has added
from tuning_report import interval

from SegmentPropagateLib.models.loading import load_model
from SegmentPropagateLib.networks.memory_rules import PUBLISHED, RULES
from SegmentPropagateLib.propagation.lanes import plan_lanes
from SegmentPropagateLib.propagation.propagator import PropagationSettings, Propagator
from SegmentPropagateLib.reports.metrics import dice
from SegmentPropagateLib.volumes.stack import make_stack

HERE = Path(__file__).resolve().parent
FIRST_SEED = 7_100_000
LOOK_ALIKES = {"twins": 10, "contact": 10, "reappearing": 10, "crowd": 10}
OTHERS = {"organs": 3, "branching": 3, "nested": 3, "spine": 3, "soup": 3, "trunk": 3, "column": 3}
MEASURED = tuple(name for name in RULES if name != "sam2-near-keys")
GAIN, LOSS = 0.01, -0.002
MEASURES = ("dsc", *FIGURES)


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run what has not been run before, then sum up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two phantoms: shows nothing but that it runs")
    parser.add_argument("--work", type=Path, default=ROOT / ".cache" / "memory", help="for what is already done")
    parser.add_argument("--out", type=Path, default=HERE, help="for memory.json")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    version = version_of_code()
    work = arguments.work / version[:12]
    work.mkdir(parents=True, exist_ok=True)
    starter = ROOT / "SegmentPropagateLib" / "bundled" / "starter.pt"
    propagator = load_model(starter, "cpu", "exact", partner=False)
    plan = {"twins": 1, "organs": 1} if arguments.quick else LOOK_ALIKES | OTHERS
    rows = []
    for family, count in plan.items():
        for target in targets_of(family, count):
            rows.append({"family": family, "case": target.case, "rules": measured(propagator, target, work)})
            print(f"{family}, {target.case}: done", flush=True)  # noqa: T201
    results = {"code_sha256": version, **summarize(rows), "phantoms": rows}
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "memory.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return results


def version_of_code() -> str:
    """Of everything that the figures depend on."""
    library = ROOT / "SegmentPropagateLib"
    folders = ("networks", "phantoms", "propagation", "propagators", "volumes")
    files = [path for folder in folders for path in (library / folder).rglob("*.py")]
    digest = hashlib.sha256()
    for path in (*sorted(files), library / "bundled" / "starter.pt", HERE / "PLAN_MEMORY.md"):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def targets_of(family: str, count: int) -> Iterator[Target]:
    """So many targets of a family."""
    hardness = 1.0 if family in LOOK_ALIKES else None
    seed = FIRST_SEED
    while count:
        target = drawn_target(seed, family, hardness=hardness)
        seed += 1
        if target is not None:
            count -= 1
            yield target


def measured(propagator: Propagator, target: Target, work: Path) -> dict[str, dict[str, float | None]]:
    """Rule -> figures of one phantom, from its file where they are known."""
    path = work / f"{target.case}-{target.name}.json"
    if not path.exists():
        stack, _ = make_stack(target.volume, "axial")  # one for all rules, whose features are then kept
        found = {}
        for name in MEASURED:
            masks = carried(propagator, stack, target, name)
            found[name] = {"dsc": dice(masks, target.truth), **stop_figures(masks, target.truth, stack.spacing_mm[0])}
        path.write_text(json.dumps(found), encoding="utf-8")
    known: dict[str, dict[str, float | None]] = json.loads(path.read_text(encoding="utf-8"))
    return known


def carried(propagator: Propagator, stack: Any, target: Target, rule: Any) -> NDArray[np.bool_]:
    """The target's masks by one rule, on an open range."""
    settings = PropagationSettings(memory=rule)
    masks = {target.key: target.truth[target.key]}
    propagator.open(stack, settings)
    lanes = plan_lanes(1, masks, 0, len(target.truth) - 1, settings.pass_mode)
    result = np.zeros_like(target.truth)
    result[target.key] = masks[target.key]
    for update in propagator.run(lanes, {1: masks}):
        result[update.slice_index] = update.mask
    return result


def summarize(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means per rule on the look-alikes, differences to the published rule on all families, and the verdict."""
    families = list(dict.fromkeys(row["family"] for row in rows))
    groups = {"look-alikes": [family for family in families if family in LOOK_ALIKES]}
    groups |= {family: [family] for family in families}
    table: dict[str, Any] = {}
    for name, members in groups.items():
        chosen = [row for row in rows if row["family"] in members]
        if not chosen:
            continue
        columns = {
            (rule, measure): np.array([row["rules"][rule][measure] or 0.0 for row in chosen])  # None: nothing absent
            for rule in MEASURED
            for measure in MEASURES
        }
        cases = [f"{row['family']} {row['case']}" for row in chosen]
        table[name] = {
            rule: {
                measure: {
                    "mean": float(columns[rule, measure].mean()),
                    "minus_published": interval(columns[rule, measure] - columns[PUBLISHED, measure], cases),
                }
                for measure in MEASURES
            }
            for rule in MEASURED
        }
    return {"table": table, "meets_the_bar": [rule for rule in MEASURED if rule != PUBLISHED and meets(table, rule)]}


def meets(table: Mapping[str, Any], rule: str) -> bool:
    """Whether a rule may become a default."""
    gain = table["look-alikes"][rule]["dsc"]["minus_published"]
    others = [table[family][rule]["dsc"]["minus_published"]["mean"] for family in OTHERS if family in table]
    return bool(gain["mean"] >= GAIN and gain["low"] > 0 and min(others) >= LOSS)


if __name__ == "__main__":
    main()
