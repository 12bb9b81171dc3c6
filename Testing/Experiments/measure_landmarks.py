"""What `landmarks` is worth on drawn bodies, with and without its look around; planned in PLAN_LANDMARKS.md.

python measure_landmarks.py --bodies FOLDER            # 60 bodies to train on
segment-propagate train-localizer FOLDER -o localizer.pt
python measure_landmarks.py --localizer localizer.pt   # the figures, and landmarks.json
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from SegmentPropagateLib.formats.writing import write_volume
from SegmentPropagateLib.networks.localizer_file import load_localizer
from SegmentPropagateLib.phantoms.bodies import make_body
from SegmentPropagateLib.prompting.atlas.fusion import outline_of
from SegmentPropagateLib.prompting.atlas.grid import MM, body_of
from SegmentPropagateLib.prompting.atlas.judgement import FOUND, UNSURE
from SegmentPropagateLib.prompting.landmarks.points import extreme_points, surface_of
from SegmentPropagateLib.prompting.landmarks.search import located, seen_of
from SegmentPropagateLib.prompting.landmarks.source import Landmarks
from SegmentPropagateLib.prompting.landmarks.supports import examples_of, opened, shown, whole_ones
from SegmentPropagateLib.prompting.source import Support
from SegmentPropagateLib.reports.metrics import dice
from SegmentPropagateLib.volumes.geometry import Plane

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "Testing" / "Benchmarks"))
from evaluate_suggest import as_files, box_iou, finished_bodies, mean_box_iou  # noqa: E402 - it lies in the next folder

TRAINING, SUPPORTS = range(10_000, 10_060), range(1000, 1005)

Row = dict[str, Any]


def main() -> None:
    """Write bodies to train on, or measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bodies", type=Path, help="write bodies to train on there, and nothing else")
    parser.add_argument("--localizer", type=Path, help="what was trained on them")
    parser.add_argument("--queries", type=int, nargs=2, default=(0, 40), help="first seed, and the one after the last")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("landmarks.json"))
    arguments = parser.parse_args()
    if arguments.bodies is not None:
        arguments.bodies.mkdir(parents=True, exist_ok=True)
        for seed in TRAINING:
            write_volume(arguments.bodies / f"body{seed}.nii.gz", as_files(make_body(seed))[0])
        return
    rows = list(_rows(arguments.localizer, range(*arguments.queries)))
    arguments.out.write_text(json.dumps({"figures": list(told(rows)), "labels": by_label(rows)}, indent=1) + "\n")
    print("\n".join(told(rows)))  # noqa: T201 - the result


def _rows(localizer: Path, queries: range) -> Iterator[Row]:
    network, card = load_localizer(localizer)
    templates = [make_body(seed) for seed in SUPPORTS]
    with tempfile.TemporaryDirectory() as folder:
        finished = finished_bodies(Path(folder), templates)
        values = [segment.value for segment in finished.segments]
        cases = [opened(it, lambda body: seen_of(body, network, card.step)) for it in finished.cases]
        known = [
            examples_of(it, values, case) for it, case in zip(finished.cases, cases, strict=True) if case is not None
        ]
        support = Support(cases=finished.cases, localizer=localizer)
        for seed in queries:
            volume, labels = as_files(make_body(seed))
            begin = time.process_time()
            drafts = Landmarks().propose(volume, values, support, Plane.AXIAL)
            seconds = time.process_time() - begin
            body = body_of(volume)
            seen = seen_of(body, network, card.step)
            for draft in drafts:
                there = labels.mask(draft.label)
                row = {"query": seed, "label": draft.label, "status": draft.status, "confidence": draft.confidence}
                row |= {"here": bool(there.any()), "seconds": seconds}
                if there.any():
                    outline = outline_of(there, volume.geometry, body.lattice)
                    row["whole"] = not np.any(outline.cut)
                    row["iou"] = box_iou(draft, there, volume.geometry)
                    row["mean_iou"] = mean_box_iou(templates, draft.label, there)
                    if draft.key_slice is not None:
                        row["key_dsc"] = dice(draft.mask, there[draft.key_slice])
                    if row["whole"]:
                        truth = extreme_points(*surface_of(outline, body.lattice))
                        examples = [it[draft.label] for it in known if draft.label in it]
                        row |= _errors(seen, examples, truth) if examples else {}
                yield row


def _errors(seen: Any, examples: list[Any], truth: Any) -> Row:
    """By how far the six landmarks are off in mm, with and without the look around."""
    codes, outlines = shown(whole_ones(examples))
    if len(outlines[0].boxes) > 1:  # of a long organ the parts have landmarks
        return {}
    found = located(seen, codes)
    off = {"rdr_mm": found.jumps, "mss_mm": found.points}
    return {name: float(MM * np.linalg.norm(points - truth, axis=1).mean()) for name, points in off.items()}


def told(rows: list[Row]) -> Iterator[str]:
    """The figures of the plan, a line each."""
    here = [row for row in rows if row["here"]]
    whole = [row for row in here if row["whole"]]
    absent = [row for row in rows if not row["here"]]
    for name, some in (("whole in the field of view", whole), ("all visible", here)):
        mean, mean_box = (np.mean([row[key] for row in some]) for key in ("iou", "mean_iou"))
        gain = interval([(row["query"], row["iou"] - row["mean_iou"]) for row in some])
        yield f"{name}: {len(some)}, box IoU {mean:.3f}, mean box {mean_box:.3f}, difference {gain}"
    off = [row for row in whole if "mss_mm" in row]
    rdr, mss = (np.mean([row[key] for row in off]) for key in ("rdr_mm", "mss_mm"))
    less = interval([(row["query"], row["mss_mm"] - row["rdr_mm"]) for row in off])
    yield f"landmarks off by {rdr:.1f} mm by RDR alone, {mss:.1f} mm with MSS, difference {less}"
    for name, low, high in (("taken to be here", FOUND, 2.0), ("doubtful", UNSURE, FOUND)):
        some = [row for row in here if low <= row["confidence"] < high]
        good = np.mean([row["key_dsc"] for row in some]) if some else np.nan
        yield f"{name}: {len(some)} of {len(here)}, key DSC {good:.2f}"
    doubted = np.mean([row["confidence"] < FOUND for row in absent])
    yield f"absent and not taken to be here: {doubted:.3f} of {len(absent)}"
    yield f"{np.mean([row['seconds'] for row in rows]):.1f} CPU s each"


def by_label(rows: list[Row]) -> dict[int, Row]:
    """Means of each label over the queries that show it."""
    labels: dict[int, Row] = {}
    for label in sorted({row["label"] for row in rows if row["here"]}):
        here = [row for row in rows if row["here"] and row["label"] == label]
        labels[label] = {"count": len(here)}
        for name in ("iou", "mean_iou", "key_dsc", "rdr_mm", "mss_mm"):
            values = [row[name] for row in here if name in row]
            labels[label][name] = round(float(np.mean(values)), 3) if values else None
    return labels


def interval(values: list[tuple[int, float]]) -> str:
    """Mean of `(query, value)` over queries, and where it lies in 95 % of the draws of queries."""
    queries = sorted({query for query, _ in values})
    means = np.array([np.mean([value for of, value in values if of == query]) for query in queries])
    draws = np.random.default_rng(0).choice(means, (10_000, len(means))).mean(axis=1)
    low, high = np.percentile(draws, (2.5, 97.5))
    return f"{means.mean():+.3f} ({low:+.3f} to {high:+.3f})"


if __name__ == "__main__":
    main()
