"""Tables of tuned numbers: the figure at each value, and how sure its distance from the code's value is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

DRAWS = 5_000


def interval(values: NDArray[np.float64], groups: Sequence[str]) -> dict[str, float]:
    """Mean with a 95 % percentile bootstrap interval that draws whole patients or phantoms."""
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
    best = int(score.mean(axis=0).argmax())
    return {
        "number": name,
        "cases": len(figures),
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
    lines = [
        f"\n{result['number']} on {result['cases']} {side}: {result['code']} in the code, {result['best']} is best",
        "| value | open | range | within 5 slices | mean of open and range, minus the code's (95 %) |",
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
