"""What training in SAM2-SGP's manner adds to `support-memory` on drawn bodies; planned in PLAN_SGP.md.

python measure_sgp.py --train sgp.pt --steps N   # draws the bodies, trains
python measure_sgp.py --model sgp.pt             # the figures, and sgp.json; goes on where an earlier call was stopped
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from SegmentPropagateLib.models.registry import bundled_folder, model_folders
from SegmentPropagateLib.networks.checkpoints import inspect_checkpoint, load_network, save_checkpoint
from SegmentPropagateLib.phantoms.bodies import ORGANS, make_body
from SegmentPropagateLib.prompting.shelf import looked_at
from SegmentPropagateLib.prompting.source import Support
from SegmentPropagateLib.prompting.support_memory import SupportMemory
from SegmentPropagateLib.reports.metrics import dice
from SegmentPropagateLib.training.finetune import Conduct, finetune
from SegmentPropagateLib.training.settings import RECIPES
from SegmentPropagateLib.volumes.geometry import Plane

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "Testing" / "Benchmarks"))
from evaluate_suggest import as_files, finished_bodies  # noqa: E402 - it lies in the next folder
from measure_landmarks import interval  # noqa: E402 - it lies in this one

TRAINING, ASIDE, SUPPORTS = range(20_000, 20_012), range(20_012, 20_014), range(1000, 1004)
MEASURED = (1, 7, 13)
SIZE = 128

Row = dict[str, Any]


def main() -> None:
    """Train, or measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=Path, help="model file to write")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--model", type=Path, help="what was trained")
    parser.add_argument("--queries", type=int, nargs=2, default=(0, 10), help="first seed, and the one after the last")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("sgp.json"))
    arguments = parser.parse_args()
    if arguments.train is not None:
        print(json.dumps(train(arguments.train, arguments.steps)))  # noqa: T201 - the result
        return
    rows: list[Row] = json.loads(arguments.out.read_text())["rows"] if arguments.out.exists() else []
    done = {row["query"] for row in rows}
    card = inspect_checkpoint(arguments.model, bases=model_folders()).card
    about = {"steps": card.recipe["steps_done"], "validation": card.metrics["validation"]["figures"]}
    for query_rows in measured(arguments.model, [query for query in range(*arguments.queries) if query not in done]):
        rows += query_rows
        arguments.out.write_text(json.dumps({"figures": figures(rows), "model": about, "rows": rows}, indent=1) + "\n")
    print(json.dumps(figures(rows), indent=1))  # noqa: T201 - the result


def train(model: Path, steps: int) -> dict[str, Any]:
    """The recipe, for so many steps; the facts of the run and its processor time."""
    with tempfile.TemporaryDirectory() as folder:
        finished_bodies(Path(folder), [make_body(seed) for seed in (*TRAINING, *ASIDE)])
        aside = tuple(str(len(TRAINING) + number) for number in range(len(ASIDE)))
        labels = tuple(range(1, ORGANS + 1))
        settings = replace(RECIPES["sgp"], steps=steps, image_size=SIZE, labels=labels, validation=aside, validations=2)
        begin = time.process_time()
        facts = finetune(folder, "starter", model, settings, Conduct(device="cpu", say=print, tick=told))
    return {**facts, "cpu_seconds": round(time.process_time() - begin)}


def told(record: Row, steps: int) -> None:
    """A line now and then."""
    if record["step"] % 20 == 0 or "validation_dsc" in record:
        print(steps, {name: round(value, 4) for name, value in record.items()}, flush=True)  # noqa: T201 - progress


def measured(model: Path, queries: list[int]) -> Iterator[list[Row]]:
    """Of each query a row per organ and slice that was looked at, with what both networks drew there."""
    with tempfile.TemporaryDirectory() as folder:
        finished = finished_bodies(Path(folder), [make_body(seed) for seed in SUPPORTS])
        known = {segment.value for segment in finished.segments}
        start, card = load_network(bundled_folder() / "starter.pt", SIZE)
        save_checkpoint(Path(folder) / "start.pt", start.state_dict(), card)
        models = {"before": Path(folder) / "start.pt", "after": model}
        sources = {name: SupportMemory() for name in models}
        for query in queries:
            rows: list[Row] = []
            volume, truth = as_files(make_body(query))
            wanted = [value for value in MEASURED if value in known]
            drafts = {
                name: sources[name].propose(volume, wanted, Support(cases=finished.cases, model=path), Plane.AXIAL)
                for name, path in models.items()
            }
            for number, label in enumerate(wanted):
                masks = truth.mask(label)
                for index in looked_at(len(masks)):
                    row: Row = {"query": query, "label": label, "slice": index, "present": bool(masks[index].any())}
                    for name in models:
                        drawn = drafts[name][number].slices.get(index)
                        mask = np.zeros_like(masks[index]) if drawn is None else drawn.mask
                        row[name] = round(dice(mask, masks[index]), 4)  # of an absent organ 1 where it is left empty
                    rows.append(row)
            yield rows


def figures(rows: list[Row]) -> dict[str, Any]:
    """The figures of the plan."""
    found = {}
    for name, some in (("present DSC", True), ("absent empty", False)):
        these = [row for row in rows if row["present"] is some]
        before, after = (_mean(these, which) for which in ("before", "after"))
        change = interval([(row["query"], row["after"] - row["before"]) for row in these])
        found[name] = {"slices": len(these), "before": before, "after": after, "difference": change}
    return found


def _mean(rows: list[Row], which: str) -> float:
    queries = sorted({row["query"] for row in rows})
    means = [np.mean([row[which] for row in rows if row["query"] == query]) for query in queries]
    return round(float(np.mean(means)), 3)


if __name__ == "__main__":
    main()
