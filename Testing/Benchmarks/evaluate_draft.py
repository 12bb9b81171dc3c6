"""Masks of other tools as drafts: reference masks spoiled on some slices, before and after (`propagate --draft`).

Bars, set before anything was measured: on masks of which 10 to 50 % of the slices are spoiled the mean DSC rises by .05
or more, its 95 % interval above 0; on masks that are right it falls by .01 at most; and trust tells good slices (DSC of
.9 or more) from bad ones (below .7). References are read by this script alone.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from damaged_masks import damaged
from evaluation_targets import PLANE, Target, read_targets
from numpy.typing import NDArray
from scipy import ndimage

from SegmentPropagateLib.formats.reading import read_labels
from SegmentPropagateLib.models.loading import load_model
from SegmentPropagateLib.prompting.source import Proposal, Support, find_source
from SegmentPropagateLib.prompting.trust import TRUSTED
from SegmentPropagateLib.propagation.propagator import Propagator
from SegmentPropagateLib.propagation.session import Session
from SegmentPropagateLib.reports.metrics import dice
from SegmentPropagateLib.volumes.labels import Labels
from SegmentPropagateLib.volumes.stack import array_of, stack_of

ROOT = Path(__file__).resolve().parents[2]
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5)
GOOD, BAD = 0.9, 0.7
NEAR = 15  # pixels within which another organ is a neighbor

Mask = NDArray[np.bool_]
Row = dict[str, Any]


def main() -> None:
    """Print a line per run and the summary; write `draft.json`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--out", type=Path, default=ROOT / ".cache" / "evaluation")
    parser.add_argument("--model", default="starter")
    parser.add_argument("--only", default="", help="a part of CASE/TARGET")
    parser.add_argument("--others", action="store_true", help="the labels that are not among the targets")
    parser.add_argument("--draws", type=int, default=1, help="spoiled masks per target; each has another share")
    arguments = parser.parse_args()
    if not (arguments.data / "TARGETS.json").exists():
        print(f"Skipped: there are no evaluation volumes in '{arguments.data}'.")
        return
    model = load_model(arguments.model, device="cpu")
    rows: list[Row] = []
    for number, target in enumerate(read_targets(arguments.data, arguments.only, arguments.others)):
        shares = [0.0, *(SHARES[(number + draw) % len(SHARES)] for draw in range(arguments.draws))]
        for row in _rows(model, target, shares):
            told = {name: value for name, value in row.items() if name != "slices"}
            print(json.dumps(told), flush=True)
            rows.append(row)
    arguments.out.mkdir(parents=True, exist_ok=True)
    name = "draft-others.json" if arguments.others else "draft.json"
    (arguments.out / name).write_text(json.dumps(rows, indent=1))
    tell(rows)


def _rows(model: Propagator, target: Target, shares: Sequence[float]) -> Iterator[Row]:
    neighbor = _neighbor(target)
    axis = target.volume.geometry.plane_axis(PLANE)
    for share in shares:
        seed = zlib.crc32(f"{target.case}/{target.name}/{share}".encode())
        masks, kinds = damaged(target.truth, neighbor, share, np.random.default_rng(seed))
        labels = Labels((array_of(masks, axis).astype(np.uint8),), target.volume.geometry)
        (draft,) = find_source("draft").propose(target.volume, [1], Support(labels), PLANE)
        result = _propagated(model, target, draft)
        yield {
            "case": target.case,
            "target": target.name,
            "group": target.group,
            "share": share,
            "before": dice(masks, target.truth),
            "after": dice(result, target.truth),
            "range": [draft.first, draft.last],
            "keys": len(draft.prompts),
            "slices": [
                [index, kinds.get(index, ""), dice(masks[index], target.truth[index]), float(it.predicted_iou)]
                for index, it in draft.slices.items()
            ],
        }


def _propagated(model: Propagator, target: Target, draft: Proposal) -> Mask:
    session = Session(model, target.volume, plane=PLANE)
    for key, prompt in draft.prompts.items():
        session.add_key(1, key, prompt)
    for _ in session.propagate(own={1: (draft.first, draft.last)}):
        pass
    return stack_of(session.masks().get(1, np.zeros(target.volume.geometry.shape_kji, dtype=bool)), session.axis)


def _neighbor(target: Target) -> Mask:
    """The label beside the object that has most pixels near it on the key slice; an empty mask where none is near."""
    labels = read_labels(target.files[-1], target.volume.geometry)
    near = ndimage.binary_dilation(target.truth[target.key], iterations=NEAR)
    best, most = np.zeros_like(target.truth), 0
    for value in labels.values:
        mask = stack_of(labels.mask(value), target.volume.geometry.plane_axis(PLANE))
        count = int((mask[target.key] & near).sum())
        if count > most and not (mask & target.truth).any():
            best, most = np.ascontiguousarray(mask), count
    return best


def tell(rows: Sequence[Row]) -> None:
    """Print the figures that the bars are about."""
    print("\n| spoiled | masks | DSC before | after | difference (95 % interval) | good slices kept | bad caught |")
    print("|--" * 7 + "|")
    for name, wanted in [("none", (0.0,)), *((f"{share:.0%}", (share,)) for share in SHARES), ("10 to 50 %", SHARES)]:
        some = [row for row in rows if row["share"] in wanted]
        if not some:
            continue
        gains = np.array([row["after"] - row["before"] for row in some])
        low, high = _interval(gains, [row["group"] for row in some])
        slices = [one for row in some for one in row["slices"]]
        kept = [trust >= TRUSTED for _, _, dsc, trust in slices if dsc >= GOOD]
        caught = [trust < TRUSTED for _, _, dsc, trust in slices if dsc < BAD]
        print(
            f"| {name} | {len(some)} | {np.mean([row['before'] for row in some]):.3f} "
            f"| {np.mean([row['after'] for row in some]):.3f} | {gains.mean():+.3f} ({low:+.3f} to {high:+.3f}) "
            f"| {np.mean(kept):.3f} of {len(kept)} | {f'{np.mean(caught):.3f} of {len(caught)}' if caught else ''} |"
        )


def _interval(values: NDArray[np.float64], groups: Sequence[str]) -> tuple[float, float]:
    """95 % interval of the mean, by resampling patients, and the values of each."""
    names, rng = sorted(set(groups)), np.random.default_rng(0)
    own = [values[np.array(groups) == name] for name in names]
    means = []
    for _ in range(2000):
        drawn = [own[number] for number in rng.integers(len(names), size=len(names))]
        means.append(np.concatenate([rng.choice(part, len(part)) for part in drawn]).mean())
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


if __name__ == "__main__":
    main()
