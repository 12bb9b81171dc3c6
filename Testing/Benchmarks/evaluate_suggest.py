"""Drafts from finished cases: how good they are, what comes of them, and what is found where nothing is.

    section     query and templates
    ---------   ---------------------------------------------------------------------------------------
    real        two abdominal CT volumes, each from the other; drafts and what the starter makes of them
    unrelated   volumes of other parts of the body from either of the two: nothing should be found
    bodies      drawn trunks of one layout, with fields of view by chance
    copies      copies of those two, bent, cut, with other contrast or inverted (`suggest_copies`), as in real
    compared    bodies half as large, which take an eighth of the time: each organ from three finished cases, from the
                first of them, and from three in which each organ has the name of the one before it

The references of the queries are read by this script alone. The bars, set before any of it was run:

* real: mean end-to-end DSC of the compact organs >= .70, counting those not found as 0; spleen and liver >= .88; of
  what is found, DSC > .5 in >= 88 % and the key slice inside the organ in >= 95 %
* unrelated: at most one organ found in each
* bodies: box IoU >= that of the mean box + .40, with an interval above + .25; an organ beyond the field of view not
  found in >= 95 %
* compared: DSC with an organ from its own cases less that from the next organ's >= .30; from three cases >= from one
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from evaluation_targets import PLANE, files_of
from suggest_copies import PAIRS, make_copies

from SegmentPropagateLib.formats.cases import Case
from SegmentPropagateLib.formats.reading import read_labels, read_volume
from SegmentPropagateLib.formats.writing import write_segmentation, write_volume
from SegmentPropagateLib.models.loading import load_model
from SegmentPropagateLib.phantoms.bodies import NAMES, ORGANS, Body, make_body
from SegmentPropagateLib.process import peak_memory_mib
from SegmentPropagateLib.prompting.finished import Finished, FinishedCases, read_finished
from SegmentPropagateLib.prompting.source import Proposal, Support, best_source, find_source
from SegmentPropagateLib.propagation.session import Session
from SegmentPropagateLib.reports.metrics import dice
from SegmentPropagateLib.reports.overlay import Orientation, OverlayObject, draw_contact_sheet
from SegmentPropagateLib.volumes.choice import evenly
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.labels import Labels, default_segment
from SegmentPropagateLib.volumes.stack import make_stack, stack_of
from SegmentPropagateLib.volumes.volume import Volume

ROOT = Path(__file__).resolve().parents[2]
PAIR = ("ct_abdomen_multiorgan", "ct_dicom_abdomen")
COMPACT = {
    1: "spleen",
    2: "kidney right",
    3: "kidney left",
    4: "gallbladder",
    5: "liver",
    6: "stomach",
    52: "aorta",
    63: "vena cava",
}
QUERIES = range(40)
"""Seeds of drawn bodies."""
UNRELATED = ("ct_sarcoma", "ct_vertebra", "mr_t1c_brain_tumour", "mr_flair_ms_lesions_few", "mr_t1_sarcoma")

SECTIONS = ("real", "unrelated", "bodies", "copies", "compared")  # the last two when they are asked for

Row = dict[str, Any]


def main() -> None:
    """Print tables; write `suggest.json`, a picture per pair and one of three organs of the first drawn body."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--out", type=Path, default=ROOT / ".cache" / "evaluation")
    parser.add_argument("--source", default=best_source(), help="default %(default)s")
    parser.add_argument("--localizer", type=Path, help="file for --source landmarks")
    parser.add_argument("--section", choices=SECTIONS, action="append")
    parser.add_argument("--queries", type=int, default=len(QUERIES), help="drawn bodies to suggest in, evenly of 40")
    parser.add_argument("--supports", type=int, default=5, help="drawn bodies to suggest from")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    sections = arguments.section or SECTIONS[:3]
    results: dict[str, list[Row]] = {}
    if "bodies" in sections:
        results["bodies"] = list(_bodies(arguments))
        _tell_bodies(results["bodies"])
    if "compared" in sections:
        results["compared"] = list(_compared(arguments))
        _tell_compared(results["compared"])
    if (arguments.data / "MANIFEST.json").exists():
        if "real" in sections:
            results["real"] = [row for query, other in (PAIR, PAIR[::-1]) for row in _real(arguments, query, other)]
            _tell_real(results["real"])
        if "copies" in sections:
            results["copies"] = list(_copies(arguments))
            _tell_real(results["copies"])
        if "unrelated" in sections:
            results["unrelated"] = list(_unrelated(arguments))
    else:
        print(f"Skipped: there are no evaluation volumes in '{arguments.data}'.")
    print(f"Peak memory {peak_memory_mib():.0f} MiB.")
    (arguments.out / "suggest.json").write_text(json.dumps(results, indent=1))


def _suggested(source: str, volume: Volume, support: Support, labels: list[int]) -> tuple[list[Proposal], float]:
    begin = time.process_time()
    drafts = find_source(source).propose(volume, labels, support, PLANE)
    return drafts, time.process_time() - begin


def _support(data: Path, name: str) -> tuple[Support, list[int]]:
    case = Case(name, *files_of(data / name))
    values = list(read_labels(case.labels).values)
    return Support(cases=(Finished(case, {value: value for value in values}),)), values


def _real(arguments: argparse.Namespace, query: str, other: str) -> Iterator[Row]:
    image, reference = files_of(arguments.data / query)
    volume = read_volume(image)
    truth = read_labels(reference, volume.geometry)
    support, values = _support(arguments.data, other)
    drafts, seconds = _suggested(arguments.source, volume, support, values)
    print(f"\n{query} from {other}: {seconds:.1f} CPU s for {len(values)} labels")
    session = Session(load_model("starter", device="cpu"), volume, plane=PLANE)
    ranges, axis = {}, session.axis
    for draft in drafts:
        if draft.status == "found":
            for index, prompt in draft.prompts.items():
                session.add_key(draft.label, index, prompt)
            ranges[draft.label] = draft.first, draft.last
    for _ in session.propagate(own=ranges):
        pass
    masks = session.masks()
    _draw(
        arguments.out / f"suggest-{query}.png", volume, [draft for draft in drafts if draft.label in COMPACT], COMPACT
    )
    for draft in drafts:
        there = stack_of(truth.mask(draft.label), axis)
        row = {"query": query, "seconds": seconds, **_row(draft, there)}
        if draft.label in masks:
            row["dsc"] = dice(stack_of(masks[draft.label], axis), there)
        yield row


def _copies(arguments: argparse.Namespace) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        make_copies(arguments.data, PAIR, Path(folder))
        told = argparse.Namespace(**{**vars(arguments), "data": Path(folder)})
        for query, other in PAIRS:
            yield from _real(told, query, other)


def _row(draft: Proposal, there: Any) -> Row:
    row: Row = {
        "label": draft.label,
        "status": draft.status,
        "confidence": draft.confidence,
        "here": bool(there.any()),
        "range": [draft.first, draft.last],
    }
    if draft.key_slice is not None and draft.mask is not None:
        key = there[draft.key_slice]
        row |= {"key": draft.key_slice, "key_inside": bool(key.any()), "key_dsc": dice(draft.mask, key)}
    return row


def _tell_real(rows: list[Row]) -> None:
    print("\n| volume | label | status | confidence | here | key DSC | range | end-to-end DSC |")
    print("|--" * 8 + "|")
    for row in rows:
        figures = ["" if row.get(name) is None else f"{row[name]:.2f}" for name in ("key_dsc", "dsc")]
        name = COMPACT.get(row["label"], row["label"])
        first, last = ("open" if end is None else end for end in row["range"])
        print(
            f"| {row['query']} | {name} | {row['status']} | {row['confidence']:.2f} | {'yes' if row['here'] else 'no'} "
            f"| {figures[0]} | {first} to {last} | {figures[1]} |"
        )
    found = [row for row in rows if row["status"] == "found"]
    compact = [row.get("dsc", 0.0) for row in rows if row["here"] and row["label"] in COMPACT]
    given = [row["dsc"] for row in rows if row["label"] in COMPACT and "dsc" in row]
    good = [row["dsc"] > 0.5 for row in found]
    print(
        f"Compact organs that are here: mean DSC {np.mean(compact):.3f} (0 where not found), of the {len(given)} found "
        f"{np.mean(given):.3f}. Of all {len(found)} found: DSC > .5 in {np.mean(good):.2f}, key slice inside in "
        f"{np.mean([row['key_inside'] for row in found]):.2f}."
    )


def _draw(path: Path, volume: Volume, drafts: list[Proposal], names: Mapping[int, str]) -> None:
    stack, _ = make_stack(volume, PLANE)
    objects = [
        OverlayObject(f"{names[it.label]}, {it.status}", default_segment(it.label).color_rgb, it.slices)
        for it in drafts
        if it.slices
    ]
    draw_contact_sheet(stack.gray, stack.spacing_mm, objects, Orientation.upright(volume.geometry, PLANE)).save(path)


def _unrelated(arguments: argparse.Namespace) -> Iterator[Row]:
    for query in UNRELATED:
        volume = read_volume(files_of(arguments.data / query)[0])
        for template in PAIR:
            drafts, seconds = _suggested(arguments.source, volume, *_support(arguments.data, template))
            found = [draft.label for draft in drafts if draft.status == "found"]
            unsure = [draft.label for draft in drafts if draft.status == "unsure"]
            print(f"{query} from {template}: found {found or 'nothing'}, unsure {unsure or 'nothing'}", flush=True)
            yield {"query": query, "template": template, "found": found, "unsure": unsure, "seconds": seconds}


def _bodies(arguments: argparse.Namespace) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        templates = [make_body(1000 + number) for number in range(arguments.supports)]
        finished = finished_bodies(Path(folder), templates)
        values = [segment.value for segment in finished.segments]
        support = Support(cases=finished.cases, localizer=arguments.localizer)
        for seed in evenly(QUERIES, arguments.queries):
            volume, labels = as_files(make_body(seed))
            drafts, seconds = _suggested(arguments.source, volume, support, values)
            if seed == QUERIES[0]:
                found = [draft for draft in drafts if draft.status == "found"]
                _draw(arguments.out / "suggest-body.png", volume, found[:3], NAMES)
            for draft in drafts:
                there = labels.mask(draft.label)
                row = {"query": seed, "seconds": seconds, **_row(draft, there)}
                if there.any():
                    row["whole"] = is_whole(there)
                    row["iou"] = box_iou(draft, there, volume.geometry)
                    row["mean_iou"] = mean_box_iou(templates, draft.label, there)
                yield row


ONE, SWAPPED = 100, 200  # added to an organ's label: from the first case alone, and from the next organ of all cases


def _three_ways(cases: tuple[Finished, ...]) -> tuple[Finished, ...]:
    """The first three cases with every organ under three labels: what one gets does not depend on the others, and so
    all three are found by laying each case over the volume once."""
    ways = []
    for number, it in enumerate(cases[:3]):
        values = dict(it.values)
        for organ in range(1, ORGANS + 1):
            following = it.values.get(organ % ORGANS + 1)
            values |= {} if following is None else {SWAPPED + organ: following}
            values |= {ONE + organ: it.values[organ]} if number == 0 and organ in it.values else {}
        ways.append(replace(it, values=values))
    return tuple(ways)


def _compared(arguments: argparse.Namespace) -> Iterator[Row]:
    """DSC with organs that are there, of whole drafts from three sets of cases; 0 where there is no draft."""
    organs = range(1, ORGANS + 1)
    asked = [plus + organ for plus in (0, ONE, SWAPPED) for organ in organs]
    with tempfile.TemporaryDirectory() as folder:
        cases = finished_bodies(Path(folder), [make_body(1000 + number) for number in range(3)], size=0.5).cases
        support = Support(cases=_three_ways(cases), localizer=arguments.localizer)
        for seed in evenly(QUERIES, arguments.queries):
            volume, labels = as_files(make_body(seed), size=0.5)
            drafts, seconds = _suggested(arguments.source, volume, support, asked)
            found = {draft.label: draft for draft in drafts}
            for organ in organs:
                there = labels.mask(organ)
                if there.any():
                    three, one, swapped = (
                        dice(_whole(found[plus + organ], there), there) for plus in (0, ONE, SWAPPED)
                    )
                    row = {"query": seed, "label": organ, "three": three, "one": one, "swapped": swapped}
                    yield row | {"seconds": seconds}


def _whole(draft: Proposal, like: Any) -> Any:
    mask = np.zeros_like(like)
    for index, result in draft.slices.items():
        mask[index] = result.mask
    return mask


def _tell_compared(rows: list[Row]) -> None:
    means = {name: float(np.mean([row[name] for row in rows])) for name in ("three", "one", "swapped", "seconds")}
    apart = _interval(_means(rows, lambda row: row["three"] - row["swapped"]))
    gained = _interval(_means(rows, lambda row: row["three"] - row["one"]))
    print(
        f"Bodies half as large, {len(rows)} organs: DSC from three cases {means['three']:.3f}, from one "
        f"{means['one']:.3f}, difference {gained}; under the next organ's name {means['swapped']:.3f}, "
        f"difference {apart}; {means['seconds']:.0f} CPU s each"
    )


def finished_bodies(folder: Path, bodies: list[Body], size: float = 1.0) -> FinishedCases:
    """The bodies as finished cases, written to the folder; `size` as in `as_files`."""
    for number, body in enumerate(bodies):
        home = folder / str(number)
        home.mkdir()
        volume, labels = as_files(body, size)
        write_volume(home / "image.nii.gz", volume)
        masks = {value: labels.mask(value) for value in labels.values}
        write_segmentation(home / "labels.nii.gz", masks, volume.geometry)
    return read_finished(folder)


def as_files(body: Body, size: float = 1.0) -> tuple[Volume, Labels]:
    """A drawn body as it would be read from files, so many times as large."""
    k, j, i = (size * step for step in body.phantom.spacing_kji_mm)
    geometry = Geometry(body.phantom.values.shape, np.diag([-i, -j, k, 1.0]))
    segments = tuple(default_segment(value) for value in sorted(body.phantom.names))
    return Volume(body.phantom.values, geometry, "body"), Labels((body.phantom.labels,), geometry, segments)


def box_iou(draft: Proposal, there: Any, geometry: Geometry) -> float:
    if draft.box_mm is None:
        return 0.0
    corners = np.array(np.nonzero(there))
    low, high = (np.append(end[::-1], 1.0) for end in (corners.min(axis=1) - 0.5, corners.max(axis=1) + 0.5))
    world = np.sort([(geometry.ijk_to_ras @ corner)[:3] for corner in (low, high)], axis=0)
    return _iou(np.array(draft.box_mm), world)


def is_whole(there: Any) -> bool:
    """Whether an organ ends before the field of view does."""
    return not any(np.take(there, end, axis).any() for axis in range(there.ndim) for end in (0, -1))


def mean_box_iou(templates: list[Body], label: int, there: Any) -> float:
    """Of the mean of the templates' boxes, as shares of their fields of view."""
    boxes = []
    for body in templates:
        inside = np.array(np.nonzero(body.phantom.labels == label))
        if inside.size:
            ends = [inside.min(axis=1), inside.max(axis=1) + 1]
            boxes.append(np.array(ends) / body.phantom.labels.shape)
    inside = np.array(np.nonzero(there))
    truth = np.array([inside.min(axis=1), inside.max(axis=1) + 1]) / there.shape
    return _iou(np.mean(boxes, axis=0), truth) if boxes else 0.0


def _iou(a: Any, b: Any) -> float:
    common = np.prod(np.clip(np.minimum(a[1], b[1]) - np.maximum(a[0], b[0]), 0, None))
    return float(common / (np.prod(a[1] - a[0]) + np.prod(b[1] - b[0]) - common))


def _tell_bodies(rows: list[Row]) -> None:
    here = [row for row in rows if row["here"]]
    absent = [row for row in rows if not row["here"]]
    for name, some in (("whole in the field of view", [row for row in here if row["whole"]]), ("all visible", here)):
        iou, mean_box = (np.mean([row[key] for row in some]) for key in ("iou", "mean_iou"))
        gained = _interval(_means(some, lambda row: row["iou"] - row["mean_iou"]))
        print(f"Drawn bodies, {name}: {len(some)}, box IoU {iou:.3f}, mean box {mean_box:.3f}, difference {gained}")
    print(
        f"absent and not found {np.mean([row['status'] != 'found' for row in absent]):.3f} of {len(absent)}; "
        f"found {np.mean([row['status'] == 'found' for row in here]):.2f} of {len(here)}, their key DSC "
        f"{np.mean([row['key_dsc'] for row in here if row['status'] == 'found']):.2f}; "
        f"{np.mean([row['seconds'] for row in rows]):.0f} CPU s each"
    )


def _means(rows: list[Row], of: Callable[[Row], float]) -> list[float]:
    """Of each query."""
    return [
        float(np.mean([of(row) for row in rows if row["query"] == query])) for query in {it["query"] for it in rows}
    ]


def _interval(values: list[float]) -> str:
    """Their mean, and where it lies in 95 % of the draws of queries."""
    draws = np.random.default_rng(0).choice(values, (10_000, len(values))).mean(axis=1)
    low, high = np.percentile(draws, (2.5, 97.5))
    return f"{np.mean(values):+.3f} ({low:+.3f} to {high:+.3f})"


if __name__ == "__main__":
    main()
