"""Does it stop? What every method at hand leaves on slices without the object (`make stops`).

On drawn look-alikes, and on the evaluation's real targets where they are at hand; on an open range and with the first
and last slice given. Runs are shared with `evaluate.py`, so what that has done is not done again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from evaluate import HERE, ROOT, STARTER, Method, baseline_methods, both_ranges, model_method, results_of
from evaluation_targets import PLANE, Target, drawn_target, read_targets
from stop_figures import FIGURES, stop_figures

from SegmentPropagateLib.networks.memory_rules import PUBLISHED, RULES
from SegmentPropagateLib.propagation.propagator import PropagationSettings

PAGE = ROOT / ".github" / "STOPS.md"
BEGIN, END = "<!-- made by Testing/Benchmarks/stops.py -->", "<!-- until here -->"
FAMILIES = ("twins", "contact", "reappearing", "crowd")
FIRST_SEED = 7_500_000
DRAWS = 10_000
TITLES = {"drawn": "Drawn look-alikes", "real": "Real targets"}
EXTENTS = {"open": "open range", "range": "first and last slice given"}


def main(argv: Sequence[str] | None = None) -> None:
    """Run what has not been run before, and write `stops.json` and the tables of the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="real volumes, if any")
    parser.add_argument("--drawn", type=int, default=4, help="phantoms of each family; 0 leaves them out")
    parser.add_argument("--method", action="append", metavar="NAME", help="one row of the tables; may be given again")
    parser.add_argument("--rules-on-real", action="store_true", help="memory rules on real targets, too")
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache" / "evaluation", help="for what is already done")
    parser.add_argument("--out", type=Path, default=HERE / "stops.json")
    parser.add_argument("--page", type=Path, default=PAGE)
    arguments = parser.parse_args(argv)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    known: dict[str, Any] = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    for side, targets in sides(arguments).items():
        rows = known.setdefault(side, {})
        for method in methods(with_rules=side == "drawn" or arguments.rules_on_real):
            if arguments.method is None or method.name in arguments.method:
                rows[method.name] = measured(method, targets, arguments.cache)
                write(arguments.out, arguments.page, known)


def sides(arguments: argparse.Namespace) -> Mapping[str, list[Target]]:
    """The targets of either side, where there are any."""
    found = {"drawn": list(drawn(arguments.drawn))} if arguments.drawn else {}
    if (arguments.data / "TARGETS.json").exists():
        found["real"] = list(read_targets(arguments.data))
    return found


def drawn(count: int) -> Iterator[Target]:
    """So many phantoms of each family, whose look-alikes have the target's gray."""
    for family in FAMILIES:
        found = (drawn_target(FIRST_SEED + number, family, hardness=1.0) for number in range(10 * count))
        yield from [target for target in found if target is not None][:count]


def methods(with_rules: bool) -> list[Method]:
    """The baselines, the models, and the network alone with each memory rule."""
    plain = PropagationSettings()
    alone = model_method(STARTER, plain)
    named = [method for method in baseline_methods() if method.name != "demons and growcut"]
    named += [model_method("classical", plain), alone, model_method("starter", plain)]
    others = [name for name in RULES if name not in (PUBLISHED, "sam2-near-keys")] if with_rules else []
    for name in others:
        settings: Any = replace(plain, memory=name)  # type: ignore[arg-type]
        named.append(replace(alone, name=f"{alone.name}, {name}", settings=settings))
    return named


def measured(method: Method, targets: Sequence[Target], cache: Path) -> dict[str, Any]:
    """Means over the targets and, of the share of absent slices with a voxel, an interval that draws patients."""
    found: dict[str, list[dict[str, float | None]]] = {extent: [] for extent in EXTENTS}
    for target, result in zip(targets, results_of(method, list(targets), cache, both_ranges), strict=True):
        spacing_mm = target.volume.geometry.spacing_kji_mm[target.volume.geometry.plane_axis(PLANE)]
        with np.load(result["masks"]) as masks:
            for extent, rows in found.items():
                rows.append(stop_figures(masks[extent], target.truth, spacing_mm))
    summary: dict[str, Any] = {"targets": len(targets)}
    for extent, rows in found.items():
        ending = [(row, target.group) for row, target in zip(rows, targets, strict=True) if row[FIGURES[0]] is not None]
        means = {name: _mean([row[name] for row, _ in ending]) for name in FIGURES}
        shares = [(group, float(row[FIGURES[0]] or 0)) for row, group in ending]
        summary[extent] = {"targets_that_end": len(ending), **means, "interval_95": interval(shares)}
    return summary


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def interval(shares: Sequence[tuple[str, float]]) -> list[float]:
    """95 % percentile bootstrap of the mean of `(group, value)`, drawing whole groups."""
    names = sorted({group for group, _ in shares})
    sums = np.array([sum(value for group, value in shares if group == name) for name in names])
    counts = np.array([sum(group == name for group, _ in shares) for name in names])
    picks = np.random.default_rng(0).integers(len(names), size=(DRAWS, len(names)))
    means = sums[picks].sum(axis=1) / counts[picks].sum(axis=1)
    return [float(value) for value in np.percentile(means, (2.5, 97.5))]


def write(out: Path, page: Path, known: Mapping[str, Any]) -> None:
    """Write the figures, and the page's tables between their marks."""
    out.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    if page.exists():
        text = page.read_text(encoding="utf-8")
        head, _, rest = text.partition(BEGIN)
        tail = rest.partition(END)[2]
        page.write_text(f"{head}{BEGIN}\n\n{tables(known)}\n\n{END}{tail}", encoding="utf-8")


def tables(known: Mapping[str, Any]) -> str:
    """One table per side and range."""
    parts = []
    for side, rows in known.items():
        for extent, words in EXTENTS.items():
            count = next(iter(rows.values()))[extent]["targets_that_end"]
            parts += [
                f"**{TITLES[side]}, {words}** ({count} objects that end within their volume)",
                "\n".join(
                    [
                        "| method | absent slices with a voxel (95 %) | pixels per absent slice | past the end |",
                        "|---|---|---|---|",
                        *(_row(name, row[extent]) for name, row in rows.items()),
                    ]
                ),
            ]
    return "\n\n".join(parts)


def _row(name: str, figures: Mapping[str, Any]) -> str:
    share, pixels, past = (figures[key] for key in FIGURES)
    low, high = figures["interval_95"]
    distance = "" if past is None else f"{past:.1f} mm"
    return f"| {name} | {share:.2f} ({low:.2f} to {high:.2f}) | {pixels:.1f} | {distance} |"


if __name__ == "__main__":
    main()
