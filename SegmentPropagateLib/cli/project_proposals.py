"""A proposal for a case of a project: from what accepted cases suggest, else from a key slice or box that was given."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.cli import propagate
from SegmentPropagateLib.cli.arguments import propagate_words
from SegmentPropagateLib.cli.batch import model_digest
from SegmentPropagateLib.cli.drafts import NothingFoundError
from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import writing
from SegmentPropagateLib.formats.reading import read_volume
from SegmentPropagateLib.models.loading import load_model
from SegmentPropagateLib.project.choosing import unranked
from SegmentPropagateLib.project.folder import FINISHED, PROPOSALS, WORK, Project
from SegmentPropagateLib.project.labels import numbers_in, read_stacks
from SegmentPropagateLib.project.opinions import agreement, boxed, carried
from SegmentPropagateLib.project.proposing import keep_proposal
from SegmentPropagateLib.project.state import State
from SegmentPropagateLib.propagation.propagator import Propagator
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.stack import array_of, stack_of

Say = Callable[[str], None]
PATIENCE_S = 60.0
"""How long a case that was ranked waits for somebody who holds the project."""
Masks = Mapping[int, NDArray[np.bool_]]


@dataclass(frozen=True)
class Given:
    """What an annotator has given for a case, beside what accepted cases have.

    Args:
        mask: label file with outlined key slices.
        box: boxes on key slices.
        key_slice: numbers of these, `auto` or None.
        label: names of the labels of the boxes, or of those of the mask that count; None takes all.
    """

    mask: str | None = None
    box: list[tuple[int, int, int, int]] | None = None
    key_slice: list[int] | str | None = None
    label: list[str] | None = None

    @property
    def is_any(self) -> bool:
        """Whether there is anything to start from."""
        return self.mask is not None or self.box is not None

    @property
    def kind(self) -> str:
        """What to call it."""
        return "mask" if self.mask is not None else "box" if self.box is not None else "support"


@dataclass(frozen=True)
class Made:
    """A result for a case that is not on the disk yet.

    Args:
        masks: label of the template -> bool `(k, j, i)`; empty where nothing was found.
        geometry: their grid.
        prompts: what it was made from, for the ledger.
    """

    masks: Masks
    geometry: Geometry
    prompts: dict[str, Any]


class Proposer:
    """Makes results by one model, which is loaded when it is needed.

    Args:
        project: whose cases they are.
        model: name or file, as the ledger has it.
        device: see `load_model`.
        say: takes a sentence for the user.
        quiet: no bars.
    """

    def __init__(self, project: Project, model: str, device: str, say: Say, quiet: bool = True) -> None:
        self.project, self.model, self._device, self._say, self._quiet = project, model, device, say, quiet
        self._path = project.model_path(model)

    @cached_property
    def _loaded(self) -> Propagator:
        return load_model(self._path, device=self._device, notify=self._say)

    @cached_property
    def sha256(self) -> str:
        """What tells the model from all others; its file is fetched where it is not at hand."""
        words = argparse.Namespace(model=self._path, accept_licence=False, quiet=self._quiet)
        return model_digest(words, self._say)

    def make(self, name: str, given: Given, support: Path | None, earlier: Mapping[str, Any] | None = None) -> Made:
        """Compute a result for a case.

        Args:
            name: of the case.
            given: by the annotator; goes before what is suggested.
            support: list of accepted cases; None where there are none.
            earlier: entry of the proposal that she had before; labels that she has not given stay as they are there.

        Raises:
            InputError: there is nothing to start from, or it cannot be used.
        """
        if not given.is_any and support is None:
            raise InputError(
                f"Nothing is accepted yet that could suggest a start for '{name}' "
                f"('{self.project.image(name)}'): outline a key slice and give it by --mask, or a box by --box."
            )
        words = self._words(name, given, None if given.is_any else support)
        try:
            done = propagate.carry_out(words, lambda: self._loaded, self._say)
        except NothingFoundError as error:
            self._say(f"{error} Give a key slice by --mask, or draw '{name}' from the start.")
            return Made({}, read_volume(self.project.image(name)).geometry, _prompts("support"))
        template = self.project.settings.segments
        numbers = numbers_in(template, done.request.segments)
        if not numbers:
            names = ", ".join(segment.name for segment in template)
            raise InputError(f"What was given has none of the project's labels: name it as one of {names}.")
        masks = {value: done.masks[own] for value, own in numbers.items()}
        keys = {value: list(done.session.keys(own)) for value, own in numbers.items()}
        made = Made(masks, done.session.geometry, _prompts(given.kind, keys, keys if given.mask is not None else {}))
        return made if earlier is None or not given.is_any else self._over(earlier, made)

    def _over(self, earlier: Mapping[str, Any], made: Made) -> Made:
        """A result with the labels of an earlier proposal that it does not have itself."""
        settings, axis = self.project.settings, made.geometry.plane_axis(self.project.settings.plane)
        old = read_stacks(self.project.kept(earlier), made.geometry, settings.segments, settings.plane)
        masks = {**{value: array_of(stack, axis) for value, stack in old.items()}, **made.masks}
        before, prompts = earlier["prompts"], dict(made.prompts)
        for part in ("keys", "drawn"):
            kept = {int(value): slices for value, slices in before.get(part, {}).items()}
            prompts[part] = {**{value: it for value, it in kept.items() if value not in made.masks}, **prompts[part]}
        prompts["over"] = {part: earlier[part] for part in ("file", "sha256", "prompts")}
        return Made(masks, made.geometry, prompts)

    def agreement(self, name: str, made: Made) -> float:
        """How well a result agrees with a second opinion: the classical method's, or for this one that of boxes."""
        volume, plane = read_volume(self.project.image(name)), self.project.settings.plane
        axis = made.geometry.plane_axis(plane)
        stacks = {value: stack_of(mask, axis) for value, mask in made.masks.items()}
        if self.model == "classical":
            return agreement(stacks, boxed(self._loaded, volume, plane, stacks))
        return agreement(stacks, carried(load_model("classical"), volume, plane, stacks, made.prompts["keys"]))

    def _words(self, name: str, given: Given, support: Path | None) -> argparse.Namespace:
        """What `propagate` would be told."""
        settings = self.project.settings
        reader = None if support is None or settings.reader is None else self.project.model_path(settings.reader)
        labels: dict[str, Any] = {"label": None, "name": None}
        if given.mask is not None:
            labels["label"] = given.label
        if given.box is not None:
            labels["name"] = given.label or [segment.name for segment in settings.segments[: len(given.box)]]
        return propagate_words(
            **labels,
            image=str(self.project.image(name)),
            mask=given.mask,
            box=given.box,
            key_slice=given.key_slice,
            plane=settings.plane,
            quiet=self._quiet,
            support=None if support is None else str(support),
            unsure=support is not None,
            support_model=reader,
            output=str(self.project.folder / PROPOSALS / f"{name}.seg.nrrd"),
            model=self._path,
        )


def _prompts(kind: str, keys: Mapping[int, list[int]] = {}, drawn: Mapping[int, list[int]] = {}) -> dict[str, Any]:
    return {"kind": kind, "keys": dict(keys), "drawn": dict(drawn)}


def write_proposal(
    project: Project, name: str, made: Made, proposer: Proposer, support: Mapping[str, str], agreed: float | None = None
) -> State:
    """Keep a result as the proposal of its case, and tell the ledger."""
    return keep_proposal(
        project,
        name,
        made.masks,
        made.geometry,
        model=proposer.model,
        model_sha256=proposer.sha256,
        prompts={**made.prompts, **({"support": dict(support)} if made.prompts["kind"] == "support" else {})},
        agreement=agreed,
    )


def is_current(entry: Mapping[str, Any] | None, sha256: str, support: Mapping[str, str]) -> bool:
    """Whether a proposal is what would be suggested now, by the model of that digest from those accepted cases."""
    if entry is None or entry["prompts"].get("kind") != "support":
        return False
    return bool(entry["model_sha256"] == sha256 and entry["prompts"].get("support") == dict(support))


def agreements_of(proposer: Proposer, state: State, names: Sequence[str], say: Say) -> dict[str, float]:
    """Open case -> how well its proposal agrees with a second opinion; proposals that are not there are made.

    Raises:
        InputError: nothing is accepted yet that could suggest any.
    """
    project = proposer.project
    support = project.supporting(state)
    finished = project.write_finished(state) if support else None
    found = {}
    for number, name in enumerate(names, start=1):
        entry = state.case(name).proposal
        known = entry.get("agreement") if entry is not None and is_current(entry, proposer.sha256, support) else None
        if known is None:
            made = proposer.make(name, Given(), finished)
            known = round(proposer.agreement(name, made), 6)
            write_proposal(project, name, made, proposer, support, known)
        say(f"{name} ({number} of {len(names)}): two runs agree by a DSC of {known:.3f}.")
        found[name] = known
    return found


def rank(proposer: Proposer, say: Say) -> None:
    """Propose the open cases that nobody has ranked yet; the project is held only while each is written."""
    project = proposer.project
    with TemporaryDirectory() as folder:
        for name in unranked(project, project.state()):
            state = project.state()
            support = project.supporting(state)
            finished = project.write_finished(state, path=Path(folder) / FINISHED)
            made = proposer.make(name, Given(), finished)
            agreed = round(proposer.agreement(name, made), 6)
            with project.held(PATIENCE_S):
                state = project.state()
                if state.model == proposer.model and name in unranked(project, state):
                    write_proposal(project, name, made, proposer, support, agreed)
            say(f"{name}: two runs agree by a DSC of {agreed:.3f}.")


def hand_out(project: Project, name: str, state: State) -> Path:
    """Copy the proposal of a case to where it is to be edited, and tell the ledger that somebody works on it."""
    proposal = state.case(name).proposal
    if proposal is None:
        raise InputError(f"'{name}' has no proposal to be edited.")
    content = project.kept(proposal).read_bytes()
    path = project.free_name(WORK, name)
    with writing(path) as file:
        file.write(content)
    project.append("opened", case=name, work=project.place(path))
    return path


def propose(proposer: Proposer, name: str, given: Given) -> Path:
    """Propose a case and give it out; what was proposed for it before from the same is taken again."""
    project = proposer.project
    project.image(name)
    state = project.state()
    support = project.supporting(state, without=[name])
    earlier = state.case(name).proposal
    if given.is_any or not is_current(earlier, proposer.sha256, support):
        finished = project.write_finished(state, without=[name]) if support else None
        state = write_proposal(project, name, proposer.make(name, given, finished, earlier), proposer, support)
    return hand_out(project, name, state)
