"""The cases of a project as a worklist: states and order are the project's, what is done is noted for its ledger."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from SegmentPropagateLib.files import PathLike, is_there
from SegmentPropagateLib.formats.cases import Case
from SegmentPropagateLib.formats.worklist import DONE, IN_WORK, PROPOSED, TO_DO, WorkCase, Worklist, stamp_of
from SegmentPropagateLib.models.registry import REGISTRY
from SegmentPropagateLib.project.choosing import choose_by_chance, least_agreed, unranked
from SegmentPropagateLib.project.folder import LEAST_TO_LEARN, LEDGER, SETTINGS, WORK, Project
from SegmentPropagateLib.project.holding import person
from SegmentPropagateLib.project.notes import leave_note, note_files, notes_in
from SegmentPropagateLib.project.state import State


def project_at(source: PathLike) -> Project | None:
    """The project of that folder, or of that `project.json`; None for anything else."""
    path = Path(source).absolute()
    folder = path.parent if path.name == SETTINGS else path
    return Project(folder) if all(is_there(folder / name) for name in (SETTINGS, LEDGER)) else None


class ProjectWorklist(Worklist):
    """The cases of a project.

    What a panel wants to find again is kept in `work/worklist.json`, as for any list; how far a case is, the ledger
    says, and the notes that it has not taken yet.

    Args:
        project: whose cases they are.

    Raises:
        InputError: the ledger or `worklist.json` is damaged.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self.state = State("")
        self._stamp: tuple[int, int] | None = (-1, -1)  # of the ledger when it was read
        self._session = secrets.token_hex(4)
        self._seen: dict[str, str | None] = {}  # case -> digest of what was accepted, when it was opened
        self._noted: dict[str, tuple[str, str]] = {}  # case -> state and labels that the ledger does not know yet
        work = project.folder / WORK
        cases = [Case(name, image, work / f"{name}.seg.nrrd") for name, image in project.images.items()]
        super().__init__(cases, work, work)

    @property
    def has_notes(self) -> bool:
        """Whether the ledger has something to be told."""
        return bool(note_files(self.project.folder))

    def refresh(self) -> None:
        """Take the states anew, also what others have written meanwhile."""
        super().refresh()
        stamp = stamp_of(self.project.folder / LEDGER)
        if stamp != self._stamp:  # a long one takes its time
            self.state, self._stamp = self.project.state(), stamp
        states = {"opened": IN_WORK, "accepted": DONE}
        notes = notes_in(self.project.folder, tuple(states))[0]
        self._noted = {note.parts["case"]: (states[note.event], str(note.parts["work"])) for note in notes}
        self.cases = tuple(self._as_told(case) for case in self.cases)

    def _as_told(self, case: WorkCase) -> WorkCase:
        known, folder = self.state.case(case.name), self.project.folder
        state, work = self._noted.get(case.name, (known.state, known.work))
        labels = folder / work if work else case.labels
        if state in (TO_DO, PROPOSED) and case.state in (IN_WORK, DONE):
            state = IN_WORK  # a note of it was refused
        entries = [entry for entry in (known.accepted, known.proposal) if entry is not None]
        drafts = [labels, *(folder / entry["file"] for entry in entries)]
        draft = next((path for path in drafts if path.is_file()), None)
        return replace(case, labels=labels, state=state, draft=draft)

    def next(self, name: str | None) -> WorkCase | None:
        """The next open case in the project's order; those that others work on are left to them."""
        names = [case.name for case in self.cases]
        start = names.index(name) + 1 if name in names else 0
        mine = [case for case in (*self.cases[start:], *self.cases[:start])
                if case.state != DONE and case.name != name and not self.holder(case.name)]  # fmt: skip
        fresh = [case.name for case in mine if case.state in (TO_DO, PROPOSED)]
        chosen = self._chosen(fresh) if fresh else next((case.name for case in mine), None)
        return self.case(chosen)

    def _chosen(self, names: Sequence[str]) -> str:
        settings = self.project.settings
        if settings.by == "random":
            return choose_by_chance(sorted(names), self.state, settings.seed)
        agreements = {name: (self.state.case(name).proposal or {}).get("agreement") for name in names}
        known = {name: value for name, value in agreements.items() if value is not None}
        return least_agreed(known) if settings.by == "disagreement" and known else names[0]

    def resume(self) -> WorkCase | None:
        """Where work stopped, unless that is somebody else's: then the next case in the project's order."""
        last = self.case(self.last)
        return last if last is not None and last.state != DONE and not self.holder(last.name) else self.next(self.last)

    def holder(self, name: str) -> str:
        """Who else works on a case, as far as the ledger knows; empty where nobody does."""
        known = self.state.case(name)
        return known.by if known.state == IN_WORK and known.by != person() else ""

    def finished(self) -> list[Case]:
        """The accepted cases that are of use to suggest from, with the labels that were accepted."""
        return self.project.finished(self.state)

    @property
    def can_learn(self) -> bool:
        """Whether there are cases enough, and one of them the model has not learned from."""
        return len(self.state.usable) >= LEAST_TO_LEARN and self.state.since_learning > 0

    @property
    def can_rank(self) -> bool:
        """Whether the project's order asks for agreements that nobody has computed yet."""
        is_asked = self.project.settings.by == "disagreement" and bool(self.state.usable)
        return is_asked and bool(unranked(self.project, self.state))

    def open(self, name: str) -> WorkCase:
        """Somebody begins to look at a case, or goes on."""
        self.refresh()
        self._seen[name] = (self.state.case(name).accepted or {}).get("sha256")
        return super().open(name)

    def note(self, name: str, **changes: Any) -> WorkCase:
        """Change fields of a case; see `Worklist.note`. What the ledger is to know is noted for it.

        A case that is saved as done, so with its `labels`, is accepted; `kept` has the seconds of work.
        """
        case = super().note(name, **changes)
        self._note_for_ledger(name, case, changes)
        self.refresh()
        return self.case(name) or case

    def _note_for_ledger(self, name: str, case: WorkCase, changes: Mapping[str, Any]) -> None:
        work = self.project.place(changes.get("labels", case.labels))
        words = {"case": name, "work": work, "over": self._seen.get(name), "session": self._session}
        known = self.state.case(name)
        mine = (known.state, known.work) if known.by == person() else None
        if changes.get("state") == DONE and "labels" in changes:
            leave_note(self.project.folder, "accepted", **words, seconds=case.kept.get("seconds"))
        elif case.state == IN_WORK and (IN_WORK, work) not in (self._noted.get(name), mine):
            leave_note(self.project.folder, "opened", **words)

    def note_proposal(self, name: str, **parts: Any) -> None:
        """A proposal was taken in the panel: note it, see `notes.KINDS`.

        Raises:
            InputError: it cannot be written.
        """
        leave_note(self.project.folder, "proposed", case=name, **self._model_from_here(parts))

    def note_model(self, model: str) -> None:
        """Another model was chosen: note it, unless it is the project's."""
        if self.project.place(model) != self.state.model:
            leave_note(self.project.folder, "using", **self._model_from_here({"model": model}))

    def _model_from_here(self, parts: Mapping[str, Any]) -> dict[str, Any]:
        """The same with a path that does not depend on where a process runs."""
        model = parts["model"]
        return {**parts, "model": model if model in REGISTRY else str(Path(model).absolute())}
