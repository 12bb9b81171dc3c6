"""Figures of the ablation: means, paired differences with intervals, the verdict, and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

KINDS = ("absent", "contested", "present", "volume")
TREATED, CONTROL, EQUAL_SIZE = "M_O+M_R=1", "M_O", "M_O+M_O"
BAR, GUARD = 0.05, -0.02
COLORS = {"absent": (196, 78, 82), "contested": (221, 132, 82), "present": (76, 114, 176), "volume": (85, 168, 104)}


def summarize(runs: Sequence[Mapping[str, Any]], arms: Sequence[str], draws: int) -> dict[str, Any]:
    """Tables of the regimes and arms that were run, in the order of `arms`, and the verdict of PLAN.md."""
    summary: dict[str, Any] = {}
    for regime in sorted({run["regime"] for run in runs}, reverse=True):
        present = [arm for arm in arms if any(run["regime"] == regime and run["arm"] == arm for run in runs)]
        grids = {
            (arm, kind): _grid([run for run in runs if run["regime"] == regime and run["arm"] == arm], kind)
            for arm in present
            for kind in KINDS
        }
        table = {arm: {kind: _interval(grids[arm, kind], draws) for kind in KINDS} for arm in present}
        differences = {
            f"{TREATED} - {other}": {
                kind: _interval(grids[TREATED, kind] - grids[other, kind], draws) for kind in KINDS
            }
            for other in (CONTROL, EQUAL_SIZE)
            if other in present and TREATED in present
        }
        summary[_title(regime)] = {
            "arms": table,
            "differences": differences,
            "beyond_end": {arm: _beyond_end(runs, regime, arm) for arm in (CONTROL, TREATED) if arm in present},
        }
    main = summary[_title(5)]["differences"][f"{TREATED} - {CONTROL}"]
    summary["verdict"] = {
        "primary_met": bool(main["absent"]["mean"] >= BAR and main["absent"]["low"] > 0),
        "guard_met": bool(main["present"]["low"] >= GUARD),
    }
    return summary


def _title(regime: int) -> str:
    return f"{regime} volumes" if regime > 1 else "1 volume"


def _grid(runs: Sequence[Mapping[str, Any]], kind: str) -> NDArray[np.float64]:
    """Figures of an arm, `(seeds, volumes)`; NaN where a volume has no such slice."""
    ordered = sorted(runs, key=lambda run: run["seed"])
    return np.array([[np.nan if f[kind] is None else f[kind] for f in run["figures"]] for run in ordered])


def _interval(grid: NDArray[np.float64], draws: int) -> dict[str, float]:
    """Mean and 95 % percentile bootstrap: seeds first, then volumes."""
    rng = np.random.default_rng(0)
    means = np.empty(draws)
    for draw in range(draws):
        seeds = rng.integers(len(grid), size=len(grid))
        volumes = rng.integers(grid.shape[1], size=grid.shape[1])
        means[draw] = np.nanmean(grid[seeds][:, volumes])
    low, high = np.nanpercentile(means, (2.5, 97.5))
    return {"mean": float(np.nanmean(grid)), "low": float(low), "high": float(high)}


def _beyond_end(runs: Sequence[Mapping[str, Any]], regime: int, arm: str) -> dict[str, float]:
    """Mean DSC of the first absent slices after the target's last one, by distance."""
    figures = [f for run in runs if run["regime"] == regime and run["arm"] == arm for f in run["figures"]]
    found = {}
    for distance in map(str, range(1, 9)):
        scores = [figure["beyond_end"][distance] for figure in figures if distance in figure["beyond_end"]]
        if scores:
            found[distance] = float(np.mean(scores))
    return found


def write_figure(path: Path, results: Mapping[str, Any]) -> None:
    """Bars with intervals: one group per arm, one bar per kind of slice, one panel per regime."""
    width, height, left, base = 900, 300, 60, 240
    regimes = [regime for regime in (_title(5), _title(1)) if regime in results]
    image = Image.new("RGB", (width, len(regimes) * height), "white")
    pen = ImageDraw.Draw(image)
    for panel, regime in enumerate(regimes):
        top = panel * height
        arms = results[regime]["arms"]
        for tenth in range(0, 11, 2):
            y = top + base - 20 * tenth
            pen.line([(left, y), (width - 10, y)], fill=(225, 225, 225))
            pen.text((left - 8, y), f"{tenth / 10:.1f}", fill=(70, 70, 70), anchor="rm")
        pen.text((left, top + 20), f"DSC after adaptation on {regime}", fill=(0, 0, 0), anchor="ls")
        group = (width - left - 10) / len(arms)
        for number, (arm, kinds) in enumerate(arms.items()):
            for place, kind in enumerate(KINDS):
                x = left + number * group + 10 + place * (group - 20) / len(KINDS)
                bar = kinds[kind]
                step = (group - 20) / len(KINDS) - 3
                pen.rectangle([x, top + base - 200 * bar["mean"], x + step, top + base], fill=COLORS[kind])
                middle = x + step / 2
                ends = [(middle, top + base - 200 * bar["low"]), (middle, top + base - 200 * bar["high"])]
                pen.line(ends, fill=(0, 0, 0), width=2)
            pen.text((left + (number + 0.5) * group, top + base + 8), arm, fill=(0, 0, 0), anchor="mt")
    for place, kind in enumerate(KINDS):
        x = left + place * 140
        pen.rectangle([x, image.height - 24, x + 12, image.height - 12], fill=COLORS[kind])
        pen.text((x + 18, image.height - 18), kind, fill=(0, 0, 0), anchor="lm")
    image.save(path)
