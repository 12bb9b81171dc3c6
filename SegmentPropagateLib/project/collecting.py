"""Taking the notes that panels have left: what they tell comes into the ledger as if it had been typed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import file_sha256
from SegmentPropagateLib.formats.grids import fill_one_box, resample
from SegmentPropagateLib.formats.reading import read_volume
from SegmentPropagateLib.formats.worklist import DONE
from SegmentPropagateLib.project.accepting import accept, proposed_by_machine
from SegmentPropagateLib.project.folder import Project
from SegmentPropagateLib.project.notes import INSIDE, Note, notes_in, paint
from SegmentPropagateLib.project.proposing import keep_proposal
from SegmentPropagateLib.project.state import CaseState
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.stack import array_of


class Desk(NamedTuple):
    """Who takes notes.

    Args:
        project: whose notes; it is to be held.
        digest_of: model, as the ledger has it -> what tells it from all others.
        say: takes a sentence for the user.
    """

    project: Project
    digest_of: Callable[[str], str]
    say: Callable[[str], None]


def collect(desk: Desk) -> list[Mapping[str, Any]]:
    """Take all notes, oldest first.

    Returns:
        The entries of what was accepted.

    Raises:
        InputError: some cannot be taken. They are put aside, all others are taken.
    """
    notes, odd = notes_in(desk.project.folder)
    refused = [f"'{path}' is damaged and does not count." for path in odd]
    for path in odd:
        Note(path, "", {}).put_aside()
    accepted = []
    for note in notes:
        try:
            entry = _TAKE[note.event](desk, note)
        except InputError as error:
            refused.append(str(error))
            note.put_aside()
            continue
        note.remove()
        if entry is not None:
            accepted.append(entry)
    if refused:
        raise InputError(" ".join(refused))
    return accepted


def _case(desk: Desk, note: Note) -> CaseState:
    desk.project.image(note.parts["case"])
    return desk.project.state().case(note.parts["case"])


def _is_overtaken(known: CaseState, note: Note) -> bool:
    """Whether somebody else has accepted the case, which the writer of a note did not know."""
    accepted = known.accepted or {}
    return accepted.get("sha256") != note.parts["over"] and accepted.get("session") != note.parts["session"]


def _told(note: Note) -> dict[str, Any]:
    return {"note": note.name, **{part: note.parts[part] for part in ("at", "by")}}


def _opened(desk: Desk, note: Note) -> None:
    known = _case(desk, note)
    if not _is_overtaken(known, note):
        desk.project.append("opened", case=note.parts["case"], work=note.parts["work"], **_told(note))


def _accepted(desk: Desk, note: Note) -> Mapping[str, Any] | None:
    """Accept a case, unless the ledger has it already: from this note, or from an earlier one of the same file."""
    name, known = note.parts["case"], _case(desk, note)
    path, before = desk.project.folder / note.parts["work"], known.accepted or {}
    if before.get("note") == note.name:
        return None
    if _is_overtaken(known, note):
        raise InputError(
            f"'{name}' was accepted by {before.get('by', 'somebody')} at {before.get('at', '?')}, while "
            f"{note.parts['by']} worked on it: that stays, and '{path}' stays beside it."
        )
    try:
        digest = file_sha256(path)
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}.") from error
    if known.state == DONE and before.get("work_sha256") == digest:
        return None
    told = {**_told(note), **{part: note.parts[part] for part in ("seconds", "session")}, "work_sha256": digest}
    accept(desk.project, name, path, told, again=True, notify=desk.say)
    return desk.project.state().case(name).accepted


def _proposed(desk: Desk, note: Note) -> None:
    """Keep what the machine has said: over what it had said before, of the labels and slices that the note has."""
    project, (name, known) = desk.project, (note.parts["case"], _case(desk, note))
    if known.proposal is not None and known.proposal.get("note") == note.name:
        return
    geometry = read_volume(project.image(name)).geometry
    seen = _seen_grid(note.parts["grid"], geometry, name)
    plane = project.settings.plane
    before = {} if known.proposal is None else proposed_by_machine(project, known.proposal, geometry)
    masks = {value: array_of(stack, geometry.plane_axis(plane)) for value, stack in before.items()}
    values = {segment.name: segment.value for segment in project.settings.segments}
    for label, told in note.parts["labels"].items():
        if label not in values:
            desk.say(f"'{label}' of '{name}' is left out: the project has no label of that name.")
            continue
        said = np.zeros(seen.shape_kji, np.uint8)
        paint(np.moveaxis(said, seen.plane_axis(note.parts["plane"]), 0), told)
        (moved,) = resample([said], seen, geometry)
        masks[values[label]] = np.where(moved > 0, moved == INSIDE, masks.get(values[label], False))
    prompts = dict(note.parts["prompts"])
    for part in ("keys", "drawn"):
        slices = prompts.get(part, {})
        prompts[part] = {values[label]: slices[label] for label in slices if label in values}
    model = project.place(note.parts["model"])
    digest = desk.digest_of(model)
    keep_proposal(project, name, masks, geometry, model=model, model_sha256=digest, prompts=prompts, **_told(note))


def _seen_grid(told: Mapping[str, Any], geometry: Geometry, name: str) -> Geometry:
    """The grid that the panel has counted slices and pixels of, which may have another order of the same voxels.

    Raises:
        InputError: it is no grid, or not of that image.
    """
    try:
        seen = Geometry(tuple(told["shape"]), np.array(told["ijk_to_ras"], float))
        fits = sorted(seen.shape_kji) == sorted(geometry.shape_kji) and fill_one_box(seen, geometry)
    except (LookupError, TypeError, ValueError):
        fits = False
    if not fits:
        raise InputError(f"'{name}' lay elsewhere in the panel than its file says: its proposal is not measured.")
    return seen


def _using(desk: Desk, note: Note) -> None:
    model = desk.project.place(note.parts["model"])
    if model != desk.project.state().model:
        desk.project.append("using", model=model, sha256=desk.digest_of(model), **_told(note))


_TAKE: Mapping[str, Callable[[Desk, Note], Mapping[str, Any] | None]] = MappingProxyType(
    {"opened": _opened, "proposed": _proposed, "accepted": _accepted, "using": _using}
)
