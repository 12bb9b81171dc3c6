"""Boxes and clicks on key slices, as a hasty annotator gives them: the masks that come of them against the reference.

The bars were set before anything was measured: mean DSC of a box one pixel too wide .88, of one whose edges are off by
up to 10 % .85, of one central point .55, after five corrective clicks .82; a volume from one box within .03 of the one
from the reference outline.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SegmentPropagateLib.propagation.prompts import BoxPrompt, LinePrompt, PointsPrompt
from SegmentPropagateLib.reports.metrics import dice
from SegmentPropagateLib.volumes.boxes import first_and_last

BARS: Mapping[str, float] = {"box, 1 px wider": 0.88, "box off by 10 %": 0.85, "1 point": 0.55, "5 corrections": 0.82}
DRAWS = 3
"""Boxes of each kind that are off by chance."""
CORRECTIONS = 5
WITH_DIAGONALS = np.ones((3, 3), dtype=bool)

Mask = NDArray[np.bool_]
Results = Mapping[str, Sequence[Mapping[str, Any]]]
Segment = Callable[[BoxPrompt | PointsPrompt | LinePrompt], Mask]


def measure(segment: Segment, truth: Mask, spacing_rc_mm: tuple[float, float]) -> dict[str, float]:
    """Figures of one key slice.

    Args:
        segment: turns a prompt on the slice into a mask.
        truth: the reference, bool `(rows, columns)`.
        spacing_rc_mm: distance between rows and between columns.

    Returns:
        DSC by the kind of prompt (the mean over boxes of a kind), the share of masks of one prompt that are one piece,
        and the longest time that a prompt took.
    """
    figures: dict[str, float] = {}
    seconds, whole = [], []

    def ask(prompt: BoxPrompt | PointsPrompt | LinePrompt) -> Mask:
        begin = time.perf_counter()
        mask = segment(prompt)
        seconds.append(time.perf_counter() - begin)
        return mask

    for name, prompts in boxes(truth).items():
        masks = [ask(prompt) for prompt in prompts]
        whole += [ndimage.label(mask, WITH_DIAGONALS)[1] == 1 for mask in masks]
        figures[name] = float(np.mean([dice(mask, truth) for mask in masks]))
    figures["longest diameter"] = dice(ask(diameter(truth, spacing_rc_mm)), truth)
    for number, mask in enumerate(clicks(ask, truth)):
        if number == 0:
            whole.append(ndimage.label(mask, WITH_DIAGONALS)[1] == 1)
        name = "1 point" if number == 0 else f"{number} correction{'s' if number > 1 else ''}"
        figures[name] = dice(mask, truth)
    return {**figures, "one piece": float(np.mean(whole)), "s": max(seconds)}


def boxes(truth: Mask) -> Mapping[str, Sequence[BoxPrompt]]:
    """Boxes around a reference mask, by their kind; the same ones each time."""
    rng = np.random.default_rng(0)
    (row0, row1), (column0, column1) = first_and_last(truth)
    tight = np.array([column0, row0, column1, row1], dtype=float)
    sides = np.array([column1 - column0 + 1, row1 - row0 + 1] * 2, dtype=float)
    limits = np.array([truth.shape[1] - 1, truth.shape[0] - 1] * 2, dtype=float)

    def boxed(edges: NDArray[np.float64]) -> BoxPrompt:
        edges = np.clip(np.rint(edges), 0, limits)
        edges[2:] = np.maximum(edges[:2], edges[2:])
        return BoxPrompt((float(edges[0]), float(edges[1]), float(edges[2]), float(edges[3])))

    return {
        "box, 1 px wider": [boxed(tight + np.array([-1, -1, 1, 1]))],
        "box off by 1 px": [boxed(tight + rng.integers(-1, 2, 4)) for _ in range(DRAWS)],
        "box off by 10 %": [boxed(tight + sides * rng.uniform(-0.1, 0.1, 4)) for _ in range(DRAWS)],
    }


def diameter(truth: Mask, spacing_rc_mm: tuple[float, float]) -> LinePrompt:
    """The line between the two pixels of the largest part of a reference mask that are farthest apart."""
    part = largest(truth)
    edge = np.argwhere(part & ~ndimage.binary_erosion(part))
    places = edge * np.array(spacing_rc_mm)
    squares = ((places[:, None] - places[None]) ** 2).sum(axis=-1)
    first, last = edge[list(np.unravel_index(int(squares.argmax()), squares.shape))][:, ::-1]
    return LinePrompt((float(first[0]), float(first[1]), float(last[0]), float(last[1])))


def clicks(segment: Segment, truth: Mask) -> Iterator[Mask]:
    """Masks after a click in the middle of the object's largest part and after each of `CORRECTIONS` more clicks."""
    points, positive = [middle(largest(truth))], [True]
    mask = segment(PointsPrompt(np.array(points), np.array(positive)))
    yield mask
    for _ in range(CORRECTIONS):
        click = correction(mask, truth)
        if click is not None:
            points.append(click[0])
            positive.append(click[1])
            mask = segment(PointsPrompt(np.array(points), np.array(positive)))
        yield mask


def correction(mask: Mask, truth: Mask) -> tuple[tuple[float, float], bool] | None:
    """Where `(i, j)` an annotator clicks next, and whether the object is there; None where nothing is wrong."""
    missing, excess = largest(truth & ~mask), largest(mask & ~truth)
    if not (missing | excess).any():
        return None
    positive = bool(missing.sum() >= excess.sum())
    return middle(missing if positive else excess), positive


def largest(mask: Mask) -> Mask:
    """The largest part of a mask; an empty one where it is empty."""
    parts, count = ndimage.label(mask)
    return parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:])) if count else mask


def middle(mask: Mask) -> tuple[float, float]:
    """Column and row `(i, j)` of the pixel that is farthest from the mask's edge."""
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(column), float(row)


def write_prompt_report(
    out: Path, sides: Mapping[str, int], results: Mapping[str, Sequence[Mapping[str, Any]]]
) -> None:
    """Print and write `prompts.md` and `prompts.json`: means by kind of prompt, method and side, beside the bars.

    Args:
        out: folder to write to.
        sides: name and number of targets of each side, in the rows' order.
        results: method -> a row of `measure` per target.
    """
    names = [name for name in next(iter(results.values()))[0] if name not in ("case", "target", "masks")]
    columns = [f"{name}, {side}" for name in results for side in (*sides, "all")]
    means = []
    for rows in results.values():
        values = np.array([[row[name] for name in names] for row in rows], dtype=float)
        ends = np.cumsum([0, *sides.values()])
        parts = [values[first:last] for first, last in pairwise(ends)]
        means += [part.mean(axis=0) if len(part) else np.full(len(names), np.nan) for part in (*parts, values)]
    lines = ["| prompt | bar | " + " | ".join(columns) + " |", "|--" * (2 + len(columns)) + "|"]
    for name, figures in zip(names, np.transpose(means), strict=True):
        bar = f"{BARS[name]:.2f}" if name in BARS else ""
        lines.append(f"| {name} | {bar} | " + " | ".join(f"{figure:.3f}" for figure in figures) + " |")
    text = "\n".join(lines)
    print(text)
    out.mkdir(parents=True, exist_ok=True)
    (out / "prompts.md").write_text(text + "\n")
    (out / "prompts.json").write_text(json.dumps(results, indent=1))
