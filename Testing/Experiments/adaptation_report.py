"""Tables and bars of `adaptation.py`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

DRAWS = 10_000

Row = Mapping[str, Any]


def report(path: Path, rows: Sequence[Row], chosen: str) -> None:
    """Write all rows and what they come to, and print the latter."""
    summary = {
        "chosen": chosen,
        "drawn": {
            f"{row['recipe']}, {len(row['learned'])} volumes": _drawn(row) for row in rows if row["group"] == "drawn"
        },
        "real": {
            f"{count} volumes": _real([row for row in rows if row["group"] != "drawn" and len(row["learned"]) == count])
            for count in (1, 4)
        },
    }
    path.write_text(json.dumps({"summary": summary, "rows": list(rows)}, indent=1), encoding="utf-8")
    print(json.dumps(summary, indent=1), flush=True)  # noqa: T201 - the result


def changes(row: Row, model: str) -> list[float]:
    """Change of the mean DSC of both ranges per target, from the starting point."""
    return [float(np.mean(target[model][:2]) - np.mean(target["start"][:2])) for target in row["targets"]]


def _drawn(row: Row) -> dict[str, Any]:
    found: dict[str, Any] = {"kept_start": row["kept_start"]}
    for model in ("kept", "last"):
        empty = [target[model][2] - target["start"][2] for target in row["targets"]]
        found[model] = {"change": interval(changes(row, model)), "absent_empty_change": _rounded(np.mean(empty))}
    return found


def _real(rows: Sequence[Row]) -> dict[str, Any]:
    found: dict[str, Any] = {"held_out": len(rows), "kept_start": sum(row["kept_start"] for row in rows)}
    for model in ("kept", "last"):
        by_volume = {row["targets"][0]["case"]: _rounded(np.mean(changes(row, model))) for row in rows}
        worst = min((change for row in rows for change in changes(row, model)), default=np.nan)
        mean = np.mean(list(by_volume.values())) if by_volume else np.nan
        found[model] = {"mean": _rounded(mean), "worst_target": _rounded(worst), "volumes": by_volume}
    return found


def interval(values: Iterable[float]) -> tuple[float, float, float]:
    """Mean and its 95 % interval by the bootstrap."""
    array = np.fromiter(values, float)
    means = np.random.default_rng(0).choice(array, (DRAWS, len(array))).mean(1)
    return _rounded(array.mean()), *map(_rounded, np.percentile(means, (2.5, 97.5)))


def _rounded(value: Any) -> float:
    return round(float(value), 4)
