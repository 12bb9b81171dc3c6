"""`segment-propagate suggest`."""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.cli.console import speaker
from SegmentPropagateLib.cli.drafts import Draft, check_any, read_drafts
from SegmentPropagateLib.cli.propagate import check_outputs
from SegmentPropagateLib.files import Outputs, writing
from SegmentPropagateLib.formats.reading import read_volume
from SegmentPropagateLib.formats.writing import check_source, write_segmentation
from SegmentPropagateLib.reports.overlay import Orientation, OverlayObject, draw_contact_sheet
from SegmentPropagateLib.reports.report import write_report
from SegmentPropagateLib.volumes.geometry import Plane
from SegmentPropagateLib.volumes.stack import array_of, make_stack
from SegmentPropagateLib.volumes.volume import Volume


def run(arguments: argparse.Namespace) -> None:
    """Read, suggest, tell, write; what was drawn of an object is written whole, to be looked at beside the image."""
    check_outputs(arguments)
    say = speaker(arguments.quiet)
    volume = read_volume(arguments.image)
    check_source(arguments.output, arguments.image)
    notes: list[str] = []
    drafts = read_drafts(arguments, volume, notes)
    shown = [draft for draft in drafts if draft.proposal.status != "not here"]
    check_any(drafts, shown)
    for sentence in (*notes, *(draft.sentence for draft in drafts)):
        say(sentence)
    _write(arguments, volume, drafts, shown)


def _write(arguments: argparse.Namespace, volume: Volume, drafts: list[Draft], shown: list[Draft]) -> None:
    """Write all files that were asked for, or none."""
    plane = Plane.parse(arguments.plane)
    masks = {draft.segment.value: _mask(draft, volume, plane) for draft in shown}
    segments = [draft.segment for draft in shown]
    with Outputs() as outputs:
        write_segmentation(arguments.output, masks, volume.geometry, segments, outputs, arguments.image)
        if arguments.overlay is not None:
            _write_picture(arguments.overlay, volume, shown, plane, outputs)
        if arguments.report is not None:
            facts = [draft.facts for draft in drafts]
            write_report(arguments.report, {"plane": plane.value, "image": volume.name, "proposals": facts}, outputs)


def _mask(draft: Draft, volume: Volume, plane: Plane) -> NDArray[np.bool_]:
    axis = volume.geometry.plane_axis(plane)
    shape = volume.geometry.shape_kji
    stack = np.zeros((shape[axis], *(size for other, size in enumerate(shape) if other != axis)), dtype=bool)
    for index, result in draft.proposal.slices.items():
        stack[index] = result.mask
    return array_of(stack, axis)


def _write_picture(path: str, volume: Volume, shown: list[Draft], plane: Plane, outputs: Outputs) -> None:
    stack, _ = make_stack(volume, plane)
    objects = [
        OverlayObject(draft.sentence, draft.segment.color_rgb, dict(sorted(draft.proposal.slices.items())))
        for draft in shown
    ]
    sheet = draw_contact_sheet(stack.gray, stack.spacing_mm, objects, Orientation.upright(volume.geometry, plane))
    with writing(path, outputs) as file:
        sheet.save(file, format="PNG")
