"""How much there is to win by combining the pair's halves better, told with the reference's help."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from tuning_cases import parse
from tuning_recording import EXTENTS, Recording
from tuning_replay import Told, changed, finished, heard, replay
from tuning_report import write
from tuning_scripts import recorded

from SegmentPropagateLib.models.loading import CLASSICAL_EXCESS
from SegmentPropagateLib.propagation.propagator import SliceUpdate
from SegmentPropagateLib.propagators.partner import average
from SegmentPropagateLib.reports.metrics import dice
from SegmentPropagateLib.volumes.cropped import Cropped

SHARES = (0.0, 0.2, 0.3, 0.43, 0.5, 0.6, 0.7, 1.0)
SURE = 3.0
"""Logit of a pixel that the reference has settled."""
SEAM, LEAST = 0.15, 1.5
"""Width of what counts as an edge, over the object's radius, and in pixels at least."""

Mask = NDArray[np.bool_]
Masks = Mapping[str, Mask]


def main(argv: list[str] | None = None) -> None:
    """Print the mean DSC of each way to combine on each side, and what errors cost; keep those of the cases as JSON."""
    arguments = parse(__doc__, argv)
    results = {side: [figures(case) for case in cases] for side, cases in recorded(arguments).items()}
    for side, rows in results.items():
        print(f"{side}, {len(rows)} cases: {' / '.join(EXTENTS)}")  # noqa: T201 - the report
        for name in (name for name in rows[0] if name != "case"):
            means = np.mean([row[name] for row in rows], axis=0)
            print(f"  {name:32s} {' / '.join(f'{mean:.4f}' for mean in means)}")  # noqa: T201
    write(arguments.work / "measure_ceiling.json", results)


def figures(case: Recording) -> dict[str, object]:
    """DSC of every way for both extents, and what mending a kind of error would add."""
    found: dict[str, object] = {"case": case.name}
    ways = {"pair": {extent: replay(case, extent) for extent in EXTENTS}, **ceilings(case)}
    for name, masks in ways.items():
        found[name] = [dice(masks[extent], case.truth) for extent in EXTENTS]
    costs = [errors(case, ways["pair"][extent]) for extent in EXTENTS]
    return {**found, **{f"cost: {kind}": [cost[kind] for cost in costs] for kind in costs[0]}}


def ceilings(case: Recording) -> dict[str, Masks]:
    """Masks of every way to combine the halves that knows the reference."""
    shares = [{extent: _averaged(case, extent, share) for extent in EXTENTS} for share in SHARES]
    best = max(shares, key=lambda masks: sum(dice(masks[extent], case.truth) for extent in EXTENTS))
    ways: dict[str, Callable[[SliceUpdate, SliceUpdate, Mask], SliceUpdate]] = {
        "presence known": lambda network, carried, truth: average(network, carried),
        "best of a slice": _best,
        "best of a pixel": _right,
    }
    judged = {name: {extent: _told(case, extent, way) for extent in EXTENTS} for name, way in ways.items()}
    return {"best share of the object": best, **judged}


def errors(case: Recording, masks: Mask) -> dict[str, float]:
    """What the DSC would gain from mending one kind of error alone."""
    truth, wrong = case.truth, masks != case.truth
    width = max(LEAST, SEAM * float(np.sqrt(truth[case.key].sum() / np.pi)))
    in_both = (truth.any(axis=(1, 2)) & masks.any(axis=(1, 2)))[:, None, None]
    edge = np.zeros_like(wrong)
    for index in np.flatnonzero(in_both):
        depth, away = (ndimage.distance_transform_edt(mask) for mask in (truth[index], ~truth[index]))
        edge[index] = wrong[index] & (np.maximum(depth, away) <= width)
    kinds = {"stop": wrong & ~in_both, "edge": edge, "drift": wrong & in_both & ~edge}
    return {name: dice(masks ^ kind, truth) - dice(masks, truth) for name, kind in kinds.items()}


def _averaged(case: Recording, extent: str, share: float) -> Mask:
    with changed({"NETWORK_SHARE": share, "LEADING_SHARE": share}):
        return replay(case, extent)


def _told(case: Recording, extent: str, way: Callable[[SliceUpdate, SliceUpdate, Mask], SliceUpdate]) -> Mask:
    """Masks of a way to combine both, on the slices that hold the object and on no other."""
    updates = []
    for network, carried in zip(*heard(case, extent, lambda course: np.full(len(course.slices), 9.0)), strict=True):
        truth = case.truth[carried.slice_index]
        gone = replace(carried, mask=np.zeros_like(truth), part=None, presence=-1.0)
        updates.append(way(network, carried, truth) if truth.any() else gone)
    return finished(case, extent, Told(updates), CLASSICAL_EXCESS)


def _best(network: SliceUpdate, carried: SliceUpdate, truth: Mask) -> SliceUpdate:
    found = []
    for share in (0.0, 0.43, 1.0):
        with changed({"NETWORK_SHARE": share, "LEADING_SHARE": share}):
            found.append(average(network, carried))
    return max(found, key=lambda update: dice(update.mask, truth))


def _right(network: SliceUpdate, carried: SliceUpdate, truth: Mask) -> SliceUpdate:
    both = average(network, carried)
    if both.logits is None or network.logits is None or carried.logits is None:
        raise ValueError(f"There are no logits on slice {both.slice_index}: record the case anew.")
    settled = np.where(truth, np.float32(SURE), np.float32(-SURE))
    logits = np.where((network.logits > 0) != (carried.logits > 0), settled, both.logits)
    mask = logits > 0
    return replace(both, mask=mask, part=Cropped.of(logits), presence=1.0 if mask.any() else -1.0)


if __name__ == "__main__":
    main()
