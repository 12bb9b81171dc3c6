"""Taking what an annotator has made of a case, and measuring what it took."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import file_sha256
from SegmentPropagateLib.formats.reading import read_volume
from SegmentPropagateLib.formats.worklist import DONE
from SegmentPropagateLib.formats.writing import write_segmentation
from SegmentPropagateLib.project.folder import LABELS, Project
from SegmentPropagateLib.project.labels import as_drawn, read_stacks, spacing_of
from SegmentPropagateLib.reports.effort import Effort, measure_effort
from SegmentPropagateLib.volumes.geometry import Plane
from SegmentPropagateLib.volumes.stack import array_of


def accept(
    project: Project,
    name: str,
    mask: Path,
    seconds: float | None = None,
    *,
    again: bool = False,
    notify: Callable[[str], None] = lambda _sentence: None,
) -> Effort:
    """Keep a mask as the result of a case, and tell the ledger what it took; the project is to be held.

    Args:
        project: whose case it is.
        name: of the case.
        mask: label file on the image's grid, or another one.
        seconds: of work, without breaks; None where nobody has measured them.
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
    proposal, drawn = {}, {}
    if known.proposal is not None:
        kept = project.kept(known.proposal)
        proposal = read_stacks(kept, volume.geometry, settings.segments, settings.plane)
        drawn = as_drawn(known.proposal["prompts"].get("drawn", {}))
    axis = volume.geometry.plane_axis(Plane.parse(settings.plane))
    effort = measure_effort(proposal, accepted, spacing_of(volume.geometry, settings.plane), drawn)
    target = project.free_name(LABELS, name)
    masks = {value: array_of(stack, axis) for value, stack in accepted.items()}
    write_segmentation(target, masks, volume.geometry, settings.segments)
    project.append(
        "accepted",
        case=name,
        file=project.place(target),
        sha256=file_sha256(target),
        proposal_sha256=None if known.proposal is None else known.proposal["sha256"],
        model=None if known.proposal is None else known.proposal["model"],
        model_sha256=None if known.proposal is None else known.proposal["model_sha256"],
        prompts={} if known.proposal is None else dict(known.proposal["prompts"]),
        seconds=seconds,
        **effort._asdict(),
    )
    return effort
