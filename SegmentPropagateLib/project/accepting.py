"""Taking what an annotator has made of a case, and measuring what it took."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import file_sha256
from SegmentPropagateLib.formats.reading import read_volume
from SegmentPropagateLib.formats.worklist import DONE
from SegmentPropagateLib.formats.writing import write_segmentation
from SegmentPropagateLib.project.folder import LABELS, Project
from SegmentPropagateLib.project.labels import read_stacks, spacing_of
from SegmentPropagateLib.reports.effort import Effort, Stack, measure_effort
from SegmentPropagateLib.volumes.geometry import Geometry, Plane
from SegmentPropagateLib.volumes.stack import array_of


def accept(
    project: Project,
    name: str,
    mask: Path,
    told: Mapping[str, Any] = MappingProxyType({}),
    *,
    again: bool = False,
    notify: Callable[[str], None] = lambda _sentence: None,
) -> Effort:
    """Keep a mask as the result of a case, and tell the ledger what it took; the project is to be held.

    Args:
        project: whose case it is.
        name: of the case.
        mask: label file on the image's grid, or another one.
        told: what else the entry is to have: `seconds` of work, without breaks, where somebody has measured them.
        again: whether the case may have been accepted before.
        notify: takes a sentence for the user.

    Raises:
        InputError: there is no such case, it was accepted before, or a file cannot be used.
    """
    settings, image = project.settings, project.image(name)
    known = project.state().case(name)
    if known.state == DONE and not again and known.accepted is not None:
        who, when = known.accepted.get("by", "somebody"), known.accepted.get("at", "before")
        raise InputError(f"'{name}' was accepted by {who} at {when}: say --again to put another result in its place.")
    volume = read_volume(image)
    accepted = read_stacks(mask, volume.geometry, settings.segments, settings.plane, notify)
    if not any(stack.any() for stack in accepted.values()):
        notify(f"'{mask}' shows none of the project's labels: the case is accepted as one without them.")
    proposal = {} if known.proposal is None else proposed_by_machine(project, known.proposal, volume.geometry)
    axis = volume.geometry.plane_axis(Plane.parse(settings.plane))
    effort = measure_effort(proposal, accepted, spacing_of(volume.geometry, settings.plane))
    target = project.free_name(LABELS, name)
    masks = {value: array_of(stack, axis) for value, stack in accepted.items()}
    write_segmentation(target, masks, volume.geometry, settings.segments)
    project.append(
        "accepted",
        case=name,
        file=project.place(target),
        sha256=file_sha256(target),
        **_made_from(known.proposal),
        largest_area=max((int(stack.sum((1, 2)).max()) for stack in accepted.values()), default=0),
        **effort._asdict(),
        **{"seconds": None, **told},
    )
    return effort


def _made_from(proposal: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the entry of a result tells of the proposal before it."""
    if proposal is None:
        return {"proposal_sha256": None, "model": None, "model_sha256": None, "prompts": {}}
    parts = {name: proposal[name] for name in ("model", "model_sha256", "prompts")}
    return {"proposal_sha256": proposal["sha256"], **parts}


def proposed_by_machine(project: Project, entry: Mapping[str, Any], like: Geometry) -> dict[int, Stack]:
    """A proposal without the slices that the annotator had outlined for it: label -> `(slices, rows, columns)`.

    They were her work. Where something had been proposed there before, she had that to go by; else they are empty.

    Args:
        project: whose proposal it is.
        entry: of the proposal.
        like: the grid of the image.

    Raises:
        InputError: a proposal's file was changed or is missing.
    """
    settings, prompts = project.settings, entry["prompts"]
    stacks = read_stacks(project.kept(entry), like, settings.segments, settings.plane)
    drawn = {int(label): slices for label, slices in prompts.get("drawn", {}).items()}
    before = proposed_by_machine(project, prompts["over"], like) if drawn and prompts.get("over") else {}
    for label, slices in drawn.items():
        if label in stacks:
            slices = [index for index in slices if index < len(stacks[label])]  # of another image since
            stacks[label] = stacks[label].copy()
            stacks[label][slices] = before[label][slices] if label in before else False
    return stacks
