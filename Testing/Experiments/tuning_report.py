"""Tables of tuned numbers: the figure at each value, and how sure its distance from the code's value is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

DRAWS = 5_000
FEW = 8
"""Of fewer patients cases are drawn instead: too narrow an interval, but of three outcomes it would be none at all."""


def interval(values: NDArray[np.float64], groups: Sequence[str]) -> dict[str, float]:
    """Mean with a 95 % percentile bootstrap interval that draws whole patients or phantoms, unless there are `FEW`."""
    if len(set(groups)) < FEW:
        groups = [str(case) for case in range(len(groups))]
    rng = np.random.default_rng(0)
    names = sorted(set(groups))
    member = np.array([[group == name for group in groups] for name in names], dtype=float)
    drawn = rng.integers(len(names), size=(DRAWS, len(names)))
    means = (member @ values)[drawn].sum(axis=1) / member.sum(axis=1)[drawn].sum(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return {"mean": float(values.mean()), "low": float(low), "high": float(high)}


def compare(
    name: str, values: Sequence[Any], code: Any, figures: NDArray[np.float64], groups: Sequence[str]
) -> dict[str, Any]:
    """One number on one side.

    Args:
        name: the number's.
        values: its grid, the code's value among them.
        code: the code's value.
        figures: `(cases, values, 3)`, see `tuning_replay.MEASURES`; the best has the highest mean of the first two.
        groups: patient or phantom per case.
    """
    score = figures[..., :2].mean(axis=2)
    own = values.index(code)
    means = score.mean(axis=0)
    best = own if means[own] >= means.max() - 1e-9 else int(means.argmax())
    return {
        "number": name,
        "cases": len(figures),
        "groups": len(set(groups)),
        "code": code,
        "best": values[best],
        "at_code": interval(score[:, own], groups),
        "at_best": interval(score[:, best], groups),
        "best_minus_code": interval(score[:, best] - score[:, own], groups),
        "grid": [
            {
                "value": value,
                **dict(
                    zip(
                        ("open", "range", "near"), (float(mean) for mean in figures[:, place].mean(axis=0)), strict=True
                    )
                ),
                "minus_code": interval(score[:, place] - score[:, own], groups),
            }
            for place, value in enumerate(values)
        ],
    }


def say(side: str, result: Mapping[str, Any]) -> None:
    """Print a number's grid."""
    code, best = result["at_code"], result["at_best"]
    lines = [
        f"\n{result['number']} on {side}: {result['cases']} cases of {result['groups']} volumes",
        f"{result['code']} in the code: DSC {code['mean']:.4f} ({code['low']:.3f} to {code['high']:.3f}); "
        f"{result['best']} is best: {best['mean']:.4f} ({best['low']:.3f} to {best['high']:.3f}); "
        f"means of open and range with 95 % intervals that draw {'cases' if result['groups'] < FEW else 'volumes'}",
        "| value | open | range | within 5 slices | mean of open and range, minus the code's |",
        "|---|---|---|---|---|",
    ]
    for row in result["grid"]:
        mark = " (code)" if row["value"] == result["code"] else ""
        means = " | ".join(f"{row[measure]:.4f}" for measure in ("open", "range", "near"))
        difference = row["minus_code"]
        lines.append(
            f"| {row['value']}{mark} | {means} "
            f"| {difference['mean']:+.4f} ({difference['low']:+.4f} to {difference['high']:+.4f}) |"
        )
    print("\n".join(lines), flush=True)  # noqa: T201 - the script's output


def write(path: Path, results: Mapping[str, Any]) -> None:
    """Keep results as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1), encoding="utf-8")
