"""The source `landmarks`: MedLAM (Lei 2023, arXiv:2306.14752), with a localizer that was trained on the user's volumes.

Finished cases show six extreme points of an organ. Relative distance regression jumps to where each should be in the
volume, multi-scale similarity looks around there; the box that they span is filled with the finished cases' outlines.
Registration found the boxes of drawn bodies better wherever both ran (Testing/Experiments/RESULTS.md): this is the
paper's own way, for those who have hundreds of volumes to train on and no time to lay templates over each other.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.networks.localizer_file import load_localizer
from SegmentPropagateLib.prompting.atlas.grid import ALONG, Body, body_of, shows_no_body
from SegmentPropagateLib.prompting.atlas.judgement import FOUND, UNSURE, Agreement, judged
from SegmentPropagateLib.prompting.finished import Finished
from SegmentPropagateLib.prompting.landmarks.drawing import carried_by
from SegmentPropagateLib.prompting.landmarks.grid import modality_of
from SegmentPropagateLib.prompting.landmarks.points import box_of
from SegmentPropagateLib.prompting.landmarks.search import BEYOND, Found, Seen, located, seen_of
from SegmentPropagateLib.prompting.landmarks.supports import (
    SUPPORTS,
    Example,
    See,
    Tried,
    examples_of,
    middle_of,
    reopened,
    shown,
    tried,
    whole_ones,
)
from SegmentPropagateLib.prompting.source import Proposal, Support, Tick, in_silence
from SegmentPropagateLib.volumes.geometry import Plane
from SegmentPropagateLib.volumes.volume import Volume

LIKENESS = (0.6, 0.84)
"""Mean cosine of landmarks from which on a label is shown, and from which on it is taken to be here.

Nothing is called found all the same: outlines on key slices had a mean DSC of .5, whatever the likeness
(Testing/Experiments/RESULTS.md).
"""


class Landmarks:
    """Finds the landmarks of finished cases again; see `PromptSource`.

    Args:
        look: whether landmarks are looked for around where the jumps end (MSS), or the jumps believed (RDR).
    """

    def __init__(self, look: bool = True) -> None:
        self._look = look

    def propose(
        self, volume: Volume, labels: Collection[int], support: Support, plane: Plane, tick: Tick = in_silence
    ) -> list[Proposal]:
        """See `source.PromptSource.propose`.

        Raises:
            InputError: there is no localizer, there are no finished cases, or one of the files cannot be read.
        """
        if support.localizer is None:
            raise InputError("The source 'landmarks' needs a localizer: give what train-localizer wrote.")
        cases = support.cases
        if not cases:
            raise InputError("The source 'landmarks' needs finished cases: give a folder of images with their labels.")
        network, card = load_localizer(support.localizer)
        body = body_of(volume)
        if body is None:
            return [_absent(label, shows_no_body(f"'{volume.name}'")) for label in labels]
        if modality_of(body) != card.modality:
            kinds = "CT", "other images than CT"
            mine, its = kinds if body.is_ct else kinds[::-1]
            told = f"The image is of the kind '{mine}', and the localizer was trained on '{its}'."
            return [_absent(label, told) for label in labels]

        def see(seen: Body) -> Seen:
            return seen_of(seen, network, card.step)

        work = _Work(volume, body, see(body), plane, self._look)
        total = len(cases) + len(labels)
        tries: list[Tried] = []
        for finished in cases:
            found = tried(finished, labels, body, middle_of(work.seen), see)
            tries.append(found if len(cases) <= SUPPORTS else found._replace(case=None))
            tick(len(tries), total)
        chosen = {label: _nearest(label, cases, tries) for label in labels}
        examples = _examples(chosen, cases, tries, see)
        proposals = []
        for label in labels:
            mine_ = [examples[number][label] for number in chosen[label] if label in examples[number]]
            if mine_:
                proposals.append(_proposed(label, mine_, work))
            else:
                reasons = [one.reason for one, it in zip(tries, cases, strict=True) if label in it.values]
                proposals.append(_absent(label, next(filter(None, reasons), f"No finished case has label {label}.")))
            tick(len(cases) + len(proposals), total)
        return proposals


class _Work(NamedTuple):
    """What landmarks are looked for in."""

    volume: Volume
    body: Body
    seen: Seen
    plane: Plane
    look: bool


def _absent(label: int, reason: str) -> Proposal:
    return Proposal(label, "not here", source="landmarks", reason=reason)


def _nearest(label: int, cases: Sequence[Finished], tries: Sequence[Tried]) -> list[int]:
    """Numbers of the cases that have the label and show the stretch of the body nearest to the volume's."""
    able = [n for n, finished in enumerate(cases) if label in finished.values and np.isfinite(tries[n].away)]
    return sorted(able, key=lambda n: tries[n].away)[:SUPPORTS]


def _examples(
    chosen: dict[int, list[int]], cases: Sequence[Finished], tries: Sequence[Tried], see: See
) -> dict[int, dict[int, Example]]:
    """Number of a chosen case -> label -> where it is there."""
    examples = {}
    for number in sorted(set().union(*chosen.values())):
        case = tries[number].case or reopened(cases[number], see)
        examples[number] = examples_of(cases[number], chosen, case)
    return examples


def _proposed(label: int, examples: Sequence[Example], work: _Work) -> Proposal:
    codes, outlines = shown(whole_ones(examples))
    found = located(work.seen, codes, work.look)
    boxes = box_of(found.points.reshape(-1, 6, 3))
    carried = carried_by(boxes, outlines, work.body)
    share = share_inside(found, work.body)
    if carried is None or share == 0:
        return _absent(label, "It lies beyond the field of view of the image.")
    along = ALONG.index(Plane.parse(work.plane))
    confidence = round(likeness_of(found) * share**0.5, 4)
    middle = np.clip(boxes.mean(axis=(0, 1)), 0, np.array(work.body.gray.shape) - 1)
    length = carried.box[along].stop - carried.box[along].start
    agreement = Agreement(confidence, np.full(length, confidence, np.float32), middle)
    draft = judged(label, carried, work.body.lattice, work.volume, work.plane, agreement)
    if draft.status == "not here" and confidence >= UNSURE:  # no voxel of it is seen
        return replace(draft, source="landmarks")
    reason = f"Its landmarks look little like those of the finished cases ({confidence:.2f})."
    if draft.status == "found":  # likeness tells whether it is here, and nothing of how well it is outlined
        draft, reason = (
            replace(draft, status="unsure"),
            "Landmarks say where it is, not how exactly: look at its outline.",
        )
    return replace(draft, source="landmarks", reason=reason)


def likeness_of(found: Found) -> float:
    """How far the landmarks that are in reach look like those of the finished cases, 0..1, on the scale of `FOUND`."""
    seen = found.likeness[found.likeness > BEYOND]
    if not len(seen):
        return 0.0
    doubtful, sure = LIKENESS
    return float(np.clip(UNSURE + (FOUND - UNSURE) * (seen.mean() - doubtful) / (sure - doubtful), 0, 1))


def share_inside(found: Found, body: Body) -> float:
    """How much of the box that the jumps span lies within the volume: what is outside looks like its border."""
    box = box_of(found.jumps.reshape(-1, 6, 3))
    ends = np.stack([box[:, 0].min(axis=0), box[:, 1].max(axis=0)])
    low, high = np.clip(ends, 0, np.array(body.gray.shape) - 1)
    return float(np.prod((high - low) / np.maximum(ends[1] - ends[0], 1e-6)))
